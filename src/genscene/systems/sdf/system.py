"""Fitting a signed distance to points of a surface, normals (SIREN, eq. 6) and distances: one player."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from genscene.contract import Stats, StepContext, SystemConfig
from genscene.geometry.cameras import Size
from genscene.objectives.reconstruction import ReconstructionSystem
from genscene.ranges import NonNegative
from genscene.render.derivatives import gradient
from genscene.scenes import PointBatch
from genscene.systems.sdf.generator import SDFGenerator, SDFGeneratorConfig


@dataclass(frozen=True)
class SDFConfig(SystemConfig):
    """All the numbers of the system."""

    batch = "surface"

    generator: SDFGeneratorConfig = SDFGeneratorConfig()
    on_surface: NonNegative = 3e3  # weight of the distance at points on the surface
    normal: NonNegative = 1e2  # weight of 1 - cosine between its gradient and the normal there
    eikonal: NonNegative = 5e1  # weight of the difference of the gradient's length from 1, everywhere
    off_surface: NonNegative = 1e2  # weight of exp(-alpha |distance|) at random points, which are no surface
    alpha: NonNegative = 1e2  # how near 0 distances there may come
    # weight of the difference from the distance of the mesh at these points; 0: it is not known (SIREN)
    distance: NonNegative = 0.0

    @property
    def differentiates_twice(self) -> bool:
        """Normals, and the length of the gradient, are parts of the loss."""
        return True

    def build_generator(self) -> SDFGenerator:
        """A generator with new weights."""
        return SDFGenerator(self.generator)

    def build(self) -> "SDF":
        """A system with new weights."""
        return SDF(self)

    def check(self, size: Size) -> None:
        """Points come from meshes of any size."""

    def shrunk(self) -> "SDFConfig":
        """Two layers of 8 channels."""
        network = replace(self.generator.network, width=8, depth=2)
        return replace(self, generator=replace(self.generator, network=network))


class SDF(ReconstructionSystem):
    """The generator and its loss."""

    config: SDFConfig
    generator: SDFGenerator

    def generator_loss(self, batch: PointBatch, context: StepContext) -> tuple[Tensor, Stats]:
        """The four terms of SIREN's eq. 6, and the distance, at points of the surface and as many others."""
        config, count = self.config, len(batch)
        normals, others, known = batch.values.split([3, 3, 1], dim=-1)
        points = torch.cat([batch.points, others], dim=1).requires_grad_()
        distance = self.generator.bind(points.new_zeros(1, 0)).distance(points)
        slope = gradient(distance, points)[..., 0, :]
        on, off = distance[:, :count, 0], distance[:, count:, 0]
        terms = {
            "surface": config.on_surface * on.abs().mean(),
            "normal": config.normal * (1 - cosine_similarity(slope[:, :count], normals, dim=-1)).mean(),
            "eikonal": config.eikonal * (slope.norm(dim=-1) - 1).abs().mean(),
            "off_surface": config.off_surface * (-config.alpha * off.abs()).exp().mean(),
            "distance": config.distance * (off - known[..., 0]).abs().mean(),
        }
        loss = sum(terms.values(), on.new_zeros(()))
        return loss, {"loss": loss, **terms}
