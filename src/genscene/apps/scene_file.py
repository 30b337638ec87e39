"""Scenes of objects as small JSON files, to be edited by hand and rendered again.

Codes are named by the seed, and the number of the object, whose scene they are of.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from genscene.apps.interpolate import styles_of_seeds
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.experiment.validation import Place, build
from genscene.geometry.boxes import Boxes, BoxPrior
from genscene.io.atomic import atomic
from genscene.io.files import MIB
from genscene.io.json_file import read_json
from genscene.ranges import Box, Length, Range, Signed

FORMAT = 1
Seed = Annotated[int, Range(0, 2**62)]


@dataclass(frozen=True)
class Code:
    """The code of an object in the scene of a seed."""

    seed: Seed
    object: Annotated[int, Range(0, 99)] = 0


@dataclass(frozen=True)
class ObjectEntry:
    """One object."""

    shape: Code
    appearance: Code
    scale: Box  # half sides, in world units
    translation: tuple[Signed, Signed, Signed]  # of the center, in world units, z up
    rotation: Annotated[float, Range(-1e6, 1e6)] = 0.0  # about the vertical axis, in degrees
    decoder: Annotated[int, Range(0, 99)] = 0  # number of its class, where the generator has several


@dataclass(frozen=True)
class BackgroundEntry:
    """The background."""

    shape: Seed
    appearance: Seed
    rotation: Annotated[float, Range(-1e6, 1e6)] = 0.0  # about the vertical axis, in degrees


@dataclass(frozen=True)
class SceneFile:
    """Objects, and what is behind them; null: nothing."""

    objects: Annotated[tuple[ObjectEntry, ...], Length(range(1, 101))]
    background: BackgroundEntry | None
    psi: Annotated[float, Range(0, 10)] = 1.0  # truncation of all codes
    format: Annotated[int, Range(FORMAT, FORMAT)] = FORMAT


def describe_scene(generator: Generator, seed: int, psi: float = 1.0) -> SceneFile:
    """The scene of a seed."""
    w = objects_of(generator, styles_of_seeds(generator, [seed], psi))
    there = w.present[0].nonzero()[:, 0].tolist()
    objects = [
        ObjectEntry(
            Code(seed, i),
            Code(seed, i),
            tuple(w.boxes.scale[0, i].tolist()),
            tuple(w.boxes.translation[0, i].tolist()),
            math.degrees(float(w.boxes.rotation[0, i])),
            int(w.classes[0, i]),
        )
        for i in there
    ]
    turn = math.degrees(float(w.background_rotation[0]))
    return SceneFile(tuple(objects), BackgroundEntry(seed, seed, turn), psi)


def write_scene(path: Path, scene: SceneFile) -> None:
    """Write a scene for `read_scene`."""
    with atomic(path) as partial:
        partial.write_text(json.dumps(asdict(scene), indent=2) + "\n")


def read_scene(path: Path) -> SceneFile:
    """The scene of a file; BadInput, naming the field, for all else."""
    document = read_json(path, "scene", MIB)
    if not isinstance(document, dict):
        raise BadInput(f"{path} holds no scene: wanted fields and values")
    scene = build(document, SceneFile, Place(str(path)))
    assert isinstance(scene, SceneFile)
    return scene


def styles_of_scene(generator: Generator, scene: SceneFile) -> Any:
    """The styles of one scene; BadInput where its generator has no objects, or less of a seed's."""
    empty = objects_of(generator, styles_of_seeds(generator, [0], scene.psi))
    boxes = Boxes(
        torch.tensor([[each.scale for each in scene.objects]]),
        torch.tensor([[each.translation for each in scene.objects]]),
        torch.tensor([[math.radians(each.rotation) for each in scene.objects]]),
    )
    codes = {
        name: torch.cat([code_of(generator, getattr(each, name), name, scene.psi) for each in scene.objects])[
            None
        ]
        for name in ("shape", "appearance")
    }
    behind = scene.background or BackgroundEntry(0, 0)
    for name in ("shape", "appearance"):
        w = styles_of_seeds(generator, [getattr(behind, name)], scene.psi)
        codes[f"background_{name}"] = getattr(w, f"background_{name}")
    like = codes["shape"]
    networks: Any = generator.objects
    for i, each in enumerate(scene.objects):
        if each.decoder >= len(networks):
            raise BadInput(f"objects[{i}].decoder {each.decoder}: the generator has {len(networks)}, from 0")
    return type(empty)(
        classes=like.new_tensor([[float(each.decoder) for each in scene.objects]]),
        boxes=Boxes(*(x.to(like) for x in vars(boxes).values())),
        present=torch.ones_like(like[..., 0]),
        background_rotation=like.new_tensor([math.radians(behind.rotation)]),
        background_present=like.new_tensor([float(scene.background is not None)]),
        **codes,
    )


def code_of(generator: Generator, code: Code, name: str, psi: float) -> Tensor:
    """A code [1, codes] of an object."""
    found = getattr(styles_of_seeds(generator, [code.seed], psi), name)
    if code.object >= found.shape[1]:
        raise BadInput(f"object {code.object} of seed {code.seed}: its scene has {found.shape[1]}, from 0")
    return found[:, code.object]


def objects_of(generator: Generator, w: Any) -> Any:
    """The same styles; BadInput where they are not of scenes of objects."""
    if not isinstance(getattr(generator, "boxes", None), BoxPrior):
        raise BadInput("the scenes of this generator are not made of objects: there is no file of them")
    return w
