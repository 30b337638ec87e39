"""Views: pinhole cameras, windows on the image plane, and rays."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.errors import BadInput
from genscene.geometry.grid import Grid as Grid
from genscene.geometry.grid import Size as Size
from genscene.geometry.grid import pixel_centers

# Where the ray of a pixel crosses it: in its center (+0.5), in its upper left corner (official NeRF), or so
# that the
# outermost rays go through the border of the image (pi-GAN, GRAF, GIRAFFE)
PixelConvention = Literal["center", "corner", "border"]
LABEL_SIZE = 25  # numbers of a camera label


@dataclass(frozen=True)
class Rays:
    """Half-lines, one per pixel, row by row."""

    origins: Tensor  # [B, R, 3]
    directions: Tensor  # [B, R, 3], not normalised: distances are in units of their length

    def at(self, t: Tensor) -> Tensor:
        """t [B, R, S] -> points [B, R, S, 3]; in float64, since near the origin the sum cancels."""
        origins, directions, distances = as_float64(self.origins), as_float64(self.directions), as_float64(t)
        return torch.addcmul(origins[..., None, :], distances[..., None], directions[..., None, :]).to(t)

    def unit(self) -> "Rays":
        """The same rays with directions of length 1, so that t is in world units."""
        return replace(self, directions=normalize(as_float64(self.directions), dim=-1).to(self.directions))

    def ndc(self, focal: tuple[float, float], near: float = 1.0) -> "Rays":
        """Rays in normalised device coordinates: t 0 to 1 is depth `near` to infinity (NeRF, appendix C).

        For forward-facing scenes whose cameras look along -z, y upwards. focal: 2 f / side for x and y.
        """
        origins, directions = as_float64(self.origins), as_float64(self.directions)
        origins = origins - (near + origins[..., 2:]) / directions[..., 2:] * directions
        depth, slope = origins[..., 2:], directions[..., 2:]
        lens = torch.tensor(focal, dtype=origins.dtype, device=origins.device)
        across = -lens * origins[..., :2] / depth
        turned = -lens * (directions[..., :2] / slope - origins[..., :2] / depth)
        ndc = torch.cat([across, 1 + 2 * near / depth], -1), torch.cat([turned, -2 * near / depth], -1)
        return Rays(*(x.to(self.origins) for x in ndc))

    def t_from_ndc(self, t: Tensor, near: float = 1.0, far: float = 1e3) -> Tensor:
        """t [B, R, S] of `ndc` -> t along these rays, at most `far` (NeRF, appendix C)."""
        origin, slope = self.origins[..., 2:], self.directions[..., 2:]
        start = -(near + origin) / slope  # where the ray meets the near plane
        depth = origin + start * slope
        return start + (t * depth / slope / (1 - t).clamp_min(1e-6)).clamp(max=far)

    def to(self, device: torch.device | str) -> "Rays":
        """The same rays on another device."""
        return Rays(self.origins.to(device), self.directions.to(device))

    def __len__(self) -> int:
        """R, the number of rays of each picture."""
        return self.origins.shape[1]

    def __getitem__(self, part: slice) -> "Rays":
        """Some of the rays of every picture."""
        return Rays(self.origins[:, part], self.directions[:, part])


@dataclass(frozen=True)
class Camera:
    """B pinhole cameras with OpenCV axes: x right, y down, z forward."""

    pose: Tensor  # [B, 4, 4], camera to world
    intrinsics: Tensor  # [B, 3, 3], in units of the image sides, so they survive a resize
    size: Size  # (height, width) in pixels

    def rays(self, pixels: PixelConvention = "center") -> Rays:
        """One ray through every pixel, R = height * width; directions have z = 1 in the camera."""
        if pixels != "center":
            return self.centered(pixels).rays()
        height, width = self.size
        pose, intrinsics = as_float64(self.pose), as_float64(self.intrinsics)
        v, u = torch.meshgrid(pixel_centers(height, pose), pixel_centers(width, pose), indexing="ij")
        in_camera = torch.stack([u, v, torch.ones_like(u)], dim=-1).reshape(1, -1, 3)
        with no_autocast(pose):
            directions = (in_camera @ torch.linalg.inv(intrinsics).mT @ pose[:, :3, :3].mT).to(self.pose)
        return Rays(self.pose[:, None, :3, 3].expand_as(directions), directions)

    def centered(self, pixels: PixelConvention) -> "Camera":
        """The cameras whose rays through the centers of pixels are those of another convention."""
        if pixels == "border":
            return self.border_aligned()
        height, width = self.size
        offset = 0.0 if pixels == "center" else -0.5
        window = self.pose.new_tensor([1.0, offset / width, offset / height])
        return self.crop(window.expand(len(self), 3), self.size)

    def crop(self, window: Tensor, size: Size) -> "Camera":
        """Cameras of sub-windows [B, 3] = (scale, x, y), in image sides: only the intrinsics change."""
        scale, x, y = window.to(self.intrinsics).unbind(-1)
        inside = torch.eye(3).to(self.intrinsics).repeat(len(window), 1, 1)
        inside[:, 0, 0] = inside[:, 1, 1] = 1 / scale
        inside[:, 0, 2], inside[:, 1, 2] = -x / scale, -y / scale
        with no_autocast(inside):
            return replace(self, intrinsics=inside @ self.intrinsics, size=size)

    def border_aligned(self) -> "Camera":
        """The camera whose outermost pixel centers lie on the border of the image (pi-GAN, GIRAFFE, GRAF)."""
        stretch = torch.eye(3).to(self.intrinsics)
        for axis, pixels in enumerate(reversed(self.size)):
            if pixels > 1:  # a single pixel has its center in the middle
                stretch[axis, axis] = 1 - 1 / pixels
                stretch[axis, 2] = 0.5 / pixels
        with no_autocast(stretch):
            return replace(self, intrinsics=stretch @ self.intrinsics)

    def mirrored(self) -> "Camera":
        """The cameras of the left-right mirrored pictures: world x and camera x negated."""
        flip = torch.tensor([-1.0, 1.0, 1.0, 1.0]).to(self.pose)
        intrinsics = self.intrinsics.clone()
        intrinsics[:, 0, 2] = 1 - intrinsics[:, 0, 2]
        return replace(self, pose=flip[:, None] * self.pose * flip, intrinsics=intrinsics)

    def resized(self, size: Size) -> "Camera":
        """The same view in another number of pixels."""
        return replace(self, size=size)

    def reframed(self, size: Size) -> "Camera":
        """The same cameras for another picture shape: same pixel aspect and shorter side's field of view."""
        stretch = torch.tensor([self.size[1] / size[1], self.size[0] / size[0]]) * (
            min(size) / min(self.size)
        )
        stretch = stretch.to(self.intrinsics)
        intrinsics = self.intrinsics.clone()
        intrinsics[:, :2, :2] *= stretch[:, None]
        intrinsics[:, :2, 2] = 0.5 + (intrinsics[:, :2, 2] - 0.5) * stretch
        return replace(self, intrinsics=intrinsics, size=size)

    def label(self) -> Tensor:
        """The camera label of EG3D, pose then intrinsics, row by row -> [B, 25]."""
        return torch.cat([self.pose.flatten(1), self.intrinsics.flatten(1)], dim=1)

    @staticmethod
    def from_label(label: Tensor, size: Size) -> "Camera":
        """Camera labels [B, 25] (EG3D's dataset.json) -> B cameras."""
        if label.ndim != 2 or label.shape[1] != LABEL_SIZE:
            raise BadInput(
                f"a camera label has 25 numbers (4x4 pose, 3x3 intrinsics), got shape {tuple(label.shape)}"
            )
        return Camera(label[:, :16].unflatten(1, (4, 4)), label[:, 16:].unflatten(1, (3, 3)), size)

    def to(self, device: torch.device | str) -> "Camera":
        """The same cameras on another device."""
        return replace(self, pose=self.pose.to(device), intrinsics=self.intrinsics.to(device))

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, part: slice | Tensor) -> "Camera":
        """Some of the cameras."""
        return replace(self, pose=self.pose[part], intrinsics=self.intrinsics[part])


