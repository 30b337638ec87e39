"""Slices through a field, scenes towards the mean style, held-out views of several fitted scenes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from genscene.contract import Generator, RenderOptions
from genscene.data.posed import PosedImages
from genscene.errors import BadInput
from genscene.evaluation.held_out_views import HeldOutView, render_held_out
from genscene.export.mesh import front_direction
from genscene.export.panels import color
from genscene.geometry.cameras import Camera, Grid
from genscene.layers.mapping import style_count, take_styles
from genscene.render.march import activate_density
from genscene.render.volume import VolumeGenerator

AXES = ("x", "y", "z")
POINTS = 1 << 15  # of a slice that are evaluated at once
SLAB = 1 / 64  # thickness whose opacity is shown, in the longest side of the box
CLOSE = 3  # sides of a view over those of its enlarged part


@dataclass(frozen=True)
class Slices:
    """Slices through the box of a scene, at right angles to one axis."""

    places: Sequence[float]  # along the axis, in world units
    opacity: Tensor  # [N, H, W], 0 to 1, of a slab of `SLAB` of the longest side
    colors: Tensor | None  # [N, 3, H, W], 0 to 1, as seen from the front; None: the field has features


@torch.no_grad()
def slice_field(generator: VolumeGenerator, w: Any, axis: str, count: int, resolution: int) -> Slices:
    """One style -> slices through the box of its scene; the longest side of a slice has `resolution` points.

    Across and down are the two other axes in the order x, y, z, the second of them upwards. Raises BadInput
    where scenes are no densities in a box.
    """
    if not generator.has_density_box or generator.bounds is None:
        raise BadInput("its scenes are no densities in a box: wanted some to slice")
    field: Any = generator.bind(w)
    across, device = AXES.index(axis), next(generator.parameters()).device
    half = [float(side) for side in generator.bounds]
    one, two = (i for i in range(3) if i != across)
    sides = [max(2, round(resolution * half[i] / max(half[one], half[two]))) for i in (one, two)]
    places = [half[across] * ((2 * i + 1) / count - 1) for i in range(count)]
    u, v = (torch.linspace(-half[i], half[i], n) for i, n in zip((one, two), sides, strict=True))
    opacities, colors = [], []
    for place in places:
        points = torch.full((1, sides[1], sides[0], 3), place)
        points[..., one], points[..., two] = u[None, :], v.flip(0)[:, None]
        parts = points.to(device).flatten(1, 2).split(POINTS, dim=1)
        found = [field(part, front_direction(part).to(part)) for part in parts]
        features, raw = (torch.cat(each, dim=1)[0].cpu() for each in zip(*found, strict=True))
        optical = activate_density(raw, generator.march) * 2 * SLAB * max(half)
        opacities.append(-torch.expm1(-optical).view(sides[1], sides[0]))
        colors.append(features[:, :3].mT.unflatten(1, (sides[1], sides[0])))
    plain = found[0][0].shape[-1] == 3
    return Slices(places, torch.stack(opacities), torch.stack(colors).clamp(0, 1) if plain else None)


def slice_pictures(slices: Slices) -> tuple[Tensor, list[str]]:
    """Slices -> pictures [rows, N, 3, H, W], relative to the largest opacity, and the names of the rows."""
    relative = slices.opacity / slices.opacity.max().clamp_min(1e-12)
    opacity = color(relative)
    if slices.colors is None:
        return opacity[None], ["opacity"]
    alpha = relative[:, None].sqrt()  # so that what is thin is seen, too
    return torch.stack([opacity, alpha * slices.colors + 1 - alpha]), ["opacity", "color"]


@torch.no_grad()
def style_pictures(
    generator: Generator, columns: Iterable[Any], view: Camera | Grid, options: RenderOptions
) -> Tensor:
    """Columns of S styles from one view -> pictures [S, columns, 3, H, W] in [0, 1]."""
    found = []
    for w in columns:
        scenes = (generator.bind(take_styles(w, slice(i, i + 1))) for i in range(style_count(w)))
        found.append(torch.cat([generator.render(scene, view, options).image.cpu() for scene in scenes]))
    return torch.stack(found, dim=1).clamp(0, 1)


def some_views(posed: PosedImages, count: int) -> PosedImages:
    """So many evenly spaced photographs."""
    chosen = torch.arange(count) * len(posed) // count
    rows = chosen.numpy()
    return replace(
        posed,
        pixels=posed.pixels[rows],
        camera=posed.camera[chosen],
        masks=None if posed.masks is None else posed.masks[rows],
        bounds=None,
        alpha=None,
    )


def held_out_pictures(generators: Mapping[str, Generator], posed: PosedImages) -> tuple[Tensor, list[str]]:
    """Photographs and their renderings -> pictures [1 + G, 2 P, 3, H, W], whole and enlarged; names.

    The enlarged part is that of the photograph with the most detail; names of generators have mean PSNR.
    """
    rendered = {name: list(render_held_out(generator, posed)) for name, generator in generators.items()}
    views = next(iter(rendered.values()))
    photos = torch.stack([view.photo for view in views])
    corners = [most_detailed(photo) for photo in photos]
    rows, names = [photos], ["photograph"]
    for name, found in rendered.items():
        rows.append(torch.stack([view.image for view in found]))
        names.append(f"{name} {mean_psnr(found):.1f} dB")
    pairs = [torch.stack([x for i, image in enumerate(row) for x in (image, enlarged(image, corners[i]))])
             for row in rows]  # fmt: skip
    return torch.stack(pairs), names


def mean_psnr(views: Sequence[HeldOutView]) -> float:
    """The mean PSNR of views in decibels."""
    return sum(view.scores["psnr"] for view in views) / len(views)


def most_detailed(photo: Tensor) -> tuple[int, int]:
    """Row and column of the corner of the part of a photograph [3, H, W] with the largest gradients."""
    height, width = photo.shape[-2:]
    part = max(1, height // CLOSE), max(1, width // CLOSE)
    squares = torch.zeros(height, width)
    squares[1:] += photo.diff(dim=1).square().sum(dim=0)
    squares[:, 1:] += photo.diff(dim=2).square().sum(dim=0)
    sums = avg_pool2d(squares[None], part, stride=1)[0]
    return divmod(int(sums.argmax()), sums.shape[1])


def enlarged(image: Tensor, corner: tuple[int, int]) -> Tensor:
    """The part [3, H / 3, W / 3] at a corner of an image, as large as the image."""
    height, width = image.shape[-2:]
    rows, columns = (slice(c, c + max(1, n // CLOSE)) for c, n in zip(corner, (height, width), strict=True))
    resize = partial(interpolate, size=(height, width), mode="nearest")
    return resize(image[None, :, rows, columns])[0]
