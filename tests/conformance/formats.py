"""What the documented file formats say, from our readers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conformance.case import Case
from genscene.data.posed import blender, colmap, llff, pixels_of
from genscene.export.splats import read_ply, read_splat, write_ply, write_splat
from genscene.geometry.camera_files import read_labels
from genscene.geometry.cameras import Camera

Results = dict[str, Any]


def blender_scene(case: Case) -> Results:
    splits = [blender.read(case.folder / "files", split) for split in ("train", "val", "test")]
    train = splits[0]
    rgba = np.stack([pixels_of(path) for path in train.paths])
    straight = rgba / 255
    opengl = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
    return {
        "c2w_opencv": train.pose,
        "c2w_file": train.pose * opengl,
        "K": train.pixel_intrinsics()[0],
        "rgba": rgba,
        "on_white": straight[..., :3] * straight[..., 3:] + 1 - straight[..., 3:],
        "split_sizes": [len(split) for split in splits],
    }


def llff_scene(case: Case) -> Results:
    posed = llff.read(case.folder / "files")
    moved = llff.recentred(posed)
    return {
        "c2w_opencv": posed.pose,
        "K": posed.pixel_intrinsics()[0],
        "bounds": posed.bounds,
        "images": np.stack([pixels_of(path) for path in posed.paths]),
        "recentred_c2w_opencv": moved.pose.float(),  # the official loader computes them in single precision
        "recentred_bounds": moved.bounds.float(),
        "holdout": [llff.holdout(moved)],
    }


def colmap_model(case: Case) -> Results:
    both = [one_model(colmap.read(case.folder / "files" / kind)) for kind in ("binary", "text")]
    for name, value in both[0].items():
        assert np.allclose(np.asarray(value), np.asarray(both[1][name]), rtol=1e-12, atol=1e-12), name
    return both[0]


def one_model(model: colmap.Model) -> Results:
    lenses = [model.lenses[shot.camera] for shot in model.shots]
    return {
        "image_id": [shot.id for shot in model.shots],
        "camera_id": [shot.camera for shot in model.shots],
        "c2w_opencv": torch.stack([shot.pose for shot in model.shots]),
        "K": torch.stack([lens.intrinsics for lens in lenses]),
        "distortion": torch.stack([lens.distortion[:4] for lens in lenses]),
        "size": [lens.size[::-1] for lens in lenses],
        "points": model.points.positions,
        "colors": model.points.colors,
        "point_id": model.points.ids,
        "error": model.points.errors,
        "track_length": model.points.tracks,
        "n_points2d": [shot.points for shot in model.shots],
        "names_utf8": np.frombuffer("\n".join(shot.name for shot in model.shots).encode(), np.uint8),
    }


def eg3d_labels(case: Case) -> Results:
    path = case.folder / "files" / "dataset.json"
    labels = read_labels(path.read_bytes(), str(path), (512, 512))
    camera = Camera(
        *(torch.cat([getattr(c, n) for c in labels.values()]) for n in ("pose", "intrinsics")), (512, 512)
    )
    pixels = torch.tensor([[512.0], [512.0], [1.0]])
    return {
        "c2w_opencv": camera.pose,
        "K_normalised": camera.intrinsics,
        "K_pixels": camera.intrinsics * pixels,
        "mirrored_c2w": camera.mirrored().pose,
    }


def gaussian_ply(case: Case, scratch: Path) -> Results:
    files = case.folder / "files"
    full, bare, packed = (
        read_ply(files / "full.ply"),
        read_ply(files / "degree0.ply"),
        read_splat(files / "scene.splat"),
    )
    assert bare.sh_rest.shape == (20, 0, 3)
    assert np.array_equal(bare.means, full.means)
    write_ply(scratch / "again.ply", full)
    assert (scratch / "again.ply").read_bytes() == (files / "full.ply").read_bytes()
    write_splat(scratch / "again.splat", full)
    again = read_splat(scratch / "again.splat")
    assert np.array_equal(again.rgba, packed.rgba)
    assert np.array_equal(again.quats, packed.quats)
    assert np.allclose(again.scales, packed.scales, rtol=1e-6)
    raw = {n: getattr(full, n) for n in ("means", "f_dc", "sh_rest", "opacity_logit", "log_scales", "quats")}
    return raw | {
        "opacities": full.opacities(),
        "scales": full.scales(),
        "quats_normalised": full.unit_quats(),
        "dc_colors": full.colors(),
        "splat_scales": packed.scales,
        "splat_rgba": packed.rgba,
        "splat_quats": packed.quats,
    }


CASES: dict[str, Callable[..., Results]] = {
    "blender": blender_scene,
    "llff": llff_scene,
    "colmap": colmap_model,
    "eg3d_labels": eg3d_labels,
    "gaussian_ply": gaussian_ply,
}