View = Camera | Grid | Rays
SHAPES: dict[type, dict[str, tuple[int | str, ...]]] = {
    Camera: {"pose": ("B", 4, 4), "intrinsics": ("B", 3, 3)},
    Grid: {"window": ("B", 3), "aspect": ("B",)},
    Rays: {"origins": ("B", "R", 3), "directions": ("B", "R", 3)},
}


def check_view(view: View) -> int:
    """B, the number of pictures; raises BadInput for what is no view, or one of the wrong shapes."""
    if type(view) not in SHAPES:
        raise BadInput(f"the view is a {type(view).__name__}, wanted a Camera, a Grid or Rays")
    given = {name: shape for name, shape in SHAPES[type(view)].items() if getattr(view, name) is not None}
    return check_shapes(type(view).__name__, view, given)["B"]


def check_shapes(
    what: str,
    value: object,
    wanted: Mapping[str, tuple[int | str, ...]],
    sizes: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """The sizes of named dimensions, like B in ("B", 4, 4), of a tensor or of those in a dataclass.

    Raises BadInput where the tensors do not have these shapes; sizes: those that are known before.
    """
    tensors, known = named_tensors(value, next(iter(wanted), "w")), dict(sizes or {})
    for name, dimensions in wanted.items():
        shape = [d if isinstance(d, int) else known.get(d, d) for d in dimensions]
        text = f"[{', '.join(map(str, shape))}]"
        if name not in tensors:
            raise BadInput(f"{what}: {name} is no tensor ({type(value).__name__}), wanted {text}")
        found = tuple(tensors[name].shape)
        if len(found) != len(shape) or any(
            isinstance(n, int) and n != f for n, f in zip(shape, found, strict=True)
        ):
            raise BadInput(f"{what}: {name} has shape {list(found)}, wanted {text}")
        known |= {d: n for d, n in zip(dimensions, found, strict=True) if isinstance(d, str)}
    return known


def named_tensors(value: Any, name: str = "w") -> dict[str, Tensor]:
    """A tensor, or those in the fields of (nested) dataclasses, by name."""
    if isinstance(value, Tensor):
        return {name: value}
    if not is_dataclass(value):
        return {}
    parts = [named_tensors(getattr(value, each.name), each.name) for each in fields(value)]
    return {key: tensor for part in parts for key, tensor in part.items()}


def batch_shapes(value: Any) -> dict[str, tuple[int | str, ...]]:
    """The shapes of named tensors for any batch "B", and any "O" of those that value.per_object names."""
    free, found = getattr(value, "per_object", ()), named_tensors(value)
    return {n: ("B", *("O" for _ in range(n in free)), *x.shape[1 + (n in free) :]) for n, x in found.items()}


def as_float64(x: Tensor) -> Tensor:
    """The same numbers in float64, where the device has it."""
    return x if x.device.type == "mps" else x.double()


def no_autocast(like: Tensor) -> torch.autocast:
    """Autocast off: the products of geometry need more than the 8 bits of bfloat16."""
    kind = like.device.type
    return torch.autocast("cpu" if kind == "meta" else kind, enabled=False)


def pinhole(fov: Tensor, size: Size) -> Tensor:
    """Fields of view [B] in degrees, across the shorter image side -> intrinsics [B, 3, 3] in image sides."""
    height, width = size
    focal = 0.5 / torch.tan(fov * (math.pi / 360))
    short = min(size)
    intrinsics = torch.eye(3).to(fov).repeat(len(fov), 1, 1)
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = focal * short / width, focal * short / height
    intrinsics[:, :2, 2] = 0.5
    return intrinsics


def look_at(eye: Tensor, up: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> Tensor:
    """Camera-to-world poses [B, 4, 4] of cameras at eye [B, 3] that face the origin, `up` upwards."""
    return look_along(eye, -eye, torch.tensor(up).to(eye))


def look_along(eye: Tensor, forward: Tensor, up: Tensor) -> Tensor:
    """Camera-to-world poses [B, 4, 4] of cameras at eye [B, 3] that face forward [B, 3], up [3] upwards."""
    forward = normalize(forward, dim=-1)
    right = normalize(torch.linalg.cross(forward, up.expand_as(forward)), dim=-1)
    down = torch.linalg.cross(forward, right)
    pose = torch.eye(4).to(eye).repeat(len(eye), 1, 1)
    pose[:, :3] = torch.stack([right, down, forward, eye], dim=-1)
    return pose


def transform_cameras(cameras: Camera, similarity: Tensor) -> Camera:
    """The same cameras after a similarity [4, 4] of the world; rotations stay orthonormal."""
    world = similarity.cpu().double()  # float32 is too coarse far from a file's origin
    pose = world @ cameras.pose.cpu().double()
    pose[:, :3, :3] /= torch.linalg.det(world[:3, :3]).abs() ** (1 / 3)
    return replace(cameras, pose=pose.to(cameras.pose))
