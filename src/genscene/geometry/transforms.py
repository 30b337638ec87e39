"""Where a scene is put before it is learnt, and the way back to the coordinates of its files."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize

PARALLEL = (
    1e-4  # mean squared sine between optical axes below which they meet nowhere in particular (half a degree)
)


@dataclass(frozen=True)
class WorldTransform:
    """A similarity of the world: x becomes scale * rotation @ (x - centre); float64."""

    scale: float = 1.0
    rotation: Tensor = field(default_factory=lambda: torch.eye(3, dtype=torch.float64))  # [3, 3]
    centre: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))  # [3]

    def points(self, points: Tensor) -> Tensor:
        """Points [..., 3] of the file's world -> of the scene's, in the precision they came in."""
        return (self.scale * (points.double() - self.centre) @ self.rotation.mT).to(points)

    def poses(self, pose: Tensor) -> Tensor:
        """Camera-to-world poses [N, 4, 4], which stay rigid: only their position is scaled."""
        moved = pose.clone()
        moved[:, :3, :3] = (self.rotation @ pose[:, :3, :3].double()).to(pose)
        moved[:, :3, 3] = self.points(pose[:, :3, 3])
        return moved

    def matrix(self) -> Tensor:
        """The same map for homogeneous points -> [4, 4]."""
        whole = torch.eye(4, dtype=torch.float64)
        whole[:3, :3] = self.scale * self.rotation
        whole[:3, 3] = -whole[:3, :3] @ self.centre
        return whole

    def inverse(self) -> "WorldTransform":
        """The way back, for what is exported."""
        return WorldTransform(1 / self.scale, self.rotation.mT, -self.scale * self.rotation @ self.centre)


def around(pose: Tensor) -> WorldTransform:
    """From poses [N, 4, 4]: mean camera up to +z, what the cameras look at to the origin, the farthest at
    distance 1.

    Cameras that look at no common point, being parallel or looking outwards, have their mean position at the
    origin.
    """
    middle = target(pose)
    if middle is None:
        middle = pose[:, :3, 3].mean(dim=0)
    farthest = float((pose[:, :3, 3] - middle).norm(dim=-1).max())
    return WorldTransform(1 / farthest if farthest > 1e-9 else 1.0, upright(-pose[:, :3, 1]), middle)


def target(pose: Tensor) -> Tensor | None:
    """The point nearest to all optical axes of poses [N, 4, 4] -> [3]; None if they are parallel or it lies
    behind.
    """
    if torch.linalg.eigvalsh(across(pose).mean(dim=0))[0] < PARALLEL:
        return None
    position, forward = pose[:, :3, 3], normalize(pose[:, :3, 2], dim=-1)
    point = crossing(pose)
    depth = ((point - position) * forward).sum(dim=-1)
    return point if bool(depth.median() > 0) else None


def crossing(pose: Tensor) -> Tensor:
    """The point nearest to the optical axes of poses [N, 4, 4], in the sense of least squares -> [3]."""
    sides = across(pose)
    return torch.linalg.solve(sides.sum(dim=0), (sides @ pose[:, :3, 3:]).sum(dim=0)[:, 0])


def across(pose: Tensor) -> Tensor:
    """What takes from a vector its part along each optical axis -> [N, 3, 3]."""
    forward = normalize(pose[:, :3, 2], dim=-1)
    return torch.eye(3, dtype=pose.dtype) - forward[:, :, None] * forward[:, None, :]


def upright(ups: Tensor) -> Tensor:
    """A rotation [3, 3] that takes the mean of directions [N, 3] to +z; the identity if it is there."""
    mean = ups.mean(dim=0)
    up = normalize(mean if mean.norm() > 1e-3 else ups[0], dim=0)
    aside = torch.eye(3, dtype=up.dtype)[up.abs().argmin()]
    x = normalize(aside - (aside @ up) * up, dim=0)
    return torch.stack([x, torch.linalg.cross(up, x), up])
