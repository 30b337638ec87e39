"""The ground of rooms and the light on it: soft shadows of a square lamp, contact darkening, highlights."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.data.synthetic.intersect import MISS, Solids, is_blocked, meets_box

AMBIENT, SKY, LAMP = 0.41, 0.19, 0.58  # weights of constant and hemispheric light, and of the lamp
BODY, MIRROR, HIGHLIGHT, SHARPNESS = 0.5, 0.5, 0.85, 40.0  # of metal: its diffuse light, reflections, lamp
ZENITH, NADIR = 1.1, 0.15  # what metal reflects from above and below; on the level, the ground's grey


@dataclass(frozen=True)
class Ground:
    """A grey disk at y = 0 that fades into a backdrop, and a square lamp above."""

    grey: float = 0.58
    backdrop: float = 0.6
    fade: tuple[float, float] = (1.0, 7.0)  # distances from the y axis: the ground's color up to, its end
    lamp: tuple[float, float, float] = (-1.9, 3.4, 1.6)  # center
    side: float = 1.5  # of the lamp, which faces the origin
    strata: int = 3  # of the lamp in each direction: strata^2 shadow rays

    def meet(self, eye: Tensor, directions: Tensor) -> Tensor:
        """The distance [R] at which rays from the eye [3, 1], above the ground, meet it; else MISS."""
        distance = torch.where(directions[1] < 0, -eye[1] / directions[1].clamp_max(-1e-6), MISS)
        across = (eye[::2] + distance * directions[::2]).norm(dim=0)
        return torch.where(across < self.fade[1], distance, MISS)

    def shade(
        self, scene: Solids, points: Tensor, directions: Tensor, normal: Tensor, solid: Tensor, sub: Tensor
    ) -> Tensor:
        """Points [3, R] seen along directions [3, R] -> their colors [3, R].

        solid [R]: index of the solid each lies on, -1: the ground. sub [2, R]: place in its pixel, 0 to 1.
        """
        towards = normalize(self._center - points, dim=0)
        facing = (towards * normal).sum(dim=0).clamp_min(0)
        seen = self._visibility(scene, points, solid, facing > 0, sub)
        diffuse = LAMP * facing * seen
        open_ = AMBIENT + SKY * (0.5 + 0.5 * normal[1])
        light = open_ * self._openness(scene, points, normal, solid) + diffuse
        on_ground = solid < 0
        index = solid.clamp_min(0)
        color = torch.where(on_ground, self.grey, scene.colors[0][index].mT)
        shine = torch.where(on_ground, 0, scene.shine[0][index])
        reflected = directions - 2 * (directions * normal).sum(dim=0) * normal
        rise = reflected[1]
        around = self.grey + torch.where(rise > 0, (ZENITH - self.grey) * rise, (self.grey - NADIR) * rise)
        metal = color * (BODY * light + MIRROR * around)
        metal = metal + HIGHLIGHT * seen * (reflected * towards).sum(dim=0).clamp_min(0) ** SHARPNESS
        shaded = torch.lerp(color * light, metal, shine)
        near, far = self.fade
        faded = on_ground * ((points[::2].norm(dim=0) - near) / (far - near)).clamp(0, 1)
        return torch.lerp(shaded, torch.tensor(self.backdrop), faded).clamp(0, 1)

    def _visibility(self, scene: Solids, points: Tensor, solid: Tensor, lit: Tensor, sub: Tensor) -> Tensor:
        """The share of the lamp [R] that no other solid hides from points [3, R] that face it."""
        blocked = torch.zeros(self.strata**2, points.shape[1], dtype=torch.bool)
        for i in scene.filled():
            low, high = scene.bounds[0, i]
            margin = 0.75 * self.side * (high[1] / self.lamp[1]).clamp(0, 1)  # of rays to the lamp's corners
            near = meets_box(low - margin, high + margin, points, self._center - points)
            chosen = (near & lit & (solid != i)).nonzero()[:, 0]
            if len(chosen):
                origins = points[:, chosen].repeat(1, self.strata**2)
                towards = self._on_lamp(sub[:, chosen]).flatten(1) - origins
                blocked[:, chosen] |= is_blocked(scene.only(i), origins, towards).view(-1, len(chosen))
        return 1 - blocked.float().mean(dim=0)

    def _on_lamp(self, sub: Tensor) -> Tensor:
        """A point in each stratum of the lamp, at the place [2, R] in it -> [3, strata^2, R].

        Rays of one pixel have different places, and so penumbras have strata^2 x supersampling^2 levels.
        """
        corner = torch.cartesian_prod(*[torch.arange(self.strata)] * 2).mT
        u, v = self.side * ((corner[..., None] + sub[:, None]) / self.strata - 0.5)
        right, up = self._axes
        return self._center[..., None] + right[:, None, None] * u + up[:, None, None] * v

    def _openness(self, scene: Solids, points: Tensor, normal: Tensor, solid: Tensor) -> Tensor:
        """The share of the sky [R] that is left by balls in place of the other solids (contact darkening)."""
        left = torch.ones(points.shape[1])
        for i in scene.filled():
            low, high = scene.bounds[0, i]
            offset, radius = (low + high)[:, None] / 2 - points, (high[1] - low[1]) / 2
            square = (offset * offset).sum(dim=0).clamp_min(1e-6)
            raised = (offset * normal).sum(dim=0).clamp_min(0) * square.rsqrt()
            left = left * (1 - (solid != i) * raised * (radius * radius / square).clamp_max(1))
        return left

    @cached_property
    def _center(self) -> Tensor:
        return torch.tensor(self.lamp)[:, None]

    @cached_property
    def _axes(self) -> tuple[Tensor, Tensor]:
        """The directions of the lamp's sides, turned by 30 degrees: few edges are parallel to them."""
        forward = normalize(-self._center[:, 0], dim=0)
        right = normalize(torch.linalg.cross(forward, torch.tensor([0.0, 1.0, 0.0])), dim=0)
        up = torch.linalg.cross(right, forward)
        cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
        return cosine * right + sine * up, cosine * up - sine * right
