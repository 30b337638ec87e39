"""Gaussians fitted to photographs: L1 and SSIM of whole pictures, and density control; one player."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.optim import Optimizer

from genscene.contract import DEFAULT_OPTIONS, PosedImageBatch, Rendering, Stats, StepContext, SystemConfig
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.priors import CameraPrior
from genscene.metrics.image import psnr
from genscene.objectives.reconstruction import ReconstructionSystem, splatting_loss
from genscene.ranges import Natural, Share
from genscene.render.spherical_harmonics import C0
from genscene.render.splatting import Meta, splat_bytes
from genscene.scenes import PosedDataset, SparsePoints
from genscene.systems.splats.density import DensityConfig, densify, prune, reset_opacities
from genscene.systems.splats.generator import SplatsGenerator, SplatsGeneratorConfig

NEIGHBORS = 3  # whose mean distance is the first size of a Gaussian
MARGIN = 1.1  # the extent of a scene, in the largest distance of a camera from their mean (3DGS)
SIMILARITY = 500  # bytes that a pixel takes in the loss
TURN, COLORS = 1, 2  # of random numbers: of density control, of backgrounds


@dataclass(frozen=True)
class SplatsConfig(SystemConfig):
    """All the numbers of the system."""

    batch = "photographs"
    moves_weights = True
    less_memory = "lower --size or --system.generator.capacity"

    generator: SplatsGeneratorConfig = SplatsGeneratorConfig()
    dissimilarity: Share = 0.2  # weight of 1 - SSIM in the loss; that of the absolute difference is the rest
    # steps between two degrees of the spherical harmonics, from 0 on; 0: all from the start
    degree_every: Natural = 1000
    # in training each photograph, which wants transparency, and its rendering are on a random color, so that
    # Gaussians of the background's color are not overlooked
    random_background: bool = False
    density: DensityConfig = DensityConfig()  # how Gaussians are added and removed

    @property
    def has_box(self) -> bool:
        """Gaussians are first placed in a box."""
        return True

    def adapt(self, dataset: PosedDataset) -> "SplatsConfig":
        """With the photographs' cameras, background, extent and, unless it is given, their box."""
        if self.random_background and not dataset.has_alpha:
            raise BadInput("random_background: wanted photographs with transparent pixels")
        box = self.generator.box or dataset.box
        generator = replace(
            self.generator,
            prior=CameraPrior.fit(dataset.camera),
            background=dataset.background or self.generator.background,
            ground=dataset.ground,
            extent=camera_extent(dataset.camera),
            box=box,
        )
        return replace(self, generator=generator)

    def build_generator(self) -> SplatsGenerator:
        """A generator with new weights."""
        return SplatsGenerator(self.generator)

    def build(self) -> "SplatsSystem":
        """A system with new weights."""
        return SplatsSystem(self)

    def check(self, size: Size) -> None:
        """Photographs of any size are rendered whole."""

    def shrunk(self) -> "SplatsConfig":
        """40 slots, of which 30 are Gaussians at first."""
        generator = replace(self.generator, capacity=40, initial=30, degree=min(1, self.generator.degree))
        return replace(self, generator=generator, degree_every=0)


