"""Paths to film along: a turn around the scene, a sweep, a zoom, the way between given cameras, those of a file."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.errors import BadInput, nearest
from genscene.geometry.camera_files import read_cameras
from genscene.geometry.cameras import Camera, Size, look_along, look_at, moved
from genscene.geometry.priors import CameraPrior, with_fov
from genscene.geometry.rotations import quaternion, rotation, slerp

PathMaker = Callable[[CameraPrior, int, Size], Camera]


def circle(orbit: CameraPrior, frames: int, size: Size) -> Camera:
    """Once around at the prior's middle height; the last frame meets the first."""
    yaw, pitch = orbit.centre()
    return orbit.at(yaw + 2 * math.pi * _turns(frames), torch.full((frames,), pitch), size)


def front(orbit: CameraPrior, frames: int, size: Size) -> Camera:
    """Sway about the middle of the prior: +-0.4 rad of yaw, +-0.2 of pitch (pi-GAN's videos)."""
    yaw, pitch = orbit.centre()
    angle = 2 * math.pi * _turns(frames)
    return orbit.at(yaw + 0.4 * angle.sin(), pitch + 0.2 * angle.cos(), size)


def steep(orbit: CameraPrior, frames: int, size: Size) -> Camera:
    """From three deviations on one side to three on the other, far beyond the training poses (pi-GAN, fig. 7)."""
    yaw, pitch = orbit.centre()
    sweep = torch.linspace(-1, 1, frames)
    reach = min(3 * orbit.yaw[1], math.pi)
    return orbit.at(yaw + reach * sweep, pitch - 0.5 * orbit.pitch[1] * (1 - sweep.square()), size)


def zoom(orbit: CameraPrior, frames: int, size: Size) -> Camera:
    """The eye stands still, the field of view breathes by +-40 %."""
    return with_fov(_still(orbit, frames, size), orbit.fov * (1 + 0.4 * (2 * math.pi * _turns(frames)).sin()))


def dolly(orbit: CameraPrior, frames: int, size: Size) -> Camera:
    """The field of view stands still, the eye moves 20 % closer and farther along its axis."""
    camera = _still(orbit, frames, size)
    pose = camera.pose.clone()
    pose[:, :3, 3] *= (1 + 0.2 * (2 * math.pi * _turns(frames)).sin())[:, None]
    return replace(camera, pose=pose)


def spiral(orbit: CameraPrior, frames: int, size: Size) -> Camera:
    """Two turns while climbing from low to high through the heights of the prior."""
    yaw, pitch = orbit.centre()
    height = torch.linspace(1, -1, frames) * orbit.pitch[1]
    return orbit.at(yaw + 4 * math.pi * _turns(frames), pitch + height, size)


def fan(orbit: CameraPrior, count: int, size: Size) -> Camera:
    """Cameras side by side: evenly around where the prior goes all round, else across what it covers."""
    yaw, pitch = orbit.centre()
    reach = min(5 / 3 * orbit.yaw[1], (1 - 1 / count) * math.pi)
    return orbit.at(yaw + reach * torch.linspace(-1, 1, count), torch.full((count,), pitch), size)


