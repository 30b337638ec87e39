"""The range of depths that the colors of depth are spread over: one for all pictures of a verb."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from genscene.contract import Generator, RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Grid, Size
from genscene.layers.mapping import style_count, take_styles

DepthRange = tuple[float, float]  # of the nearest and the farthest color, in world units
SCENES, VIEWS, SIDE = 4, 12, 48  # scenes, views of each, and pixels of their longer side, that are measured
OPAQUE = 0.5  # opacity above which a pixel counts; of fainter scenes half of the largest opacity
SEEN = 1e-3  # the largest opacity of scenes of which nothing is seen
INNER = (0.01, 0.99)  # quantiles of the depths of these pixels
MARGIN = 0.05  # of their difference, beyond either


@torch.no_grad()
def measure_depths(
    generator: Generator, w: Any, views: Camera | Grid, options: RenderOptions, interpolated: bool = False
) -> DepthRange:
    """The nearest and the farthest depth that S styles show from V views, in world units.

    interpolated: style i is seen by view i alone. Some of the pictures are rendered small. Raises BadInput
    where the scenes have no depth, or nothing is seen of them.
    """
    if not isinstance(views, Camera):
        raise BadInput("--depth: the scenes of this generator are pictures, they have no depth")
    device, small = next(generator.parameters()).device, replace(options, progress=None)
    reduced = views.resized(_reduce(views.size, generator.side_multiple)).to(device)
    found = list[np.ndarray]()
    for s, v in _pairs(style_count(w), len(views), interpolated):
        scene = generator.bind(take_styles(w, slice(s, s + 1)))
        rendering = generator.render(scene, reduced[v : v + 1], small)
        assert rendering.depth is not None
        assert rendering.alpha is not None
        found.append(torch.stack([rendering.depth, rendering.alpha]).flatten(1).double().cpu().numpy())
    depths, alpha = np.concatenate(found, axis=1)
    depths = depths[alpha > min(OPAQUE, alpha.max() / 2)]
    if not alpha.max() > SEEN or not np.isfinite(depths).all():
        raise BadInput("--depth: nothing of the scene is seen; wanted other views of it (--path)")
    near, far = np.quantile(depths, INNER)
    margin = max(MARGIN * (far - near), 1e-6)
    return float(near - margin), float(far + margin)


def _pairs(styles: int, views: int, interpolated: bool) -> Iterator[tuple[int, int]]:
    """Evenly spaced styles and views."""
    if interpolated:
        count = min(views, SCENES * VIEWS)
        yield from ((i * views // count,) * 2 for i in range(count))
        return
    scenes, each = min(styles, SCENES), min(views, VIEWS)
    for s in range(scenes):
        yield from ((s * styles // scenes, v * views // each) for v in range(each))


def _reduce(size: Size, multiple: int) -> Size:
    """A size whose longer side is about SIDE pixels, in multiples; a smaller one as it is."""
    factor = min(1.0, SIDE / max(size))
    height, width = (max(1, round(side * factor / multiple)) * multiple for side in size)
    return height, width
