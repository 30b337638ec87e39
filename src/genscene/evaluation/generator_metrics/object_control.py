"""Control of objects: what a person changes of one object changes in the picture, and nothing else does.

Scenes of two objects are edited; a localiser taught on the data set reads the objects from the pictures.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from genscene.contract import Generator
from genscene.data.images import SYNTHETIC
from genscene.data.synthetic import SETS
from genscene.errors import BadInput
from genscene.evaluation.generator_metrics.localiser import (
    VERSION,
    FoundObjects,
    Localiser,
    localiser,
    overlaps,
    project,
    shrink,
)
from genscene.evaluation.image_sources import fingerprint, require_finite
from genscene.evaluation.report import Better, Score
from genscene.evaluation.session import EvaluatedModel, EvaluationSession, camera_prior
from genscene.geometry.boxes import BoxPrior, collisions
from genscene.geometry.cameras import Camera, Size
from genscene.layers.mapping import OBJECTS, map_tensors, select_objects
from genscene.randomness import RandomStreams, derive_seed

FIRST_SEED, SCENES, RENDERED = 2_000_000, 200, 25  # seed of the first scene; scenes; scenes at once
TRIES = 64  # places tried for an object
CHANGE, ALPHA, GROWN = 0.05, 0.05, 2  # of a pixel that changes; of an object's mask; pixels it is grown by
WITHIN = 3.0  # pixels within which a third object is found
ROOMS = [SYNTHETIC + name for name in SETS if name.startswith("rooms")]
# titles, units and which is better of all scores
TITLES: dict[str, tuple[str, str, Better]] = {
    "move_error_px": ("error of a commanded move", "px", "low"),
    "move_found": ("objects found before and after it", "", "high"),
    "changed_inside": ("changed pixels in the moved object's masks", "", "high"),
    "other_shift_px": ("shift of the other object", "px", "low"),
    "silhouette_iou": ("silhouettes, appearances exchanged: IoU", "", "high"),
    "hue_follows": ("colors follow, appearances exchanged", "", "high"),
    "hue_chance": ("the same by chance", "", "low"),
    "hue_stays": ("colors stay, shapes exchanged", "", "high"),
    "shape_follows": ("shapes follow, shapes exchanged", "", "high"),
    "shape_chance": ("the same by chance", "", "low"),
    "third_found": ("third objects found within 3 px", "", "high"),
    "background_difference": ("largest difference of backgrounds alone", "", "low"),
    "background_found": ("backgrounds alone with an object found", "", "low"),
    "localiser_error_px": ("localiser's error of places on real images", "px", "low"),
    "localiser_silhouette_error": ("1 - IoU of its silhouettes", "", "low"),
    "localiser_color_error": ("its wrong colors", "", "low"),
    "localiser_shape_error": ("its wrong shapes", "", "low"),
}
DETAILS = ("move_found", "hue_chance", "shape_chance", "background_found", *list(TITLES)[-4:])
Values = dict[str, Tensor]  # a number for each object, scene or pixel, whose means are the scores


@dataclass(frozen=True)
class Scenes:
    """B scenes of two objects, what sees them, and what is rendered and read of them."""

    generator: Generator
    reader: Localiser
    seeds: range
    w: Any  # styles, as GIRAFFE's
    cameras: Camera

    @staticmethod
    def of(generator: Generator, reader: Localiser, seeds: range, size: Size) -> "Scenes":
        """The scenes of these seeds, each with its first two objects alone."""
        streams = RandomStreams(seeds, next(generator.parameters()).device)
        w = generator.style(generator.latents(streams))
        w = select_objects(w, slice(2))
        w = replace(w, present=torch.ones_like(w.present))
        return Scenes(generator, reader, seeds, w, camera_prior(generator).sample(streams, size))

    def render(self, w: Any, cameras: Camera | None = None) -> tuple[Tensor, Tensor]:
        """Images [B, 3, 64, 64] and opacities of objects [B, O, 64, 64] of edited scenes, on the CPU."""
        found = self.generator.render(self.generator.bind(w), cameras or self.cameras)
        assert found.object_alpha is not None
        image = require_finite(found.image).float().clamp(0, 1)
        return shrink(image).cpu(), shrink(found.object_alpha[:, :, 0].float()).cpu()

    def places(self, w: Any) -> Tensor:
        """Where the centers of the boxes are in the pictures [B, O, 2], on the CPU."""
        return project(self.cameras, w.boxes.translation).cpu()

    def read(self, w: Any) -> FoundObjects:
        """The objects as the localiser finds them, each near its box."""
        return self.reader.find(self.render(w)[0]).nearest(self.places(w))

    def placed(self, w: Any, number: int) -> tuple[Any, Tensor]:
        """The scenes with the object of a number at a free place; whether there is one [B], on the CPU.

        It is the first of TRIES of the prior that is as far from the other objects as the prior demands.
        """
        boxes, prior = w.boxes, box_prior(self.generator)
        streams = RandomStreams([derive_seed(seed, number) for seed in self.seeds], boxes.scale.device)
        free_prior = replace(prior, apart=None)
        tried, _ = free_prior.sample(streams.uniform(TRIES, prior.numbers).flatten(0, 1))
        places = tried.translation[:, 0]  # [B * TRIES, 3]
        wrong = torch.zeros(len(places), dtype=torch.bool, device=places.device)
        for other in set(range(boxes.scale.shape[1])) - {number}:
            pair = map_tensors(lambda x, i=other: x[:, [number, i]].repeat_interleave(TRIES, dim=0), boxes)
            pair.translation[:, 0] = places
            wrong |= collisions(pair, prior.apart or 0.0)
        free = ~wrong.view(-1, TRIES)
        chosen = places.view(-1, TRIES, 3)[torch.arange(len(free)), free.byte().argmax(dim=1)]
        translation = boxes.translation.clone()
        translation[:, number] = chosen
        return replace(w, boxes=replace(boxes, translation=translation)), free.any(dim=1).cpu()


def box_prior(generator: Generator) -> BoxPrior:
    """The prior of a generator's boxes; BadInput where there are not two objects to exchange codes."""
    config, boxes = getattr(generator, "config", None), getattr(generator, "boxes", None)
    if not isinstance(boxes, BoxPrior):
        raise BadInput("the scenes of this generator are not made of objects: their control is not measured")
    classes = len(set(getattr(config, "classes", None) or (0,)))
    if boxes.count < 2 or classes > 1:
        got = f"{boxes.count} boxes, {classes} decoders"
        raise BadInput(f"object_control: {got}: wanted at least two boxes and one decoder")
    return boxes


