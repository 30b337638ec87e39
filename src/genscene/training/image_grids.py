"""Pictures of a run's progress: fixed latent codes, or held-out photographs and renderings."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from genscene.contract import Generator
from genscene.data.posed import PosedImages
from genscene.export.pictures import depth_picture, depth_range, save_png, tile
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior
from genscene.layers.mapping import map_tensors
from genscene.randomness import RandomStreams

ROWS, COLUMNS = 8, 5
HELD_OUT, WIDEST = 4, 200  # photographs that are compared, and their longer side in pixels


@torch.no_grad()
def save_grid(
    path: Path, generator: Generator, size: Size, seeds: range = range(ROWS), psi: float = 1.0
) -> None:
    """One latent code a row from the views of the prior's sweep, then their depth, where there is one."""
    device = next(generator.parameters()).device
    columns = COLUMNS if isinstance(generator.prior, CameraPrior) else 1
    views = generator.prior.sweep(columns, size).to(device)
    images, depths = [], []
    for seed in seeds if generator.latent_dim else seeds[:1]:
        w = generator.style(generator.latents(RandomStreams([seed], device)), psi)
        repeated = map_tensors(lambda x: x.expand(columns, *x.shape[1:]), w)
        rendering = generator.render(generator.bind(repeated), views)
        images.append(rendering.image.cpu())
        if rendering.depth is not None and rendering.alpha is not None:
            depths.append(depth_picture(rendering.depth, rendering.alpha, depth_range(generator)).cpu())
    parts = [torch.stack(images)] + ([torch.stack(depths)] if depths else [])
    save_png(path, tile(torch.cat(parts, dim=1)))


@torch.no_grad()
def save_held_out(path: Path, generator: Generator, photographs: PosedImages) -> None:
    """Rows of photograph, rendering, depth, of some held-out views."""
    height, width = photographs.camera.size
    factor = max(1.0, max(height, width) / WIDEST)
    size = (round(height / factor), round(width / factor))
    device = next(generator.parameters()).device
    scene = generator.scene(generator.latents(RandomStreams([0], device)))
    rows = []
    for i in range(0, len(photographs), -(-len(photographs) // HELD_OUT)):
        rendering = generator.render(scene, photographs.camera[i : i + 1].resized(size).to(device))
        image = rendering.image.clamp(0, 1).cpu()
        photo = torch.from_numpy(photographs.pixels[i : i + 1].copy()).movedim(-1, 1).float() / 255
        photo = photo if size == (height, width) else interpolate(photo, size, mode="area")
        row = [photo, image]
        if rendering.depth is not None and rendering.alpha is not None:
            depth, alpha = rendering.depth.cpu(), rendering.alpha.cpu()
            row.append(depth_picture(depth, alpha, opaque_range(depth, alpha)))
        rows.append(torch.cat(row))
    save_png(path, tile(torch.stack(rows)))


def opaque_range(depth: Tensor, alpha: Tensor) -> tuple[float, float]:
    """The 2nd and 98th percentile of depth [B, 1, H, W] where alpha is above a half."""
    opaque = depth[alpha > 0.5]
    if not len(opaque):
        return 0.0, 1.0
    return float(opaque.quantile(0.02)), float(opaque.quantile(0.98)) + 1e-6
