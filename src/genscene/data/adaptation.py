"""What a system adapts to in photographs of a scene: the background, and the box that holds it."""

from dataclasses import replace
from typing import cast

import numpy as np
import torch

from genscene.contract import Vector
from genscene.data.posed.decode import PosedImages
from genscene.data.posed.ground import SURE, Ground, find_ground, shows_object
from genscene.data.posed.visible_box import visible_box
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.scenes import SolidBackground

MOST_VALID = 0.8  # share of pixels up to which masks show an object, and not only the borders of a lens
MOST_CAMERAS = 100  # that the box is determined from, evenly spaced


def adapted_images(experiment: Experiment, images: PosedImages) -> tuple[PosedImages, list[str]]:
    """Photographs with their background and box, and lines that say how these were chosen.

    Raises BadInput where transparency was composited on a color that renderings cannot have behind them, and
    for bounds that the system has no use for.
    """
    ground = None if images.has_alpha else find_ground(images.pixels)
    images, said = _with_background(experiment, images, ground)
    if not experiment.system.has_box:
        if experiment.posed.bounds:
            raise BadInput(
                f"--bounds {_joined(experiment.posed.bounds)}: this preset's scenes have no box,"
                " wanted a preset for objects (nerf-grid-demo, nerf-grid)"
            )
        return images, [said]
    box, how = _box(experiment, images, ground)
    shown = _joined(f"{side / images.transform.scale:.3g}" for side in box)
    line = f"bounds {shown} (half sides, in the files' units): {how}"
    boxed = replace(images, box=box)
    used = experiment.system.adapt(boxed) != experiment.system.adapt(images)  # voxels.box is not given
    return boxed, [said, line] if used else [said]


def behind_transparency(experiment: Experiment) -> str:
    """The color that transparent photographs are composited on."""
    chosen = experiment.posed.background
    return experiment.images.background if chosen == "auto" else chosen


def object_masks(images: PosedImages, ground: Ground | None) -> np.ndarray | None:
    """Where photographs show an object, bool [N, H, W]: opaque, or not of the ground; None: unknown."""
    if images.opaque is not None:
        return images.opaque
    return shows_object(images.pixels, ground) if ground is not None and ground.sure else None


def _with_background(
    experiment: Experiment, images: PosedImages, ground: Ground | None
) -> tuple[PosedImages, str]:
    """Photographs with the background: chosen, composited on, or that of the ground; and why."""
    chosen, name = experiment.posed.background, behind_transparency(experiment)
    if ground is None:
        if name not in ("white", "black"):
            raise BadInput(
                f"{experiment.data}: --images.background {name!r}: scenes are rendered on white or black,"
                " so transparent photographs need one of them"
            )
        said = f"background {name}, behind transparency; another one: --background"
        return replace(images, background=cast(SolidBackground, name)), said
    if chosen != "auto":
        return replace(images, background=chosen), f"background {chosen}, as given; {ground}"
    if ground.background is not None:
        found = replace(images, background=ground.background, ground=_inexact(ground))
        return found, f"background {ground.background}: {ground}; another one: --background"
    tinted = replace(images, ground=ground.color)
    if ground.sure and experiment.system.adapt(tinted) != experiment.system.adapt(images):
        return tinted, f"background of another color: {ground}; another one: --background"
    kept = experiment.system.adapt(images).generator.background  # type: ignore[attr-defined]
    wanted = f"wanted {100 * SURE:.0f} % near black or white"
    return images, f"background {kept}, the preset's: only {ground}, {wanted}; another one: --background"


def _inexact(ground: Ground) -> Vector | None:
    """The color of the ground where it is not exactly black or white."""
    return None if max(ground.color) == 0 or min(ground.color) == 1 else ground.color


def _box(experiment: Experiment, images: PosedImages, ground: Ground | None) -> tuple[Vector, str]:
    """Half sides of the box in world units, and where they come from."""
    bounds = experiment.posed.bounds
    if bounds:
        x, y, z = (
            round(images.transform.scale * side, 6) for side in (bounds * 3 if len(bounds) == 1 else bounds)
        )
        return (x, y, z), "as given"
    few = np.unique(np.linspace(0, len(images) - 1, MOST_CAMERAS).round().astype(int))
    masks, how = _hull_masks(images, few, ground)
    camera = images.camera[torch.from_numpy(few)]
    box = visible_box(camera, None if masks is None else torch.from_numpy(masks))
    return box, f"what the cameras see{how}; others: --bounds"


def _hull_masks(images: PosedImages, few: np.ndarray, ground: Ground | None) -> tuple[np.ndarray | None, str]:
    """Masks of the object in some photographs, bool [K, H, W], and what they leave out; None: unknown."""
    alpha = None if images.alpha is None else images.alpha[few]
    masks = object_masks(replace(images, pixels=images.pixels[few], alpha=alpha), ground)
    if masks is not None:
        return masks, ", without " + ("the background" if alpha is None else "transparency")
    if images.masks is not None and images.masks[few].mean() < 255 * MOST_VALID:
        return images.masks[few] > 0, " in the masks"
    return None, ""


def _joined(values: object) -> str:
    return " ".join(str(value) for value in values)  # type: ignore[attr-defined]
