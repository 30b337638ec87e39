"""Pictures whose style changes along x: around a cylinder back to the first, on a plane to the last."""

import torch
from torch import Tensor

from genscene.apps.interpolate import interpolate_styles
from genscene.contract import DEFAULT_OPTIONS, Generator, RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Grid, Size
from genscene.geometry.priors import PlanePrior


@torch.no_grad()
def render_blended(
    generator: Generator, w: Tensor, size: Size, options: RenderOptions = DEFAULT_OPTIONS
) -> Tensor:
    """K styles [K, S], evenly spaced along x and linear between them -> one picture [1, 3, H, W'] in strips.

    size: of a picture; around a cylinder W' is the width of all of them, and the last style is followed by
    the first. CIPS, sec. 4.4. Raises BadInput for generators that have no styles of pixels.
    """
    prior, bind = generator.prior, getattr(generator, "bind_pixels", None)
    if not isinstance(prior, PlanePrior) or bind is None:
        raise BadInput("this generator has no styles of pixels to be blended: wanted one of CIPS")
    whole = prior.sweep(1, size).to(w.device)
    height, width = whole.size
    styles = styles_along(w, width, closed=prior.frames > 1)
    strip = max(1, options.max_bytes // (8 * height * w.shape[1] * w.element_size()))
    parts = []
    for start in range(0, width, strip):
        some = styles[start : start + strip]
        share = len(some) / width
        window = whole.window + whole.window.new_tensor([[0.0, start / width, 0.0]])
        view = Grid(window, (height, len(some)), window.new_tensor([share]))
        parts.append(generator.render(bind(some.repeat(height, 1)[None]), view, options).image)
    return torch.cat(parts, dim=-1)


def styles_along(w: Tensor, width: int, closed: bool) -> Tensor:
    """K styles [K, S] -> those of columns [width, S]: from the first to the last, or back to the first."""
    if closed:
        found: Tensor = interpolate_styles(w, width)
        return found
    place = torch.linspace(0, len(w) - 1, width, device=w.device)
    start = place.long().clamp_max(max(0, len(w) - 2))
    return torch.lerp(w[start], w[(start + 1).clamp_max(len(w) - 1)], (place - start)[:, None])
