"""genscene render GENERATOR|FILE.ply: pictures and videos of a trained generator, or of Gaussians."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg

from genscene.cli.shared.latents import SEEDS, choose_scenes
from genscene.cli.shared.options import parse, print_line, require_range, require_suffix
from genscene.cli.shared.plane import require_plane
from genscene.cli.shared.rendering import (
    FRAMES,
    PHOTOGRAPHS,
    RenderingOptions,
    arrange,
    open_generator,
    render_frames,
    render_rows,
    require_seen,
    save_frames,
    views_along,
)
from genscene.cli.shared.several import Layout, file_names, picture_files, save_pictures
from genscene.errors import BadInput
from genscene.export.pictures import save_png, tile
from genscene.geometry.cameras import Size
from genscene.io.generator_file import GeneratorFile


@dataclass(frozen=True)
class Render:
    """All options of the verb."""

    # a .safetensors file, the folder of a run, or Gaussians as a .ply or .splat
    generator: Positional[Path]
    # FILE.png for a sheet of pictures, FILE.mp4 or FILE.gif for a video, a folder for a file of each seed
    out: Path
    # scenes: 0-7, or 0,5,9; one a row in a sheet, side by side in a video; default: 0-7, or as many as --grid
    # has places
    seeds: str = ""
    grid: str = ""  # columns x rows of all pictures, or of the scenes of a video: 4x3; default: as above
    # orbit, front, steep, elevation, zoom, dolly, spiral, photographs, ellipse, or a .json of cameras; empty:
    # the yaws of the prior for pictures, orbit for videos; photographs: with --latents, the cameras found
    path: str = ""
    # pictures of a scene, or frames of the video; 0: 5, or 90; in a folder and with --grid 1; of a program 6,
    # or 64; of a --scene 1, or 64
    frames: int = 0
    # of objects: what happens to one of the first scene: rotate, side, depth, circle, scale, add,
    # remove, swap-shape, swap-appearance, shape, appearance, background, objects-only, background-only,
    # separate; what comes from elsewhere are the codes and objects of the other seeds
    program: str = ""
    object: int = 0  # number of the object that the program is about
    # a .json of objects, as --save-scene writes, to be rendered instead of a seed, with a psi of its own
    scene: Path | None = None
    # FILE.json to write the first seed's objects to, for --scene; the picture is of this scene alone
    save_scene: Path | None = None
    # of scenes that are pictures: one, whose style changes along x from seed to seed, and around a cylinder
    # back to the first
    blend: bool = False
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions()


def main(words: list[str]) -> None:
    """Run the verb."""
    options = parse(
        Render, words, "genscene render", description="Pictures and videos of a trained generator."
    )
    layout, how = Layout.of(options.out, options.grid), options.rendering
    require_range("--frames", options.frames, 0, FRAMES)
    of_objects = bool(options.program or options.scene or options.save_scene)
    if options.scene is not None and how.latents is not None:
        raise BadInput("--scene, --latents: wanted one of them, the scene to render")
    if options.blend and of_objects:
        raise BadInput("--blend: wanted without --program, --scene and --save-scene")
    if (layout.folder or layout.grid) and (options.blend or of_objects):
        given = f"--grid {options.grid}" if layout.grid else f"--out {options.out}, a folder"
        raise BadInput(f"{given}: of --blend, --program, --scene and --save-scene wanted one FILE, no grid")
    if of_objects:
        render_objects(options)
        return
    content, size = open_generator(options.generator, how)
    if options.blend:
        render_blend(options, content, size)
    else:
        render_scenes(options, content, size)


def render_scenes(options: Render, content: GeneratorFile, size: Size) -> None:
    """Render scenes: a sheet of pictures, a video, or a file for each picture."""
    generator, how, layout = content.generator, options.rendering, Layout.of(options.out, options.grid)
    count = options.frames or layout.views(generator.latent_dim > 0)
    usual = layout.usual_seeds(count)
    chosen = choose_scenes(generator, options.generator, options.seeds, how.latents, usual)
    if options.path == PHOTOGRAPHS and chosen.cameras is not None:
        content = replace(content, cameras=chosen.cameras, to_files=None)
        count = options.frames or (90 if layout.video else len(chosen.cameras))
    views = how.crop(views_along(content, options.generator, options.path, count, size, layout.video))
    size, number = views.size, len(chosen) * len(views)  # around a cylinder, of all pictures side by side
    layout.require_places(len(chosen), len(views))
    at_once = len(chosen) if layout.video else len(views) if layout.folder else number
    how.require_memory(generator, size, at_once, len(chosen))
    w = chosen.styles(generator, how.psi)
    with how.render_options(number, size) as render_options:
        depths = how.depth_range(generator, w, views, render_options)
        arguments = (generator, w, views, how.show, render_options, depths)
        seen = partial(require_seen, show=how.show, source=options.generator)
        if layout.video:
            save_frames(layout.out, seen(render_frames(*arguments, grid=layout.grid)), how.fps)
        elif layout.folder:
            names = file_names(chosen.numbers, how.latents) if generator.latent_dim else [""]
            save_pictures(picture_files(layout.out, names, len(views)), seen(render_rows(*arguments)))
        else:
            rows = torch.stack(list(seen(render_rows(*arguments))))
            save_png(layout.out, tile(arrange(rows.flatten(0, 1), layout.grid) if layout.grid else rows))
    print_line(f"{options.out}: {number} picture{'s'[: number - 1]}" if layout.folder else str(options.out))


def render_blend(options: Render, content: GeneratorFile, size: Size) -> None:
    """Render one picture of the styles of all seeds."""
    from genscene.apps.panorama import render_blended

    generator, how = content.generator, options.rendering
    require_suffix("--out", options.out, (".png",))
    require_plane(generator, "--blend", options.generator)
    others = {"--window": how.window, "--show": how.show != "image", "--depth": how.depth}
    others |= {"--frames": options.frames}
    for name in (name for name, given in others.items() if given):
        raise BadInput(f"--blend with {name}: wanted one of them, a blend is one whole picture")
    view = views_along(content, options.generator, options.path, 1, size)
    how.require_memory(generator, view.size, 1, view.size[1])
    chosen = choose_scenes(generator, options.generator, options.seeds, how.latents, SEEDS)
    w = chosen.styles(generator, how.psi)
    with how.render_options(1, view.size) as render_options:
        found = render_blended(generator, w, size, render_options).cpu()
    save_png(options.out, tile(torch.stack(list(require_seen([found.clamp(0, 1)], how.show, options.out)))))
    print_line(str(options.out))


def render_objects(options: Render) -> None:
    """Render what is only there with scenes of objects."""
    import genscene.cli.shared.objects as objects

    if options.scene is not None and options.save_scene is not None:
        raise BadInput("--scene, --save-scene: wanted one of them, what is saved is the scene of a seed")
    if options.save_scene is not None:
        if options.rendering.latents is not None:
            raise BadInput("--save-scene with --latents: wanted one of them, what is saved is that of a seed")
        require_suffix("--save-scene", options.save_scene, (".json",))
    objects.render_objects(
        options.generator,
        options.out,
        options.rendering,
        options.seeds,
        options.program,
        options.object,
        options.scene,
        options.path,
        options.frames,
        options.save_scene,
    )
    if options.save_scene is not None:
        print_line(str(options.save_scene))
    print_line(str(options.out))
