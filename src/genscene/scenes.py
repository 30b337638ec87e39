"""Scenes (a field, a canvas, or Gaussians), and what rendering them gives; photographs and samples of one."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from genscene.geometry.cameras import Camera, Rays

Vector = tuple[float, float, float]
SolidBackground = Literal["black", "white"]
Background = Literal["black", "white", "last"]  # last: the color of the farthest sample on the ray


class Field(Protocol):
    """A function of space, one per picture: features (colours, mostly) and raw density."""

    def __call__(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        """points, unit directions [B, N, 3] -> features [B, N, C], raw density [B, N]."""
        ...


class Canvas(Protocol):
    """A function of the image plane, one per picture."""

    def __call__(self, coords: Tensor) -> Tensor:
        """coords [B, 2, H, W] in [-1, 1] -> image [B, 3, H, W]."""
        ...


@dataclass(frozen=True)
class Gaussians:
    """B clouds of N anisotropic Gaussians, after every activation."""

    means: Tensor  # [B, N, 3]
    quats: Tensor  # [B, N, 4], unit, (w, x, y, z)
    scales: Tensor  # [B, N, 3], positive, in world units
    opacities: Tensor  # [B, N], 0 to 1
    colors: Tensor  # [B, N, 3], 0 or more; or coefficients of spherical harmonics [B, N, K, 3]
    # opacities are meant for the antialiased mode of `rasterize`
    antialiased: bool = field(default=False, kw_only=True)


Scene = Field | Canvas | Gaussians


@dataclass(frozen=True)
class Rendering:
    """B pictures, and what else the renderer computes; None: not available for this kind of scene."""

    image: Tensor  # [B, 3, H, W], sRGB, 0 to 1, not clamped
    # [B, 1, H, W], distance from the eye along the ray, in world units; 0: nothing hit
    depth: Tensor | None = None
    alpha: Tensor | None = None  # [B, 1, H, W], opacity, 0 to 1
    features: Tensor | None = None  # [B, C, h, w], what a network turned into the image
    object_alpha: Tensor | None = None  # [B, O, 1, H, W], opacity of each object of a composition
    rays: Rays | None = None  # [B, H * W], the rays that depth is measured along
    coarse: Tensor | None = None  # [B, 3, H, W], the picture of the coarse network (NeRF, eq. 6)
    # [B, 1, H, W], spread of the weights along the ray (Barron et al. 2022, eq. 15)
    distortion: Tensor | None = None


@dataclass(frozen=True)
class ImageBatch:
    """Real images for a discriminator."""

    images: Tensor  # [B, 3, H, W], sRGB, 0 to 1; with masks of objects [B, 4, H, W]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> "ImageBatch":
        """Some of the images."""
        return ImageBatch(self.images[part])

    def to(self, device: torch.device) -> "ImageBatch":
        """The same images on another device."""
        return ImageBatch(self.images.to(device))


@dataclass(frozen=True)
class PosedImageBatch(ImageBatch):
    """Real images with their cameras."""

    cameras: Camera  # B

    def __getitem__(self, part: slice) -> "PosedImageBatch":
        """Some of the images."""
        return PosedImageBatch(self.images[part], self.cameras[part])

    def to(self, device: torch.device) -> "PosedImageBatch":
        """The same images on another device."""
        return PosedImageBatch(self.images.to(device), self.cameras.to(device))


@dataclass(frozen=True)
class RenderedViews(PosedImageBatch):
    """B pictures of one scene on white, with their cameras and what photographs do not tell."""

    alpha: Tensor  # [B, 1, H, W], 0 to 1
    depth: Tensor  # [B, 1, H, W], distance from the eye, in world units
    points: Tensor  # [B, H * W, 3], where rays end

    def __getitem__(self, part: slice | Tensor) -> "RenderedViews":
        """Some of the views."""
        tensors = (self.alpha[part], self.depth[part], self.points[part])
        return RenderedViews(self.images[part], self.cameras[part], *tensors)


@dataclass(frozen=True)
class SceneViews:
    """One scene's latent code, and renderings of the scene; not cut into parts."""

    z: Tensor  # [1, latent_dim]
    views: RenderedViews

    def __len__(self) -> int:
        return 1

    def __getitem__(self, part: slice) -> "SceneViews":
        """The whole."""
        return self


@dataclass(frozen=True)
class RayBatch:
    """Rays through pixels of photographs, and the colors of these."""

    rays: Rays  # [1, R], z = 1 in the camera
    colors: Tensor  # [1, R, 3], 0 to 1

    def __len__(self) -> int:  # R
        return len(self.rays)

    def __getitem__(self, part: slice) -> "RayBatch":
        """Some of the rays."""
        return RayBatch(self.rays[part], self.colors[:, part])

    def to(self, device: torch.device) -> "RayBatch":
        """The same rays on another device."""
        return RayBatch(self.rays.to(device), self.colors.to(device))


@dataclass(frozen=True)
class PointBatch:
    """Points of the plane or of space, and what is known of a function there."""

    points: Tensor  # [1, N, D]
    values: Tensor  # [1, N, C]

    def __len__(self) -> int:  # N
        return self.points.shape[1]

    def __getitem__(self, part: slice) -> "PointBatch":
        """Some of the points."""
        return PointBatch(self.points[:, part], self.values[:, part])

    def to(self, device: torch.device) -> "PointBatch":
        """The same points on another device."""
        return PointBatch(self.points.to(device), self.values.to(device))


@dataclass(frozen=True)
class SparsePoints:
    """Points on the surfaces that photographs show, as structure from motion finds them."""

    positions: Tensor  # [M, 3]
    colors: Tensor  # [M, 3], 0 to 1


class PointSource(Protocol):
    """What a function is fitted to: a picture, or a surface."""

    def sample(self, seed: int, count: int) -> PointBatch:
        """So many random points, a function of the seed; all of them, in order, where there are no more."""
        ...


class PosedDataset(Protocol):
    """What a system may adapt to before it is built: photographs of one scene with cameras."""

    @property
    def camera(self) -> Camera:
        """The N cameras of the photographs."""

    @property
    def bounds(self) -> Tensor | None:
        """Nearest and farthest depth of each [N, 2], where known."""

    @property
    def background(self) -> SolidBackground | None:
        """The one color around what the photographs show, where there is one."""

    @property
    def has_alpha(self) -> bool:
        """Whether any photograph had transparent pixels."""

    @property
    def ground(self) -> Vector | None:
        """That color as photographed, 0 to 1, where it is not exactly the background."""

    @property
    def points(self) -> SparsePoints | None:
        """Points of the scene, where known."""

    @property
    def box(self) -> Vector | None:
        """Half sides of the box around the origin that holds what the cameras see, where known."""
