"""genscene compare A B C --data PATH: several generators under one protocol, in one table and on one page."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from genscene.cli.comparing import publish, show
from genscene.cli.measuring import Measuring, asked_for, embedding, lay_out, protocols, subject
from genscene.cli.options import parse, tell
from genscene.errors import BadInput
from genscene.evaluation.asked import ASKED, Question, fitting
from genscene.evaluation.contest import REMARK, Draw, Table, answered, floor, judged
from genscene.evaluation.desk import Desk, Sides, Subject
from genscene.evaluation.exhibit import charts, galleries, kinds, settings
from genscene.evaluation.measures import cautions, enough, wanted
from genscene.evaluation.report import Cell, Report, Row
from genscene.evaluation.rivals import photographed
from genscene.processes import Processes, join
from genscene.system import PosedConfig
from genscene.training.devices import pick_device

ABOUT = "Several generators, or folders of generated pictures, under one protocol.\n\nprotocols:\n"


@dataclass(frozen=True)
class Compare:
    """All options of the verb."""

    generators: Positional[tuple[Path, ...]]  # .safetensors files, folders of runs, folders or zips of pictures
    data: str = ""  # a folder, a zip, synthetic:NAME, or statistics; default: what the first was trained on
    measuring: Annotated[Measuring, arg(name="")] = Measuring()
    resamples: int = 50  # sets drawn again for each interval, at least 39
    title: str = ""  # of the page
    out: Path | None = None  # a name ending with .html: also write a page, and the numbers as JSON beside it


def main(words: list[str]) -> None:
    """Run the verb."""
    options = parse(Compare, words, "genscene compare", description=ABOUT + protocols())
    checked(options)
    subjects = named([subject(path) for path in options.generators])
    data = subjects[0].data(options.data)
    draw = Draw(options.resamples, options.measuring.seed)
    if all_photographed(subjects):
        tell_of(photographed(subjects, options.data, draw, options.title), options)
        return
    group = join(pick_device(options.measuring.device))
    try:
        report = contested(subjects, data, options, draw, group)
        if report is not None:
            tell_of(report, options)
    finally:
        group.leave()


def tell_of(report: Report, options: Compare) -> None:
    """Print a report, and write it where that is asked for."""
    show(report)
    if options.out is not None:
        for path in publish(options.out, report):
            tell(str(path))


def checked(options: Compare) -> None:
    """Tell of what cannot be done before anything is loaded."""
    if len(options.generators) < 2:
        raise BadInput(f"{len(options.generators)} to compare, wanted at least 2 (of one: genscene evaluate)")
    if options.resamples < 39:
        raise BadInput(f"--resamples {options.resamples}: an interval of 95 % wants at least 39")
    if options.out is not None and options.out.suffix != ".html":
        raise BadInput(f"--out {options.out}: wanted a name ending with .html")
    wanted(asked_for(options.measuring, ()), options.measuring.extractor, ASKED)


def named(subjects: list[Subject]) -> list[Subject]:
    """The same subjects under names that tell them apart: paths, where several are called alike."""
    own = [subject.name for subject in subjects]
    return [replace(s, alias=s.name if own.count(s.name) == 1 else str(s.path)) for s in subjects]


def all_photographed(subjects: list[Subject]) -> bool:
    """Whether all were learnt from photographs of one scene; BadInput where only some were."""
    posed = [s.experiment is not None and isinstance(s.experiment.system, PosedConfig) for s in subjects]
    if any(posed) and not all(posed):
        raise BadInput("scenes learnt from photographs and generators of many scenes cannot stand in one table")
    return all(posed)


def contested(subjects: list[Subject], data: str, options: Compare, draw: Draw, group: Processes) -> Report | None:
    """Measure all of them -> the report; None in processes that are not the first."""
    how = options.measuring
    names = asked_for(how, shared(subjects, data))
    desk = lay_out(subjects[0], data, how, wanted(names, how.extractor, ASKED), group)
    same_size(subjects, desk, how)
    lots, given = [desk.lot(each) for each in subjects], desk.real(data)
    names, short = enough(names, min(map(len, lots)), given.count, bool(how.metrics))
    real = desk.real_side(given)
    fakes = [desk.side(lot, f"pictures of {each.name}") for lot, each in zip(lots, subjects, strict=True)]
    if not group.first:
        return None
    table = judged(desk, names, how.extractor, fakes, real, draw)
    halves = floor(desk, names, how.extractor, real)
    if any(name in ASKED for name in names):
        table += answered(names, questions(subjects, data, desk, how), bool(how.metrics))
    called = [each.name for each in subjects]
    height, width = desk.task.size
    return Report(
        options.title or f"{', '.join(called[:-1])} and {called[-1]}",
        f"{len(lots[0])} generated pictures of each against {given.count} real ones ({data}), {width}x{height} "
        f"pixels. {desk.task.protocol.source}.",
        tuple(head for head, _ in table),
        (*rows(subjects, table), reference(halves, len(table))),
        galleries(called, lots, given.pictures, fakes, real),
        charts(called, fakes, real),
        settings(desk, fakes, real),
        (REMARK, *warned(names, fakes, real), *short),
    )


def warned(names: list[str], fakes: list[Sides], real: Sides) -> list[str]:
    """What a reader of the numbers should be told, each once."""
    said = [line for fake in fakes for by in fake for line in cautions(fake[by], real[by], names)]
    return list(dict.fromkeys(said))[:1]


def rows(subjects: list[Subject], table: Table) -> list[Row]:
    """A row for each generator."""
    lines = zip(*(line for _, line in table), strict=True)
    return [Row(s.name, line, kind) for s, line, kind in zip(subjects, lines, kinds(subjects), strict=True)]


def reference(halves: list[float | None], columns: int) -> Row:
    """The row of the real pictures, as far as they have numbers."""
    cells = [*(None if value is None else Cell(value) for value in halves), *[None] * (columns - len(halves))]
    return Row("real, one half against the other", tuple(cells), reference=True)


def questions(subjects: list[Subject], data: str, desk: Desk, how: Measuring) -> list[Question]:
    """What each generator is asked; BadInput where there are pictures among them, which cannot be."""
    by, protocol = embedding(how, desk.device), desk.task.protocol
    found = []
    for each in subjects:
        if each.generator is None or each.experiment is None:
            raise BadInput(f"{', '.join(ASKED)} are asked of generators, {each.path} are pictures")
        size, count = desk.task.size, protocol.fakes.count
        found.append(Question(each.generator, each.experiment, data, size, protocol.psi, how.seed, count, by))
    return found


def shared(subjects: list[Subject], data: str) -> list[str]:
    """What can be asked of all generators."""
    sets = [set(fitting(s.generator, data)) if s.generator else set() for s in subjects]
    return [name for name in ASKED if all(name in each for each in sets)]


def same_size(subjects: list[Subject], desk: Desk, how: Measuring) -> None:
    """BadInput where generators paint pictures of different sizes and none was chosen."""
    if how.size or desk.task.protocol.size:
        return
    for each in subjects:
        size = each.size(desk.task.protocol, "")
        if size != desk.task.size:
            one, other = (f"{height}x{width}" for height, width in (desk.task.size, size))
            raise BadInput(f"{subjects[0].name} paints {one}, {each.name} {other}: --size N makes them one size")