def moved(scenes: Scenes, before: FoundObjects) -> Values:
    """The first object moved to a free place: errors, what else changes, and what the other one does."""
    w, free = scenes.placed(scenes.w, 0)
    (image, alpha), (image_after, alpha_after) = scenes.render(scenes.w), scenes.render(w)
    after = scenes.reader.find(image_after).nearest(scenes.places(w))
    both = before.found & after.found & free[:, None]
    commanded = scenes.places(w) - scenes.places(scenes.w)
    error = (after.place - before.place - commanded).norm(dim=-1)
    mask = (torch.maximum(alpha, alpha_after)[:, :1] > ALPHA).float()
    mask = max_pool2d(mask, 2 * GROWN + 1, 1, GROWN)[:, 0] > 0
    changed = ((image_after - image).abs() > CHANGE).any(dim=1)
    return {
        "move_error_px": error[:, 0][both[:, 0]],
        "move_found": both[:, 0][free],
        "changed_inside": mask[free][changed[free]],
        "other_shift_px": error[:, 1][both[:, 1]],
    }


def codes_exchanged(scenes: Scenes, before: FoundObjects) -> Values:
    """Appearances, then shapes, exchanged between the objects: what follows, and what stays.

    By chance: how often what is read is what was read of another scene's object.
    """
    recolored, reshaped = (
        scenes.read(replace(scenes.w, **{name: getattr(scenes.w, name).flip(1)}))
        for name in ("appearance", "shape")
    )
    color, shape = before.color.flip(1), before.shape.flip(1)  # those of the other object
    by_color, by_shape = before.found & recolored.found, before.found & reshaped.found
    return {
        "silhouette_iou": overlaps(before.silhouette, recolored.silhouette)[by_color.all(dim=1)],
        "hue_follows": (recolored.color == color)[by_color],
        "hue_chance": (recolored.color == color.roll(1, 0))[by_color],
        "hue_stays": (reshaped.color == before.color)[by_shape],
        "shape_follows": (reshaped.shape == shape)[by_shape],
        "shape_chance": (reshaped.shape == shape.roll(1, 0))[by_shape],
    }


