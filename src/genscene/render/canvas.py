"""Pictures that are functions of the plane: their pixels are evaluated in parts that fit in memory."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genscene.contract import Generator, RenderOptions
from genscene.errors import Cancelled
from genscene.geometry.cameras import Grid, Size
from genscene.geometry.priors import PlanePrior


class CanvasGenerator(Generator):
    """A generator whose scenes are functions of the plane, evaluated at every pixel."""

    prior: PlanePrior = PlanePrior()
    bounds = None

    def input_features(self, view: Grid) -> dict[str, Tensor]:
        """One window -> what the network is given of its pixels [C, H, W], by kind; nothing if coordinates.

        The scenes of a generator that has some are dataclasses with a field `zeroed`: kinds that are as if
        they were 0.
        """
        return {}

    @abstractmethod
    def coords(self, view: Grid) -> Tensor:
        """What scenes are functions of, (x, y) of pixels [B, 2, H, W]; of equal windows [1, 2, H, W]."""

    @abstractmethod
    def pixel_bytes(self) -> int:
        """Bytes that a pixel takes in training, with its graph."""


def corner_aligned(view: Grid, size: Size | None, periodic: bool = False) -> Tensor:
    """Coordinates (x, y) of pixel centers [B, 2, H, W], of which the outermost are at -1 and 1 at this size.

    Other sizes, and windows, show the same plane. None: the outermost centers of every picture, whatever its
    size, are on the border of its window. periodic: x, which has no outermost centers, is -1 to 1 over the
    whole plane. Where all windows are equal: [1, 2, H, W].
    """
    parts = (view.window,) if view.aspect is None else (view.window, view.aspect)
    if len(view) > 1 and all(torch.equal(part, part[:1].expand_as(part)) for part in parts):
        view = view[:1]
    coords, (height, width) = view.coords(), size or view.size
    across = 1.0 if periodic else width / max(1, width - 1)
    stretch = coords.new_tensor([across, height / max(1, height - 1)])[:, None, None]
    if size is not None:
        return coords * stretch
    middle = (coords[..., :1, :1] + coords[..., -1:, -1:]) / 2  # of the window
    return middle + (coords - middle) * stretch


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