def between(keys: Camera, frames: int) -> Camera:
    """Through K cameras in turn, evenly in time; on the way from one to the next the eye keeps facing the origin.

    Rotations follow the shorter arc; the origin, as each camera sees it, moves in a straight line. So cameras that
    look at the origin never let go of it, even on the way from the front to the back.
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


def ellipse(given: Camera, frames: int) -> Camera:
    """Once around the origin as given cameras stand, z upwards: at their mean height, as far out along x and y.

    Nine in ten of the cameras stand within (as in mip-NeRF 360's films).
    """
    eye = given.pose[:, :3, 3]
    radii = eye[:, :2].abs().quantile(0.9, dim=0)
    angle = 2 * math.pi * _turns(frames).to(eye)
    across = torch.stack([angle.cos(), angle.sin()], dim=-1) * radii
    stands = torch.cat([across, eye[:, 2].mean().expand(frames, 1)], dim=-1)
    return Camera(
        look_at(stands, (0.0, 0.0, 1.0)), given.intrinsics.mean(dim=0).expand(frames, 3, 3), given.size
    )


def spherified_path(given: Camera, frames: int) -> Camera:
    """A circle about the z axis at the given cameras' mean height and RMS distance, z upwards, facing the origin.

    The first and last frame are the same, as in NeRF's LLFF loader (spherify_poses).
    """
    eye = given.pose[:, :3, 3]
    height = eye[:, 2].mean()
    radius = (eye.square().sum(dim=-1).mean() - height.square()).clamp_min(0).sqrt()
    angle = torch.linspace(0, 2 * math.pi, frames, dtype=eye.dtype, device=eye.device)
    positions = torch.stack([radius * angle.cos(), radius * angle.sin(), height.expand(frames)], dim=-1)
    intrinsics = given.intrinsics.mean(dim=0).expand(frames, 3, 3)
    return Camera(look_at(positions, (0.0, 0.0, 1.0)), intrinsics, given.size)


def winding(given: Camera, frames: int, focus: float = 0.0, radii: Tensor | None = None) -> Camera:
    """A spiral about the middle of cameras that face one way, as NeRF's films: two turns across, one along the view.

    focus: the depth it looks at; 0: the origin's, or, where that is not in front, what suits NeRF's bent scenes.
    radii [3]: how wide it is along the average camera's axes; None: as nine in ten of the cameras stand.
    """
    middle = average(given.pose)
    axes, eye = middle[:3, :3], middle[:3, 3]
    if radii is None:
        radii = ((given.pose[:, :3, 3] - eye) @ axes).abs().quantile(0.9, dim=0)
    origin = float(-(eye @ axes[:, 2]))
    focus = focus or (origin if origin > 0.1 else focal_depth(4 / 3, math.inf))
    angle = 4 * math.pi * _turns(frames).to(eye)
    way = torch.stack([angle.cos(), angle.sin(), (angle / 2).sin()], dim=-1) * radii
    stands = way @ axes.mT + eye
    pose = look_along(stands, eye + focus * axes[:, 2] - stands, -given.pose[:, :3, 1].sum(dim=0))
    return Camera(pose, given.intrinsics.mean(dim=0).expand(frames, 3, 3), given.size)


def average(pose: Tensor) -> Tensor:
    """The camera in the middle of poses [N, 4, 4]: mean position, mean direction, mean up -> [4, 4] (NeRF's loader)."""
    forward = normalize(pose[:, :3, 2].sum(dim=0), dim=0)
    right = normalize(torch.linalg.cross(pose[:, :3, 1].sum(dim=0), forward), dim=0)
    middle = torch.eye(4).to(pose)
    middle[:3] = torch.stack(
        [right, torch.linalg.cross(forward, right), forward, pose[:, :3, 3].mean(dim=0)], dim=-1
    )
    return middle


def focal_depth(near: float, far: float) -> float:
    """The depth that NeRF's films look at in a scene whose nearest and farthest depths are these."""
    return 1 / (0.25 / (0.9 * near) + 0.75 / (5 * far))


PATHS: dict[str, PathMaker] = {
    "orbit": circle,
    "front": front,
    "steep": steep,
    "zoom": zoom,
    "dolly": dolly,
    "spiral": spiral,
}


def along(
    path: str,
    orbit: CameraPrior,
    frames: int,
    size: Size,
    to_files: Tensor | None = None,
    also: Iterable[str] = (),
) -> Camera:
    """The named path, or the one through the cameras of a JSON file, in so many frames.

    to_files [4, 4]: from the scene's world to that of the file; None: they are the same. also: other names that are
    known where this is called from. Raises BadInput for a path that is neither a name nor a .json.
    """
    if path in PATHS:
        return PATHS[path](orbit, frames, size)
    if Path(path).suffix != ".json":
        raise BadInput(f"unknown path {path!r}; {nearest(path, [*PATHS, *also])}, or a .json of cameras")
    keys = read_cameras(path, size)
    if to_files is not None:
        keys = moved(keys, torch.linalg.inv(to_files.cpu().double()))
    return keys if len(keys) == frames else between(keys, frames)


def _turns(frames: int) -> Tensor:
    """Shares of one turn, without its end -> [frames]."""
    return torch.arange(frames) / frames


def _still(orbit: CameraPrior, frames: int, size: Size) -> Camera:
    yaw, pitch = orbit.centre()
    return orbit.at(torch.full((frames,), yaw), torch.full((frames,), pitch), size)
