"""Power spectra: white noise is flat, a wave has its power at its frequency, batches do not matter."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.spectrum import (
    kaiser_window,
    mean_log_magnitude,
    mean_spectrum,
    power_features,
    power_spectrum,
    radial_profile,
    ring_index,
    spectral_gap,
    to_decibels,
    windowed_power_spectrum,
)


def profile_db(spectrum):
    """Spectrum [N, N] -> radial profile [N // 2 + 1] in dB."""
    return to_decibels(radial_profile(spectrum[None])[0])


def white_noise(count, side=32, channels=3):
    """Images of mean 110 and deviation 60."""
    return 110 + 60 * torch.randn(count, channels, side, side, dtype=torch.float64)


def blurred(images):
    return (images + images.roll(1, -1) + images.roll(1, -2) + images.roll((1, 1), (-1, -2))) / 4


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("frequency", [3, 8, 13])
def test_a_wave_has_its_power_at_its_frequency(size, frequency):
    wave = torch.sin(2 * math.pi * frequency * torch.arange(size, dtype=torch.float64) / size)
    images = torch.stack([wave.expand(3, size, size), wave[:, None].expand(3, size, size)])
    found = radial_profile(power_spectrum(images))
    assert found.shape == (2, size // 2 + 1)
    assert found.argmax(dim=1).tolist() == [frequency, frequency]
    rest = found[:, torch.arange(size // 2 + 1) != frequency]
    assert rest.max() < 1e-20 * found.max()
    assert found[0, frequency] * (ring_index(size) == frequency).sum() == pytest.approx(
        size**4 / 2
    )  # Parseval


def test_white_noise_is_flat_and_a_white_image_has_0_db():
    noise = radial_profile(power_spectrum(torch.randn(50, 3, 32, 32)))
    noise = to_decibels(noise.mean(dim=0) / 32**4)[1:]
    assert noise.max() - noise.min() < 2
    assert noise[4:].max() - noise[4:].min() < 1
    white = torch.ones(1, 3, 32, 32)
    assert to_decibels(radial_profile(power_spectrum(white)) / 32**4)[0, 0].item() == pytest.approx(
        0, abs=1e-6
    )
    assert_close(mean_log_magnitude(power_spectrum(white))[16, 16].exp().item(), 32.0**2)
    features = power_features(32)(255 * white.byte())
    assert features.shape == (1, 17)
    assert to_decibels(features)[0, 0].item() == pytest.approx(0, abs=1e-5)


def test_the_mean_spectrum_of_a_wave_peaks_at_its_frequency_and_does_not_depend_on_parts():
    x = torch.arange(32, dtype=torch.float64) * 2 * math.pi / 32
    waves = torch.stack([(3 * x + phase).cos()[:, None] * (4 * x).cos() for phase in (0.0, 1.0, 2.0)])
    powers = power_spectrum(waves[:, None], (1.0,))
    found = mean_spectrum([powers])
    peaks = (found.magnitude > -100).nonzero().tolist()
    assert peaks == [[13, 12], [13, 20], [19, 12], [19, 20]]  # 3 cycles down, 4 across: half the ring of 5
    assert found.magnitude[13, 12].item() == pytest.approx(20 * math.log10(1 / 4))
    assert found.profile.argmax() == 5
    parts = mean_spectrum(powers.split(2))
    assert_close(parts.magnitude, found.magnitude)
    assert_close(parts.profile, found.profile)
    noise = power_spectrum(torch.rand(4, 3, 8, 8))
    decibels = mean_log_magnitude(noise) * 20 / math.log(10) - 40 * math.log10(8)
    assert_close(mean_spectrum([noise]).magnitude, decibels, atol=1e-5, rtol=0)
    with pytest.raises(BadInput, match="no images"):
        mean_spectrum([])


@pytest.mark.parametrize("bins", [None, 5, 14])
def test_settings_of_the_plain_spectrum_are_those_of_the_definition(bins):
    images, weights, window = torch.rand(2, 2, 18, 18), (0.25, 0.5), torch.hann_window(18)
    window = window[:, None] * window
    gray = np.einsum("bchw,c->bhw", images.numpy().astype(np.float64), weights)
    gray = (gray - gray.mean((1, 2), keepdims=True)) * window.numpy()
    power = np.abs(np.fft.fftshift(np.fft.fft2(gray), axes=(1, 2))) ** 2
    found = power_spectrum(images, weights, window, remove_mean=True)
    assert_close(found, torch.from_numpy(power))
    at = np.arange(18) - 9
    ring = np.floor(np.hypot(at[:, None], at) + 0.5).astype(int)
    wanted = [power[:, ring == r].mean(1) for r in range(bins or 10)]
    assert_close(radial_profile(found, bins), torch.from_numpy(np.stack(wanted, 1)))
    assert ring_index(18).tolist() == ring.tolist()


def test_a_spectrum_needs_square_images():
    with pytest.raises(BadInput, match=r"\[B, 3, N, N\]"):
        power_spectrum(torch.zeros(1, 3, 8, 9))
    with pytest.raises(BadInput, match=r"\[8, 8\] pixels, wanted 16x16"):
        power_features(16)(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_windowed_spectrum_of_white_noise_is_flat():
    found = profile_db(windowed_power_spectrum(white_noise(150).split(40), 110, 60))
    assert found.shape == (65,)
    assert found.max() - found.min() < 1
    assert found[1:].mean().item() == pytest.approx(0, abs=0.1)


def test_windowed_spectrum_is_the_definition_in_numpy():
    images = white_noise(2, 9, 2)
    line = np.kaiser(9, 8)
    line /= math.sqrt((line**2).sum())
    white = (images.numpy() - 110) / 60 * line[:, None] * line
    padded = np.pad(white, ((0, 0), (0, 0), (0, 27), (0, 27)))
    wanted = np.fft.fftshift((np.abs(np.fft.fft2(padded)) ** 2).mean(axis=(0, 1)))
    found = windowed_power_spectrum([images], 110, 60)
    assert found.shape == (36, 36)
    assert_close(found, torch.from_numpy(wanted))
    parseval = torch.from_numpy(white**2).sum(dim=(2, 3)).mean()
    assert_close(found.mean(), parseval)


@pytest.mark.parametrize("side", [16, 17])
def test_the_kaiser_window_is_symmetric_and_of_unit_energy(side):
    window = kaiser_window(side)
    assert window.dtype == torch.float64
    assert_close(window.square().sum().item(), 1.0)
    assert_close(window, window.flip(0))  # not periodic
    assert_close(window, window.mT)
    assert_close(window, torch.outer(window.sum(1), window.sum(0)) / window.sum())


def test_windowed_spectrum_does_not_depend_on_batches_or_dtype():
    images = white_noise(7, 16).clamp(0, 255).round()
    wanted = windowed_power_spectrum([images], 110, 60)
    assert_close(windowed_power_spectrum((part.byte() for part in images.split(3)), 110, 60), wanted)
    assert_close(windowed_power_spectrum([images.float()], 110, 60), wanted)


def test_the_window_confines_a_wave_between_two_frequencies():
    """Half a period more than whole ones: without a window it leaks (Kaiser's sidelobes: -58 dB)."""
    side, periods = 64, 10.5
    wave = torch.sin(2 * math.pi * periods * torch.arange(side, dtype=torch.float64) / side)
    spectrum = 10 * torch.log10(windowed_power_spectrum([wave.expand(1, 3, side, side)], 0, 1) + 1e-30)
    row = spectrum[128]  # vertical frequency 0
    assert abs(row[129:].argmax().item() + 1 - 4 * periods) <= 1
    far = torch.cat([row[128:155], row[185:]])  # beyond the main lobe, some 14 rings each way
    assert row.max() - far.max() > 50


def test_the_spectral_gap_separates_blurred_from_sharp_images():
    images, others = white_noise(60), white_noise(60)
    sharp, again = (profile_db(windowed_power_spectrum([x], 110, 60)) for x in (images, others))
    soft = profile_db(windowed_power_spectrum([blurred(images)], 110, 60))
    assert spectral_gap(sharp, sharp) == 0
    assert spectral_gap(sharp, again) < 0.5
    assert spectral_gap(sharp, soft) > 3
    assert soft[-1] < soft[4] - 5
    brighter = profile_db(windowed_power_spectrum([images + 60], 110, 60))
    assert brighter[0] > sharp[0] + 10
    louder = sharp + torch.tensor([5.0] + [2.0] * 64, dtype=torch.float64)
    assert spectral_gap(sharp, louder) == pytest.approx(2)  # frequency 0 does not count


def test_bad_input_of_spectra():
    with pytest.raises(BadInput, match=r"\(1, 3, 8, 9\), wanted \[B, C, N, N\]"):
        windowed_power_spectrum([torch.zeros(1, 3, 8, 9)], 0, 1)
    with pytest.raises(BadInput, match="of one side N"):
        windowed_power_spectrum([torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 9, 9)], 0, 1)
    with pytest.raises(BadInput, match="no images"):
        windowed_power_spectrum([], 0, 1)
    with pytest.raises(BadInput, match="deviation of 0"):
        windowed_power_spectrum([torch.zeros(1, 3, 8, 8)], 0, 0)
    with pytest.raises(BadInput, match=r"\(3,\) and \(4,\)"):
        spectral_gap(torch.zeros(3), torch.zeros(4))