def third_added(scenes: Scenes) -> Values:
    """A third object, another scene's first, at a free place: whether it is found within 3 pixels of it."""
    third = {
        name: map_tensors(lambda x: torch.cat([x, x[:, :1].roll(1, 0)], dim=1), getattr(scenes.w, name))
        for name in OBJECTS
    }
    w, free = scenes.placed(replace(scenes.w, **third), 2)
    found, wanted = scenes.read(w), scenes.places(w)
    near = found.found & ((found.place - wanted).norm(dim=-1) < WITHIN)
    return {"third_found": near[:, 2][free]}


def alone(scenes: Scenes) -> tuple[Tensor, Tensor]:
    """Backgrounds without objects [B, 3, 64, 64] by one camera, and whether an object is found there [B]."""
    prior, size = camera_prior(scenes.generator), scenes.cameras.size
    camera = prior.sample(RandomStreams([FIRST_SEED], scenes.cameras.pose.device), size)
    empty = replace(scenes.w, present=torch.zeros_like(scenes.w.present))
    images, _ = scenes.render(empty, camera[torch.zeros(len(scenes.seeds), dtype=torch.long)])
    return images, scenes.reader.find(images).found.any(dim=1)


@torch.no_grad()
def measure(generator: Generator, reader: Localiser, size: Size, count: int = SCENES) -> dict[str, float]:
    """The scores of control by their keys; those of objects that are never found are left out."""
    box_prior(generator)
    parts: list[Values] = []
    for start in range(0, count, RENDERED):
        seeds = range(FIRST_SEED + start, FIRST_SEED + min(start + RENDERED, count))
        scenes = Scenes.of(generator, reader, seeds, size)
        before, (images, found) = scenes.read(scenes.w), alone(scenes)
        values = moved(scenes, before) | codes_exchanged(scenes, before) | third_added(scenes)
        parts.append(values | {"backgrounds": images.flatten(1), "background_found": found})
    every = {key: torch.cat([part[key] for part in parts]).float() for key in parts[0]}
    backgrounds = every.pop("backgrounds")
    means = {key: float(values.mean()) for key, values in every.items() if len(values)}
    means["background_difference"] = float(torch.cdist(backgrounds, backgrounds, p=1).max()) / len(
        backgrounds[0]
    )
    return means


def is_set_of_rooms(generator: Generator, data: str) -> bool:
    """Whether the data is an embedded set of rooms, and the generator's scenes are made of objects."""
    return data in ROOMS and isinstance(getattr(getattr(generator, "config", None), "boxes", None), BoxPrior)


def object_control(session: EvaluationSession, model: EvaluatedModel) -> list[Score]:
    """Control of objects at psi 1, and the errors of the localiser itself."""
    generator, data, size = session.generator(model), session.data, session.size
    box_prior(generator)
    if data not in ROOMS:
        raise BadInput(
            f"--data {data}: object_control needs a set whose objects are known: {', '.join(ROOMS)}"
        )
    if size[0] != size[1]:
        raise BadInput(f"object_control needs square images, these are {size[0]}x{size[1]}")
    reader = localiser(data.removeprefix(SYNTHETIC))
    found = measure(generator, reader, size)
    found |= zip(list(TITLES)[-4:], reader.errors.tolist(), strict=True)
    how = {"generator": fingerprint(generator), "data": data, "localiser": VERSION, "size": size}
    how |= {"psi": 1.0, "scenes": SCENES}
    return [
        Score(key, title, found[key], better, unit, detail=key in DETAILS, digits=3, settings=how)
        for key, (title, unit, better) in TITLES.items()
        if key in found
    ]
