"""Pictures whose style changes along x: around a cylinder back to the first, on a plane to the last."""

import torch
from torch import Tensor

from genscene.apps.interpolate import interpolate_styles
from genscene.contract import DEFAULT_OPTIONS, Generator, RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Size
from genscene.render.canvas import CanvasGenerator, render_pixels


@torch.no_grad()
def render_blended(
    generator: Generator, w: Tensor, size: Size, options: RenderOptions = DEFAULT_OPTIONS
) -> Tensor:
    """K styles [K, S], evenly spaced along x and linear between them -> one picture [1, 3, H, W'].

    size: of a picture; around a cylinder W' is the width of all of them, and the last style is followed by
    the first. CIPS, sec. 4.4. Raises BadInput for generators that have no styles of pixels.
    """
    bind = getattr(generator, "bind_pixels", None)
    if not isinstance(generator, CanvasGenerator) or bind is None:
        raise BadInput("this generator has no styles of pixels to be blended: wanted one of CIPS")
    whole = generator.prior.sweep(1, size).to(w.device)
    height, width = whole.size
    styles = styles_along(w, width, closed=generator.prior.frames > 1)
    coords = generator.coords(whole).flatten(2)

    def evaluate(part: slice) -> Tensor:
        columns = torch.arange(part.start, part.stop, device=w.device) % width
        colors: Tensor = bind(styles[columns][None])(coords[:, :, part, None])
        return colors[..., 0].mT

    found = render_pixels(evaluate, 1, height * width, options, generator.pixel_bytes())
    return found.mT.unflatten(-1, whole.size)


def styles_along(w: Tensor, width: int, closed: bool) -> Tensor:
    """K styles [K, S] -> those of columns [width, S]: from the first to the last, or back to the first."""
    if closed:
        found: Tensor = interpolate_styles(w, width)
        return found
    place = torch.linspace(0, len(w) - 1, width, device=w.device)
    start = place.long().clamp_max(max(0, len(w) - 2))
    return torch.lerp(w[start], w[(start + 1).clamp_max(len(w) - 1)], (place - start)[:, None])
