"""genscene interpolate GENERATOR: a video from one scene to the next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from genscene.apps.interpolate import interpolate_styles, mix_styles
from genscene.cli.shared.latents import choose_scenes
from genscene.cli.shared.options import parse, parse_seeds, print_line, require_range, require_suffix
from genscene.cli.shared.rendering import (
    FRAMES,
    RenderingOptions,
    camera_prior,
    open_generator,
    render_frames,
    require_seen,
    save_frames,
)
from genscene.errors import BadInput
from genscene.export.video import ENDINGS
from genscene.geometry.cameras import Camera, Grid
from genscene.geometry.priors import CameraPrior
from genscene.geometry.trajectories import trajectory


@dataclass(frozen=True)
class Interpolate:
    """All options of the verb."""

    generator: Positional[Path]  # a .safetensors file, or the folder of a run
    out: Path  # FILE.mp4 or FILE.gif
    # scenes to interpolate, and back to the first: 0,5,9; of --latents, places in the file, default: all
    seeds: str = ""
    # trajectory of the camera: orbit, front, steep, zoom, dolly, spiral, or a .json; default: front
    path: str = ""
    frames: int = 0  # of the whole video; 0: 45 for each scene
    # layers that stay those of the first seed, 0 is the coarsest: 0-1; of generators with styles by layers
    mix: str = ""
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions()


def main(words: list[str]) -> None:
    """Run the verb."""
    about = "A video from one scene to the next."
    options = parse(Interpolate, words, "genscene interpolate", description=about)
    require_suffix("--out", options.out, ENDINGS)
    require_range("--frames", options.frames, 0, FRAMES)
    how = options.rendering
    if not options.seeds and how.latents is None:
        raise BadInput("--seeds, --latents: wanted the scenes to interpolate, like --seeds 0,5,9")
    layers = parse_seeds(options.mix, "--mix") if options.mix else []
    if how.latents is None:
        require_several(options, parse_seeds(options.seeds))
    content, size = open_generator(options.generator, how)
    generator = content.generator
    if not generator.latent_dim:
        raise BadInput(f"{options.generator} holds a single scene, there is none to go to: genscene render")
    chosen = choose_scenes(generator, options.generator, options.seeds, how.latents, ())
    require_several(options, chosen.numbers)
    count = options.frames or 45 * len(chosen)
    views: Camera | Grid
    if options.path or isinstance(generator.prior, CameraPrior):
        prior = camera_prior(generator, options.generator)
        views = trajectory(options.path or "front", prior, count, size)
    else:
        views = how.crop(generator.prior.sweep(count, size))
    size = views.size  # around a cylinder, of all pictures side by side
    how.require_memory(generator, size, 1, count)
    w = chosen.styles(generator, how.psi)
    if layers:
        try:
            w = mix_styles(generator, w, layers)
        except BadInput as error:
            raise BadInput(f"--mix {options.mix}: {error}") from None
    w = interpolate_styles(w, count)
    with how.render_options(count, size) as render_options:
        depths = how.depth_range(generator, w, views, render_options, interpolated=True)
        frames = render_frames(generator, w, views, how.show, render_options, depths, interpolated=True)
        save_frames(options.out, require_seen(frames, how.show, options.generator), how.fps)
    print_line(str(options.out))


def require_several(options: Interpolate, numbers: list[int]) -> None:
    """Raise BadInput unless these are two or more different scenes."""
    if len(set(numbers)) < 2:
        got = f"--seeds {options.seeds!r}" if options.seeds else f"--latents {options.rendering.latents}"
        raise BadInput(f"{got}: wanted two or more different ones, like 0,5,9")
