"""What is in the scene beside pictures: cameras as frusta, the prior's patch of a sphere, keys of a path."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from genscene.geometry.cameras import Camera
from genscene.geometry.rotations import quaternion
from genscene.viewer.reach import Reach
from genscene.viewer.views import View

MOST = 150  # frusta of photographs
GRID, POINTS = 7, 49  # lines each way over the prior's patch, and points of each
PRIOR, PHOTOGRAPH, KEY = (64, 156, 255), (255, 170, 60), (80, 220, 140)  # colors
GLOBE = 132  # pixels of the side of the picture of the prior
PALE = "#6b7280"


def add_frusta(
    client: Any, name: str, views: Sequence[View], scale: float, color: tuple[int, int, int]
) -> list[Any]:
    """Views as frusta in a window's scene -> handles."""
    handles = []
    for i, view in enumerate(views):
        handles.append(
            client.scene.add_camera_frustum(
                f"/{name}/{i}",
                view.fov,
                view.aspect,
                scale=scale,
                thickness=1.5,
                thickness_units="screen",
                color=color,
                wxyz=tuple(quaternion(view.pose[None, :3, :3])[0].tolist()),
                position=tuple(view.eye.tolist()),
                cast_shadow=False,
                receive_shadow=False,
            )
        )
    return handles


def views_of(cameras: Camera) -> list[View]:
    """The cameras of photographs, evenly spaced ones where they are many."""
    count = min(MOST, len(cameras))
    chosen = torch.linspace(0, len(cameras) - 1, count).round().long().tolist()
    return [View.of_camera(cameras[i : i + 1]) for i in chosen]


def patch_lines(reach: Reach, grid: int = GRID, points: int = POINTS) -> list[np.ndarray]:
    """Lines of equal yaw and of equal pitch over the prior's patch of the unit sphere, each [points, 3]."""
    yaws = [reach.yaw[0] + reach.yaw[1] * (2 * i / (grid - 1) - 1) for i in range(grid)]
    pitches = [reach.pitch[0] + (reach.pitch[1] - reach.pitch[0]) * i / (grid - 1) for i in range(grid)]
    share = [i / (points - 1) for i in range(points)]
    lines = [[(yaw, reach.pitch[0] + (reach.pitch[1] - reach.pitch[0]) * s) for s in share] for yaw in yaws]
    lines += [[(reach.yaw[0] + reach.yaw[1] * (2 * s - 1), pitch) for s in share] for pitch in pitches]
    return [np.array([on_sphere(reach, *angles) for angles in line]) for line in lines]


def on_sphere(reach: Reach, yaw: float, pitch: float) -> tuple[float, float, float]:
    """The direction of a yaw and a pitch in the world."""
    x, y, z = math.sin(pitch) * math.cos(yaw), math.cos(pitch), math.sin(pitch) * math.sin(yaw)
    return (x, -z, y) if reach.prior.up == "z" else (x, y, z)


def add_patch(client: Any, reach: Reach) -> list[Any]:
    """The prior's patch in a window's scene -> handles."""
    segments = [np.stack([line[:-1], line[1:]], axis=1) for line in patch_lines(reach)]
    points = reach.prior.radius * np.concatenate(segments).astype(np.float32)
    return [client.scene.add_line_segments("/prior", points, PRIOR, thickness=2.0, thickness_units="screen")]


def globe(reach: Reach, view: View) -> str:
    """An SVG of the sphere of cameras: the prior's patch, and a dot where a view is.

    The sphere is seen from its front, a little from above; what is behind it is pale.
    """
    radius, middle = 0.42 * GLOBE, GLOBE / 2
    front = np.array(on_sphere(reach, math.pi / 2, math.radians(65)))
    up = np.array((0.0, 0.0, 1.0) if reach.prior.up == "z" else (0.0, 1.0, 0.0))
    right = np.cross(up, front)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(front, right), front])

    def project(points: np.ndarray) -> np.ndarray:
        return points @ axes.T

    parts = [f'<circle cx="{middle}" cy="{middle}" r="{radius}" fill="none" stroke="{PALE}"/>']
    blue = "rgb({},{},{})".format(*PRIOR)
    for line in patch_lines(reach, 5, 25):
        for part, behind in runs(project(line)):
            path = " ".join(f"{middle + radius * x:.1f},{middle - radius * y:.1f}" for x, y, _ in part)
            opacity = 0.25 if behind else 1
            parts.append(f'<polyline points="{path}" fill="none" stroke="{blue}" opacity="{opacity}"/>')
    eye = view.eye.numpy()
    x, y, z = project(eye / max(float(np.linalg.norm(eye)), 1e-9))
    fill = "#ffb347" if z >= 0 else "none"
    cx, cy = middle + radius * x, middle - radius * y
    style = f'r="4.5" fill="{fill}" stroke="#ffb347" stroke-width="2"'
    parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" {style}/>')
    size = f'width="{GLOBE}" height="{GLOBE}"'
    caption = '<div style="font-size:0.75em;opacity:0.7">cameras of the prior; the dot is this one</div>'
    return f'<div style="text-align:center"><svg {size}>{"".join(parts)}</svg>{caption}</div>'


def runs(points: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """A line [N, 3] in pieces before and behind the plane z = 0, and whether each is behind."""
    behind = points[:, 2] < 0
    cuts = np.flatnonzero(np.diff(behind)) + 1
    return [(part, bool(part[0, 2] < 0)) for part in np.split(points, cuts) if len(part) > 1]


def on_click(handles: Sequence[Any], views: Sequence[View], go: Callable[[View], None]) -> None:
    """Go to the view of a frustum that is clicked."""
    for handle, view in zip(handles, views, strict=True):
        handle.on_click(lambda _, view=view: go(view))
