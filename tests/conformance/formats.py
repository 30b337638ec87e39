"""File formats, read by this library's readers: one function for each kind of case."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from conformance.case import Case
from conformance.llff import official_world
from genscene.data.posed import blender, llff
from genscene.data.posed.colmap.loader import read_model
from genscene.data.posed.colmap.model import DISTORTION, ColmapModel
from genscene.data.posed.posed_files import from_opengl
from genscene.export.splats import Splats, read_ply, read_splat, write_ply, write_splat
from genscene.geometry.camera_files import read_labels
from genscene.geometry.cameras import Camera

Results = dict[str, Any]


def outputs(case: Case) -> dict[str, dict[str, Any]]:
    """The arguments of every output: those of its own over the settings of the case."""
    settings = case.about["settings"]
    return {name: settings | about.get("args", {}) for name, about in case.about["outputs"].items()}


def like(case: Case, name: str, values: Any) -> Any:
    """Values of N photographs, or of the first alone where the stored output has one dimension less."""
    return values[0] if len(case.about["outputs"][name]["shape"]) < values.ndim else values


def in_axes(pose: torch.Tensor, axes: str) -> torch.Tensor:
    """Poses with OpenCV axes -> with these camera axes."""
    return pose if axes == "opencv" else from_opengl(pose)


def read_pixels(paths: tuple[Path, ...], mode: str | None = None) -> np.ndarray:
    """Image files as stored, or converted to a mode -> uint8 [N, H, W, C]."""
    images = [Image.open(path) for path in paths]
    return np.stack([np.asarray(image.convert(mode) if mode else image) for image in images])


def blender_scene(case: Case) -> Results:
    files, found = case.folder / "files", {}
    for name, args in outputs(case).items():
        if name.startswith("split"):
            found[name] = [len(blender.read(files, split)) for split in args["splits"]]
            continue
        posed = blender.read(files, args["split"])
        rgba = read_pixels(posed.paths, "RGBA")
        if name.startswith("c2w"):
            found[name] = like(case, name, in_axes(posed.pose, args["axes"]))
        elif name.startswith("K"):
            found[name] = like(case, name, posed.pixel_intrinsics())
        elif name == "rgba":
            found[name] = rgba
        else:  # composited on a background
            color, alpha = rgba[..., :3] / 255, rgba[..., 3:] / 255
            color = color if args["alpha_premultiplied"] else color * alpha
            found[name] = color + (1 - alpha) * np.array(args["background"])
    return found


def llff_scene(case: Case) -> Results:
    folders = {Path(name).parent.as_posix() for name in case.about["settings"]["files"]} - {"."}
    found: Results = {}
    for name, args in outputs(case).items():
        factor = args.get("factor")
        folder = f"images_{factor}" if factor else "images" if "images" in folders else min(folders)
        posed = official_world(llff.read(case.folder / "files", folder), args)
        official = args.get("bd_factor") is not None or args.get("recenter")
        dtype = torch.float32 if official else torch.float64  # what the official loader computes in
        if "c2w" in name:
            found[name] = like(case, name, in_axes(posed.pose, args["axes"]).to(dtype))
        elif name.endswith("bounds"):
            assert posed.bounds is not None
            found[name] = posed.bounds.to(dtype)
        elif name.startswith("K"):
            found[name] = like(case, name, posed.pixel_intrinsics())
        elif name == "images":
            found[name] = read_pixels(posed.paths)
        else:
            found[name] = [llff.held_out_index(posed)]
    return found


def colmap_model(case: Case) -> Results:
    folders = case.about["settings"]["folders"]
    found = [one_model(read_model(case.folder / "files" / folder), outputs(case)) for folder in folders]
    for other in found[1:]:
        for name, value in found[0].items():
            assert np.allclose(np.asarray(value), np.asarray(other[name]), rtol=1e-12, atol=1e-12), name
    return found[0]


def one_model(model: ColmapModel, wanted: dict[str, dict[str, Any]]) -> Results:
    """The outputs of a COLMAP model, per image or point in the order of its files."""
    images, points = model.images, model.points
    cameras = [model.cameras[image.camera_id] for image in images]
    settings = next(iter(wanted.values()))
    intrinsics = torch.stack([camera.intrinsics for camera in cameras])
    intrinsics[:, :2, 2] += settings["pixel_offset"] - 0.5  # ours: the center of the first pixel is at 0.5
    distortion = torch.stack([camera.distortion for camera in cameras])
    order = wanted.get("distortion", {}).get("order", DISTORTION)
    axes = wanted.get("c2w_opencv", {}).get("axes", "opencv")
    found = {
        "image_id": [image.id for image in images],
        "camera_id": [image.camera_id for image in images],
        "c2w_opencv": in_axes(torch.stack([image.pose for image in images]), axes),
        "K": intrinsics,
        "distortion": distortion[:, [DISTORTION.index(term) for term in order]],
        "size": [camera.size[::-1] for camera in cameras],
        "points": points.positions,
        "colors": points.colors,
        "point_id": points.ids,
        "error": points.errors,
        "track_length": points.track_lengths,
        "n_points2d": [image.point_count for image in images],
        "names_utf8": np.frombuffer("\n".join(image.name for image in images).encode(), np.uint8),
    }
    return {name: found[name] for name in wanted}


def eg3d_labels(case: Case) -> Results:
    (name,) = case.about["settings"]["files"]
    path = case.folder / "files" / name
    labels = list(read_labels(path.read_bytes(), str(path), (1, 1)).values())
    pose, intrinsics = torch.cat([c.pose for c in labels]), torch.cat([c.intrinsics for c in labels])
    found: Results = {}
    for name, args in outputs(case).items():
        camera = Camera(pose, intrinsics, (1, 1))
        camera = camera.mirrored() if args.get("mirrored") else camera
        if "c2w" in name:
            found[name] = camera.pose
        else:
            sides = torch.tensor([[args["size"]], [args["size"]], [1.0]], dtype=torch.float64)
            found[name] = camera.intrinsics * sides
    return found


def gaussian_ply(case: Case, scratch: Path) -> Results:
    files, found = case.folder / "files", {}
    for name in case.about["settings"]["files"]:
        path = files / name
        if path.suffix == ".ply":
            splats = read_ply(path)
            written = scratch / name
            write_ply(written, splats)
            assert all(
                np.array_equal(a, b)
                for a, b in zip(vars(read_ply(written)).values(), vars(splats).values(), strict=True)
            )
            if b"property float nx\n" in path.read_bytes():  # files without normals are written with them
                assert written.read_bytes() == path.read_bytes()
            found[name] = gaussians(splats)
        else:
            packed = read_splat(path)
            found[name] = {f"splat_{key}": getattr(packed, key) for key in ("scales", "rgba", "quats")}
    check_splat_writer(case, scratch)
    results: Results = {}
    for output, args in outputs(case).items():
        values = [found[name][output] for name in args["files"]]
        assert all(np.array_equal(values[0], other) for other in values[1:]), output
        results[output] = values[0]
    return results


def gaussians(splats: Splats) -> Results:
    """The outputs of a .ply: stored values, and values after activation."""
    names = ("means", "f_dc", "sh_rest", "opacity_logit", "log_scales", "quats")
    return {name: getattr(splats, name) for name in names} | {
        "opacities": splats.opacities(),
        "scales": splats.scales(),
        "quats_normalised": splats.unit_quats(),
        "dc_colors": splats.colors(),
    }


def check_splat_writer(case: Case, scratch: Path) -> None:
    """The .splat written from the first .ply of a case is its .splat."""
    names = [Path(name) for name in case.about["settings"]["files"]]
    plies, packed = ([name for name in names if name.suffix == suffix] for suffix in (".ply", ".splat"))
    if not plies or not packed:
        return
    write_splat(scratch / "written.splat", read_ply(case.folder / "files" / plies[0]))
    written, stored = read_splat(scratch / "written.splat"), read_splat(case.folder / "files" / packed[0])
    assert np.array_equal(written.rgba, stored.rgba)
    assert np.array_equal(written.quats, stored.quats)
    assert np.allclose(written.scales, stored.scales, rtol=1e-6)


KINDS: dict[str, Callable[..., Results]] = {
    "blender": blender_scene,
    "llff": llff_scene,
    "colmap": colmap_model,
    "eg3d_labels": eg3d_labels,
    "gaussian_ply": gaussian_ply,
}
