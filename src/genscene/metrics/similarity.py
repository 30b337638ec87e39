"""How alike two pictures are: SSIM."""

import numpy as np
from skimage.metrics import structural_similarity
from torch import Tensor


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity of pictures [3, H, W] in [0, 1] (Wang et al. 2004): Gaussian window of deviation 1.5.

    Windows of 11 pixels, biased covariances, each channel by itself, averaged over what has a whole window.
    """
    first, second = (np.asarray(x.movedim(0, -1).double()) for x in (a, b))
    value = structural_similarity(
        first, second, channel_axis=-1, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(value)
