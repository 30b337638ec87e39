"""genscene interpolate GENERATOR: a film from one scene to the next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from genscene.apps.film import film
from genscene.apps.interpolate import styles, walk
from genscene.cli.options import bounded, ending, parse, seeds_of, tell
from genscene.cli.shots import FRAMES, Shot, find, save_film
from genscene.errors import BadInput
from genscene.export.video import ENDINGS
from genscene.geometry.trajectories import along


@dataclass(frozen=True)
class Interpolate:
    """All options of the verb."""

    generator: Positional[Path]  # a .safetensors file, or the folder of a run
    seeds: str  # scenes to go through, and back to the first: 0,5,9
    out: Path  # FILE.mp4 or FILE.gif
    path: str = "front"  # the camera moves meanwhile: orbit, front, steep, zoom, dolly, spiral, or a .json
    frames: int = 0  # of the whole film; 0: 45 for each scene
    shot: Annotated[Shot, arg(name="")] = Shot()


def main(words: list[str]) -> None:
    """Run the verb."""
    options = parse(
        Interpolate, words, "genscene interpolate", description="A film from one scene to the next."
    )
    ending("--out", options.out, ENDINGS)
    bounded("--frames", options.frames, 0, FRAMES)
    chosen = seeds_of(options.seeds)
    count = options.frames or 45 * len(chosen)
    generator, orbit, size = find(options.generator, options.shot)
    if not generator.latent_dim:
        raise BadInput(
            f"{options.generator} holds one scene: there is none to go to (genscene render films it)"
        )
    cameras = along(options.path, orbit, count, size)
    w = walk(styles(generator, chosen, options.shot.psi), count)
    frames = film(generator, w, cameras, options.shot.look(), moving=True)
    save_film(options.out, frames, count, options.shot.fps)
    tell(str(options.out))
