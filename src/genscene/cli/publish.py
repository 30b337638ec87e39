"""genscene publish GENERATOR: a folder of its file, pictures and a model card, uploaded where wanted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from tyro.conf import Positional, arg

from genscene.cli.shared.latents import choose_scenes
from genscene.cli.shared.options import parse, print_line
from genscene.cli.shared.rendering import (
    RenderingOptions,
    open_generator,
    render_rows,
    require_seen,
    views_along,
)
from genscene.data.images.files import require_new_folder
from genscene.errors import BadInput, printable
from genscene.evaluation.image_sources import fingerprint
from genscene.experiment.schedules import largest_size
from genscene.export.model_card import Card, CardScore, render_card
from genscene.export.pictures import save_png, tile
from genscene.export.splats import READ
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior
from genscene.hub import GENERATOR, HubAddress, hub_library, parse_address, push_folder
from genscene.io.atomic import atomic_folder
from genscene.io.generator_file import GeneratorFile, write
from genscene.io.json_file import read_json
from genscene.objectives.adversarial import AdversarialConfig

CARD, PICTURES = "README.md", "pictures.png"
SCENES, VIEWS = range(4), 5  # of the pictures
DATASET = re.compile(r"[\w.-]+(/[\w.-]+)?")
SHOWN = ("protocol", "data", "split", "size", "background", "psi", "noise")  # of a protocol


@dataclass(frozen=True)
class Publish:
    """All options of the verb."""

    # a .safetensors file, the folder of a run, or Gaussians as a .ply or .splat
    generator: Positional[Path]
    out: Path  # folder to write to; it must be new or empty
    # of the weights: an identifier like mit or cc-by-nc-4.0, or a name; default: what the file says
    licence: str = ""
    title: str = ""  # of the card; default: the name of the folder
    report: Path | None = None  # the JSON of genscene evaluate or compare, whose numbers the card has
    datasets: tuple[str, ...] = ()  # names of the training data on the hub: owner/name
    pictures: bool = True  # show scenes on the card
    seeds: str = ""  # these: 0-3 (the default), or 0,5,9; of --latents, places in the file
    push: str = ""  # hf://owner/name: upload the folder, too (pip install 'genscene[hub]')
    private: bool = False  # a new repository can be seen by its owner only
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions()


@dataclass(frozen=True)
class Numbers:
    """What a report says of one generator."""

    scores: tuple[CardScore, ...] = ()
    protocol: Mapping[str, object] | None = None
    notes: tuple[str, ...] = ()


def main(words: list[str]) -> None:
    """Run the verb."""
    about = "A folder of a generator's file, pictures and a model card, uploaded to the hub where wanted."
    options = parse(Publish, words, "genscene publish", description=about)
    for name in options.datasets:
        if not DATASET.fullmatch(name):
            raise BadInput(f"--datasets {printable(name, 60)}: wanted names on the hub like owner/name")
    address = check_push(options)
    require_new_folder(options.out)
    content, size = open_generator(options.generator, options.rendering)
    if address is not None:
        hub_library(f"--push {options.push}")  # before anything is rendered
    numbers = read_numbers(options.report, content) if options.report else Numbers()
    content = published(content, options.licence, numbers)
    card = describe(options, content, numbers, address)
    with atomic_folder(options.out) as partial:
        if options.pictures:
            save_pictures(partial / PICTURES, options, content, size)
        write(partial / GENERATOR, content)
        (partial / CARD).write_text(render_card(card), encoding="utf-8")
    names = [CARD, GENERATOR, *[PICTURES] * options.pictures]
    print_line(f"{options.out}: {', '.join(names)}")
    if not content.licence:
        print_line("  no licence is stated: nobody else may use the weights (--licence)")
    if address is not None:
        print_line(f"{address}: {push_folder(options.out, names, address, options.private)}")


def check_push(options: Publish) -> HubAddress | None:
    """Where to upload to, None for nowhere; BadInput where that cannot be."""
    if not options.push:
        if options.private:
            raise BadInput("--private: wanted with --push hf://owner/name")
        return None
    address = parse_address(options.push)
    if address.file != GENERATOR:
        raise BadInput(f"--push {options.push}: wanted hf://owner/name, the folder has several files")
    return address


def published(content: GeneratorFile, licence: str, numbers: Numbers) -> GeneratorFile:
    """The same generator with a licence and numbers; of paths of this machine only the last part remains."""
    experiment = content.experiment
    experiment = replace(experiment, data=last_part(experiment.data), init=last_part(experiment.init))
    measured = {**content.measured, **{score.key: score.value for score in numbers.scores}}
    return replace(content, experiment=experiment, licence=licence or content.licence, measured=measured)


def last_part(path: str) -> str:
    """The last part of a path, which says nothing of folders of this machine; embedded sets as they are."""
    return path if ":" in path else Path(path).name


def describe(options: Publish, content: GeneratorFile, numbers: Numbers, address: HubAddress | None) -> Card:
    """The card of a generator."""
    generator, experiment = content.generator, content.experiment
    size = content.cameras.size if content.cameras is not None else largest_size(experiment)
    return Card(
        title=options.title or (address.repo.split("/")[1] if address else options.out.resolve().name),
        system=type(experiment.system).__module__.split(".")[-2],
        many=generator.latent_dim > 0,
        adversarial=isinstance(experiment.system, AdversarialConfig),
        in_space=isinstance(generator.prior, CameraPrior),
        parameters=sum(parameter.numel() for parameter in generator.parameters()),
        steps=0 if options.generator.suffix in READ else experiment.steps,
        size=size,
        data=experiment.data,
        licence=content.licence,
        datasets=options.datasets,
        scores=numbers.scores,
        protocol=numbers.protocol or {},
        notes=numbers.notes,
        pictures=PICTURES if options.pictures else "",
        source=str(address) if address else GENERATOR,
        version=content.version,
    )


def save_pictures(path: Path, options: Publish, content: GeneratorFile, size: Size) -> None:
    """Write some scenes, one a row, from some views; of scenes that are pictures all in one row."""
    generator, how = content.generator, options.rendering
    chosen = choose_scenes(generator, options.generator, options.seeds, how.latents, SCENES)
    views = how.crop(views_along(content, options.generator, "", VIEWS, size))
    size = views.size
    how.require_memory(generator, size, len(chosen) * len(views), len(chosen))
    w = chosen.styles(generator, how.psi)
    with how.render_options(len(chosen) * len(views), size) as render_options:
        depths = how.depth_range(generator, w, views, render_options)
        rows = render_rows(generator, w, views, how.show, render_options, depths)
        pictures = torch.stack([*require_seen(rows, how.show, options.generator)])
    save_png(path, tile(pictures if len(views) > 1 else pictures.transpose(0, 1)))


def read_numbers(path: Path, content: GeneratorFile) -> Numbers:
    """The numbers of a generator in a report; BadInput where it is none, or one of other generators.

    Reports of generators of many scenes name the checksum of each; others are of one that is taken as this.
    """
    document: Any = read_json(path, "report")
    rows = document.get("generators") if isinstance(document, dict) else None
    protocol = document.get("protocol") if isinstance(document, dict) else None
    if not isinstance(rows, dict) or not rows or not isinstance(protocol, dict):
        raise BadInput(f"{path} is no report, wanted the JSON of genscene evaluate or compare")
    own = fingerprint(content.generator)
    sums = [protocol.get(f"generator {i}: content") for i in range(1, len(rows) + 1)]
    place = sums.index(own) if own in sums else 0
    if own not in sums and (any(sums) or len(rows) > 1):
        raise BadInput(f"{path} is a report of {', '.join(map(str, rows))}, none of which has these weights")
    used = {"generated images": f"generator {place + 1}: images", "real images": "real: images"}
    keys = {name: name for name in SHOWN} | used | {"real images of": "real: source"}
    shown = {name: last_part(str(protocol[key])) for name, key in keys.items() if key in protocol}
    notes = document.get("notes")
    kept = tuple(str(note) for note in notes) if isinstance(notes, list) else ()
    return Numbers(tuple(read_score(*row, path) for row in _scores([*rows.values()][place])), shown, kept)


def _scores(found: Any) -> list[tuple[str, Any]]:
    return [*found.items()] if isinstance(found, dict) else []


def read_score(key: str, found: Any, path: Path) -> CardScore:
    """One score of a report; BadInput where it is none."""
    if not isinstance(found, dict) or type(found.get("value")) not in (int, float):
        raise BadInput(f"{path}: {printable(key, 60)} has no value, wanted the JSON of genscene evaluate")
    words = {name: str(found.get(name, "")) for name in ("title", "better", "unit", "extractor")}
    return CardScore(key, words["title"] or key, float(found["value"]), *[*words.values()][1:])
