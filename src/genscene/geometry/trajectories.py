"""Camera trajectories: around the scene, sweeps, zooms, spirals, interpolation of given cameras, files."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.errors import BadInput, suggest
from genscene.geometry.camera_files import read_cameras
from genscene.geometry.cameras import Camera, Size, look_along, look_at, transform_cameras
from genscene.geometry.priors import CameraPrior, with_fov
from genscene.geometry.rotations import quaternion, rotation, slerp

Trajectory = Callable[[CameraPrior, int, Size], Camera]


def circle(prior: CameraPrior, frames: int, size: Size) -> Camera:
    """Once around at the mean pitch of the prior; the last frame precedes the first."""
    yaw, pitch = prior.mean_angles()
    return prior.camera_at(yaw + 2 * math.pi * _turns(frames), torch.full((frames,), pitch), size)


def front_sway(prior: CameraPrior, frames: int, size: Size) -> Camera:
    """Around the mean camera: +-0.4 rad of yaw, +-0.2 rad of pitch (pi-GAN's videos)."""
    yaw, pitch = prior.mean_angles()
    angle = 2 * math.pi * _turns(frames)
    return prior.camera_at(yaw + 0.4 * angle.sin(), pitch + 0.2 * angle.cos(), size)


def steep_sweep(prior: CameraPrior, frames: int, size: Size) -> Camera:
    """Yaw from -3 to +3 standard deviations of the prior, beyond the training poses (pi-GAN, fig. 7)."""
    yaw, pitch = prior.mean_angles()
    sweep = torch.linspace(-1, 1, frames)
    half = min(3 * prior.yaw[1], math.pi)
    return prior.camera_at(yaw + half * sweep, pitch - 0.5 * prior.pitch[1] * (1 - sweep.square()), size)


def elevation(prior: CameraPrior, frames: int, size: Size) -> Camera:
    """Up and down at the mean yaw, by the prior's spread of pitch, 15 degrees at least."""
    yaw, pitch = prior.mean_angles()
    reach = max(prior.pitch[1], math.radians(15))
    return prior.camera_at(
        torch.full((frames,), yaw), pitch - reach * (2 * math.pi * _turns(frames)).sin(), size
    )


def zoom(prior: CameraPrior, frames: int, size: Size) -> Camera:
    """A fixed eye whose field of view changes by +-40 %."""
    return with_fov(
        _mean_camera(prior, frames, size), prior.fov * (1 + 0.4 * (2 * math.pi * _turns(frames)).sin())
    )


def dolly(prior: CameraPrior, frames: int, size: Size) -> Camera:
    """A fixed field of view, an eye that moves by +-20 % of its distance along the optical axis."""
    camera = _mean_camera(prior, frames, size)
    pose = camera.pose.clone()
    pose[:, :3, 3] *= (1 + 0.2 * (2 * math.pi * _turns(frames)).sin())[:, None]
    return replace(camera, pose=pose)


def climbing_spiral(prior: CameraPrior, frames: int, size: Size) -> Camera:
    """Two turns while pitch goes through the range of the prior, from low to high."""
    yaw, pitch = prior.mean_angles()
    height = torch.linspace(1, -1, frames) * prior.pitch[1]
    return prior.camera_at(yaw + 4 * math.pi * _turns(frames), pitch + height, size)


def interpolate_cameras(keys: Camera, frames: int) -> Camera:
    """Interpolate K cameras in order, evenly in time -> `frames` cameras.

    Rotations follow the shorter arc (slerp); the origin in the camera's own axes is interpolated linearly, so
    that between cameras that face the origin every frame faces it.
    """
    if len(keys) == 1:
        return keys[torch.zeros(frames, dtype=torch.long)]
    place = torch.linspace(0, len(keys) - 1, frames)
    start = place.long().clamp_max(len(keys) - 2)
    share = (place - start)[:, None]
    matrices = keys.pose[:, :3, :3]
    quats, eyes = quaternion(matrices), (matrices.mT @ keys.pose[:, :3, 3:])[..., 0]
    turned = rotation(slerp(quats[start], quats[start + 1], share))
    pose = keys.pose[start].clone()
    pose[:, :3, :3] = turned
    pose[:, :3, 3] = (turned @ torch.lerp(eyes[start], eyes[start + 1], share)[..., None])[..., 0]
    return Camera(
        pose, torch.lerp(keys.intrinsics[start], keys.intrinsics[start + 1], share[..., None]), keys.size
    )


def through_cameras(cameras: Camera, count: int) -> Camera:
    """Cameras in order, interpolated to so many; where there are more, evenly spaced ones of them."""
    if count <= len(cameras):
        return cameras[torch.linspace(0, len(cameras) - 1, count).round().long()]
    return interpolate_cameras(cameras, count)


def ellipse(given: Camera, frames: int) -> Camera:
    """An ellipse around the origin at the mean height of given cameras, z up (mip-NeRF 360's videos).

    Its half axes along x and y are the 90th percentiles of the cameras' distances.
    """
    eye = given.pose[:, :3, 3]
    radii = eye[:, :2].abs().quantile(0.9, dim=0)
    angle = 2 * math.pi * _turns(frames).to(eye)
    across = torch.stack([angle.cos(), angle.sin()], dim=-1) * radii
    eyes = torch.cat([across, eye[:, 2].mean().expand(frames, 1)], dim=-1)
    return Camera(
        look_at(eyes, (0.0, 0.0, 1.0)), given.intrinsics.mean(dim=0).expand(frames, 3, 3), given.size
    )


def spherified_path(given: Camera, frames: int) -> Camera:
    """A circle about the z axis at the mean height and RMS distance of given cameras.

    The first and last frame are the same, as in the video path of NeRF's LLFF loader (spherify_poses).
    """
    eye = given.pose[:, :3, 3]
    height = eye[:, 2].mean()
    radius = (eye.square().sum(dim=-1).mean() - height.square()).clamp_min(0).sqrt()
    angle = torch.linspace(0, 2 * math.pi, frames, dtype=eye.dtype, device=eye.device)
    eyes = torch.stack([radius * angle.cos(), radius * angle.sin(), height.expand(frames)], dim=-1)
    intrinsics = given.intrinsics.mean(dim=0).expand(frames, 3, 3)
    return Camera(look_at(eyes, (0.0, 0.0, 1.0)), intrinsics, given.size)


def forward_spiral(given: Camera, frames: int, focus: float = 0.0, radii: Tensor | None = None) -> Camera:
    """LLFF's spiral about the average of cameras that face one way (NeRF's videos).

    focus: the depth of the point that all frames face; 0: the origin's depth, or, where that is not in front,
    the depth for scenes in normalised device coordinates. radii [3]: half axes along the average camera's
    axes; None: the 90th percentile of the cameras' distances along each.
    """
    middle = average_pose(given.pose)
    axes, eye = middle[:3, :3], middle[:3, 3]
    if radii is None:
        radii = ((given.pose[:, :3, 3] - eye) @ axes).abs().quantile(0.9, dim=0)
    origin = float(-(eye @ axes[:, 2]))
    focus = focus or (origin if origin > 0.1 else llff_focus_depth(4 / 3, math.inf))
    angle = 4 * math.pi * _turns(frames).to(eye)
    offsets = torch.stack([angle.cos(), angle.sin(), (angle / 2).sin()], dim=-1) * radii
    eyes = offsets @ axes.mT + eye
    pose = look_along(eyes, eye + focus * axes[:, 2] - eyes, -given.pose[:, :3, 1].sum(dim=0))
    return Camera(pose, given.intrinsics.mean(dim=0).expand(frames, 3, 3), given.size)


def average_pose(pose: Tensor) -> Tensor:
    """Poses [N, 4, 4] -> the pose [4, 4] of mean position, mean direction and mean up (NeRF's loader)."""
    forward = normalize(pose[:, :3, 2].sum(dim=0), dim=0)
    right = normalize(torch.linalg.cross(pose[:, :3, 1].sum(dim=0), forward), dim=0)
    middle = torch.eye(4).to(pose)
    middle[:3] = torch.stack(
        [right, torch.linalg.cross(forward, right), forward, pose[:, :3, 3].mean(dim=0)], dim=-1
    )
    return middle


def llff_focus_depth(near: float, far: float) -> float:
    """The depth in focus of NeRF's spiral for the nearest and farthest depth of a scene (NeRF's loader)."""
    return 1 / (0.25 / (0.9 * near) + 0.75 / (5 * far))


TRAJECTORIES: dict[str, Trajectory] = {
    "orbit": circle,
    "front": front_sway,
    "steep": steep_sweep,
    "elevation": elevation,
    "zoom": zoom,
    "dolly": dolly,
    "spiral": climbing_spiral,
}


def trajectory(
    path: str,
    prior: CameraPrior,
    frames: int,
    size: Size,
    to_files: Tensor | None = None,
    also: Iterable[str] = (),
) -> Camera:
    """The named trajectory, or the one through the cameras of a JSON file, in so many frames.

    to_files [4, 4]: transform from the scene's world to that of the file; None: the identity. also: further
    names for the error line. Raises BadInput for a path that is neither a name nor a .json.
    """
    if path in TRAJECTORIES:
        return TRAJECTORIES[path](prior, frames, size)
    if Path(path).suffix != ".json":
        raise BadInput(
            f"unknown path {path!r}; {suggest(path, [*TRAJECTORIES, *also])}, or a .json of cameras"
        )
    keys = read_cameras(path, size)
    if to_files is not None:
        keys = transform_cameras(keys, torch.linalg.inv(to_files.cpu().double()))
    return keys if len(keys) == frames else interpolate_cameras(keys, frames)


def _turns(frames: int) -> Tensor:
    """Fractions of one turn, from 0, without its end -> [frames]."""
    return torch.arange(frames) / frames


def _mean_camera(prior: CameraPrior, frames: int, size: Size) -> Camera:
    yaw, pitch = prior.mean_angles()
    return prior.camera_at(torch.full((frames,), yaw), torch.full((frames,), pitch), size)
