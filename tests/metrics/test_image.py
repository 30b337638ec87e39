"""PSNR and SSIM against formulas, and SSIM in its windows against scikit-image called by hand."""

import pytest
import torch
from skimage.metrics import structural_similarity
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.metrics.image import SSIMWindow, psnr, ssim, ssim_map

WINDOWS = [
    SSIMWindow(),
    SSIMWindow(use_sample_covariance=True),
    SSIMWindow(gaussian_weights=False),
    SSIMWindow(gaussian_weights=False, use_sample_covariance=True),
    SSIMWindow(sigma=0.8, K1=0.02, K2=0.05),
    SSIMWindow(gaussian_weights=False, win_size=5, K2=0.01),
]


def test_psnr_of_a_known_error():
    a = torch.full((3, 8, 8), 0.5)
    assert psnr((a - (a + 0.1)).square().mean()).item() == pytest.approx(20, abs=1e-4)
    assert psnr(torch.zeros(2)).tolist() == [100, 100]


@pytest.mark.parametrize("window", WINDOWS)
def test_ssim_is_one_for_equal_images_and_falls_with_noise(window):
    a = torch.rand(3, 24, 30, dtype=torch.float64)
    assert ssim(a, a, window) == pytest.approx(1)
    noise = torch.randn_like(a)
    assert 1 > ssim(a, a + 0.05 * noise, window) > ssim(a, a + 0.2 * noise, window)
    assert ssim_map(a, a + noise, window).shape == a.shape


def test_ssim_of_flat_images_follows_the_formula():
    a, b = torch.full((1, 16, 16), 0.4), torch.full((1, 16, 16), 0.6)
    wanted = (2 * 0.4 * 0.6 + 0.01**2) / (0.4**2 + 0.6**2 + 0.01**2)  # Wang et al. 2004, eq. 13, no variance
    assert ssim(a, b) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(("window", "border"), zip(WINDOWS, (5, 5, 3, 3, 3, 2), strict=True))
def test_ssim_leaves_out_pixels_whose_window_crosses_the_border(window, border):
    a, b = torch.rand(2, 3, 20, 20, dtype=torch.float64)
    inner = ssim_map(a, b, window)[:, border:-border, border:-border]
    assert ssim(a, b, window) == pytest.approx(inner.mean().item())
    assert window.side == 2 * border + 1


@pytest.mark.parametrize("window", WINDOWS)
def test_ssim_is_that_of_scikit_image_on_each_channel(window):
    a, b = torch.rand(2, 2, 19, 23, dtype=torch.float64)
    options = {"K1": window.K1, "K2": window.K2, "use_sample_covariance": window.use_sample_covariance}
    shape = (
        {"gaussian_weights": True, "sigma": window.sigma}
        if window.gaussian_weights
        else {"win_size": window.win_size}
    )
    each = [
        structural_similarity(x.numpy(), y.numpy(), data_range=1.0, full=True, **options, **shape)
        for x, y in zip(a, b, strict=True)
    ]
    assert_close(ssim_map(a, b, window), torch.stack([torch.from_numpy(full) for _, full in each]))
    assert ssim(a, b, window) == pytest.approx(sum(value for value, _ in each) / 2)


def test_ssim_rejects_other_shapes_and_images_below_the_window():
    with pytest.raises(BadInput, match=r"\[3, 10, 12\] and \[3, 10, 12\], wanted .* at least 11"):
        ssim(torch.zeros(3, 10, 12), torch.zeros(3, 10, 12))
    with pytest.raises(BadInput, match=r"wanted \[C, H, W\] twice"):
        ssim(torch.zeros(3, 20, 20), torch.zeros(1, 20, 20))
