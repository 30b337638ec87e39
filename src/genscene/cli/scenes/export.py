"""genscene export mesh|pointcloud|splats|distilled|cameras|prior: scenes, trajectories, a plot, as files."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import trimesh
from tyro.conf import Positional, arg

from genscene.apps.distill import SCENES, VIEWS, DistillOptions, distill
from genscene.apps.points import sample_surface
from genscene.apps.scene_mesh import extract_scene_mesh, has_surface
from genscene.apps.splat_fitting import UNSEEN, FitOptions, fit_scene
from genscene.apps.splat_scene import axis, placement_of, read_scene
from genscene.cli.shared.latents import choose_scene
from genscene.cli.shared.options import parse, print_line, require_range, require_suffix
from genscene.cli.shared.progress import timed_progress
from genscene.cli.shared.rendering import FPS, FRAMES, PHOTOGRAPHS, PSI, camera_prior, views_along
from genscene.cli.shared.several import require_scenes, seed_files
from genscene.devices import require_memory
from genscene.errors import BadInput, suggest
from genscene.experiment.serialise import build_seeded
from genscene.export import mesh
from genscene.export.plots import plot_prior
from genscene.export.splat_files.formats import ENDINGS, write_gaussians
from genscene.geometry.camera_files import write_cameras
from genscene.geometry.cameras import Camera
from genscene.io.atomic import atomic
from genscene.io.generator_file import GeneratorFile, read, write
from genscene.scenes import Gaussians
from genscene.systems import PRESETS

POINT = 200  # bytes of a point
USAGE = """usage: genscene export mesh GENERATOR --out FILE.glb|obj|ply [--seed N] [--resolution N] ...
       genscene export mesh GENERATOR --out FOLDER --seeds 0-3 [--format glb|obj|ply]
       genscene export pointcloud GENERATOR --out FILE.ply [--count N]
       genscene export splats GENERATOR --out FILE.ply|splat|glb|sog|spz|html [--seed N]
       genscene export distilled GENERATOR --out FILE.safetensors [--steps N]
       genscene export cameras GENERATOR --out FILE.json [--path orbit|photographs|...] [--frames N]
       genscene export prior PRESET|GENERATOR --out FILE.png [--count N]
