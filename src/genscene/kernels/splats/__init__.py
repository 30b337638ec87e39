"""Blending of sorted splats front to back: compiled tiles on the CPU, torch everywhere.

`_torch` is the oracle, written as the papers write it; `_numba` computes the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from genscene.kernels.splats import _torch
from genscene.kernels.splats._torch import Size, SortedSplats, extents
from genscene.kernels.splats.limits import TILE, Limits
from genscene.kernels.threads import compiled

__all__ = ["TILE", "Limits", "Size", "SortedSplats", "blend", "compiled", "extents", "oracle"]

_use_oracle = False


def blend(splats: SortedSplats, size: Size, limits: Limits) -> tuple[Tensor, Tensor]:
    """Splats of P pictures -> colors [P, H, W, D], alpha [P, H, W]."""
    if _use_oracle or splats.means.device.type != "cpu" or not compiled():
        return _torch.blend(splats, size, limits)
    from genscene.kernels.splats import _numba  # takes half a second to import

    return _numba.blend(splats, size, limits)


@contextmanager
def oracle(wanted: bool = True) -> Iterator[None]:
    """Blend in plain torch."""
    global _use_oracle
    before, _use_oracle = _use_oracle, wanted or _use_oracle
    try:
        yield
    finally:
        _use_oracle = before
