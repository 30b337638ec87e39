"""Pictures of how far a run has come: fixed latents from five sides, and their depth."""

from pathlib import Path

import torch

from genscene.draws import Draws
from genscene.export.pictures import depth_picture, save_png, span_of, tile
from genscene.paths import fan
from genscene.system import Generator
from genscene.views import Size

ROWS, COLUMNS = 8, 5


@torch.no_grad()
def paint_grid(path: Path, generator: Generator, size: Size, seeds: range = range(ROWS), psi: float = 1.0) -> None:
    """Identities downwards, five yaws to the right, then the same as depth."""
    if generator.orbit is None:
        raise NotImplementedError("grids of generators without cameras come with the first of them")
    cameras = fan(generator.orbit, COLUMNS, size)
    device = next(generator.parameters()).device
    images, depths = [], []
    for seed in seeds:
        w = generator.style(generator.latents(Draws([seed], device)), psi)
        rendering = generator.render(generator.bind(w.expand(COLUMNS, *w.shape[1:])), cameras.to(device))
        images.append(rendering.image.cpu())
        if rendering.depth is not None and rendering.alpha is not None:
            depths.append(depth_picture(rendering.depth, rendering.alpha, span_of(generator)).cpu())
    columns = [torch.stack(images)] + ([torch.stack(depths)] if depths else [])
    save_png(path, tile(torch.cat(columns, dim=1)))
