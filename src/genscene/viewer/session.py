"""What one window shows: the scene that is chosen, its cameras, and how pictures of it are made."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from genscene.apps.interpolate import blend_styles, styles_of_seeds, truncate_styles
from genscene.apps.inversion.latents_file import Latents
from genscene.apps.scene_file import SceneFile, describe_scene, styles_of_scene
from genscene.contract import UNSEEN, Generator
from genscene.geometry.boxes import BoxPrior
from genscene.geometry.cameras import Size
from genscene.geometry.priors import PlanePrior
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import join_styles, update_w_avg
from genscene.render.fields.sparse import POINTS, Parts
from genscene.render.volume import VolumeGenerator
from genscene.scenes import Gaussians
from genscene.viewer.pace import Pace
from genscene.viewer.pictures import Cloud, Look, Picture, bake, canvas_picture, view_picture
from genscene.viewer.reach import first_view, reach_of, starts_beyond
from genscene.viewer.views import View, facing, picture_size

PART = (0.015, 0.05)  # seconds that a part of a picture should take: rendering is cancelled between two parts
BYTES = (1 << 20, 1 << 24, 1 << 27)  # of intermediate results of a part: least, at first, most
HOME = 1.5  # distance from which a canvas is seen at first, in its heights
CANVAS_FOV = 0.7  # vertical field of view there, in radians


@dataclass
class Training:
    """What is known of the training of what is shown."""

    line: str = ""  # about the last step
    paused: bool = False


@dataclass
class ViewedGenerator:
    """What all windows look at: a generator, and what is known of it."""

    content: GeneratorFile
    name: str
    size: Size  # of the pictures that it was trained with
    version: int = 0  # of its weights
    pace: Pace = field(default_factory=Pace)
    training: Training | None = None  # None: it is trained already
    latents: Latents | None = None  # scenes of a file in place of those of seeds
    averaged: int = 0  # version of the weights that the mean styles are of

    @property
    def generator(self) -> Generator:
        """The generator."""
        return self.content.generator

    @property
    def is_plane(self) -> bool:
        """Whether its scenes are pictures."""
        return isinstance(self.generator.prior, PlanePrior)

    @property
    def has_objects(self) -> bool:
        """Whether its scenes are made of objects in boxes, which seeds describe."""
        return self.latents is None and isinstance(getattr(self.generator, "boxes", None), BoxPrior)

    @property
    def aspect(self) -> float:
        """Width over height of the pictures that it was trained with; of a cylinder, of all around it."""
        prior = self.generator.prior
        return self.size[1] / self.size[0] * (prior.frames if isinstance(prior, PlanePrior) else 1)

    def first_view(self) -> View:
        """The view that a window begins with."""
        if self.is_plane:
            return facing(0.0, 0.0, HOME, CANVAS_FOV, 1.0)
        known = self.content.cameras if self.latents is None else self.latents.cameras
        if known is not None:
            return View.of_camera(known[:1])
        return first_view(self.generator)


@dataclass(frozen=True)
class Choices:
    """What a person has chosen."""

    seed: int = 0
    other: int = 1  # seed of the scene that is mixed in
    mix: float = 0.0  # share of the other scene
    first_layer: int = 0  # layers before this one are not mixed
    psi: float = 1.0  # truncation
    objects: SceneFile | None = None  # in place of the seed's, of scenes of objects
    look: Look = Look()
    most: int = 512  # pixels of the longer side of a picture at rest
    beyond: bool = False  # whether cameras may be where the prior has none
    in_browser: bool = False  # whether the browser renders Gaussians

    @property
    def scene(self) -> tuple[Any, ...]:
        """The part that decides the scene."""
        return self.seed, self.other, self.mix, self.first_layer, self.psi, self.objects


class Session:
    """The state of one window; its methods may be called from any thread."""

    def __init__(self, viewed: ViewedGenerator, most: int = 512, choices: Choices | None = None):
        self.viewed, self.keys = viewed, list[View]()
        self.reach = reach_of(viewed.generator)
        beyond = starts_beyond(self.reach)
        self.choices = choices or Choices(most=most, beyond=beyond)
        self._lock, self.max_bytes = threading.Lock(), BYTES[1]
        self._scene: tuple[Any, Any, Any] = (None, None, None)  # what it depends on, styles, scene
        self._sparse: Any = None  # the scene with its empty space measured; None: it is not yet
        self._parts: Parts[Any] | None = None  # in which it is being measured
        self._baked: Any = None  # what the last cloud depends on

    def choose(self, **changes: Any) -> None:
        """Change some of the choices."""
        with self._lock:
            self.choices = replace(self.choices, **changes)

    def edit(self, change: Callable[[SceneFile], SceneFile]) -> None:
        """Change the scene of objects."""
        with self._lock:
            assert self.choices.objects is not None
            self.choices = replace(self.choices, objects=change(self.choices.objects))

    def open_objects(self) -> None:
        """Begin with the objects of the seed."""
        choices = self.choices
        scene = describe_scene(self.viewed.generator, choices.seed, choices.psi)
        self.choose(objects=scene)

    def styles(self) -> Any:
        """The styles w of the scene that is chosen."""
        generator, choices = self.viewed.generator, self.choices
        if choices.objects is not None:
            return styles_of_scene(generator, choices.objects)
        if choices.psi != 1 and self.viewed.averaged != self.viewed.version:
            update_w_avg(generator)
            self.viewed.averaged = self.viewed.version
        if not generator.latent_dim:
            return styles_of_seeds(generator, [0])
        if self.viewed.latents is not None:
            pair = [min(n, len(self.viewed.latents) - 1) for n in (choices.seed, choices.other)]
            w = join_styles([self.viewed.latents.take(slice(n, n + 1)) for n in pair])
            w = truncate_styles(generator, w, choices.psi)
            return blend_styles(generator, w, choices.mix, choices.first_layer)
        w = styles_of_seeds(generator, [choices.seed, choices.other], choices.psi)
        return blend_styles(generator, w, choices.mix, choices.first_layer)

    @torch.no_grad()
    def scene(self) -> tuple[Any, Any]:
        """Styles and scene; bound again only where they have changed."""
        needs = (self.choices.scene, self.viewed.version)
        if self._scene[0] != needs:
            w = self.styles()
            self._scene = needs, w, self.viewed.generator.bind(w)
            self._baked = self._sparse = self._parts = None
        return self._scene[1:]

    @property
    def unmeasured(self) -> bool:
        """Whether pictures become faster by `measure`; weights that are being trained change too soon."""
        generator, training = self.viewed.generator, self.viewed.training
        if self._sparse is not None or (training is not None and not training.paused):
            return False
        return isinstance(generator, VolumeGenerator) and generator.has_density_box

    def measure(self, useless: Callable[[], bool]) -> None:
        """Measure the empty space of the scene in short parts, until it has become useless.

        The next call goes on with the same scene.
        """
        try:
            with self.viewed.pace.rendering() as between:
                while self.unmeasured and not between(useless):
                    self._measure_part()
        finally:
            self.adapt()

    def _measure_part(self) -> None:
        generator, (_, scene) = self.viewed.generator, self.scene()
        assert isinstance(generator, VolumeGenerator)
        if self._parts is None:
            points = self.max_bytes // max(1, generator.sample_bytes(graph=False))
            self._parts = generator.measure_empty(scene, min(points, POINTS))
        try:
            next(self._parts)
        except StopIteration as end:
            self._sparse = end.value
        except BaseException:
            self._sparse = scene  # not tried again
            raise

    @property
    def framed(self) -> bool:
        """Whether pictures have the aspect of those of training, not that of the window."""
        return bool(self.viewed.generator.latent_dim) and not self.viewed.is_plane

    def shown(self, view: View) -> View:
        """The view as the scene can be rendered from: within the prior, or facing a canvas."""
        if self.viewed.is_plane:
            x, y, z = view.eye.tolist()
            return facing(x, y, max(abs(z), 1e-3), view.fov, view.aspect)
        return view if self.reach is None else self.reach.nearest(view, self.choices.beyond)

    def frame(self, view: View) -> View:
        """The part of a view that is rendered."""
        return view.framed(self.viewed.aspect) if self.framed else view

    def add_key(self, view: View) -> None:
        """Append a view to the camera path."""
        self.keys.append(self.frame(self.shown(view)))

    def size(self, view: View, height: float) -> Size:
        """The size of a picture of about this height."""
        return picture_size(
            height, self.frame(view).aspect, self.choices.most, self.viewed.generator.side_multiple
        )

    def picture(self, view: View, size: Size, useless: Callable[[], bool]) -> Picture:
        """A picture of the scene from a view of `shown`; raises Cancelled where it has become useless."""
        choices, viewed = self.choices, self.viewed
        try:
            with viewed.pace.rendering() as between:
                _, scene = self.scene()
                how = choices.look.options(self.max_bytes, lambda: between(useless))
                if self._sparse is not None:
                    scene, how = self._sparse, replace(how, least_transmittance=UNSEEN)
                show = choices.look.show
                if viewed.is_plane:
                    return canvas_picture(viewed.generator, scene, view, size, viewed.aspect, show, how)
                return view_picture(viewed.generator, scene, self.frame(view), size, show, how)
        finally:
            self.adapt()

    def adapt(self) -> None:
        """Change how much is computed at once by how long that took."""
        longest, (least, _, most) = self.viewed.pace.longest, BYTES
        if longest > PART[1]:
            self.max_bytes = max(self.max_bytes // 2, least)
        elif 0 < longest < PART[0]:
            self.max_bytes = min(2 * self.max_bytes, most)

    def cloud(self, view: View) -> Cloud | None:
        """The Gaussians of the scene as seen from a view; None: those of the last call still hold."""
        with self.viewed.pace.rendering():
            _, scene = self.scene()
            assert isinstance(scene, Gaussians)
            by_direction = scene.colors.ndim == 4 and scene.colors.shape[2] > 1
            needs = tuple(round(x, 2) for x in view.eye.tolist()) if by_direction else ()
            if self._baked == needs:
                return None
            self._baked = needs
            background = self.choices.look.background or background_of(self.viewed.generator)
            return bake(scene, view.eye, background)

    def forget(self) -> None:
        """Send a cloud anew, whatever was sent before."""
        self._baked = None


def background_of(generator: Generator) -> Any:
    """The color behind a generator's Gaussians."""
    return getattr(getattr(generator, "config", None), "background", "white")
