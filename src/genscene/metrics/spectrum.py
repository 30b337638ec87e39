"""Power spectra in float64: plain (Durall et al. 2020), or whitened and windowed (Karras et al. 2021)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.networks.extractor import Extractor

BT601 = (0.299, 0.587, 0.114)  # gray of red, green, blue


def power_spectrum(
    images: Tensor, weights: Sequence[float] = BT601, window: Tensor | None = None, remove_mean: bool = False
) -> Tensor:
    """Images [B, C, N, N] -> squared DFT [B, N, N] of the weighted sum of channels, frequency 0 at N // 2."""
    if images.dim() != 4 or images.shape[1] != len(weights) or images.shape[2] != images.shape[3]:
        raise BadInput(f"spectrum of images {tuple(images.shape)}, wanted [B, {len(weights)}, N, N]")
    gray = torch.einsum("bchw,c->bhw", images.double(), images.new_tensor(weights, dtype=torch.float64))
    if remove_mean:
        gray = gray - gray.mean(dim=(1, 2), keepdim=True)
    spectrum = torch.fft.fft2(gray if window is None else gray * window)
    return torch.fft.fftshift(spectrum, dim=(-2, -1)).abs().square()


def mean_log_magnitude(power: Tensor, eps: float = 1e-8) -> Tensor:
    """Power [B, N, N] -> logarithm of the mean magnitude [N, N] (CIPS, fig. 7)."""
    return (power.sqrt().mean(dim=0) + eps).log()


@dataclass(frozen=True)
class MeanSpectrum:
    """Means over images of one side N, in dB of an image that is 1 everywhere."""

    magnitude: Tensor  # [N, N], of the mean magnitude, frequency 0 at N // 2
    profile: Tensor  # [N // 2 + 1], of the mean power on rings of integer radius


def mean_spectrum(powers: Iterable[Tensor]) -> MeanSpectrum:
    """Power [B, N, N] of images, part by part -> the means over all; BadInput where there are none."""
    magnitude, total, count = torch.zeros(()), torch.zeros(()), 0
    for power in powers:
        magnitude, total = magnitude + power.sqrt().sum(dim=0), total + power.sum(dim=0)
        count += len(power)
    if not count:
        raise BadInput("spectrum of no images, wanted at least one")
    white = total.shape[-1] ** 4  # the power of frequency 0
    profile = radial_profile(total[None] / count)[0]
    return MeanSpectrum(to_decibels((magnitude / count).square() / white), to_decibels(profile / white))


def radial_profile(spectra: Tensor, bins: int | None = None) -> Tensor:
    """Spectra [B, N, N] -> means over rings of integer radius [B, bins], bins None: N // 2 + 1."""
    size, bins = spectra.shape[-1], bins or spectra.shape[-1] // 2 + 1
    ring = ring_index(size, spectra.device).flatten()
    inside = ring < bins
    sums = spectra.new_zeros(len(spectra), bins).index_add_(1, ring[inside], spectra.flatten(1)[:, inside])
    return sums / torch.bincount(ring, minlength=bins)[:bins]


def ring_index(size: int, device: torch.device | None = None) -> Tensor:
    """Image side N in pixels -> radius of every frequency [N, N], rounded to an integer."""
    at = torch.arange(size, device=device, dtype=torch.float64) - size // 2
    return (torch.hypot(at[:, None], at) + 0.5).floor().long()


def to_decibels(power: Tensor, floor: float = 1e-12) -> Tensor:
    """Power [...], not below `floor` -> dB [...]."""
    return 10 * torch.log10(power.clamp_min(floor))


def windowed_power_spectrum(
    batches: Iterable[Tensor], mean: float, std: float, beta: float = 8.0, padding: int = 4
) -> Tensor:
    """Batches [B, C, N, N], whitened, windowed, padded to P N as in StyleGAN3 -> mean power [P N, P N]."""
    if std <= 0:
        raise BadInput(f"spectrum whitened by a deviation of {std:g}, wanted more than 0")
    total, count = torch.zeros(()), 0
    for images in batches:
        size, padded = images.shape[-1], padding * images.shape[-1]
        if images.dim() != 4 or images.shape[2] != size or total.shape not in ((), (padded, padded)):
            raise BadInput(f"spectrum of images {tuple(images.shape)}, wanted [B, C, N, N] of one side N")
        window = kaiser_window(size, beta, images.device)
        for image in images:  # one by one: padded images are large
            white = (image.double() - mean) / std * window
            total = total + torch.fft.fft2(white, s=(padded, padded)).abs().square().sum(dim=0)
        count += images.shape[0] * images.shape[1]
    if not count:
        raise BadInput("spectrum of no images, wanted at least one batch")
    return torch.fft.fftshift(total / count)


def kaiser_window(size: int, beta: float = 8.0, device: torch.device | None = None) -> Tensor:
    """Separable symmetric Kaiser window [N, N] whose squares sum to 1."""
    window = torch.kaiser_window(size, periodic=False, beta=beta, dtype=torch.float64, device=device)
    window = window / window.square().sum().sqrt()
    return torch.outer(window, window)


def spectral_gap(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference of two profiles [K] in dB, without ring 0, which is the mean brightness."""
    if a.shape != b.shape or a.dim() != 1 or len(a) < 2:
        raise BadInput(f"profiles of shapes {tuple(a.shape)} and {tuple(b.shape)}, wanted the same [K]")
    return float((a - b)[1:].abs().mean())


def power_features(side: int) -> Extractor:
    """Extractor of radial power profiles of square images, in units of a white image's power."""

    def compute(images: Tensor) -> Tensor:
        if images.shape[-2:] != (side, side):
            raise BadInput(f"power spectra of {list(images.shape[-2:])} pixels, wanted {side}x{side}")
        return radial_profile(power_spectrum(images.cpu().double() / 255)) / side**4

    weights, layer = "grey by BT.601, no window", "rings of the Fourier transform"
    return Extractor("power-spectrum", weights, layer, side // 2 + 1, "not resized", compute)
