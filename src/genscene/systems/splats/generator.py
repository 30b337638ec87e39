"""Gaussians as weights: so many slots, of which those that are alive are the scene."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from genscene.contract import DEFAULT_OPTIONS, Rendering, RenderOptions, SingleSceneGenerator
from genscene.geometry.cameras import Camera, Rays
from genscene.geometry.priors import CameraPrior
from genscene.ranges import Box, Extent, Range, Share
from genscene.render.splatting import Meta, render_views
from genscene.scenes import Gaussians, SolidBackground

UNIT_BOX: Box = (1.3, 1.3, 1.3)  # half sides of the box where nothing determines one
SPACING = 0.72  # mean distance to the three nearest of random points, in sides of a cube that holds one
NAMES = ("means", "log_scales", "quats", "opacity_logits", "f_dc", "sh_rest")  # of the weights


@dataclass(frozen=True)
class SplatsGeneratorConfig:
    """All the numbers of the generator."""

    # slots: the most Gaussians that there can be; memory is proportional to it from the first step on
    capacity: Annotated[int, Range(1, 1 << 26)] = 100_000
    # Gaussians at random places in the box at first, where the photographs come without points
    initial: Annotated[int, Range(1, 1 << 26)] = 10_000
    degree: Annotated[int, Range(0, 3)] = 3  # of the spherical harmonics of color
    # opacities are reduced by what a splat is widened on the picture (Yu et al. 2024)
    antialiased: bool = False
    # half sides, in world units, around the origin; None: from what the cameras of the photographs see
    box: Box | None = None
    # world units in which places are stored, and so the unit of their learning rate: that of the scene
    extent: Extent = 1.0
    background: SolidBackground = "white"  # behind the scene
    # its color, 0 to 1, of photographs on a ground that is nearly that background; None: exactly that
    ground: tuple[Share, Share, Share] | None = None
    prior: CameraPrior = CameraPrior()  # cameras around the scene, fitted to those of the photographs

    @property
    def sides(self) -> Box:
        """Half sides of the box."""
        return self.box or UNIT_BOX


class SplatsGenerator(SingleSceneGenerator):
    """One scene, which is N slots of weights: before activation, in the names of 3D Gaussian splatting."""

    alive: Tensor  # [N], bool: slots that are Gaussians; the others have no gradient, and are not rendered

    def __init__(self, config: SplatsGeneratorConfig):
        super().__init__()
        self.config, self.prior, self.bounds = config, config.prior, config.sides
        slots, first = config.capacity, min(config.initial, config.capacity)
        half = torch.tensor(config.sides) / config.extent
        spacing = SPACING * (8 * math.prod(config.sides) / first) ** (1 / 3)
        self.means = nn.Parameter(half * (2 * torch.rand(slots, 3) - 1))  # in units of the extent
        self.log_scales = nn.Parameter(torch.full((slots, 3), math.log(spacing)))  # of world units
        self.quats = nn.Parameter(torch.eye(4)[:1].repeat(slots, 1))  # wxyz, of any length
        self.opacity_logits = nn.Parameter(torch.full((slots,), math.log(0.1 / 0.9)))
        self.f_dc = nn.Parameter(torch.zeros(slots, 3))
        self.sh_rest = nn.Parameter(torch.zeros(slots, (config.degree + 1) ** 2 - 1, 3))
        self.register_buffer("alive", torch.arange(slots) < first)

    def slots(self) -> Tensor:
        """Numbers of the slots that are alive, in order -> [M]."""
        return self.alive.nonzero()[:, 0]

    def gaussians(self, degree: int | None = None) -> Gaussians:
        """The M Gaussians that are alive, with their harmonics up to a degree; None: all."""
        slots, count = self.slots(), None if degree is None else (degree + 1) ** 2 - 1
        means, log_scales, quats, logits, f_dc, rest = (
            getattr(self, name).index_select(0, slots)[None] for name in NAMES
        )
        colors = torch.cat([f_dc[:, :, None], rest[:, :, :count]], dim=2)
        return Gaussians(
            means * self.config.extent,
            normalize(quats, dim=-1),
            log_scales.exp(),
            logits.sigmoid(),
            colors,
            antialiased=self.config.antialiased,
        )

    def bind(self, w: Tensor) -> Gaussians:
        """w [B, 0] -> the one scene, for B views."""
        return self.gaussians()

    def render(
        self, scene: Gaussians, view: Camera | Rays, options: RenderOptions = DEFAULT_OPTIONS
    ) -> Rendering:
        """The scene, B cameras -> pictures, depth, alpha."""
        return self.rasterize(scene, view, options)

    def rasterize(
        self,
        scene: Gaussians,
        view: Camera | Rays,
        options: RenderOptions = DEFAULT_OPTIONS,
        report: Callable[[Meta], None] | None = None,
    ) -> Rendering:
        """The same; report: called with what `rasterize` knows of the Gaussians on each picture."""
        background = options.background_color(self.config.background, self.config.ground)
        return render_views(scene, view, background, options, report)

    @torch.no_grad()
    def load_gaussians(self, values: dict[str, Tensor]) -> None:
        """Fill the first slots by the names of the weights [M, ...]; the others are not alive."""
        for name, value in values.items():
            getattr(self, name)[: len(value)] = value.to(getattr(self, name))
        count = len(next(iter(values.values())))
        self.alive.copy_(torch.arange(len(self.alive), device=self.alive.device) < count)
