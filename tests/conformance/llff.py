"""LLFF scenes as NeRF's loader gives them: poses, bounds, video paths, the hold-out view."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from conformance.case import Case
from genscene.data.posed import PosedFiles, llff
from genscene.data.posed.posed_files import from_opengl
from genscene.geometry.cameras import Camera
from genscene.geometry.trajectories import average_pose, forward_spiral, spherified_path
from genscene.geometry.transforms import WorldTransform, spherifying_transform

Results = dict[str, Any]


def official_world(posed: PosedFiles, args: dict[str, Any]) -> PosedFiles:
    """Photographs in the world of NeRF's loader with these arguments: bd_factor, recenter, spherify."""
    if args.get("bd_factor") is not None:
        assert posed.bounds is not None
        posed = posed.transformed(WorldTransform(1 / (args["bd_factor"] * float(posed.bounds.min()))))
    if args.get("recenter"):
        posed = posed.transformed(llff.recentering_transform(posed.pose))
    if args.get("spherify"):
        posed = posed.transformed(spherifying_transform(posed.pose))
    return posed


def llff_poses(case: Case, scratch: Path) -> Results:
    settings, found = case.about["settings"], {}
    np.save(scratch / "poses_bounds.npy", case.arrays["inputs/poses_bounds"])
    sizes = {"images": (settings["image_width"], settings["image_height"])}
    if settings["factor"]:
        sizes[f"images_{settings['factor']}"] = (settings["factor_width"], settings["factor_height"])
    for folder, size in sizes.items():
        (scratch / folder).mkdir()
        for i in range(settings["n_images"]):
            Image.new("RGB", size).save(scratch / folder / f"{i:06}.png")
    for name, about in case.about["outputs"].items():
        args = settings | about["args"]
        folder = f"images_{args['factor']}" if args["factor"] else "images"
        values = quantity(official_world(llff.read(scratch, folder), args), args)
        for axis, part in enumerate(args.get("index", [])):
            values = values.index_select(axis, torch.arange(values.shape[axis])[slice(*part)])
        official = args.get("dtype") != "float64" and values.is_floating_point()
        found[name] = values.float() if official else values  # the official loader computes in float32
    return found


def quantity(posed: PosedFiles, args: dict[str, Any]) -> Tensor:
    """The part of the loader's result that args["of"] names."""
    assert posed.bounds is not None
    if args["of"] == "bds":
        return posed.bounds
    if args["of"] == "test":
        return torch.tensor([llff.held_out_index(posed)])
    if args["of"] == "average":
        return columns(average_pose(posed.pose)[None], posed)[0]
    return columns(video_path(posed, args) if args["of"] == "path" else posed.pose, posed)


def video_path(posed: PosedFiles, args: dict[str, Any]) -> Tensor:
    """The poses of the loader's video: a circle for spherified scenes, else a spiral."""
    cameras = Camera(posed.pose, posed.intrinsics, posed.sizes[0])
    frames = args["path_views"]
    if args["spherify"]:
        return spherified_path(cameras, frames if args["circle_endpoint"] else frames + 1).pose[:frames]
    assert posed.bounds is not None
    near = args["spiral_close_factor"] * float(posed.bounds.min())
    far = args["spiral_far_factor"] * float(posed.bounds.max())
    share = args["spiral_focus_far_share"]
    radii = posed.pose[:, :3, 3].abs().quantile(args["spiral_radius_percentile"] / 100, dim=0)
    return forward_spiral(cameras, frames, 1 / ((1 - share) / near + share / far), radii).pose


def columns(pose: Tensor, posed: PosedFiles) -> Tensor:
    """Poses as the loader has them: right, up, back, position, and (height, width, focal) [N, 3, 5]."""
    height, width = posed.sizes[0]
    shape = torch.tensor([height, width, float(posed.pixel_intrinsics()[0, 0, 0])], dtype=torch.float64)
    return torch.cat([from_opengl(pose)[:, :3], shape.expand(len(pose), 3)[..., None]], dim=-1)
