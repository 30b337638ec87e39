"""The whitened, windowed spectrum: flat for noise, sharp for a wave, the same in one batch or many."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.spectrum import kaiser, ringed, spectral_gap, windowed


def noise(count, side=32, channels=3):
    """Pictures of mean 110 and deviation 60, white."""
    return 110 + 60 * torch.randn(count, channels, side, side, dtype=torch.float64)


def blurred(images):
    return (images + images.roll(1, -1) + images.roll(1, -2) + images.roll((1, 1), (-1, -2))) / 4


def test_white_noise_is_flat():
    found = ringed(windowed(noise(150).split(40), 110, 60))
    assert found.shape == (65,)
    assert found.max() - found.min() < 1
    assert found[1:].mean().item() == pytest.approx(0, abs=0.1)


def test_it_is_what_numpy_makes_of_the_definition():
    images = noise(2, 9, 2)
    line = np.kaiser(9, 8)
    line /= math.sqrt((line**2).sum())
    white = (images.numpy() - 110) / 60 * line[:, None] * line
    padded = np.pad(white, ((0, 0), (0, 0), (0, 27), (0, 27)))
    wanted = np.fft.fftshift((np.abs(np.fft.fft2(padded)) ** 2).mean(axis=(0, 1)))
    found = windowed([images], 110, 60)
    assert found.shape == (36, 36)
    assert_close(found, torch.from_numpy(wanted))
    parseval = torch.from_numpy(white**2).sum(dim=(2, 3)).mean()
    assert_close(found.mean(), parseval)


@pytest.mark.parametrize("side", [16, 17])
def test_the_window_is_symmetric_and_of_unit_energy(side):
    window = kaiser(side)
    assert window.dtype == torch.float64
    assert_close(window.square().sum().item(), 1.0)
    assert_close(window, window.flip(0))  # not periodic
    assert_close(window, window.mT)
    assert_close(window, torch.outer(window.sum(1), window.sum(0)) / window.sum())


def test_batches_do_not_matter_and_bytes_are_as_good_as_floats():
    images = noise(7, 16).clamp(0, 255).round()
    wanted = windowed([images], 110, 60)
    assert_close(windowed((part.byte() for part in images.split(3)), 110, 60), wanted)
    assert_close(windowed([images.float()], 110, 60), wanted)


def test_a_wave_between_two_frequencies_stays_where_it_is():
    """Half a period more than whole ones: without a window that leaks everywhere (Kaiser's sidelobes: -58 dB)."""
    side, periods = 64, 10.5
    wave = torch.sin(2 * math.pi * periods * torch.arange(side, dtype=torch.float64) / side)
    spectrum = 10 * torch.log10(windowed([wave.expand(1, 3, side, side)], 0, 1) + 1e-30)
    row = spectrum[128]  # no frequency downwards
    assert abs(row[129:].argmax().item() + 1 - 4 * periods) <= 1
    far = torch.cat([row[128:155], row[185:]])  # beyond the main lobe, some 14 rings each way
    assert row.max() - far.max() > 50


def test_a_gap_tells_blurred_pictures_from_sharp_ones():
    images, others = noise(60), noise(60)
    sharp, again = (ringed(windowed([x], 110, 60)) for x in (images, others))
    soft = ringed(windowed([blurred(images)], 110, 60))
    assert spectral_gap(sharp, sharp) == 0
    assert spectral_gap(sharp, again) < 0.5
    assert spectral_gap(sharp, soft) > 3
    assert soft[-1] < soft[4] - 5
    brighter = ringed(windowed([images + 60], 110, 60))
    assert brighter[0] > sharp[0] + 10
    louder = sharp + torch.tensor([5.0] + [2.0] * 64, dtype=torch.float64)
    assert spectral_gap(sharp, louder) == pytest.approx(2)  # frequency 0 does not count


def test_bad_input_is_one_line():
    with pytest.raises(BadInput, match=r"\(1, 3, 8, 9\), wanted \[B, C, N, N\]"):
        windowed([torch.zeros(1, 3, 8, 9)], 0, 1)
    with pytest.raises(BadInput, match="N always the same"):
        windowed([torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 9, 9)], 0, 1)
    with pytest.raises(BadInput, match="no pictures"):
        windowed([], 0, 1)
    with pytest.raises(BadInput, match="deviation of 0"):
        windowed([torch.zeros(1, 3, 8, 8)], 0, 0)
    with pytest.raises(BadInput, match=r"\(3,\) and \(4,\)"):
        spectral_gap(torch.zeros(3), torch.zeros(4))