class SplatsSystem(ReconstructionSystem):
    """The generator, its loss, and the gradients that density control is decided by."""

    config: SplatsConfig
    generator: SplatsGenerator
    gradients: Tensor  # [N], sum over pictures of the gradient by the place on the picture, in half pictures
    pictures: Tensor  # [N], that each Gaussian was seen on since

    def __init__(self, config: SplatsConfig):
        super().__init__(config)
        for name in ("gradients", "pictures"):
            self.register_buffer(name, torch.zeros(config.generator.capacity))

    def initialize(self, dataset: PosedDataset) -> None:
        """Place the first Gaussians at the points of the photographs, where there are some."""
        if dataset.points is not None:
            place_at_points(self.generator, dataset.points)

    def graph_bytes(self, pictures: int, size: Size) -> int:
        """Bytes of the graph of a step: all slots being Gaussians that are seen, and the loss."""
        config, pixels = self.config.generator, pictures * size[0] * size[1]
        coefficients = (config.degree + 1) ** 2
        return splat_bytes(pictures * config.capacity, coefficients, pixels) + SIMILARITY * pixels

    def generator_loss(self, batch: PosedImageBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """Absolute difference and structural dissimilarity (3D Gaussian splatting, eq. 7)."""
        config, generator = self.config, self.generator
        every, most = config.degree_every, config.generator.degree
        scene = generator.gaussians(min(most, context.step // every) if every else most)
        report = partial(self.watch_gradients, generator.slots(), len(batch) * context.accumulation)
        rendering = generator.rasterize(scene, batch.cameras, report=report)
        image, target = rendering.image, batch.images[:, :3]
        if config.random_background:
            image, target = self.on_random_colors(rendering, batch.images, context)
        if batch.images.shape[1] > 3:
            image = torch.where(batch.images[:, 3:4] > 0.5, image, target)
        loss = splatting_loss(image, target, config.dissimilarity) + self.shape_loss(rendering, batch)
        error = (image.detach().clamp(0, 1) - target).square().mean()
        count = loss.new_tensor(float(generator.alive.sum()))
        return loss, {"loss": loss, "psnr": psnr(error), "gaussians": count}

    def on_random_colors(
        self, found: Rendering, images: Tensor, context: StepContext
    ) -> tuple[Tensor, Tensor]:
        """Renderings, photographs with validity and opacity [B, 5, H, W], each pair on a random color."""
        config = self.config.generator
        assert found.alpha is not None
        own = images.new_tensor(DEFAULT_OPTIONS.background_color(config.background, config.ground))
        colors = context.random_streams(len(images), COLORS, images.device).uniform(3)
        change = (colors - own)[..., None, None]
        return found.image + (1 - found.alpha) * change, images[:, :3] + (1 - images[:, 4:]) * change

    def shape_loss(self, rendering: Rendering, batch: PosedImageBatch) -> Tensor:
        """Of photographs, which tell neither opacity nor depth: 0 []."""
        return rendering.image.new_zeros(())

    def watch_gradients(self, slots: Tensor, pictures: int, meta: Meta) -> None:
        """Have the gradients by the places on one of so many pictures added up in the backward pass."""
        if not meta["means2d"].requires_grad:
            return
        seen = (meta["radii"] > 0).all(dim=-1).view(-1)
        halves = meta["means2d"].new_tensor([meta["width"] / 2, meta["height"] / 2])

        def add(gradient: Tensor) -> None:
            lengths = (pictures * halves * gradient).norm(dim=-1).view(-1)
            self.gradients.index_add_(0, slots, torch.where(seen, lengths, 0.0))
            self.pictures.index_add_(0, slots, seen.to(lengths))

        meta["means2d"].register_hook(add)

    def after_step(self, optimizers: Mapping[str, Optimizer], context: StepContext) -> None:
        """Density control, where this step is one for it."""
        density, optimizer = self.config.density, optimizers["generator"]
        if density.is_due(context.step, context.steps):
            prune(self.generator, optimizer, density, density.was_reset(context.step))
            mean = self.gradients / self.pictures.clamp_min(1)
            randomness = context.random_streams(1, TURN, mean.device)
            densify(self.generator, optimizer, mean, density, randomness)
            self.gradients.zero_()
            self.pictures.zero_()
        if density.resets(context.step, context.steps):
            reset_opacities(self.generator, optimizer, density.reset_opacity)


def camera_extent(camera: Camera) -> float:
    """The size of the space that cameras are in, which is the unit of places: MARGIN times its radius."""
    eyes = camera.pose[:, :3, 3].double()
    radius = float((eyes - eyes.mean(dim=0)).norm(dim=-1).max())
    return float(f"{MARGIN * radius:.6g}") or 1.0


@torch.no_grad()
def place_at_points(generator: SplatsGenerator, points: SparsePoints) -> None:
    """A Gaussian at each point, or at evenly spaced ones if too many, as large as the nearest are far."""
    count, slots = len(points.positions), len(generator.alive)
    chosen = torch.linspace(0, count - 1, min(count, slots), dtype=torch.float64).round().long()
    places = points.positions[chosen].double()
    near, _ = cKDTree(places.numpy()).query(places.numpy(), min(NEIGHBORS + 1, len(places)))
    distance = torch.from_numpy(near).view(len(places), -1)[:, 1:].mean(dim=1, keepdim=True)
    scales = distance.nan_to_num(1.0).clamp_min(1e-6 * generator.config.extent).log().expand(-1, 3)
    colors = (points.colors[chosen] - 0.5) / C0
    generator.load_gaussians(
        {"means": places / generator.config.extent, "log_scales": scales, "f_dc": colors}
    )
