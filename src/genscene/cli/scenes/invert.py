"""genscene invert PICTURE...: the latents, cameras and weights that render pictures."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from tyro.conf import Positional, arg

from genscene.apps.inversion.encoder import small_size
from genscene.apps.inversion.invert import SIDE, Inverted, InvertOptions, invert
from genscene.apps.inversion.latents_file import write_latents
from genscene.apps.inversion.pictures import read_pictures
from genscene.cli.shared.options import parse, print_line, require_range, require_suffix
from genscene.cli.shared.progress import timed_progress
from genscene.devices import Device, pick_device
from genscene.errors import BadInput
from genscene.experiment.schedules import largest_size
from genscene.export.pictures import save_png, tile
from genscene.geometry.cameras import Size
from genscene.io.atomic import make_parent
from genscene.io.generator_file import GeneratorFile, read, write
from genscene.metrics.lpips import load_lpips

ABOUT = "The latents and cameras with which a generator renders given pictures."
MOST_PICTURES = 1000


@dataclass(frozen=True)
class Invert:
    """All options of the verb."""

    pictures: Positional[tuple[Path, ...]]  # of things that the generator has learned, each in the middle
    generator: Path  # a .safetensors file, or the folder of a run
    out: Path  # FILE.safetensors of latents and cameras, for --latents of other verbs
    # of each picture the file of its mask, of the same size: white where the thing is; default: the alpha
    # channels of the pictures, where they have some
    masks: tuple[Path, ...] = ()
    # FILE.safetensors of a generator whose weights are optimised too, to which the latents then belong
    weights: Path | None = None
    preview: Path | None = None  # FILE.png of the pictures, and of what was found below each
    # files of LPIPS' weights, of the network and of its linear layers: a distance beside the others
    lpips: tuple[Path, Path] | None = None
    inversion: Annotated[InvertOptions, arg(name="")] = InvertOptions()
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu


def main(words: list[str]) -> None:
    """Run the verb."""
    options = parse(Invert, words, "genscene invert", description=ABOUT)
    check(options)
    content = read(options.generator)
    generator = content.generator.to(pick_device(options.device))
    trained = largest_size(content.experiment) if content.cameras is None else content.cameras.size
    how, size = with_side(options.inversion, content, trained)
    target = read_pictures(generator, options.pictures, options.masks, trained, size)
    for path in filter(None, (options.out, options.weights, options.preview)):
        make_parent(path)  # places that cannot be written to are refused before the work
    found = invert(
        generator,
        target,
        how,
        content.cameras,
        options.weights is not None,
        None if options.lpips is None else load_lpips(*options.lpips).requires_grad_(False),
        partial(timed_progress, advice="shorter: --steps, --side, --renderings"),
    )
    latents = found.latents
    named = tuple({**each, "name": options.pictures[each["picture"]].name} for each in latents.pictures)
    if options.weights is not None:
        write(options.weights, replace(content, generator=found.generator, measured={}))
    write_latents(options.out, replace(latents, pictures=named), found.generator)
    if options.preview is not None:
        rows = torch.tensor([each["picture"] for each in named])
        save_png(options.preview, tile(torch.stack([found.target.images[rows].cpu(), found.images.cpu()])))
    describe(options, found)


def check(options: Invert) -> None:
    """Raise BadInput, naming the option, for what can be seen before anything is read."""
    how = options.inversion
    if not 1 <= len(options.pictures) <= MOST_PICTURES:
        raise BadInput(
            f"{len(options.pictures)} pictures: wanted 1 to {MOST_PICTURES}, as genscene invert A.png B.png"
        )
    require_suffix("--out", options.out, (".safetensors",))
    if options.weights is not None:
        require_suffix("--weights", options.weights, (".safetensors",))
        given = (options.out, options.generator, options.generator / "generator.safetensors")
        if options.weights.resolve() in (path.resolve() for path in given):
            raise BadInput(f"--weights {options.weights}: wanted another file than --out and --generator")
    if options.preview is not None:
        require_suffix("--preview", options.preview, (".png",))
    require_range("--side", how.side, 0, 1024)
    require_range("--steps", how.steps, 0, 100_000)
    require_range("--tuning-steps", how.tuning_steps, 1, 100_000)
    require_range("--renderings", how.encoder.renderings, 16, 10**6)
    require_range("--encoder-steps", how.encoder.encoder_steps, 0, 10**6)


def with_side(how: InvertOptions, content: GeneratorFile, trained: Size) -> tuple[InvertOptions, Size]:
    """The options with the side that is compared, and the size of what is."""
    side = how.side or min(SIDE, *trained)
    return replace(how, side=side), small_size(content.generator, trained, side)


def describe(options: Invert, found: Inverted) -> None:
    """Print what was found of each picture, and where it is."""
    latents = found.latents
    for number, each in enumerate(latents.pictures):
        name = options.pictures[each["picture"]]
        numbers = f"{each['psnr']:.1f} dB, distance {each['distance']:.3f}"
        scene = f"scene {each['scene']}" if len(latents) > 1 else "the scene"
        print_line(f"{name}: {scene}, camera {number}, {numbers}")
    for picture in found.ties:
        name = options.pictures[picture]
        print_line(f"{name}: two poses render it about as well, both are in the file, the better one first")
    per = found.seconds / len(options.pictures)
    height, width = found.target.size
    print_line(f"{found.seconds:.0f} s, {per:.0f} s a picture, compared in {height}x{width} pixels")
    for path in (options.out, options.weights, options.preview):
        if path is not None:
            print_line(str(path))
