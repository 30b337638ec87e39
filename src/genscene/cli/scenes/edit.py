"""genscene edit GENERATOR: move scenes along directions, mix two of them, change the objects of a scene."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from tyro.conf import Positional, UseAppendAction, arg

from genscene.apps.analysis.features import one_view
from genscene.apps.directions.directions_file import find_direction, read_directions
from genscene.apps.directions.principal import change_styles, moved_styles
from genscene.apps.interpolate import blend_styles
from genscene.apps.inversion.latents_file import Latents, write_latents
from genscene.apps.scene_file import SceneFile, describe_scene, read_scene, styles_of_scene, write_scene
from genscene.cli.shared.latents import ChosenScenes, choose_scene, choose_scenes, require_many
from genscene.cli.shared.options import parse, parse_seeds, print_line, require_suffix
from genscene.cli.shared.rendering import RenderingOptions, open_generator, render_pictures
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.experiment.validation import Place, build, validate
from genscene.experiment.variants import member, parse_value
from genscene.export.panels import Figure, save_figure
from genscene.geometry.cameras import Size
from genscene.layers.mapping import join_styles, map_tensors, style_count, take_styles
from genscene.ranges import Range, Share

USUAL = range(4)  # scenes, where none are named
AMOUNTS = 1000.0  # standard deviations, at most


@dataclass(frozen=True)
class Edit:
    """All options of the verb."""

    generator: Positional[Path]  # of many scenes: a .safetensors file, or the folder of a run
    # FILE.png: pictures from the scenes as they are to the edited ones; FILE.safetensors: latents of the
    # edited ones, for --latents of other verbs; FILE.json: the objects of one scene, for render --scene
    out: Path
    seeds: str = ""  # scenes: 0-3 (the default), or 0,5,9; of --latents, places in the file, default: all
    directions: Path | None = None  # FILE.safetensors of genscene analyse directions
    # NAME=AMOUNT: a direction by its name or number, from 1, and how far, in standard deviations
    move: UseAppendAction[tuple[str, ...]] = ()
    other: Annotated[int, Range(0)] | None = None  # a seed, or place in --latents, whose style is mixed in
    share: Share = 1.0  # of the way to the other's style: 0: none, 1: all
    # numbers of the layers that are moved and mixed, 0 the coarsest: 0-2; default: all
    layers: str = ""
    # FIELD=VALUE of a scene of objects, as render --save-scene writes it: objects.0.translation=[0.3,0,0.2],
    # background=null
    set: UseAppendAction[tuple[str, ...]] = ()
    scene: Path | None = None  # FILE.json of objects, instead of those of a seed
    steps: Annotated[int, Range(2, 33)] = 5  # pictures of each scene
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions()


def main(words: list[str]) -> None:
    """Run the verb."""
    about = "Move scenes along directions, mix two of them, or change the objects of one."
    options = parse(Edit, words, "genscene edit", description=about)
    check(options)
    how = options.rendering
    content, size = open_generator(options.generator, how)
    generator = content.generator
    require_many(generator, options.generator)
    chosen = choose_scenes(generator, options.generator, options.seeds, how.latents, USUAL)
    before, after, scene = changed_objects(generator, options, chosen)
    after = moved_along(generator, options, mixed(generator, options, after))
    if options.out.suffix == ".png":
        save_strips(generator, options, before, after, size, describe_rows(options, chosen))
    elif options.out.suffix == ".json":
        assert scene is not None
        write_scene(options.out, scene)
    else:
        write_latents(options.out, Latents(after), generator)
    print_line(str(options.out))


def check(options: Edit) -> None:
    """Raise BadInput for options that do not go together."""
    require_suffix("--out", options.out, [".png", ".safetensors", ".json"])
    validate(options)
    of_styles = bool(options.move) or options.other is not None
    if not (options.set or of_styles):
        raise BadInput("nothing to edit: wanted --move NAME=AMOUNT, --other SEED, or --set FIELD=VALUE")
    if options.move and options.directions is None:
        raise BadInput("--move wants --directions FILE, of genscene analyse directions")
    if options.out.suffix == ".json" and of_styles:
        raise BadInput(f"--out {options.out}: a file of objects has no styles, wanted --set alone")
    if options.scene and (options.seeds or options.rendering.latents):
        raise BadInput("--scene: wanted no --seeds and no --latents, the scene is that of the file")
    if options.set and options.rendering.latents:
        raise BadInput("--set: wanted scenes of --seeds or --scene, --latents have no seeds to name codes by")


def changed_objects(
    generator: Generator, options: Edit, chosen: ChosenScenes
) -> tuple[Any, Any, SceneFile | None]:
    """The styles as they are, and with the objects that --set changes; of these, the last scene's file."""
    psi, files = options.rendering.psi, []
    if options.scene is not None:
        files = [read_scene(options.scene)]
    elif options.set:
        files = [describe_scene(generator, seed, psi) for seed in chosen.numbers]
    if not files:
        w = chosen.styles(generator, psi)
        return w, w, None
    if options.out.suffix == ".json" and len(files) > 1:
        raise BadInput(f"--out {options.out}: {len(files)} scenes, wanted one: --seeds N")
    changed = [with_values(each, options.set) for each in files]
    before, after = (
        join_styles([styles_of_scene(generator, each) for each in some]) for some in (files, changed)
    )
    return before, after, changed[-1]


