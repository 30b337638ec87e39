"""genscene analyse directions GENERATOR: principal directions of its styles, and directions of labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from tyro.conf import Positional, arg

from genscene.apps.analysis.features import one_view
from genscene.apps.directions.directions_file import write_directions
from genscene.apps.directions.principal import (
    Direction,
    Directions,
    joined,
    labelled_directions,
    moved_styles,
    principal_directions,
)
from genscene.cli.shared.latents import choose_scene, choose_scenes, require_many
from genscene.cli.shared.options import parse, print_line, require_suffix
from genscene.cli.shared.rendering import RenderingOptions, open_generator, render_pictures
from genscene.contract import Generator, RenderOptions
from genscene.errors import BadInput
from genscene.experiment.validation import LARGEST, validate
from genscene.export.panels import Figure, save_figure
from genscene.geometry.cameras import Camera, Grid
from genscene.io.json_file import read_json
from genscene.layers.mapping import style_count, take_styles
from genscene.ranges import Range

LIMIT = 1 << 20  # bytes of a file of labels
Labels = dict[str, dict[int, float]]  # by the name of a direction, numbers by seeds


@dataclass(frozen=True)
class DirectionsOfStyles:
    """All options of analyse directions."""

    generator: Positional[Path]  # of many scenes: a .safetensors file, or the folder of a run
    out: Path  # FILE.safetensors of directions, for genscene edit; FILE.png beside it: a strip of each
    # principal directions, those of the largest variance first; 0: those of --labels alone
    count: Annotated[int, Range(0, 256)] = 8
    styles: Annotated[int, Range(16, 100_000)] = 2048  # of other seeds, whose variance it is
    # .json, {"NAME": {"SEED": NUMBER, ...}}: a direction for each name, from labels of seeds, or of places in
    # --latents; numbers may be 0 and 1, or of any scale
    labels: Path | None = None
    seed: int = 0  # of the scene that the strips show
    reach: Annotated[float, Range(0.01, 100)] = 3.0  # standard deviations at both ends of a strip
    steps: Annotated[int, Range(2, 33)] = 7  # pictures of a strip
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions()


def main(words: list[str]) -> None:
    """Write directions, and a strip of each."""
    about = "Principal directions of styles, and directions of labels, with a strip of pictures for each."
    options = parse(DirectionsOfStyles, words, "genscene analyse directions", description=about)
    require_suffix("--out", options.out, [".safetensors"])
    validate(options)
    if not options.count and options.labels is None:
        raise BadInput("--count 0 without --labels: wanted some directions")
    labels = read_labels(options.labels) if options.labels else {}
    content, size = open_generator(options.generator, options.rendering)
    generator, how = content.generator, options.rendering
    require_many(generator, options.generator)
    directions = find_directions(generator, options, labels)
    w = choose_scene(generator, options.generator, options.seed, how.latents).styles(generator, how.psi)
    rows = len(directions.known)
    how.require_memory(generator, size, rows * options.steps, 1)
    with how.render_options(rows * options.steps, size, "--count, --steps") as render_options:
        view = how.crop(one_view(generator, size))
        amounts = torch.linspace(-options.reach, options.reach, options.steps).tolist()
        pictures = direction_strips(generator, w, directions, amounts, view, how, render_options)
    columns = [f"{amount:+.2g} sd" if amount else "0" for amount in amounts]
    note = f"seed {options.seed}, moved by standard deviations of the styles along each direction"
    figure = Figure("directions", note, pictures, [describe(each) for each in directions.known], columns)
    save_figure(options.out.with_suffix(".png"), figure)
    write_directions(options.out, directions, generator)
    for each in directions.known:
        print_line(describe(each))
    print_line(f"{options.out}\n{options.out.with_suffix('.png')}")


def find_directions(generator: Generator, options: DirectionsOfStyles, labels: Labels) -> Directions:
    """The principal directions, then those of labels; BadInput names the generator or the file of labels."""
    parts = []
    if options.count:
        try:
            parts.append(principal_directions(generator, options.count, options.styles))
        except BadInput as error:
            raise BadInput(f"{options.generator}: {error}") from None
    if labels:
        seeds = sorted({seed for values in labels.values() for seed in values})
        latents, text = options.rendering.latents, ",".join(map(str, seeds))
        w = choose_scenes(generator, options.generator, text, latents, ()).styles(generator)
        place = {seed: i for i, seed in enumerate(seeds)}
        placed = {name: {place[s]: x for s, x in values.items()} for name, values in labels.items()}
        try:
            parts.append(labelled_directions(generator, w, placed, options.styles))
        except BadInput as error:
            raise BadInput(f"{options.labels}: {error}") from None
    return joined(parts)


def read_labels(path: Path) -> Labels:
    """Labels by name and seed; BadInput, naming the file, for all else."""
    document = read_json(path, "labels", LIMIT)
    wanted = 'wanted {"NAME": {"SEED": NUMBER, ...}, ...}'
    if not isinstance(document, dict) or not document:
        raise BadInput(f"{path} holds no labels, {wanted}")
    found: Labels = {}
    for name, values in document.items():
        if not isinstance(values, dict):
            raise BadInput(f"{path}: {name} has no seeds, {wanted}")
        for seed, value in values.items():
            number = isinstance(value, bool | int | float) and abs(value) <= LARGEST
            if not (seed.isascii() and seed.isdecimal() and int(seed) < 2**62 and number):
                raise BadInput(f"{path}: {name}.{seed} is {value!r:.40}, {wanted}")
        found[name] = {int(seed): float(value) for seed, value in values.items()}
    return found


def describe(direction: Direction) -> str:
    """The title of a strip."""
    share = f"{direction.name}: {100 * direction.share:.1f} % of variance"
    return share if direction.correlation is None else f"{share}, r {direction.correlation:.2f}"


def direction_strips(
    generator: Generator,
    w: Any,
    directions: Directions,
    amounts: list[float],
    view: Camera | Grid,
    how: RenderingOptions,
    options: RenderOptions,
) -> Tensor:
    """One style, moved along each of K directions -> pictures [K, amounts, 3, H, W]."""
    rows = []
    for i, known in enumerate(directions.known):
        one = take_styles(directions.w, slice(i, i + 1))
        styles = [moved_styles(generator, w, one, amount * known.deviation) for amount in amounts]
        rows.append(torch.cat([render_pictures(generator, each, view, how.show, options) for each in styles]))
    assert style_count(w) == 1
    return torch.stack(rows)
