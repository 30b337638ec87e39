"""How much of pictures is coarse and how much is fine: their power spectrum (Durall et al. 2020), in float64."""

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
    sums = spectra.new_zeros(len(spectra), size // 2 + 1).index_add_(1, ring[inner], spectra.flatten(1)[:, inner])
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
