"""Numbers of pictures alone and in pairs: PSNR, SSIM and its windows, power spectra."""

import math

import pytest
import torch
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.image import psnr
from genscene.metrics.similarity import Window, ssim, ssim_map
from genscene.metrics.spectrum import counts, decibels, magnitude_log, power, profile

WINDOWS = [Window(), Window(sample=True), Window(gaussian=False), Window(gaussian=False, sample=True)]


def test_psnr_is_known_where_the_error_is():
    a = torch.full((3, 8, 8), 0.5)
    assert psnr((a - (a + 0.1)).square().mean()).item() == pytest.approx(20, abs=1e-4)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_picture_is_like_itself_and_less_so_with_noise(window):
    a = torch.rand(3, 24, 30, dtype=torch.float64)
    assert ssim(a, a, window) == pytest.approx(1)
    noise = torch.randn_like(a)
    assert 1 > ssim(a, a + 0.05 * noise, window) > ssim(a, a + 0.2 * noise, window)
    assert ssim_map(a, a + noise, window).shape == a.shape


def test_flat_pictures_are_as_alike_as_the_formula_says():
    a, b = torch.full((1, 16, 16), 0.4), torch.full((1, 16, 16), 0.6)
    wanted = (2 * 0.4 * 0.6 + 0.01**2) / (
        0.4**2 + 0.6**2 + 0.01**2
    )  # Wang et al. 2004, eq. 13 without variance
    assert ssim(a, b) == pytest.approx(wanted, abs=1e-5)


def test_the_border_is_not_counted():
    a, b = torch.rand(2, 3, 20, 20, dtype=torch.float64)
    assert ssim(a, b) == pytest.approx(ssim_map(a, b)[:, 5:-5, 5:-5].mean().item())
    assert ssim(a, b, WINDOWS[2]) == pytest.approx(ssim_map(a, b, WINDOWS[2])[:, 3:-3, 3:-3].mean().item())


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("frequency", [3, 8, 13])
def test_a_wave_has_its_power_at_its_frequency(size, frequency):
    wave = torch.sin(2 * math.pi * frequency * torch.arange(size, dtype=torch.float64) / size)
    images = torch.stack([wave.expand(3, size, size), wave[:, None].expand(3, size, size)])
    found = profile(power(images))
    assert found.shape == (2, size // 2 + 1)
    assert found.argmax(dim=1).tolist() == [frequency, frequency]
    rest = found[:, torch.arange(size // 2 + 1) != frequency]
    assert rest.max() < 1e-20 * found.max()
    assert found[0, frequency] * counts(size)[frequency] == pytest.approx(size**4 / 2)  # Parseval


def test_white_noise_is_flat_and_a_white_picture_has_no_decibels():
    noise = decibels(profile(power(torch.randn(50, 3, 32, 32))), 32)[1:]
    assert noise.max() - noise.min() < 2
    assert noise[4:].max() - noise[4:].min() < 1
    white = torch.ones(1, 3, 32, 32)
    assert decibels(profile(power(white)), 32)[0].item() == pytest.approx(0, abs=1e-6)
    assert_close(magnitude_log(white)[16, 16].exp().item(), 32.0**2)


def test_a_spectrum_wants_square_pictures():
    with pytest.raises(BadInput, match=r"\[B, 3, N, N\]"):
        power(torch.zeros(1, 3, 8, 9))
