"""genscene export mesh|pointcloud|cameras|prior: a surface, points on it, a camera path, where cameras stand."""

import math
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
import trimesh
from rich.console import Console
from rich.progress import Progress
from tyro.conf import Positional

from genscene.apps.interpolate import styles
from genscene.apps.points import seen_points
from genscene.cli.options import bounded, ending, parse, tell
from genscene.cli.shots import FPS, FRAMES, PHOTOGRAPHS, PSI, bar, path_of
from genscene.errors import BadInput, nearest
from genscene.experiment.schema import build_seeded
from genscene.export import mesh
from genscene.export.plots import plot_prior
from genscene.geometry.camera_files import write_cameras
from genscene.io.atomic import atomic
from genscene.io.generator_file import load
from genscene.render.volume import positive
from genscene.scenes import Field
from genscene.systems import PRESETS

USAGE = """usage: genscene export mesh GENERATOR --out FILE.glb|obj|ply [--seed N] [--resolution N] [--level X] ...
       genscene export pointcloud GENERATOR --out FILE.ply [--count N]
       genscene export cameras GENERATOR --out FILE.json [--path orbit|photographs|...] [--frames N]
       genscene export prior PRESET|GENERATOR --out FILE.png [--count N]
"""
WHAT = ("mesh", "pointcloud", "cameras", "prior")


@dataclass(frozen=True)
class Mesh:
    """All options of export mesh."""

    generator: Positional[Path]  # a .safetensors file, or the folder of a run
    out: Path  # FILE.glb, .obj or .ply
    seed: int = 0  # which scene
    psi: float = 1.0  # truncation: 1 as trained, towards 0 closer to the average
    resolution: int = 128  # cubes along the longest side
    level: float | None = None  # density at which the surface is cut; default: half of what stops light
    keep: float = 0.05  # parts with less than this share of the largest one's faces are left out; 0: all stay


@dataclass(frozen=True)
class Points:
    """All options of export pointcloud."""

    generator: Positional[
        Path
    ]  # of one scene, learnt from photographs: a .safetensors file, or the folder of a run
    out: Path  # FILE.ply
    count: int = 200_000  # points, about
    opaque: float = 0.9  # rays that are stopped by less than this share of their light give no point


@dataclass(frozen=True)
class Cameras:
    """All options of export cameras."""

    generator: Positional[Path]  # a .safetensors file, or the folder of a run
    out: Path  # FILE.json
    path: str = "orbit"  # orbit, front, steep, zoom, dolly, spiral, photographs, ellipse, or a .json
    frames: int = 90  # cameras on the path
    fps: float = 30.0  # of the film it stands for


@dataclass(frozen=True)
class Prior:
    """All options of export prior."""

    source: Positional[str]  # a preset, a .safetensors file, or the folder of a run
    out: Path  # FILE.png
    count: int = 2000  # cameras drawn


def main(words: list[str]) -> None:
    """Run the verb."""
    if not words:
        raise BadInput(f"export what? wanted {', '.join(WHAT)} (see genscene export --help)")
    if words[0] in ("-h", "--help"):
        tell(USAGE)
    elif words[0] == "mesh":
        export_mesh(
            parse(Mesh, words[1:], "genscene export mesh", description="A coloured surface of one scene.")
        )
    elif words[0] == "pointcloud":
        export_points(
            parse(Points, words[1:], "genscene export pointcloud", description="Points of one scene.")
        )
    elif words[0] == "cameras":
        export_cameras(
            parse(Cameras, words[1:], "genscene export cameras", description="A camera path as JSON.")
        )
    elif words[0] == "prior":
        export_prior(
            parse(Prior, words[1:], "genscene export prior", description="A plot of where cameras stand.")
        )
    else:
        raise BadInput(f"cannot export {words[0]!r}; {nearest(words[0], WHAT)}")


def export_mesh(options: Mesh) -> None:
    """Marching cubes through the density of one scene."""
    ending("--out", options.out, mesh.ENDINGS)
    bounded("--seed", options.seed, 0, 10**18)
    bounded("--psi", options.psi, *PSI)
    bounded("--resolution", options.resolution, 2, 1024)
    bounded("--keep", options.keep, 0, 1)
    generator = load(options.generator)
    if generator.march is None or getattr(generator.config, "ndc", None) is not None:
        raise BadInput(
            f"{options.generator}: the scenes of this generator have no density to cut a surface from"
        )
    field = cast(Field, generator.bind(styles(generator, [options.seed], options.psi)))
    density = partial(positive, march=generator.march)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("asking for density")
        lattice = mesh.sample_density(
            field,
            density,
            generator.reach,
            options.resolution,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    level = mesh.level_of(lattice) if options.level is None else options.level
    made = mesh.colored(mesh.cleaned(mesh.surface(lattice, level), options.keep), field)
    if generator.photographed is not None:
        made.apply_transform(generator.photographed.to_files.double().numpy())
    mesh.save_mesh(options.out, made)
    tell(f"{options.out}: {len(made.vertices)} vertices, {len(made.faces)} faces, cut at density {level:.4g}")


def export_points(options: Points) -> None:
    """What the photographs' cameras see, in the coordinates of their files."""
    ending("--out", options.out, (".ply",))
    bounded("--count", options.count, 1, 10**7)
    bounded("--opaque", options.opaque, 0, 1)
    generator = load(options.generator)
    if generator.photographed is None or not len(generator.photographed.pose):
        raise BadInput(
            f"{options.generator} was not learnt from photographs: there are no cameras to see points from"
        )
    camera = generator.photographed.camera()
    side = max(1, math.ceil((options.count / len(camera)) ** 0.5))
    shots = bar(range(len(camera)), len(camera), "looking")
    seen = [seen_points(generator, camera[i : i + 1].resized((side, side)), options.opaque) for i in shots]
    points, colors = (torch.cat(column).double().numpy() for column in zip(*seen, strict=True))
    if not len(points):
        raise BadInput(
            f"--opaque {options.opaque}: no ray is stopped by more than that, there are no points to write"
        )
    cloud = trimesh.PointCloud(points, (255 * colors).round().astype("uint8"))
    cloud.apply_transform(generator.photographed.to_files.double().numpy())
    with atomic(options.out) as partial:
        cloud.export(str(partial))
    tell(f"{options.out}: {len(points)} points")


def export_cameras(options: Cameras) -> None:
    """A path around the generator's scenes."""
    ending("--out", options.out, (".json",))
    bounded("--frames", options.frames, 1, FRAMES)
    bounded("--fps", options.fps, *FPS)
    generator = load(options.generator)
    if generator.orbit is None:
        raise BadInput(f"{options.generator}: this generator has no cameras to write")
    if options.path == PHOTOGRAPHS and generator.photographed is not None:
        options = replace(options, frames=len(generator.photographed.pose))
    cameras = path_of(generator, options.path, options.frames, (1, 1))
    to_files = None if generator.photographed is None else generator.photographed.to_files
    write_cameras(options.out, cameras, options.frames / options.fps, to_files)
    tell(f"{options.out}: {len(cameras)} cameras")


def export_prior(options: Prior) -> None:
    """A plot of the cameras that a preset or a generator is trained with."""
    ending("--out", options.out, (".png",))
    bounded("--count", options.count, 1, 100_000)
    preset = PRESETS.get(options.source)
    generator = build_seeded(preset).generator if preset else load(options.source)
    if generator.orbit is None:
        raise BadInput(f"{options.source} has no cameras to plot")
    plot_prior(options.out, generator.orbit, options.count)
    tell(str(options.out))
