"""PSNR and SSIM: full-reference metrics of two images."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput


def psnr(mse: Tensor) -> Tensor:
    """Mean squared error [...] of values in [0, 1] -> peak signal-to-noise ratio [...] in dB, at most 100."""
    return -10 * torch.log10(mse.clamp_min(1e-10))


@dataclass(frozen=True)
class SSIMWindow:
    """Local window and constants of SSIM (Wang et al. 2004), by their names in scikit-image."""

    gaussian_weights: bool = True  # truncated at 3.5 sigma; False: a uniform box
    sigma: float = 1.5  # of the Gaussian, in pixels: 11 pixels wide
    win_size: int = 7  # side of the box in pixels, odd
    use_sample_covariance: bool = False  # divide covariances by N - 1 (scikit-image's default) instead of N
    K1: float = 0.01
    K2: float = 0.03

    @property
    def side(self) -> int:
        """Side of the window in pixels."""
        return 2 * int(3.5 * self.sigma + 0.5) + 1 if self.gaussian_weights else self.win_size


WANG = SSIMWindow()  # that of the paper


def ssim(a: Tensor, b: Tensor, window: SSIMWindow = WANG) -> float:
    """Images [C, H, W] in [0, 1], twice -> mean SSIM of pixels whose window lies inside the image."""
    border = window.side // 2
    return float(ssim_map(a, b, window)[:, border : -border or None, border : -border or None].mean())


def ssim_map(a: Tensor, b: Tensor, window: SSIMWindow = WANG) -> Tensor:
    """Images [C, H, W] in [0, 1], twice -> SSIM at every pixel [C, H, W] in float64, borders reflected."""
    from skimage.metrics import structural_similarity  # slow to import, and `psnr` does without

    if a.dim() != 3 or a.shape != b.shape or min(a.shape[1:]) < window.side:
        shapes = f"{list(a.shape)} and {list(b.shape)}"
        raise BadInput(f"SSIM of images {shapes}, wanted [C, H, W] twice, H and W at least {window.side}")
    arrays = (np.asarray(x.movedim(0, -1).double()) for x in (a, b))
    options = vars(window) | {"win_size": window.side, "channel_axis": -1, "data_range": 1.0, "full": True}
    return torch.from_numpy(structural_similarity(*arrays, **options)[1]).movedim(-1, 0)
