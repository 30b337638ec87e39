"""genscene foveate GENERATOR: pictures of which the pixels around a center are evaluated."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from torch import Tensor
from tyro.conf import Positional, arg

from genscene.apps.foveate import Fovea, render_foveated
from genscene.cli.shared.latents import choose_scenes
from genscene.cli.shared.options import parse, print_line, require_suffix
from genscene.cli.shared.plane import parse_numbers
from genscene.cli.shared.rendering import RenderingOptions, open_generator, require_seen
from genscene.contract import RenderOptions
from genscene.errors import BadInput
from genscene.experiment.validation import validate
from genscene.export.pictures import save_png, tile
from genscene.geometry.cameras import Grid, Size
from genscene.layers.mapping import take_styles
from genscene.randomness import RandomStreams
from genscene.ranges import Extent
from genscene.render.canvas import CanvasGenerator
from genscene.scenes import Canvas


@dataclass(frozen=True)
class Foveate:
    """All options of the verb."""

    generator: Positional[Path]  # of pictures whose pixels are independent: a .safetensors file, or a run
    out: Path  # FILE.png: one scene a row, one share of the pixels a column
    seeds: str = ""  # scenes: 0-3 (the default), or 0,5,9; the seed also chooses the pixels
    percent: str = "5,25,50,100"  # of the pixels are evaluated; the times are compared with that of 100
    center: str = "0,0"  # x,y of the middle of these pixels, to the right and down; the picture is -1 to 1
    deviation: Extent = 0.4  # standard deviation of the pixels from there, in half sides of the picture
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions()

    def foveas(self) -> list[Fovea]:
        """One for each share; BadInput where an option is outside its range."""
        percents, center = parse_numbers(self.percent), parse_numbers(self.center)
        if not percents or not 0 < min(percents) <= max(percents) <= 100:
            raise BadInput(f"--percent {self.percent!r}: wanted numbers above 0, up to 100, like 5,25,50")
        if len(center) != 2:
            raise BadInput(f"--center {self.center!r}: wanted x,y, like 0.5,-0.5; 0,0 is the middle")
        foveas = [Fovea(percent / 100, (center[0], center[1]), self.deviation) for percent in percents]
        for fovea in foveas:
            validate(fovea)
        return foveas


def main(words: list[str]) -> None:
    """Run the verb."""
    about = "Pictures of which the pixels around a center are evaluated, and the time that this saves."
    options = parse(Foveate, words, "genscene foveate", description=about)
    require_suffix("--out", options.out, (".png",))
    foveas, how = options.foveas(), options.rendering
    content, size = open_generator(options.generator, how)
    generator = content.generator
    if not isinstance(generator, CanvasGenerator):
        raise BadInput(f"{options.generator}: wanted a generator whose pixels are evaluated one by one")
    if how.show != "image" or how.depth:
        given = f"--show {how.show}" if how.show != "image" else "--depth"
        raise BadInput(f"{given}: wanted image, all that pictures of this kind have")
    chosen = choose_scenes(generator, options.generator, options.seeds, how.latents, range(4))
    seeds = chosen.numbers
    view = how.crop(generator.prior.sweep(1, size))
    assert isinstance(view, Grid)
    size = view.size  # around a cylinder, of all pictures side by side
    how.require_memory(generator, size, len(seeds) * len(foveas), len(seeds))
    w = chosen.styles(generator, how.psi)
    with how.render_options(len(seeds) * sum(fovea.share for fovea in foveas), size) as render_options:
        scenes = (take_styles(w, slice(i, i + 1)) for i in range(len(seeds)))
        rows = [
            render_row(generator, scene, view, foveas, seed, render_options)
            for scene, seed in zip(scenes, seeds, strict=True)
        ]
    pictures = require_seen((row for row, _ in rows), how.show, options.generator)
    save_png(options.out, tile(torch.stack(list(pictures))))
    print_times(foveas, [sum(column) for column in zip(*(seconds for _, seconds in rows), strict=True)], size)
    print_line(str(options.out))


@torch.no_grad()
def render_row(
    generator: CanvasGenerator, w: Any, view: Grid, foveas: list[Fovea], seed: int, how: RenderOptions
) -> tuple[Tensor, list[float]]:
    """One style, seen by F foveas -> pictures [F, 3, H, W] in [0, 1] on the CPU, and the seconds of each."""
    device = next(generator.parameters()).device
    scene, pictures, seconds = cast(Canvas, generator.bind(w)), [], []
    for fovea in foveas:
        start = time.perf_counter()
        streams = RandomStreams([seed], device)
        found = render_foveated(generator, scene, view.to(device), fovea, streams, how)
        pictures.append(found.image.clamp(0, 1).cpu())
        seconds.append(time.perf_counter() - start)
    return torch.cat(pictures), seconds


def print_times(foveas: list[Fovea], seconds: list[float], size: Size) -> None:
    """One line for each fovea: its pixels, its seconds, and these as a share of those of all pixels."""
    pixels = size[0] * size[1]
    whole = next((s for fovea, s in zip(foveas, seconds, strict=True) if fovea.share == 1), None)
    for fovea, spent in zip(foveas, seconds, strict=True):
        compared = f", {spent / whole:.2f} of the time of all" if whole and fovea.share < 1 else ""
        count = max(1, round(fovea.share * pixels))
        print_line(f"{100 * fovea.share:g} %: {count} of {pixels} pixels evaluated, {spent:.2f} s{compared}")
