"""Films of what a person does with the objects of a scene: moving, turning, exchanging, adding, removing."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.errors import BadInput, suggest
from genscene.geometry.boxes import BoxPrior
from genscene.geometry.priors import CameraPrior
from genscene.geometry.rotations import slerp_vectors
from genscene.layers.mapping import OBJECTS, map_tensors, select_objects, style_count

ADDED = 6  # objects of the program `add` at its end
BEYOND = 0.3  # how far `scale` goes beyond the trained range, as a share of the mean scale


@dataclass(frozen=True)
class Program:
    """What a program is given: one scene, others to take codes and objects from, and the boxes' prior."""

    scene: Any  # styles of one scene
    others: Any  # styles of K scenes
    prior: BoxPrior
    object: int  # number of the object that it is about
    count: int  # frames
    depth_axis: int  # of the world, 0: x, 1: y, that is nearer to the mean camera's view

    @property
    def cycle(self) -> Tensor:
        """0 to 1 and back, one number for each frame [F]."""
        return 0.5 - 0.5 * torch.cos(2 * math.pi * self.turns)

    @property
    def turns(self) -> Tensor:
        """Shares of a full turn, one for each frame [F]."""
        return torch.arange(self.count) / self.count

    def frames(self) -> Any:
        """The scene, once for each frame."""
        return map_tensors(lambda x: x.repeat(self.count, *[1] * (x.ndim - 1)), self.scene)

    def boxed(self, name: str, change: Callable[[Tensor], Tensor]) -> Any:
        """The frames with a change of scale [F, 3], translation [F, 3] or rotation [F] of the object."""
        w = self.frames()
        values = getattr(w.boxes, name).clone()
        values[:, self.object] = change(values[:, self.object])
        return replace(w, boxes=replace(w.boxes, **{name: values}))

    def coded(self, names: tuple[str, ...], targets: Callable[[str], Tensor], per_object: bool = True) -> Any:
        """The frames with codes that go on arcs through those of the targets [K, codes] and back."""
        w, changed = self.frames(), {}
        for name in names:
            values = getattr(w, name).clone()
            own = values[:1, self.object] if per_object else values[:1]
            path = arc_through(torch.cat([own, targets(name)]), self.count)
            if per_object:
                values[:, self.object] = path
            else:
                values = path
            changed[name] = values
        return replace(w, **changed)


def arc_through(keys: Tensor, count: int) -> Tensor:
    """Codes [K, N] in order and back to the first, on arcs -> [count, N]."""
    place = torch.arange(count, device=keys.device) * len(keys) / count
    start = place.long()
    return slerp_vectors(keys[start], keys[(start + 1) % len(keys)], (place - start)[:, None].to(keys))


def rotate(p: Program) -> Any:
    """A full turn of the object; back and forth where it was trained on less."""
    low, high = p.prior.rotation
    full = abs(high - low) >= 0.999
    if low == high:
        raise BadInput("the objects of this generator were never turned: boxes.rotation has no range")
    turns = p.turns if full else 0.1 * low + 0.9 * high + p.cycle * 0.8 * (low - high)
    return p.boxed("rotation", lambda x: (x if full else 0 * x) + 2 * math.pi * turns.to(x))


def along(away: bool) -> Callable[[Program], Any]:
    """The object goes through its range of places and back: along the view of the mean camera, or across."""

    def move(p: Program) -> Any:
        axis = p.depth_axis if away else 1 - p.depth_axis
        low, high = p.prior.translation_min[axis], p.prior.translation_max[axis]

        def change(x: Tensor) -> Tensor:
            moved = x.clone()
            moved[:, axis] = low + p.cycle.to(x) * (high - low)
            return moved

        if low == high:
            raise BadInput("the objects of this generator were never anywhere else along this axis")
        return p.boxed("translation", change)

    return move


def circle(p: Program) -> Any:
    """The object goes around the middle of the scene."""
    reach = [
        max(abs(a), abs(b)) for a, b in zip(p.prior.translation_min, p.prior.translation_max, strict=True)
    ]
    if max(reach[:2]) == 0:
        raise BadInput("the objects of this generator were never anywhere else")

    def change(x: Tensor) -> Tensor:
        moved, angle = x.clone(), (2 * math.pi * p.turns).to(x)
        moved[:, 0], moved[:, 1] = reach[0] * angle.cos(), reach[1] * angle.sin()
        return moved

    return p.boxed("translation", change)


def scale(p: Program) -> Any:
    """The object shrinks and grows, somewhat beyond its range."""
    low, high = torch.tensor(p.prior.scale_min), torch.tensor(p.prior.scale_max)
    more = BEYOND * (low + high) / 2
    start, end = (low - more).clamp_min(0.1 * low), high + more
    return p.boxed("scale", lambda x: (start + p.cycle[:, None] * (end - start)).to(x))


