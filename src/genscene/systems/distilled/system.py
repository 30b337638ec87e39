"""Distillation: Gaussians of any latent code against renderings of the teacher's scene of that code."""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from genscene.contract import Stats, StepContext, SystemConfig
from genscene.geometry.cameras import Size
from genscene.metrics.image import psnr
from genscene.objectives.reconstruction import ReconstructionSystem, shape_loss, splatting_loss
from genscene.ranges import Channels, Range, Share
from genscene.render.splatting import render_views
from genscene.scenes import SceneViews
from genscene.systems.distilled.generator import DistilledGenerator


@dataclass(frozen=True)
class DistilledConfig(SystemConfig):
    """All the numbers of the system."""

    teacher: SystemConfig  # of the generator whose scenes become Gaussians
    splats: Annotated[int, Range(1, 1 << 22)] = 4000  # Gaussians of a scene, at most: cells of its surface
    cells: Annotated[int, Range(1, 512)] = 48  # along the longest side of the box
    width: Channels = 96  # channels of the network
    dissimilarity: Share = 0.2  # weight of 1 - SSIM in the loss; that of the absolute difference is the rest

    def build_generator(self) -> DistilledGenerator:
        """A generator with new weights."""
        return DistilledGenerator(self.teacher.build_generator(), self.splats, self.cells, self.width)

    def build(self) -> "DistilledSystem":
        """A system with new weights."""
        return DistilledSystem(self)

    def check(self, size: Size) -> None:
        """Renderings of any size that the teacher has."""
        self.teacher.check(size)

    def shrunk(self) -> "DistilledConfig":
        """20 Gaussians in a lattice of 6 cells."""
        return replace(self, teacher=self.teacher.shrunk(), splats=20, cells=6, width=4)


class DistilledSystem(ReconstructionSystem):
    """The generator, of which the decoder alone has gradients, and its loss."""

    config: DistilledConfig
    generator: DistilledGenerator

    def generator_loss(self, batch: SceneViews, context: StepContext) -> tuple[Tensor, Stats]:
        """The terms of fitted Gaussians (3D Gaussian splatting, eq. 7), and those of opacity and depth."""
        views = batch.views
        with torch.no_grad():
            w = self.generator.style(batch.z)
        scene = self.generator.bind(w)
        rendering = render_views(scene, views.cameras, (1.0, 1.0, 1.0))
        loss = splatting_loss(rendering.image, views.images, self.config.dissimilarity)
        loss = loss + shape_loss(rendering, views, max(self.generator.bounds))
        error = (rendering.image.detach().clamp(0, 1) - views.images).square().mean()
        return loss, {"loss": loss, "psnr": psnr(error)}
