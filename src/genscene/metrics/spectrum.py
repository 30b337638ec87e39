"""How much of pictures is coarse and how much is fine: their power spectrum, in float64.

As it is (Durall et al. 2020), or whitened and seen through a window (Karras et al. 2021, StyleGAN3).
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from genscene.errors import BadInput

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def transform(images: Tensor) -> Tensor:
    """Pictures [B, 3, N, N] -> Fourier transform of their grey [B, N, N], frequency 0 at N // 2; no window."""
    if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise BadInput(f"a spectrum of pictures of shape {tuple(images.shape)}, wanted [B, 3, N, N]")
    grey = torch.einsum("bchw,c->bhw", images.double(), images.new_tensor(GREY, dtype=torch.float64))
    return torch.fft.fftshift(torch.fft.fft2(grey), dim=(-2, -1))


def power(images: Tensor) -> Tensor:
    """Pictures [B, 3, N, N] -> squared magnitudes [B, N, N], frequency 0 at N // 2."""
    return transform(images).abs().square()


def profile(spectra: Tensor) -> Tensor:
    """Spectra [B, N, N] -> their mean over rings of whole radius [B, N // 2 + 1] (Durall et al. 2020, azimuthal)."""
    size = spectra.shape[-1]
    ring = rings(size, spectra.device).flatten()
    inner = ring <= size // 2  # the corners belong to no whole ring
    sums = spectra.new_zeros(len(spectra), size // 2 + 1).index_add_(
        1, ring[inner], spectra.flatten(1)[:, inner]
    )
    return sums / counts(size, spectra.device)


def counts(size: int, device: torch.device | None = None) -> Tensor:
    """Side N in pixels -> how many frequencies lie on each ring [N // 2 + 1]."""
    return torch.bincount(rings(size, device).flatten())[: size // 2 + 1]


def rings(size: int, device: torch.device | None = None) -> Tensor:
    """Side N in pixels -> the ring each frequency lies on [N, N]: its distance from frequency 0, rounded."""
    at = torch.arange(size, device=device, dtype=torch.float64) - size // 2
    return (torch.hypot(at[:, None], at) + 0.5).floor().long()


def decibels(profiles: Tensor, size: int) -> Tensor:
    """Profiles [B, N // 2 + 1] of pictures of side N -> their mean [N // 2 + 1], in dB below a white picture's."""
    return 10 * torch.log10(profiles.mean(dim=0) / size**4)


def magnitude_log(images: Tensor) -> Tensor:
    """Pictures [B, 3, N, N] -> logarithm of their mean magnitude [N, N], the picture of CIPS's fig. 7."""
    return (transform(images).abs().mean(dim=0) + 1e-8).log()


def windowed(
    batches: Iterable[Tensor], mean: float, deviation: float, beta: float = 8.0, padding: int = 4
) -> Tensor:
    """Batches [B, C, N, N] -> mean squared magnitude over pictures and channels [P N, P N], frequency 0 at P N // 2.

    Whitened by the data's mean and deviation, windowed, padded with zeros to P times the side (Karras et al. 2021,
    StyleGAN3's average spectra). White noise of that deviation has power 1 everywhere. None of the batches is kept.
    """
    if deviation <= 0:
        raise BadInput(f"pictures whitened by a deviation of {deviation:g}, wanted more than 0")
    total, count = torch.zeros(()), 0
    for images in batches:
        size = images.shape[-1]
        if (
            images.dim() != 4
            or images.shape[2] != size
            or total.shape not in ((), (padding * size, padding * size))
        ):
            raise BadInput(
                f"a spectrum of pictures of shape {tuple(images.shape)}, wanted [B, C, N, N], N always the same"
            )
        window = kaiser(size, beta, images.device)
        for image in images:  # one at a time: padded, it is large
            white = (image.double() - mean) / deviation * window
            total = total + torch.fft.fft2(white, s=(padding * size,) * 2).abs().square().sum(dim=0)
        count += images.shape[0] * images.shape[1]
    if not count:
        raise BadInput("a spectrum of no pictures at all")
    return torch.fft.fftshift(total / count)


def kaiser(size: int, beta: float = 8.0, device: torch.device | None = None) -> Tensor:
    """Kaiser's window over both axes, not periodic, the sum of its squares 1 -> [N, N]."""
    window = torch.kaiser_window(size, periodic=False, beta=beta, dtype=torch.float64, device=device)
    window = window / window.square().sum().sqrt()
    return torch.outer(window, window)


def ringed(spectrum: Tensor) -> Tensor:
    """A power spectrum [M, M] -> its mean over rings [M // 2 + 1] in dB, ring r at r / M periods a pixel."""
    return 10 * torch.log10(profile(spectrum[None])[0].clamp_min(1e-20))


def spectral_gap(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference of two profiles [K] in dB, over all rings but frequency 0, the mean brightness."""
    if a.shape != b.shape or a.dim() != 1 or len(a) < 2:
        raise BadInput(f"profiles of shapes {tuple(a.shape)} and {tuple(b.shape)}, wanted the same [K]")
    return float((a - b)[1:].abs().mean())
