"""How alike two pictures are: SSIM, in the variants there are."""

from dataclasses import dataclass

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from genscene.errors import BadInput


@dataclass(frozen=True)
class Window:
    """What SSIM looks through; libraries differ in it, so it is named beside every number."""

    gaussian: bool = True  # of deviation 1.5 over 11 pixels (Wang et al. 2004); or a box of 7 pixels
    sample: bool = False  # whether covariances are divided by N - 1, as scikit-image does unless told

    @property
    def side(self) -> int:
        """In pixels."""
        return 11 if self.gaussian else 7


GAUSSIAN = Window()


def ssim(a: Tensor, b: Tensor, window: Window = GAUSSIAN) -> float:
    """Structural similarity of pictures [C, H, W] in [0, 1], averaged over channels and what has a whole window."""
    border = window.side // 2
    return float(ssim_map(a, b, window)[:, border:-border, border:-border].mean())


def ssim_map(a: Tensor, b: Tensor, window: Window = GAUSSIAN) -> Tensor:
    """Structural similarity around each pixel of pictures [C, H, W] in [0, 1] -> [C, H, W]; reflected at the border."""
    if a.dim() != 3 or a.shape != b.shape or min(a.shape[1:]) < window.side:
        shapes = f"{list(a.shape)} and {list(b.shape)}"
        raise BadInput(
            f"SSIM of pictures {shapes}, wanted twice [C, H, W], sides of at least {window.side} pixels"
        )
    first, second = (np.asarray(x.movedim(0, -1).double()) for x in (a, b))
    _, full = structural_similarity(
        first,
        second,
        channel_axis=-1,
        data_range=1.0,
        gaussian_weights=window.gaussian,
        sigma=1.5,
        win_size=window.side,
        use_sample_covariance=window.sample,
        full=True,
    )
    return torch.from_numpy(full).movedim(-1, 0)
