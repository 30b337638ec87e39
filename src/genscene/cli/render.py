"""genscene render GENERATOR: pictures and films of a trained generator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg

from genscene.apps.film import film, sheet
from genscene.cli.options import bounded, ending, parse, tell
from genscene.cli.shots import FRAMES, Shot, bar, find, path_of, save_film, scenes_of
from genscene.export.pictures import save_png, tile
from genscene.export.video import ENDINGS


@dataclass(frozen=True)
class Render:
    """All options of the verb."""

    generator: Positional[Path]  # a .safetensors file, or the folder of a run
    out: Path  # FILE.png for a sheet of pictures, FILE.mp4 or FILE.gif for a film
    seeds: str = "0-7"  # which scenes: 0-7, or 0,5,9; one a row in a sheet, side by side in a film
    path: str = (
        ""  # orbit, front, steep, zoom, dolly, spiral, photographs, ellipse, or a .json; default: it depends
    )
    frames: int = 0  # pictures in a row, or frames of the film; 0: 5, or 90
    shot: Annotated[Shot, arg(name="")] = Shot()


def main(words: list[str]) -> None:
    """Run the verb."""
    options = parse(
        Render, words, "genscene render", description="Pictures and films of a trained generator."
    )
    moving = options.out.suffix in ENDINGS
    ending("--out", options.out, (".png", *ENDINGS))
    bounded("--frames", options.frames, 0, FRAMES)
    generator, _, size = find(options.generator, options.shot)
    count = options.frames or (90 if moving else 5)
    cameras = path_of(generator, options.path, count, size, moving)
    w = scenes_of(generator, options.seeds, options.shot.psi)
    if moving:
        save_film(options.out, film(generator, w, cameras, options.shot.look()), count, options.shot.fps)
    else:
        rows = bar(sheet(generator, w, cameras, options.shot.look()), len(w), "rendering")
        save_png(options.out, tile(torch.stack(list(rows))))
    tell(str(options.out))
