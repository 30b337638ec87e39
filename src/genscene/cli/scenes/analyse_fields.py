"""genscene analyse ray|slices|truncation|views: pictures of what is inside a scene."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg

from genscene.apps.analysis.features import one_view
from genscene.apps.analysis.fields import (
    AXES,
    held_out_pictures,
    slice_field,
    slice_pictures,
    some_views,
    style_pictures,
)
from genscene.apps.analysis.rays import RayProfile, profile_ray
from genscene.cli.scenes.analyse_directions import main as directions
from genscene.cli.shared.evaluation_options import load_models
from genscene.cli.shared.latents import choose_scene, choose_scenes, require_many
from genscene.cli.shared.options import parse, print_line, require_suffix
from genscene.cli.shared.rendering import RenderingOptions, open_generator, views_along
from genscene.contract import Generator
from genscene.devices import Device, pick_device
from genscene.errors import BadInput
from genscene.evaluation.held_out_views import HeldOut, common_experiment
from genscene.experiment.validation import validate
from genscene.export.panels import Figure, save_figure
from genscene.export.ray_plot import Plot, save_ray_plot
from genscene.geometry.cameras import Camera
from genscene.ranges import Range, Side
from genscene.render.volume import VolumeGenerator


@dataclass(frozen=True)
class Ray:
    """All options of analyse ray."""

    generator: Positional[Path]  # of fields: a .safetensors file, or the folder of a run
    out: Path  # FILE.png
    pixel: str = ""  # column,row of the picture, from 0,0 at the upper left; default: its middle
    seed: int = 0  # of the scene
    view: Annotated[int, Range(0)] = 0  # number of the camera among those of --path
    # trajectory of the camera, as of genscene render; default: views of the prior, or of the photographs
    path: str = ""
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions()


@dataclass(frozen=True)
class Slices:
    """All options of analyse slices."""

    generator: Positional[Path]  # of fields in a box: a .safetensors file, or the folder of a run
    out: Path  # FILE.png
    axis: str = "y"  # x, y or z: slices are at right angles to it
    count: Annotated[int, Range(1, 64)] = 6  # slices, evenly spaced through the box
    resolution: Side = 192  # points along the longest side of a slice
    seed: int = 0  # of the scene
    psi: Annotated[float, Range(0, 1)] = 1.0  # truncation: 1: none, towards 0: closer to the average
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu


@dataclass(frozen=True)
class TruncatedScenes:
    """All options of analyse truncation."""

    generator: Positional[Path]  # of many scenes: a .safetensors file, or the folder of a run
    out: Path  # FILE.png
    seeds: str = ""  # scenes: 0-3 (the default), or 0,5,9; of --latents, places in the file, default: all
    steps: Annotated[int, Range(2, 64)] = 6  # pictures of each, from psi 0, the mean style, to --psi
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions()


@dataclass(frozen=True)
class FittedViews:
    """All options of analyse views."""

    # fitted to the same photographs, such as one with and one without positional encoding
    generators: Positional[tuple[Path, ...]]
    out: Path  # FILE.png
    data: str = ""  # where the photographs are now, if they were moved
    count: Annotated[int, Range(1, 16)] = 2  # held-out views, evenly spaced
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu


def ray(words: list[str]) -> None:
    """Plot density, transmittance, samples and weights along a ray."""
    about = "Plot density, transmittance, samples and their weights along the ray of a pixel."
    options = parse(Ray, words, "genscene analyse ray", description=about)
    check_out(options)
    how = options.rendering
    content, size = open_generator(options.generator, how)
    generator = require_volume(content.generator, options.generator)
    cameras = views_along(content, options.generator, options.path, options.view + 1, size)
    assert isinstance(cameras, Camera)
    if options.view >= len(cameras):
        raise BadInput(f"--view {options.view}: wanted a number from 0 to {len(cameras) - 1}")
    device = next(generator.parameters()).device
    camera = cameras[options.view : options.view + 1].to(device)
    pixel = parse_pixel(options.pixel) if options.pixel else (size[0] // 2, size[1] // 2)
    w = choose_scene(generator, options.generator, options.seed, how.latents).styles(generator, how.psi)
    with how.render_options(1, size) as render_options:
        found = profile_ray(generator, w, camera, pixel, render_options)
    title = f"ray of pixel {pixel[1]},{pixel[0]}, {options.generator.stem}"
    save_ray_plot(options.out, title, found.picture, pixel, ray_plots(found), found.depth)
    for number, each in enumerate(found.passes):
        count, total = len(each.weights), sum(each.weights)
        print_line(f"pass {number + 1}: {count} samples, weights add up to {total:.4f}")
    if not found.passes:
        print_line("samples are left out: this system's renderer places them in another way")
    print_line(str(options.out))


def ray_plots(profile: RayProfile) -> list[Plot]:
    """Density, transmittance and, where the renderer has samples, their weights."""
    names = ["samples"] if len(profile.passes) == 1 else ["first pass", "both passes"]
    stems = {
        name: list(zip(each.distances, each.weights, strict=True))
        for name, each in zip(names, profile.passes, strict=False)
    }
    curves = ("density", profile.density), ("transmittance", profile.transmittance)
    plots = [Plot(name, {name: list(zip(profile.distances, each, strict=True))}, {}) for name, each in curves]
    return [*plots, Plot("weights of the samples", {}, stems)] if stems else plots


def slices(words: list[str]) -> None:
    """Slices through the box of a scene."""
    about = "Slices through the box of a scene: opacity of a thin slab, and color."
    options = parse(Slices, words, "genscene analyse slices", description=about)
    check_out(options)
    if options.axis not in AXES:
        raise BadInput(f"--axis {options.axis}: wanted x, y or z")
    content, _ = open_generator(options.generator, RenderingOptions(device=options.device))
    generator = require_volume(content.generator, options.generator)
    w = choose_scene(generator, options.generator, options.seed, None).styles(generator, options.psi)
    try:
        found = slice_field(generator, w, options.axis, options.count, options.resolution)
    except BadInput as error:
        raise BadInput(f"{options.generator}: {error}") from None
    pictures, rows = slice_pictures(found)
    across, up = (axis for axis in AXES if axis != options.axis)
    note = f"{across} to the right, {up} upwards; opacity of a 64th of the box, colors as seen from the front"
    columns = [f"{options.axis} = {place:.2f}" for place in found.places]
    scale = (0.0, float(found.opacity.max()))
    figure = Figure("slices through the field", note, pictures, rows, columns, scale)
    save_figure(options.out, figure)
    print_line(str(options.out))


def truncation(words: list[str]) -> None:
    """Scenes from the mean style to their own."""
    about = "Scenes of seeds from the mean style, psi 0, to their own."
    options = parse(TruncatedScenes, words, "genscene analyse truncation", description=about)
    check_out(options)
    how = options.rendering
    content, size = open_generator(options.generator, how)
    generator: Generator = content.generator
    require_many(generator, options.generator)
    chosen = choose_scenes(generator, options.generator, options.seeds, how.latents, range(4))
    how.require_memory(generator, size, len(chosen) * options.steps, len(chosen))
    psis = torch.linspace(0, how.psi, options.steps).tolist()
    with how.render_options(len(chosen) * options.steps, size) as render_options:
        columns_of_styles = (chosen.styles(generator, psi) for psi in psis)
        view = how.crop(one_view(generator, size))
        pictures = style_pictures(generator, columns_of_styles, view, render_options)
    rows = [chosen.describe(i) for i in range(len(chosen))]
    columns = [f"psi {psi:.2g}" for psi in psis]
    note = "psi 0: the mean style, the same for all"
    save_figure(options.out, Figure("truncation", note, pictures, rows, columns))
    print_line(str(options.out))


def views(words: list[str]) -> None:
    """The same held-out views by several scenes."""
    about = "Held-out photographs beside renderings of scenes fitted to the others, whole and enlarged."
    options = parse(FittedViews, words, "genscene analyse views", description=about)
    check_out(options)
    models = load_models(options.generators, pick_device(options.device))
    for model in models:
        if not model.fits_photographs:
            raise BadInput(f"{model.path}: wanted scenes fitted to photographs with cameras")
    if not models:
        raise BadInput("no generators, wanted one or more")
    which = HeldOut(options.data)
    posed = which.load(common_experiment(models, which), models[0])
    count = min(options.count, len(posed))
    generators = {model.name: model.generator for model in models if model.generator is not None}
    pictures, rows = held_out_pictures(generators, some_views(posed, count))
    columns = [name for i in range(count) for name in (f"view {i + 1}", "enlarged")]
    note = "mean PSNR of these views; enlarged: where the photograph has most detail"
    save_figure(options.out, Figure("held-out views", note, pictures, rows, columns))
    print_line(str(options.out))


def check_out(options: Ray | Slices | TruncatedScenes | FittedViews) -> None:
    """Raise BadInput for a file that is no picture, and numbers out of range."""
    require_suffix("--out", options.out, [".png"])
    validate(replace(options))


def require_volume(generator: Generator, path: Path) -> VolumeGenerator:
    """The generator; BadInput where its scenes are no fields."""
    if not isinstance(generator, VolumeGenerator):
        raise BadInput(f"{path}: its scenes are no fields of density, wanted some like NeRF's or pi-GAN's")
    return generator


def parse_pixel(text: str) -> tuple[int, int]:
    """column,row -> row and column."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() and len(part) < 7 for part in parts):
        raise BadInput(f"--pixel {text!r}: wanted column,row like 32,40")
    return int(parts[1]), int(parts[0])


KINDS: dict[str, Callable[[list[str]], None]] = {
    "directions": directions,
    "ray": ray,
    "slices": slices,
    "truncation": truncation,
    "views": views,
}