"""


@dataclass(frozen=True)
class Mesh:
    """All options of export mesh."""

    generator: Positional[Path]  # a .safetensors file, or the folder of a run
    out: Path  # FILE.glb, .obj or .ply; with --seeds a folder
    seed: int = 0  # of the scene
    seeds: str = ""  # of several scenes, 0-3 or 0,5,9, each a file: seed0000.glb
    format: Literal["glb", "obj", "ply"] = "glb"  # of the files of --seeds
    # FILE.safetensors of latents, as genscene invert writes them: scenes are those in the places --seed there
    latents: Path | None = None
    psi: float = 1.0  # truncation: 1: none, towards 0: closer to the average
    resolution: int = 128  # cubes along the longest side
    # density of the surface; default: half the median where transmittance is a half
    level: float | None = None
    keep: float = 0.05  # parts with less than this share of the largest one's faces are removed; 0: none


@dataclass(frozen=True)
class Points:
    """All options of export pointcloud."""

    generator: Positional[Path]  # fitted to photographs: a .safetensors file, or the folder of a run
    out: Path  # FILE.ply
    count: int = 200_000  # points; rays are traced until there are so many
    opaque: float = 0.9  # opacity above which a ray gives a point


@dataclass(frozen=True)
class SplatFile:
    """All options of export splats."""

    generator: Positional[Path]  # a .safetensors file, the folder of a run, or a .ply or .splat of Gaussians
    # FILE.ply, .splat, .glb, .sog, .spz, or .html: a page that shows them; with --seeds a folder
    out: Path
    seed: int = 0  # of the scene
    seeds: str = ""  # of several scenes, 0-3 or 0,5,9, each a file: seed0000.ply
    format: Literal["ply", "splat", "glb", "sog", "spz", "html"] = "ply"  # of the files of --seeds
    # FILE.safetensors of latents, as genscene invert writes them: scenes are those in the places --seed there
    latents: Path | None = None
    psi: float = 1.0  # truncation: 1: none, towards 0: closer to the average
    # of a .ply or .splat: what is upwards, x, -x, y, -y, z, -z, or three numbers like 0,-1,0; default: what
    # the file says, else -y
    up: str = ""
    # turn the scene so that this is upwards in what is written; -y is what viewers of .ply and .splat show
    # upwards; default: as it is, and in other formats as their viewers want it
    turn_to: str = ""
    # of scenes that are no Gaussians yet
    fit: Annotated[FitOptions, arg(name="")] = FitOptions()


@dataclass(frozen=True)
class DistilledFile:
    """All options of export distilled."""

    generator: Positional[Path]  # of fields: a .safetensors file, or the folder of a run
    out: Path  # FILE.safetensors
    numbers: Annotated[DistillOptions, arg(name="")] = DistillOptions()


@dataclass(frozen=True)
class Cameras:
    """All options of export cameras."""

    generator: Positional[Path]  # a .safetensors file, or the folder of a run
    out: Path  # FILE.json
    path: str = "orbit"  # orbit, front, steep, zoom, dolly, spiral, photographs, ellipse, or a .json
    frames: int = 90  # cameras of the trajectory
    fps: float = 30.0  # of the video that it is for


@dataclass(frozen=True)
class Prior:
    """All options of export prior."""

    source: Positional[str]  # a preset, a .safetensors file, or the folder of a run
    out: Path  # FILE.png
    count: int = 2000  # cameras that are sampled


def main(words: list[str]) -> None:
    """Run the verb."""
    if not words:
        raise BadInput(f"export what? wanted {', '.join(EXPORTS)} (see genscene export --help)")
    if words[0] in ("-h", "--help"):
        print_line(USAGE)
    elif words[0] in EXPORTS:
        kind, export, about = EXPORTS[words[0]]
        export(parse(kind, words[1:], f"genscene export {words[0]}", description=about))
    else:
        raise BadInput(f"cannot export {words[0]!r}; {suggest(words[0], EXPORTS)}")


def export_mesh(options: Mesh) -> None:
    """Marching cubes through the density of scenes, in the coordinates of the photographs' files."""
    files = seed_files(options, mesh.ENDINGS)
    require_range("--psi", options.psi, *PSI)
    require_range("--resolution", options.resolution, 2, 1024)
    require_range("--keep", options.keep, 0, 1)
    content = read(options.generator)
    require_scenes(content.generator, options.seeds, options.generator)
    if not has_surface(content):
        raise BadInput(
            f"{options.generator}: the scenes of this generator have no density to extract a mesh from"
        )
    progress = partial(timed_progress, "evaluating density", advice="shorter: --resolution")
    for seed, path in files.items():
        chosen = choose_scene(content.generator, options.generator, seed, options.latents)
        w = chosen.styles(content.generator, options.psi)
        found = extract_scene_mesh(content, w, options.resolution, progress, options.level, options.keep)
        surface = found.surface
        mesh.save_mesh(path, surface)
        counts = f"{len(surface.vertices)} vertices, {len(surface.faces)} faces, density {found.level:.4g}"
        print_line(f"{path}: {counts}\n{describe_certainty(found.shift)}")


def describe_certainty(shift: float) -> str:
    """A line on how certain a surface is, by its shift in sides of the box (`mesh.surface_shift`)."""
    most = f"wanted {100 * mesh.UNCERTAIN:g} % or less"
    verdict = f": fog, not a surface ({most})" if shift > mesh.UNCERTAIN else ""
    how = "from half to twice that density it moves by"
    return f"how certain the surface is: {how} {100 * shift:.3g} % of the scene's box{verdict}"


def export_points(options: Points) -> None:
    """What the photographs' cameras see, in the coordinates of their files."""
    require_suffix("--out", options.out, (".ply",))
    require_range("--count", options.count, 1, 10**7)
    require_range("--opaque", options.opaque, 0, 1)
    require_memory(POINT * options.count, f"a cloud of {options.count} points", "lower --count")
    content = read(options.generator)
    camera = content.cameras
    if camera is None or content.to_files is None:
        raise BadInput(
            f"{options.generator} was not fitted to photographs: it has no cameras to see points from"
        )
    with timed_progress("finding points", options.count, "shorter: --count") as advance:
        points, colors = sample_surface(
            content.generator, camera, options.count, options.opaque, report=advance
        )
    cloud = trimesh.PointCloud(points.double().numpy(), (255 * colors).round().byte().numpy())
    cloud.apply_transform(content.to_files.double().numpy())
    with atomic(options.out) as partial_file:
        cloud.export(str(partial_file))
    print_line(f"{options.out}: {len(points)} points")


