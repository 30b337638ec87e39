"""genscene evaluate GENERATOR: how good it is, in numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from genscene.cli.measuring import Measuring, asked_for, changed, embedding, lay_out, protocols, subject
from genscene.cli.results import Result, show, write
from genscene.cli.scores import score
from genscene.cli.shared.options import parse, print_line
from genscene.distributed import ProcessGroup, init_group
from genscene.errors import BadInput
from genscene.evaluation.asked import ASKED, Question, fitting
from genscene.evaluation.desk import Desk, Subject
from genscene.evaluation.measures import Number, cautions, enough, wanted
from genscene.training.devices import pick_device

ABOUT = "How good a generator, or a folder or zip of generated pictures, is, in numbers.\n\nprotocols:\n"


@dataclass(frozen=True)
class Evaluate:
    """All options of the verb."""

    generator: Positional[
        Path
    ]  # a .safetensors file, the folder of a run, or a folder or zip of generated pictures
    # a folder, a zip, synthetic:NAME, or statistics written before; default: what it was trained on
    data: str = ""
    measuring: Annotated[Measuring, arg(name="")] = Measuring()
    statistics: Path | None = None  # a folder: write the statistics of the real pictures there
    split: Literal["train", "val", "test"] = "val"  # of a scene learnt from photographs: which of them
    # of a scene learnt from photographs: also LPIPS, by files of AlexNet, VGG16 or SqueezeNet and of linear
    # layers;
    # once for each network
    lpips: UseAppendAction[tuple[tuple[Path, Path], ...]] = ()
    out: Path | None = None  # also write numbers and protocol as JSON, and pictures beside it


def main(words: list[str]) -> None:
    """Run the verb."""
    options = parse(Evaluate, words, "genscene evaluate", description=ABOUT + protocols())
    names = asked_for(options.measuring, ())
    wanted(names, options.measuring.extractor, ASKED)  # unknown ones are told of before anything is loaded
    if options.out is not None and options.out.suffix != ".json":
        raise BadInput(f"--out {options.out}: wanted a name require_suffix with .json")
    measured = subject(options.generator)
    if measured.experiment is not None and (measured.experiment.system.batch == "rays"):
        assert measured.generator is not None
        for_pictures(options)
        score(
            measured.generator,
            measured.experiment,
            options.data,
            options.split,
            options.out,
            options.lpips,
            measured.cameras,
        )
        return
    if options.lpips:
        raise BadInput("--lpips compares with photographs: it wants a scene that was learnt from some")
    data = measured.data(options.data)
    asked = [name for name in names if name in ASKED]
    if asked and measured.generator is None:
        raise BadInput(f"{', '.join(asked)}: wanted a generator to ask, {measured.path} are pictures")
    group = init_group(pick_device(options.measuring.device))
    try:
        evaluate(measured, data, options, group)
    finally:
        group.close()


def for_pictures(options: Evaluate) -> None:
    """Raise BadInput for options that say nothing of a scene learnt from photographs."""
    given = changed(options.measuring, "cache", "device")
    given += ["statistics"] if options.statistics is not None else []
    if given:
        raise BadInput(
            f"--{', --'.join(given)}: of generators of many scenes; this one was learnt from photographs, and is"
            " compared with those that were kept from it (--split, --lpips)"
        )


def evaluate(measured: Subject, data: str, options: Evaluate, group: ProcessGroup) -> None:
    """Measure both sides, and print_line."""
    how = options.measuring
    names = asked_for(how, fitting(measured.generator, data) if measured.generator else ())
    desk = lay_out(measured, data, how, wanted(names, how.extractor, ASKED), group)
    lot, given = desk.lot(measured), desk.real(data)
    names, short = enough(names, len(lot), given.count, bool(how.metrics))
    real = desk.real_side(given)
    fake = desk.side(lot, "generated pictures")
    if not group.is_main:
        return
    answered, passed = answers(measured, data, names, desk, how)
    numbers = desk.numbers(names, how.extractor, fake, real) + answered
    if options.statistics is not None:
        for name, statistics in real.items():
            statistics.save(options.statistics / f"{name}.safetensors")
    said = [line for by in fake for line in cautions(fake[by], real[by], names)][:1] + short + passed
    result = Result(measured.name, desk, numbers, said, fake, real)
    show(result)
    if options.out is not None:
        for path in write(options.out, result, lot, given.pictures):
            print_line(str(path))


def answers(
    measured: Subject, data: str, names: list[str], desk: Desk, how: Measuring
) -> tuple[list[Number], list[str]]:
    """What the generator itself is asked, and why some of it has no answer where nobody asked by name."""
    asked = [name for name in names if name in ASKED]
    if not asked or measured.generator is None or measured.experiment is None:
        return [], []
    protocol = desk.task.protocol
    size, count, by = desk.task.size, protocol.fakes.count, embedding(how, desk.device)
    question = Question(
        measured.generator,
        measured.experiment,
        data,
        size,
        protocol.psi,
        how.seed,
        count,
        by,
        measured.cameras,
    )
    numbers, passed = [], []
    for name in asked:
        try:
            numbers += ASKED[name](question)
        except BadInput as error:
            if how.metrics:
                raise
            passed.append(f"no {name}: {error}")
    return numbers, passed
