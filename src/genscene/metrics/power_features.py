"""Power spectra as features of pictures, so that they are streamed, kept and compared like any others."""

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.extractor import Extractor
from genscene.metrics.spectrum import power, profile


def power_features(side: int) -> Extractor:
    """The mean power on rings of whole frequencies of square pictures of a side in pixels, white as 1."""

    def look(images: Tensor) -> Tensor:
        if images.shape[-2:] != (side, side):
            raise BadInput(f"power spectra of {list(images.shape[-2:])} pixels, wanted {side}x{side}")
        return profile(power(images.cpu().double() / 255)) / side**4

    words = "grey by BT.601, no window"
    return Extractor(
        "power-spectrum", words, "rings of the Fourier transform", side // 2 + 1, "not resized", look
    )


def decibels_of(profiles: Tensor) -> Tensor:
    """Power with white as 1 [...] -> dB."""
    return 10 * torch.log10(profiles.clamp_min(1e-12))
