"""What render does with scenes of objects: programs on one of them, and files of scenes."""

from pathlib import Path
from typing import Any

import torch

from genscene.apps.interpolate import styles_of_seeds
from genscene.apps.programs import run_program
from genscene.apps.scene_file import describe_scene, read_scene, styles_of_scene, write_scene
from genscene.cli.shared.latents import SEEDS, ChosenScenes, choose_scenes
from genscene.cli.shared.rendering import (
    RenderingOptions,
    camera_prior,
    open_generator,
    render_frames,
    require_seen,
    save_frames,
    views_along,
)
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.export.pictures import save_png, tile
from genscene.export.video import ENDINGS
from genscene.geometry.cameras import Camera, Size
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import style_count, take_styles

PICTURES, FRAMES = 6, 64  # of a sheet, and of a video


def first_scene(generator: Generator, scene: Path | None, chosen: ChosenScenes, psi: float) -> Any:
    """The styles of a file's scene, or of the first that is chosen."""
    if scene is None:
        return take_styles(chosen.styles(generator, psi), slice(0, 1))
    try:
        return styles_of_scene(generator, read_scene(scene))
    except BadInput as error:
        raise BadInput(f"--scene {error}" if str(scene) in str(error) else f"{scene}: {error}") from None


def other_scenes(generator: Generator, chosen: ChosenScenes, psi: float) -> Any:
    """The styles of all chosen scenes but the first; of one alone, those of the next seed."""
    if len(chosen) == 1:
        return styles_of_seeds(generator, [chosen.numbers[0] + 1], psi)
    return take_styles(chosen.styles(generator, psi), slice(1, None))


def render_objects(
    source: Path,
    out: Path,
    how: RenderingOptions,
    seeds: str,
    program: str,
    number: int,
    scene: Path | None,
    path: str,
    frames: int,
    save_scene: Path | None,
) -> None:
    """A sheet or video of a program on an object of the first scene, or of a file's scene as it is.

    save_scene: file for the first seed's objects.
    """
    content, size = open_generator(source, how)
    generator, video = content.generator, out.suffix in ENDINGS
    chosen = choose_scenes(generator, source, seeds, how.latents, SEEDS)
    w = first_scene(generator, scene, chosen, how.psi)
    usual = w.present.shape[1] + 2 if program == "separate" else PICTURES if program else 1
    count = frames or (FRAMES if video else usual)
    if program:
        others = other_scenes(generator, chosen, how.psi)
        w = run_program(program, generator, w, others, number, count)
    views = objects_views(content, source, path, count, size)
    how.require_memory(generator, size, 1 if video else count, style_count(w))
    with how.render_options(count, size) as render_options:
        shown = (views, how.show, render_options)
        depths = how.depth_range(generator, w, views, render_options, interpolated=bool(program))
        pictures = render_frames(generator, w, *shown, depths, interpolated=bool(program))
        # of a background alone there may be one color
        show = "alpha" if program in ("background-only", "objects-only", "separate") else how.show
        pictures = require_seen(pictures, show, source)
        if video:
            save_frames(out, pictures, how.fps)
        else:
            save_png(out, tile(torch.stack(list(pictures))[None]))
    if save_scene is not None:
        write_scene(save_scene, describe_scene(generator, chosen.numbers[0], how.psi))


def objects_views(content: GeneratorFile, source: Path, path: str, count: int, size: Size) -> Camera:
    """The views of a trajectory; without a name the mean view of the prior for all frames."""
    if path:
        views = views_along(content, source, path, count, size, video=True)
        assert isinstance(views, Camera)
        return views
    prior = camera_prior(content.generator, source)
    yaw, pitch = prior.mean_angles()
    return prior.camera_at(torch.full((count,), yaw), torch.full((count,), pitch), size)
