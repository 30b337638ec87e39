"""Pictures of how far a run has come: fixed latents from five sides, or photographs beside what is rendered."""

from pathlib import Path

import torch
from torch.nn.functional import interpolate

from genscene.contract import Generator
from genscene.data.posed import PosedImages
from genscene.export.pictures import depth_picture, save_png, span_of, tile
from genscene.geometry.cameras import Size
from genscene.geometry.trajectories import fan
from genscene.objectives.losses import psnr
from genscene.randomness import RandomStreams

ROWS, COLUMNS = 8, 5
HELD_OUT, WIDEST = 4, 200  # photographs that are compared, and their longer side in pixels


@torch.no_grad()
def paint_grid(
    path: Path, generator: Generator, size: Size, seeds: range = range(ROWS), psi: float = 1.0
) -> None:
    """Identities downwards, five yaws to the right, then the same as depth."""
    if generator.orbit is None:
        raise NotImplementedError("grids of generators without cameras come with the first of them")
    cameras = fan(generator.orbit, COLUMNS, size)
    device = next(generator.parameters()).device
    images, depths = [], []
    for seed in seeds:
        w = generator.style(generator.latents(RandomStreams([seed], device)), psi)
        rendering = generator.render(generator.bind(w.expand(COLUMNS, *w.shape[1:])), cameras.to(device))
        images.append(rendering.image.cpu())
        if rendering.depth is not None and rendering.alpha is not None:
            depths.append(depth_picture(rendering.depth, rendering.alpha, span_of(generator)).cpu())
    columns = [torch.stack(images)] + ([torch.stack(depths)] if depths else [])
    save_png(path, tile(torch.cat(columns, dim=1)))


@torch.no_grad()
def paint_held_out(path: Path, generator: Generator, album: PosedImages) -> float:
    """A few photographs, one a row: as taken, as rendered, and the depth -> mean PSNR in decibels at that size."""
    height, width = album.cameras.size
    factor = max(1.0, max(height, width) / WIDEST)
    size = (round(height / factor), round(width / factor))
    device = next(generator.parameters()).device
    scene = generator.bind(generator.latents(RandomStreams([0], device)))
    rows, decibels = [], []
    for i in range(0, len(album), -(-len(album) // HELD_OUT)):
        camera = album.cameras[i : i + 1].resized(size).to(device)
        rendering = generator.render(scene, camera)
        image = rendering.image.clamp(0, 1).cpu()
        photo = torch.from_numpy(album.pixels[i : i + 1].copy()).movedim(-1, 1).float() / 255
        photo = photo if size == (height, width) else interpolate(photo, size, mode="area")
        decibels.append(psnr((image - photo).square().mean()))
        assert rendering.depth is not None
        assert rendering.alpha is not None
        seen = rendering.depth[rendering.alpha > 0.5]
        span = (float(seen.quantile(0.02)), float(seen.quantile(0.98)) + 1e-6) if len(seen) else (0.0, 1.0)
        rows.append(
            torch.cat([photo, image, depth_picture(rendering.depth.cpu(), rendering.alpha.cpu(), span)])
        )
    save_png(path, tile(torch.stack(rows)))
    return float(torch.stack(decibels).mean())
