"""Pictures that are functions of the plane: their pixels are evaluated in parts that fit in memory."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genscene.contract import Generator, RenderOptions
from genscene.errors import Cancelled
from genscene.geometry.priors import PlanePrior


class CanvasGenerator(Generator):
    """A generator whose scenes are functions of the plane, evaluated at every pixel."""

    prior, bounds = PlanePrior(), None

    @abstractmethod
    def pixel_bytes(self) -> int:
        """Bytes that a pixel takes in training, with its graph."""


def render_pixels(
    evaluate: Callable[[slice], Tensor], batch: int, count: int, options: RenderOptions, pixel_bytes: int
) -> Tensor:
    """N = count pixels of B = batch pictures, evaluated in parts that fit options.max_bytes -> [B, N, C].

    evaluate: some of the pixels of every picture, row by row -> [B, n, C]. pixel_bytes: that one pixel takes
    while it is evaluated. Where a graph is kept for the backward pass all pixels are one part, unless
    options.recompute: then each part is computed again in the backward pass.
    """
    chunk = max(1, options.max_bytes // max(1, pixel_bytes * batch))
    if not options.recompute and torch.is_grad_enabled():
        chunk = max(1, count)
    parts = []
    for start in range(0, count, chunk):
        if options.cancelled is not None and options.cancelled():
            raise Cancelled("rendering was cancelled")
        part = slice(start, min(start + chunk, count))
        if options.recompute:
            parts.append(checkpoint(evaluate, part, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(evaluate(part))
        if options.progress is not None:
            options.progress(batch * (part.stop - start))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
