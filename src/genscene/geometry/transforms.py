"""Similarity transforms from the world of a scene's files to the world that it is trained in, and back."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize

PARALLEL = 1e-4  # mean squared sine between optical axes below which they count as parallel (half a degree)


@dataclass(frozen=True)
class WorldTransform:
    """The similarity transform x -> scale * rotation @ (x - center), in float64."""

    scale: float = 1.0
    rotation: Tensor = field(default_factory=lambda: torch.eye(3, dtype=torch.float64))  # [3, 3]
    center: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))  # [3]

    @staticmethod
    def from_matrix(matrix: Tensor) -> "WorldTransform":
        """The transform of a matrix [4, 4] as `matrix` gives it."""
        linear = matrix[:3, :3].double()
        scale = float(torch.linalg.det(linear)) ** (1 / 3)
        center = -torch.linalg.solve(linear, matrix[:3, 3].double())
        return WorldTransform(scale, linear / scale, center)

    def points(self, points: Tensor) -> Tensor:
        """Points [..., 3] -> transformed points [..., 3], in the precision of the input."""
        return (self.scale * (points.double() - self.center) @ self.rotation.mT).to(points)

    def poses(self, pose: Tensor) -> Tensor:
        """Camera-to-world poses [N, 4, 4] -> transformed poses [N, 4, 4], which stay rigid."""
        transformed = pose.clone()
        transformed[:, :3, :3] = (self.rotation @ pose[:, :3, :3].double()).to(pose)
        transformed[:, :3, 3] = self.points(pose[:, :3, 3])
        return transformed

    def matrix(self) -> Tensor:
        """The same transform for homogeneous points -> [4, 4]."""
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] = self.scale * self.rotation
        matrix[:3, 3] = -matrix[:3, :3] @ self.center
        return matrix

    def inverse(self) -> "WorldTransform":
        """The inverse transform."""
        return WorldTransform(1 / self.scale, self.rotation.mT, -self.scale * self.rotation @ self.center)

    def then(self, other: "WorldTransform") -> "WorldTransform":
        """This transform followed by another."""
        center = self.center + self.rotation.mT @ other.center / self.scale
        return WorldTransform(other.scale * self.scale, other.rotation @ self.rotation, center)


def centering_transform(pose: Tensor) -> WorldTransform:
    """From poses [N, 4, 4]: mean up to +z, the focus point to the origin, the farthest camera at distance 1.

    Where there is no focus point, the mean camera position goes to the origin.
    """
    center = focus_point(pose)
    if center is None:
        center = pose[:, :3, 3].mean(dim=0)
    farthest = float((pose[:, :3, 3] - center).norm(dim=-1).max())
    return WorldTransform(1 / farthest if farthest > 1e-9 else 1.0, _rotation_to_z(-pose[:, :3, 1]), center)


def spherifying_transform(pose: Tensor) -> WorldTransform:
    """From poses [N, 4, 4]: axes intersection to the origin, mean camera offset to +z, RMS distance 1.

    The x axis is perpendicular to (0.1, 0.2, 0.3), as in NeRF's LLFF loader (spherify_poses).
    """
    center = axes_intersection(pose)
    offsets = pose[:, :3, 3] - center
    z = normalize(offsets.mean(dim=0), dim=0)
    x = normalize(torch.linalg.cross(torch.tensor([0.1, 0.2, 0.3], dtype=z.dtype), z), dim=0)
    rotation = torch.stack([x, normalize(torch.linalg.cross(z, x), dim=0), z])
    return WorldTransform(float(1 / offsets.square().sum(dim=-1).mean().sqrt()), rotation, center)


def focus_point(pose: Tensor) -> Tensor | None:
    """The intersection of the optical axes of poses [N, 4, 4] -> [3]; None: parallel or facing away."""
    if torch.linalg.eigvalsh(_axis_complements(pose).mean(dim=0))[0] < PARALLEL:
        return None
    position, forward = pose[:, :3, 3], normalize(pose[:, :3, 2], dim=-1)
    point = axes_intersection(pose)
    depth = ((point - position) * forward).sum(dim=-1)
    return point if bool(depth.median() > 0) else None


def axes_intersection(pose: Tensor) -> Tensor:
    """The point with the least sum of squared distances to the optical axes of poses [N, 4, 4] -> [3]."""
    complements = _axis_complements(pose)
    return torch.linalg.solve(complements.sum(dim=0), (complements @ pose[:, :3, 3:]).sum(dim=0)[:, 0])


def _axis_complements(pose: Tensor) -> Tensor:
    """Projections onto the planes perpendicular to the optical axes of poses [N, 4, 4] -> [N, 3, 3]."""
    forward = normalize(pose[:, :3, 2], dim=-1)
    return torch.eye(3, dtype=pose.dtype) - forward[:, :, None] * forward[:, None, :]


def _rotation_to_z(directions: Tensor) -> Tensor:
    """A rotation [3, 3] that takes the mean of directions [N, 3] to +z; the identity where it is +z."""
    mean = directions.mean(dim=0)
    z = normalize(mean if mean.norm() > 1e-3 else directions[0], dim=0)
    other = torch.eye(3, dtype=z.dtype)[z.abs().argmin()]
    x = normalize(other - (other @ z) * z, dim=0)
    return torch.stack([x, torch.linalg.cross(z, x), z])