def add(p: Program) -> Any:
    """One object, then more and more, those of other scenes, up to six, before the first one's background."""
    scenes = [map_tensors(lambda x, k=k: x[k : k + 1], p.others) for k in range(style_count(p.others))]

    def joined(first: Tensor, *others: Tensor) -> Tensor:
        return torch.cat([first, *others], dim=1)[:, :ADDED]

    objects = {
        name: map_tensors(joined, getattr(p.scene, name), *(getattr(w, name) for w in scenes))
        for name in OBJECTS
    }
    codes = objects["shape"]
    w = replace(p, scene=replace(p.scene, **objects)).frames()
    shown = 1 + (p.turns * codes.shape[1]).long()
    return replace(w, present=(torch.arange(codes.shape[1]) < shown[:, None]).to(codes))


def remove(p: Program) -> Any:
    """Without the object in the second half."""
    w = p.frames()
    present = w.present.clone()
    present[:, p.object] *= (p.turns < 0.5).to(present)
    return replace(w, present=present)


def swap(name: str) -> Callable[[Program], Any]:
    """The object takes the code of the next one, and the next one its own, and back."""

    def exchange(p: Program) -> Any:
        codes = getattr(p.scene, name)
        if codes.shape[1] < 2:
            raise BadInput("there is one object in this scene: wanted two to exchange codes")
        other = (p.object + 1) % codes.shape[1]
        there = p.coded((name,), lambda n: codes[:, other])
        back = replace(p, object=other).coded((name,), lambda n: codes[:, p.object])
        values = getattr(there, name).clone()
        values[:, other] = getattr(back, name)[:, other]
        return replace(there, **{name: values})

    return exchange


def through(*names: str) -> Callable[[Program], Any]:
    """The object's codes go through those of the other scenes, and back."""

    def change(p: Program) -> Any:
        number = p.object % p.others.shape.shape[1]
        return p.coded(names, lambda name: getattr(p.others, name)[:, number])

    return change


def behind(p: Program) -> Any:
    """The background's codes go through those of the other scenes, and back."""
    names = ("background_shape", "background_appearance")
    return p.coded(names, lambda name: getattr(p.others, name), per_object=False)


def objects_only(p: Program) -> Any:
    """The objects before nothing."""
    w = p.frames()
    return replace(w, background_present=torch.zeros_like(w.background_present))


def background_only(p: Program) -> Any:
    """The background alone."""
    w = p.frames()
    return replace(w, present=torch.zeros_like(w.present))


def separate(p: Program) -> Any:
    """In turn the whole scene, each of its objects alone before nothing, and the background alone."""
    count = p.scene.present.shape[1]
    part = torch.arange(p.count) * (count + 2) // p.count  # 0: the whole; then objects; then the background
    w = p.frames()
    number = torch.arange(1, count + 1)
    shown = (part == 0)[:, None] | (part[:, None] == number)
    behind = (part == 0) | (part == count + 1)
    return replace(
        w,
        present=w.present * shown.to(w.present),
        background_present=w.background_present * behind.to(w.background_present),
    )


PROGRAMS: dict[str, Callable[[Program], Any]] = {
    "rotate": rotate,
    "depth": along(away=True),
    "side": along(away=False),
    "circle": circle,
    "scale": scale,
    "add": add,
    "remove": remove,
    "swap-shape": swap("shape"),
    "swap-appearance": swap("appearance"),
    "shape": through("shape"),
    "appearance": through("appearance"),
    "background": behind,
    "objects-only": objects_only,
    "background-only": background_only,
    "separate": separate,
}


def run_program(name: str, generator: Generator, scene: Any, others: Any, number: int, count: int) -> Any:
    """Styles of so many frames of a program on an object of one scene; others: K scenes to take from.

    The objects are counted from 0 among those that are there. Raises BadInput for a program that there is
    not, a generator without objects, an object that is not there.
    """
    if name not in PROGRAMS:
        raise BadInput(f"no program {name!r}; {suggest(name, PROGRAMS)}")
    boxes = getattr(generator, "boxes", None)
    if not isinstance(boxes, BoxPrior):
        raise BadInput("the scenes of this generator are not made of objects: there is no program for them")
    scene = select_objects(scene, scene.present[0].nonzero()[:, 0].tolist())
    if not 0 <= number < scene.present.shape[1]:
        raise BadInput(f"object {number}: wanted 0 to {scene.present.shape[1] - 1}, those of the scene")
    yaw = generator.prior.mean_angles()[0] if isinstance(generator.prior, CameraPrior) else 0.0
    depth_axis = int(abs(math.sin(yaw)) > abs(math.cos(yaw)))
    return PROGRAMS[name](Program(scene, others, boxes, number, count, depth_axis))