def with_values(scene: SceneFile, settings: Sequence[str]) -> SceneFile:
    """A scene with other values of fields; BadInput names --set and the field."""
    document: Any = to_lists(asdict(scene))
    for text in settings:
        path, equals, value = (part.strip() for part in text.partition("="))
        if not path or not equals or not value:
            raise BadInput(f"--set {text!r}: wanted FIELD=VALUE, like objects.0.rotation=90")
        *parents, name = path.split(".")
        holder: Any = document
        for part in parents:
            holder = holder[member(holder, part, path, f"--set {text}")]
        holder[member(holder, name, path, f"--set {text}")] = parse_value(value)
    found = build(document, SceneFile, Place("--set"))
    assert isinstance(found, SceneFile)
    return found


def to_lists(value: Any) -> Any:
    """A document with lists in place of tuples, as JSON has it."""
    if isinstance(value, dict):
        return {name: to_lists(each) for name, each in value.items()}
    return [to_lists(each) for each in value] if isinstance(value, list | tuple) else value


def mixed(generator: Generator, options: Edit, w: Any) -> Any:
    """The styles, moved to that of --other, in the layers that are chosen."""
    if options.other is None:
        return w
    how = options.rendering
    other = choose_scene(generator, options.generator, options.other, how.latents).styles(generator, how.psi)
    others = map_tensors(lambda x: x.expand(style_count(w), *x.shape[1:]), other)
    blended = blend_styles(generator, join_styles([w, others]), options.share)
    return change_styles(generator, w, blended, parse_layers(options))


def moved_along(generator: Generator, options: Edit, w: Any) -> Any:
    """The styles, moved along the directions, in the layers that are chosen."""
    if options.directions is None:
        return w
    directions = read_directions(options.directions, generator, options.generator)
    for text in options.move:
        name, equals, amount = (part.strip() for part in text.rpartition("="))
        try:
            distance = float(amount)
        except ValueError:
            distance = AMOUNTS + 1
        if not name or not equals or not abs(distance) <= AMOUNTS:
            raise BadInput(f"--move {text!r}: wanted NAME=AMOUNT, in standard deviations, like 1=2.5")
        number = find_direction(directions, name, f"--move {text}")
        one = take_styles(directions.w, slice(number, number + 1))
        distance *= directions.known[number].deviation
        w = moved_styles(generator, w, one, distance, parse_layers(options))
    return w


def parse_layers(options: Edit) -> list[int]:
    """The numbers of the layers that are edited; none: all."""
    return parse_seeds(options.layers, "--layers") if options.layers else []


def save_strips(
    generator: Generator, options: Edit, before: Any, after: Any, size: Size, rows: list[str]
) -> None:
    """Write pictures of each scene, from as it is to the edited one; of changed objects these two alone."""
    how, steps = options.rendering, 2 if options.set else options.steps
    count, pictures = style_count(before), []
    how.require_memory(generator, size, count * steps, 2 * count)
    with how.render_options(count * steps, size, "--steps, --size") as render_options:
        view = how.crop(one_view(generator, size))
        for share in torch.linspace(0, 1, steps).tolist():
            w = before if share == 0 else after if share == 1 else between(before, after, share)
            ones = [take_styles(w, slice(i, i + 1)) for i in range(count)]
            pictures.append(
                torch.cat([render_pictures(generator, one, view, how.show, render_options) for one in ones])
            )
    columns = ["as it is", *(f"{100 * i / (steps - 1):.0f} %" for i in range(1, steps - 1)), "edited"]
    other = [] if options.other is None else [f"other {options.other}"]
    moves = [f"direction {text} sd" for text in options.move]
    title = ", ".join([*moves, *options.set, *other])
    save_figure(options.out, Figure(title, options.generator.stem, torch.stack(pictures, 1), rows, columns))


def between(before: Any, after: Any, share: float) -> Any:
    """Styles, moved by a share of the way to the edited ones."""
    return map_tensors(lambda a, b: torch.lerp(a, b, share), before, after)


def describe_rows(options: Edit, chosen: ChosenScenes) -> list[str]:
    """The names of the scenes."""
    if options.scene is not None:
        return [options.scene.stem]
    return [chosen.describe(i) for i in range(len(chosen))]