def export_splats(options: SplatFile) -> None:
    """The Gaussians of scenes, or those fitted to them, in the coordinates of the photographs' files."""
    files = seed_files(options, ENDINGS)
    require_range("--psi", options.psi, *PSI)
    wanted = axis("--turn-to", options.turn_to) if options.turn_to else None
    content = read_scene(options.generator, options.up)
    require_scenes(content.generator, options.seeds, options.generator)
    placement = placement_of(content, camera_prior(content.generator, options.generator), wanted)
    for seed, path in files.items():
        scene, about = gaussians_of(options, content, seed)
        size, up = write_gaussians(path, scene, placement)
        counts = f"{scene.means.shape[1]} Gaussians, {size / 1000:.0f} kB"
        print_line(f"{path}: {counts}{about}, upwards is {up[0]:g},{up[1]:g},{up[2]:g}")


def gaussians_of(options: SplatFile, content: GeneratorFile, seed: int) -> tuple[Gaussians, str]:
    """The Gaussians of the scene of a seed, and of those that were fitted how well they show it."""
    chosen = choose_scene(content.generator, options.generator, seed, options.latents)
    w = chosen.styles(content.generator, options.psi)
    with torch.no_grad():
        scene = content.generator.bind(w)
    if isinstance(scene, Gaussians):
        if options.fit != FitOptions():
            raise BadInput(f"{options.generator}: its scenes are Gaussians already, there is nothing to fit")
        return scene, ""
    check_fit(options.fit)
    progress = partial(timed_progress, advice="shorter: --steps, --views, --side")
    found = fit_scene(content, w, options.fit, progress)
    height, width = found.size
    views = f"{UNSEEN} unseen views of {height}x{width}"
    return found.gaussians, f", {found.psnr:.1f} dB at {views}, {found.seconds:.0f} s"


def check_fit(fit: FitOptions) -> None:
    """Raise BadInput, naming the option, for numbers that no fit can have."""
    require_range("--splats", fit.splats, 1, 10**7)
    require_range("--steps", fit.steps, 1, 10**6)
    require_range("--views", fit.views, 1, 10**4)
    require_range("--side", fit.side, 1, 4096)
    require_range("--samples", fit.samples, 0, 65_536)
    require_range("--degree", fit.degree or 0, 0, 3)


def export_distilled(options: DistilledFile) -> None:
    """A generator of Gaussians, for every latent code."""
    require_suffix("--out", options.out, (".safetensors",))
    numbers = options.numbers
    check_fit(FitOptions(numbers.splats, numbers.steps, numbers.views, numbers.side, numbers.samples))
    require_range("--cells", numbers.cells, 1, 512)
    content = read(options.generator)
    camera_prior(content.generator, options.generator)
    progress = partial(timed_progress, advice="shorter: --steps, --views, --side")
    found = distill(content, numbers, progress)
    write(options.out, found.content)
    height, width = found.size
    views = f"{SCENES * VIEWS} views of {SCENES} unseen scenes, {height}x{width}"
    took = f"{found.milliseconds:.0f} ms a scene, {found.seconds:.0f} s"
    print_line(f"{options.out}: {numbers.splats} Gaussians a scene, {found.psnr:.1f} dB at {views}, {took}")


def export_cameras(options: Cameras) -> None:
    """A trajectory around the generator's scenes."""
    require_suffix("--out", options.out, (".json",))
    require_range("--frames", options.frames, 1, FRAMES)
    require_range("--fps", options.fps, *FPS)
    content = read(options.generator)
    camera_prior(content.generator, options.generator)
    if options.path == PHOTOGRAPHS and content.cameras is not None:
        options = replace(options, frames=len(content.cameras))
    cameras = views_along(content, options.generator, options.path, options.frames, (1, 1))
    assert isinstance(cameras, Camera)
    write_cameras(options.out, cameras, options.frames / options.fps, content.to_files)
    print_line(f"{options.out}: {len(cameras)} cameras")


def export_prior(options: Prior) -> None:
    """A plot of the cameras that a preset or a generator is trained with."""
    require_suffix("--out", options.out, (".png",))
    require_range("--count", options.count, 1, 100_000)
    preset = PRESETS.get(options.source)
    generator = build_seeded(preset).generator if preset else read(options.source).generator
    plot_prior(options.out, camera_prior(generator, options.source), options.count)
    print_line(str(options.out))


EXPORTS: dict[str, tuple[Any, Callable[..., None], str]] = {
    "mesh": (Mesh, export_mesh, "A colored mesh of one scene."),
    "pointcloud": (Points, export_points, "Points of one scene."),
    "splats": (SplatFile, export_splats, "Gaussians of one scene."),
    "distilled": (DistilledFile, export_distilled, "A generator whose scenes are Gaussians."),
    "cameras": (Cameras, export_cameras, "A trajectory as JSON."),
    "prior": (Prior, export_prior, "A plot of the cameras' prior."),
}
