"""genscene render GENERATOR|FILE.ply: pictures and videos of a trained generator, or of Gaussians."""

from dataclasses import dataclass, replace
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
    open_generator,
    render_frames,
    render_rows,
    require_seen,
    save_frames,
    views_along,
)
from genscene.errors import BadInput
from genscene.export.pictures import save_png, tile
from genscene.export.video import ENDINGS
from genscene.geometry.cameras import Size
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import style_count


@dataclass(frozen=True)
class Render:
    """All options of the verb."""

    # a .safetensors file, the folder of a run, or Gaussians as a .ply or .splat
    generator: Positional[Path]
    out: Path  # FILE.png for a sheet of pictures, FILE.mp4 or FILE.gif for a video
    seeds: str = ""  # scenes: 0-7 (the default), or 0,5,9; one a row in a sheet, side by side in a video
    # orbit, front, steep, elevation, zoom, dolly, spiral, photographs, ellipse, or a .json of cameras; empty:
    # the yaws of the prior for pictures, orbit for videos; photographs: with --latents, the cameras found
    path: str = ""
    # pictures in a row, or frames of the video; 0: 5, or 90; of a program 6, or 64; of a --scene 1, or 64
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
    video = options.out.suffix in ENDINGS
    require_suffix("--out", options.out, (".png", *ENDINGS))
    require_range("--frames", options.frames, 0, FRAMES)
    how = options.rendering
    if options.program or options.scene or options.save_scene:
        if options.scene is not None and how.latents is not None:
            raise BadInput("--scene, --latents: wanted one of them, the scene to render")
        if options.blend:
            raise BadInput("--blend: wanted without --program, --scene and --save-scene")
        render_objects(options)
        return
    content, size = open_generator(options.generator, how)
    if options.blend:
        render_blend(options, content, size)
        return
    chosen = choose_scenes(content.generator, options.generator, options.seeds, how.latents, SEEDS)
    count = options.frames or (90 if video else 5)
    if options.path == PHOTOGRAPHS and chosen.cameras is not None:
        content = replace(content, cameras=chosen.cameras, to_files=None)
        count = options.frames or (90 if video else len(chosen.cameras))
    views = how.crop(views_along(content, options.generator, options.path, count, size, video))
    size = views.size  # around a cylinder, of all pictures side by side
    scenes = len(chosen)
    how.require_memory(content.generator, size, scenes if video else scenes * len(views), scenes)
    w = chosen.styles(content.generator, how.psi)
    with how.render_options(style_count(w) * len(views), size) as render_options:
        arguments = (content.generator, w, views, how.show, render_options)
        if video:
            frames = require_seen(render_frames(*arguments), how.show, options.generator)
            save_frames(options.out, frames, how.fps)
        else:
            rows = require_seen(render_rows(*arguments), how.show, options.generator)
            save_png(options.out, tile(torch.stack(list(rows))))
    print_line(str(options.out))


def render_blend(options: Render, content: GeneratorFile, size: Size) -> None:
    """Render one picture of the styles of all seeds."""
    from genscene.apps.panorama import render_blended

    generator, how = content.generator, options.rendering
    require_suffix("--out", options.out, (".png",))
    require_plane(generator, "--blend", options.generator)
    others = {"--window": how.window, "--show": how.show != "image", "--frames": options.frames}
    for name in (name for name, given in others.items() if given):
        raise BadInput(f"--blend with {name}: wanted one of them, a blend is one whole picture")
    view = views_along(content, options.generator, options.path, 1, size)
    how.require_memory(generator, view.size, 1, view.size[1])
    w = choose_scenes(generator, options.generator, options.seeds, how.latents, SEEDS).styles(
        generator, how.psi
    )
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
