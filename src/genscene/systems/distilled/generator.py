"""Style -> field of another generator -> cells of its surface -> Gaussians -> picture."""

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from genscene.contract import DEFAULT_OPTIONS, Generator, Rendering, RenderOptions, Vector
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Rays, named_tensors
from genscene.layers.mapping import style_count, take_styles
from genscene.randomness import Randomness
from genscene.render.march import activate_density
from genscene.render.splatting import render_views
from genscene.render.volume import VolumeGenerator
from genscene.scenes import Field, Gaussians
from genscene.systems.distilled.cells import INPUTS, Cells, cell_side, surface_cells

SIZES = (3, 4, 3, 1, 3)  # numbers of a Gaussian: place, rotation, sizes, opacity, color
FIRST_SIZE = 0.6  # standard deviation before training, in sides of a cell
SMALLER, LARGER = 3.0, 1.5  # the most that the logarithm of a size changes
LOGIT_EPS = 0.01  # opacities and colors are this far from 0 and 1 before the network changes them


class SplatDecoder(nn.Module):
    """What is known of a cell -> one Gaussian near it; at first a ball of the cell's color."""

    def __init__(self, width: int):
        super().__init__()
        layers = [nn.Linear(INPUTS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]
        last = nn.Linear(width, sum(SIZES))
        nn.init.normal_(last.weight, std=1e-3)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, cells: Cells, side: float) -> Gaussians:
        """N cells of each of B fields, side: of a cell -> B clouds of N Gaussians."""
        place, turn, size, opacity, color = self.layers(cells.inputs).split(SIZES, dim=-1)
        unit = turn.new_tensor([1.0, 0.0, 0.0, 0.0])
        opacities = cells.opacities.logit(LOGIT_EPS) + opacity[..., 0]
        return Gaussians(
            cells.centers + side * place.tanh(),
            normalize(unit + turn, dim=-1),
            FIRST_SIZE * side * size.clamp(-SMALLER, LARGER).exp(),
            opacities.sigmoid(),
            (cells.colors.logit(LOGIT_EPS) + color).sigmoid(),
            antialiased=True,
        )


class DistilledGenerator(Generator):
    """The latent codes and styles of a generator of fields, whose scenes become Gaussians."""

    teacher: VolumeGenerator
    bounds: Vector

    def __init__(self, teacher: Generator, splats: int, cells: int, width: int):
        """teacher: whose scenes are fields of colors in a box; BadInput for any other.

        splats: Gaussians of a scene, at most; cells: along the longest side of the box; width: channels.
        """
        super().__init__()
        if not isinstance(teacher, VolumeGenerator) or not teacher.has_density_box or teacher.bounds is None:
            raise BadInput("the scenes of this generator are no fields in a box: wanted some to distill")
        self.teacher, self.decoder = teacher, SplatDecoder(width)
        self.splats, self.cells, self.bounds = splats, cells, teacher.bounds
        self.latent_dim, self.prior = teacher.latent_dim, teacher.prior
        self.conditioned, self.layer_dim = teacher.conditioned, teacher.layer_dim

    def latents(self, randomness: Randomness) -> Tensor:
        """The teacher's."""
        return self.teacher.latents(randomness)

    def style(self, z: Tensor, psi: float | Tensor = 1.0, camera: Camera | None = None) -> Any:
        """The teacher's."""
        return self.teacher.style(z, psi, camera)

    def bind(self, w: Any) -> Gaussians:
        """w, as `style` returns it -> B clouds of Gaussians; the field has a graph where w has one."""
        with_graph = any(x.requires_grad for x in named_tensors(w).values())
        with torch.set_grad_enabled(torch.is_grad_enabled() and with_graph):
            parts = [self.surface(take_styles(w, slice(i, i + 1))) for i in range(style_count(w))]
        cells = Cells.joined(parts) if parts else Cells.empty(next(self.parameters()))
        return self.decoder(cells, cell_side(self.bounds, self.cells))

    def surface(self, w: Any) -> Cells:
        """The cells of the surface of one style's field."""
        activate = partial(activate_density, march=self.teacher.march)
        field, like = cast(Field, self.teacher.bind(w)), next(self.parameters())
        return surface_cells(field, activate, self.bounds, self.cells, self.splats, like)

    def render(
        self, scene: Gaussians, view: Camera | Rays, options: RenderOptions = DEFAULT_OPTIONS
    ) -> Rendering:
        """B clouds, B cameras -> pictures on white, depth, alpha."""
        return render_views(scene, view, options.background_color("white"), options)
