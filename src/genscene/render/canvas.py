"""Pictures that are functions of the plane: their pixels are evaluated in parts that fit in memory."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genscene.contract import Generator, RenderOptions
from genscene.errors import Cancelled
from genscene.geometry.cameras import Grid, Size
from genscene.geometry.grid import pixel_centers
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


def append_coords(images: Tensor, windows: Tensor | None, size: Size | None) -> Tensor:
    """Images, or windows [B, 3 or 4] of some, [B, C, H, W] -> with coordinates (x, y) [B, C + 2, H, W].

    size: as in `corner_aligned`.
    """
    shape = (images.shape[2], images.shape[3])
    grid = Grid.whole(len(images), shape).to(images.device)
    coords = corner_aligned(grid if windows is None else grid.crop(windows, shape), size)
    return torch.cat([images, coords.expand(len(images), -1, -1, -1).to(images)], dim=1)


def cross_fade(left: Tensor, right: Tensor, start: Tensor, view: Grid) -> Tensor:
    """Styles [B, S] that change over the width of a picture, along x -> of pixels [B, H * W, S].

    start: 0 to 1 [B, 1]; at 0 the change begins at the right end of a picture, at 1 it ends at its left one.
    """
    share = 2 * start - 1 + view.window[:, :1].to(start) * pixel_centers(view.size[1], start)
    w = torch.lerp(left[:, None], right[:, None], share.clamp(0, 1)[..., None])  # of columns [B, W, S]
    return w.repeat(1, view.size[0], 1)


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
