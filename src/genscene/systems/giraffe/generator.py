"""GIRAFFE's generator: codes and boxes -> composed feature fields -> feature image -> picture."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from genscene.contract import DEFAULT_OPTIONS, Rendering, RenderOptions, Vector
from genscene.errors import BadInput
from genscene.geometry.boxes import Boxes, BoxPrior, Interval, turn_back
from genscene.geometry.cameras import Camera, PixelConvention, Rays, Size, as_float64
from genscene.geometry.priors import CameraPrior
from genscene.layers.feature_field import (
    FeatureField,
    FeatureFieldConfig,
    SineFeatureField,
    build_feature_field,
)
from genscene.layers.mapping import map_tensors, scale_codes
from genscene.layers.neural_renderer import NeuralRenderer, NeuralRendererConfig
from genscene.randomness import Randomness
from genscene.ranges import Factor, Natural, Range, Signed
from genscene.render.boxes import render_boxes
from genscene.render.composition import Composition, Operator, Placed
from genscene.render.fields.chunks import in_chunks
from genscene.render.march import NO_NOISE, March, RayNoise, activate_density
from genscene.render.volume import VolumeGenerator, render_view, to_image

BACKGROUND = FeatureFieldConfig(128, 64, 4, (), extent=12.0)
MARCH = March(0.5, 6.0, 64, last_interval=1e10, bins="midpoints")


@dataclass(frozen=True)
class GIRAFFEGeneratorConfig:
    """All the numbers of the generator."""

    object: FeatureFieldConfig = FeatureFieldConfig()
    background: FeatureFieldConfig = BACKGROUND
    boxes: BoxPrior = BoxPrior()
    background_rotation: Interval = (0.0, 0.0)  # of the background about the vertical axis, in turns
    # class of every box, counted from 0: each has a decoder of its own; (): one decoder for all boxes
    classes: tuple[Natural, ...] = ()
    operator: Operator = "mean"  # how densities and features are composed
    march: March = MARCH
    prior: CameraPrior = CameraPrior(
        "sphere", (0.0, 0.0), (0.45833 * math.pi, 0.04167 * math.pi), 2.732, 10.0, up="z"
    )
    renderer: NeuralRendererConfig = NeuralRendererConfig()
    margin: Factor = 1.1  # half side of what is evaluated of a box, in units of its own; 1 with box_samples
    # border: outermost rays of the feature image through the picture's border (released code)
    pixels: PixelConvention = "center"
    axis_depth: bool = False  # near and far are depths along the camera's axis (released code)
    # samples of each object within its box, on rays that meet it, before a background on the plane under the
    # boxes; 0: samples from near to far for all fields (GIRAFFE)
    box_samples: Annotated[int, Range(0, 1024)] = 0
    ground: Signed = 0.0  # height of that plane

    def check(self) -> None:
        """Raise BadInput for classes that are not those of the boxes."""
        if self.classes and (
            len(self.classes) != self.boxes.count or set(self.classes) != set(range(max(self.classes) + 1))
        ):
            raise BadInput(
                f"classes {self.classes}: wanted one for each of {self.boxes.count} boxes, counted from 0"
            )
        if self.box_samples and self.operator != "mean":
            raise BadInput(f"operator {self.operator}: wanted mean with box_samples, which add up densities")
        if self.march.fine_samples:
            raise BadInput("march.fine_samples: wanted 0, scenes of objects are sampled once")


@dataclass(frozen=True)
class ObjectStyles:
    """What B scenes are made of, and what a person edits; O objects each."""

    per_object: ClassVar = ("shape", "appearance", "classes", "scale", "translation", "rotation", "present")
    shape: Tensor  # [B, O, codes]
    appearance: Tensor  # [B, O, codes]
    classes: Tensor  # [B, O], number of each object's decoder
    boxes: Boxes
    present: Tensor  # [B, O], 1; 0: the object is not there
    background_shape: Tensor  # [B, codes]
    background_appearance: Tensor  # [B, codes]
    background_rotation: Tensor  # [B], in radians
    background_present: Tensor  # [B], 1; 0: nothing is behind the objects


class GIRAFFEGenerator(VolumeGenerator):
    """z [B, latent_dim] -> codes and boxes -> compositions -> pictures of multiples of 2^levels pixels."""

    def __init__(self, config: GIRAFFEGeneratorConfig):
        super().__init__()
        self.config, self.pixels, self.prior = config, config.pixels, config.prior
        # compositions give densities that are not negative
        self.march = replace(config.march, density="relu", gain=1.0, shift=0.0)
        codes = 2 * config.boxes.count * config.object.codes + 2 * config.background.codes
        self.latent_dim = codes + config.boxes.numbers + 1
        features = config.renderer.features
        self.objects = nn.ModuleList(
            build_feature_field(config.object, features) for _ in range(max(config.classes, default=0) + 1)
        )
        self.background = build_feature_field(config.background, features)
        self.renderer = NeuralRenderer(config.renderer)
        self.side_multiple = 2**config.renderer.levels

    @property
    def boxes(self) -> BoxPrior:
        """The distribution of the boxes."""
        orbit: Any = self._modules.get("orbit")
        return self.config.boxes if orbit is None else orbit.boxes(self.config.boxes)

    @property
    def bounds(self) -> Vector:  # type: ignore[override]
        """Half sides of the box that holds all scenes."""
        with torch.no_grad():
            return self.boxes.extent()

    def latents(self, randomness: Randomness) -> Tensor:
        """Normal numbers of the codes, then of the boxes -> z [B, latent_dim]."""
        return randomness.normal(self.latent_dim)

    def style(self, z: Tensor, psi: float | Tensor = 1.0, camera: Camera | None = None) -> ObjectStyles:
        """z [B, latent_dim] -> codes, multiplied by psi, and boxes of the prior, which psi leaves alone."""
        config, count = self.config, self.config.boxes.count
        sides = [count * config.object.codes] * 2 + [config.background.codes] * 2
        codes, rest = z.split([sum(sides), config.boxes.numbers + 1], dim=1)
        shape, appearance, behind, behind_appearance = scale_codes(codes, psi).split(sides, dim=1)
        uniform = torch.special.ndtr(rest.double()).to(z)
        boxes, present = self.boxes.sample(uniform[:, 1:])
        low, high = config.background_rotation
        return ObjectStyles(
            shape.unflatten(1, (count, -1)),
            appearance.unflatten(1, (count, -1)),
            present.new_tensor(config.classes or (0,) * count).expand_as(present),
            boxes,
            present,
            behind,
            behind_appearance,
            2 * math.pi * (low + uniform[:, 0] * (high - low)),
            torch.ones_like(z[:, 0]),
        )

    def bind(self, w: ObjectStyles) -> Composition:
        """Codes and boxes -> B compositions."""
        placed, numbers = [], []
        activate = partial(activate_density, march=self.config.march)
        for number, network in enumerate(self.objects):
            of_class = w.classes.round() == number
            own = [i for i in range(w.classes.shape[1]) if len(self.objects) == 1 or of_class[:, i].any()]
            if not own:
                continue
            numbers += own
            assert isinstance(network, FeatureField | SineFeatureField)
            codes = w.shape[:, own].flatten(0, 1), w.appearance[:, own].flatten(0, 1)
            boxes = map_tensors(lambda x, own=own: x[:, own], w.boxes)
            field, present = CodedField(network, *codes), (w.present * of_class)[:, own]
            placed.append(Placed(field, boxes, present, self.config.margin, activate))
        behind = CodedField(
            self.background, w.background_shape, w.background_appearance, w.background_rotation
        )
        operator = self.config.operator
        return Composition(tuple(placed), behind, w.background_present, operator, activate, tuple(numbers))

    def render(
        self, scene: Composition, view: Camera | Rays, options: RenderOptions = DEFAULT_OPTIONS
    ) -> Rendering:
        """B compositions, B cameras -> pictures in [0, 1], their features, depth, alpha of each object."""
        if not isinstance(view, Camera):
            raise BadInput("the view is of Rays, wanted a Camera: a picture is computed as a whole")
        found = self.render_features(scene, view, options)
        assert found.depth is not None
        assert found.alpha is not None
        features, shares = found.image.split([self.config.renderer.features, scene.fields - 1], dim=1)
        numbers = torch.tensor(scene.numbers, device=shares.device)  # an object may have boxes of two classes
        none = shares.new_zeros(len(shares), max(scene.numbers) + 1, *shares.shape[2:])
        shares = none.index_add(1, numbers, shares)
        maps = torch.cat([found.depth, found.alpha, shares], dim=1)
        maps = interpolate(maps, view.size, mode="bilinear")
        full, _ = self.rays(view)
        image = self.renderer(features).to(features.dtype)  # mixed precision computes in bfloat16
        return Rendering(image, maps[:, :1], maps[:, 1:2], features, maps[:, 2:, None], full)

    def render_features(self, scene: Composition, view: Camera, options: RenderOptions) -> Rendering:
        """B compositions, B cameras of pictures -> feature images, objects' shares behind the features."""
        times = self.side_multiple
        if any(side % times or not side for side in view.size):
            raise BadInput(f"size {view.size[0]}x{view.size[1]}: wanted multiples of {times}")
        rays, size = self.rays(view.resized((view.size[0] // times, view.size[1] // times)))
        if not self.config.axis_depth:
            rays = rays.unit()
        if self.config.box_samples:
            return self.render_in_boxes(scene, rays, size, options)
        memory = self.sample_bytes(torch.is_grad_enabled())
        return render_view(scene, rays, size, self.march, options, memory, fields=scene.fields)

    def render_in_boxes(
        self, scene: Composition, rays: Rays, size: Size, options: RenderOptions
    ) -> Rendering:
        """The same by samples within the boxes."""
        samples, boxes, noise = options.samples or self.config.box_samples, scene.fields - 1, NO_NOISE
        if options.randomness is not None:
            noise = RayNoise(options.randomness.uniform(boxes, len(rays), samples).movedim(2, 1))

        def part(rays: Rays, noise: RayNoise) -> tuple[Tensor, ...]:
            jitter = None if noise.jitter is None else noise.jitter.movedim(1, 2)
            found = render_boxes(scene, rays, samples, self.config.ground, self.march.far, jitter)
            return found.color, found.distance, found.alpha

        ray_bytes = self.sample_bytes(False) * (samples * boxes + 1)
        parts = in_chunks(part, rays.unit(), noise, options, ray_bytes)
        color, depth, alpha = (to_image(x, size) for x in parts)
        return Rendering(color, depth, alpha)

    def sample_bytes(self, graph: bool) -> int:
        """Memory of one sample while the fields are evaluated, with its graph where one is kept."""
        background = self.config.background
        layers = background.depth + 2 if graph else 4
        return 4 * (layers * background.width + 3 * self.config.renderer.features + 130)

    def ray_bytes(self) -> int:
        """Memory of one pixel of a picture with its graph: its share of a ray of the feature image's."""
        renderer = self.config.renderer
        samples = self.config.box_samples * self.config.boxes.count or self.march.samples
        rays = samples * self.sample_bytes(graph=True) // 4**renderer.levels
        return rays + 4 * 3 * sum(width // 4**i for i, width in enumerate(reversed(renderer.widths)))


@dataclass(frozen=True)
class CodedField:
    """A feature field bound to M pairs of codes."""

    network: FeatureField | SineFeatureField
    shape: Tensor  # [M, codes]
    appearance: Tensor  # [M, codes]
    rotation: Tensor | None = None  # [M], of the field about the vertical axis, in radians; None: none

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, directions [M, N, 3] -> features [M, N, C], raw density [M, N]."""
        if self.rotation is not None:
            angle = as_float64(self.rotation)
            points, directions = (turn_back(as_float64(x), angle).to(x) for x in (points, directions))
        return self.network(points, directions, self.shape, self.appearance)
