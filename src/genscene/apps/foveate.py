"""Foveated synthesis: pixels sampled around a center are evaluated, the others filled in (CIPS)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from genscene.contract import DEFAULT_OPTIONS, RenderOptions
from genscene.errors import BadInput
from genscene.experiment.validation import validate
from genscene.geometry.cameras import Grid, Size
from genscene.randomness import Randomness
from genscene.ranges import Extent, PositiveShare, Signed
from genscene.render.canvas import CanvasGenerator, render_pixels
from genscene.scenes import Canvas

MEAN_OF_NEIGHBORS = ((0, 1, 0), (1, 0, 1), (0, 1, 0))  # times 1/4
# times 1/12: in the middle of the cubic polynomials through two pixels on either side, of row and column
CUBIC = ((0, 0, -1, 0, 0), (0, 0, 4, 0, 0), (-1, 4, 0, 4, -1), (0, 0, 4, 0, 0), (0, 0, -1, 0, 0))


@dataclass(frozen=True)
class Fovea:
    """Which pixels are evaluated: their density is a Gaussian in half sides of the picture."""

    share: PositiveShare = 0.25  # of all pixels
    center: tuple[Signed, Signed] = (0.0, 0.0)  # x to the right, y down; the picture is -1 to 1
    deviation: Extent = 0.4  # standard deviation


@dataclass(frozen=True)
class FoveatedRendering:
    """B pictures of which some pixels are evaluated."""

    image: Tensor  # [B, 3, H, W], about 0 to 1, not clamped
    evaluated: Tensor  # [B, 1, H, W], bool


def sample_pixels(fovea: Fovea, size: Size, randomness: Randomness) -> Tensor:
    """Different pixels, row by row, of the fovea's density -> rising indices [B, N], N at least 1.

    Sampled without replacement, as the largest of log densities with Gumbel noise.
    """
    height, width = size
    x, y = Grid.whole(1, size).coords().flatten(2)[0]
    distance = (x - fovea.center[0]).square() + (y - fovea.center[1]).square()
    uniform = randomness.uniform(height * width).double().clamp_min(torch.finfo(torch.float64).tiny)
    keys = -distance.to(uniform) / (2 * fovea.deviation**2) - (-uniform.log()).log()
    count = max(1, round(fovea.share * height * width))
    return keys.topk(count, dim=1).indices.sort(dim=1).values


def render_foveated(
    generator: CanvasGenerator,
    scene: Canvas,
    view: Grid,
    fovea: Fovea,
    randomness: Randomness,
    options: RenderOptions = DEFAULT_OPTIONS,
) -> FoveatedRendering:
    """B canvases, B windows, B streams of random numbers -> pictures of which the fovea is evaluated.

    Scenes have one style for all pixels. Without noise, whatever the options' randomness.
    """
    validate(fovea)
    if getattr(getattr(scene, "w", None), "ndim", 2) == 3:
        raise BadInput("the scenes have styles of pixels: wanted one style for all of a picture's")
    if len(randomness) != len(view):
        raise BadInput(f"{len(randomness)} random streams for {len(view)} views: wanted as many")
    index = sample_pixels(fovea, view.size, randomness)
    coords = generator.coords(view).flatten(2).expand(len(view), -1, -1)
    coords = coords.gather(2, index[:, None].expand(-1, 2, -1).to(coords.device))

    def evaluate(part: slice) -> Tensor:
        return scene(coords[:, :, part, None])[..., 0].mT

    found = render_pixels(evaluate, len(view), index.shape[1], options, generator.pixel_bytes())
    index = index[:, None].to(found.device)
    empty = found.new_zeros(len(view), 1, view.size[0] * view.size[1])
    known = empty.scatter(2, index, 1.0).unflatten(2, view.size)
    image = empty.repeat(1, 3, 1).scatter(2, index.expand(-1, 3, -1), found.mT).unflatten(2, view.size)
    return FoveatedRendering(fill_missing(image, known), known.bool())


def fill_missing(image: Tensor, known: Tensor) -> Tensor:
    """Known pixels [B, C, H, W], known [B, 1, H, W] 1 there and 0 elsewhere -> all pixels; the known remain.

    Means of four pixels by what is known of them are filled in the same way and interpolated bicubically. The
    missing pixels then become the mean of their neighbors, and that of the cubics through their row and
    column. Linear in time, where a triangulation costs more than a small network; where few pixels are known
    its error is smaller than that of cubics on triangles, which overshoot.
    """
    return _fill(image * known, known)


def _fill(weighted: Tensor, weight: Tensor) -> Tensor:
    """Pixels times their weights [B, C, H, W], and these [B, 1, H, W] -> all pixels."""
    filled = weighted / weight.clamp_min(1e-12)
    if max(weight.shape[2:]) == 1 or bool((weight > 0).all()):
        return filled
    coarse = _fill(*(avg_pool2d(x, 2, ceil_mode=True) for x in (weighted, weight)))
    finer = interpolate(coarse, size=weight.shape[2:], mode="bicubic", align_corners=False)
    filled = torch.where(weight > 0, filled, finer)
    for stencil in (MEAN_OF_NEIGHBORS, CUBIC):
        filled = torch.where(weight > 0, filled, _filter(filled, stencil))
    return filled


def _filter(x: Tensor, stencil: tuple[tuple[int, ...], ...]) -> Tensor:
    """x [B, C, H, W] filtered by a stencil over its sum, the border repeated, of the same shape."""
    kernel = torch.tensor(stencil).to(x)[None, None]
    padded = pad(x, [len(stencil) // 2] * 4, mode="replicate").flatten(0, 1)[:, None]
    return conv2d(padded, kernel / kernel.sum()).view(x.shape)
