"""genscene compare A B C --data PATH: several generators under one protocol, in one table and on one page."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from genscene.cli.comparing import save_generator, show, writable
from genscene.cli.measuring import Measuring, asked_for, changed, embedding, lay_out, protocols, subject
from genscene.cli.shared.options import parse, print_line
from genscene.distributed import ProcessGroup, init_group
from genscene.errors import BadInput
from genscene.evaluation.asked import ASKED, Question, fitting
from genscene.evaluation.contest import REMARK, Draw, Table, among_reals, answered, judged, part_of, unbounded
from genscene.evaluation.desk import Desk, Sides, Subject
from genscene.evaluation.exhibit import charts, galleries, kinds, settings
from genscene.evaluation.measures import cautions, departures, enough, wanted
from genscene.evaluation.protocol import Protocol
from genscene.evaluation.report import Cell, Report, Row
from genscene.evaluation.rivals import photographed
from genscene.evaluation.sides import Generated, Lot, Stored
from genscene.training.devices import pick_device

ABOUT = "Several generators, or folders of generated pictures, under one protocol.\n\nprotocols:\n"


@dataclass(frozen=True)
class Compare:
    """All options of the verb."""

    generators: Positional[
        tuple[Path, ...]
    ]  # .safetensors files, folders of runs, folders or zips of pictures
    data: str = ""  # a folder, a zip, synthetic:NAME, or statistics; default: what the first was trained on
    measuring: Annotated[Measuring, arg(name="")] = Measuring()
    resamples: int = Draw.resamples  # sets drawn again for the interval of a Frechet distance, at least 39
    title: str = ""  # of the page
    # a name require_suffix with .html: also write a page, and the numbers as JSON beside it
    out: Path | None = None


def main(words: list[str]) -> None:
    """Run the verb."""
    options = parse(Compare, words, "genscene compare", description=ABOUT + protocols())
    checked(options)
    subjects = named([subject(path) for path in options.generators])
    data = subjects[0].data(options.data)
    draw = Draw(options.resamples, options.measuring.seed)
    if all_photographed(subjects):
        for_pictures(options.measuring)
        for each in subjects:
            assert each.generator is not None
            each.generator.to(pick_device(options.measuring.device))
        tell_of(photographed(subjects, options.data, draw, options.title), options)
        return
    group = init_group(pick_device(options.measuring.device))
    try:
        report = contested(subjects, data, options, draw, group)
        if report is not None:
            tell_of(report, options)
    finally:
        group.close()


def tell_of(report: Report, options: Compare) -> None:
    """Print a report, and write it where that is asked for."""
    show(report)
    if options.out is not None:
        for path in save_generator(options.out, report):
            print_line(str(path))


def checked(options: Compare) -> None:
    """Tell of what cannot be done before anything is loaded."""
    if len(options.generators) < 2:
        raise BadInput(f"{len(options.generators)} to compare, wanted at least 2 (of one: genscene evaluate)")
    if options.resamples < 39:
        raise BadInput(f"--resamples {options.resamples}: an interval of 95 % wants at least 39")
    if options.out is not None and options.out.suffix != ".html":
        raise BadInput(f"--out {options.out}: wanted a name require_suffix with .html")
    wanted(asked_for(options.measuring, ()), options.measuring.extractor, ASKED)
    if options.out is not None:
        writable(options.out)


def for_pictures(how: Measuring) -> None:
    """Raise BadInput for options that say nothing of scenes learnt from photographs."""
    given = changed(how, "seed", "cache", "device")  # the seed draws the photographs again
    if given:
        raise BadInput(
            f"--{', --'.join(given)}: of generators of many scenes; these were learnt from photographs, and are"
            " compared by PSNR and SSIM on those that were kept from all of them"
        )


def named(subjects: list[Subject]) -> list[Subject]:
    """The same subjects under names that print_line them apart: paths where several are called alike,
    then numbers.
    """
    own = [subject.name for subject in subjects]
    found: list[Subject] = []
    for one in subjects:
        name = one.name if own.count(one.name) == 1 else str(one.path)
        ways = (name, *(f"{name} #{k}" for k in range(2, len(subjects) + 2)))
        taken = {each.alias for each in found}
        found.append(replace(one, alias=next(way for way in ways if way not in taken)))
    return found


def all_photographed(subjects: list[Subject]) -> bool:
    """Whether all were learnt from photographs of one scene; BadInput where only some were."""
    posed = [s.experiment is not None and (s.experiment.system.batch == "rays") for s in subjects]
    if any(posed) and not all(posed):
        raise BadInput(
            "scenes learnt from photographs and generators of many scenes cannot stand in one table"
        )
    return all(posed)


def contested(
    subjects: list[Subject], data: str, options: Compare, draw: Draw, group: ProcessGroup
) -> Report | None:
    """Measure all of them -> the report; None in processes that are not the first."""
    how = options.measuring
    names = asked_for(how, shared(subjects, data))
    desk = lay_out(subjects[0], data, how, wanted(names, how.extractor, ASKED), group)
    same_size(subjects, desk, how)
    (lots, uneven), given = as_many([desk.lot(each) for each in subjects], subjects), desk.real(data)
    names, short = enough(names, len(lots[0]), given.count, bool(how.metrics))
    real = desk.real_side(given)
    fakes = [desk.side(lot, f"pictures of generator {i}") for i, lot in enumerate(lots, 1)]
    if not group.is_main:
        return None
    table = judged(desk, names, how.extractor, fakes, real, draw)
    photographs = among_reals(desk, names, how.extractor, real, len(lots[0]))
    if any(name in ASKED for name in names):
        table += answered(names, questions(subjects, data, desk, how), bool(how.metrics))
    called = [each.name for each in subjects]
    height, width = desk.task.size
    return Report(
        options.title or f"{', '.join(called[:-1])} and {called[-1]}",
        f"{len(lots[0])} generated pictures of each against {given.count} real ones ({data}), {width}x{height} "
        f"pixels. {desk.task.protocol.source}.",
        tuple(head for head, _ in table),
        (*rows(subjects, table), *reference(photographs, real, fakes, len(table))),
        galleries(called, lots, given.pictures, fakes, real),
        charts(called, fakes, real),
        settings(desk, fakes, real),
        (*uneven, REMARK, *unbounded(table), *warned(names, fakes, real, desk.task.protocol), *short),
    )


def as_many(lots: list[Lot], subjects: list[Subject]) -> tuple[list[Lot], list[str]]:
    """The first pictures of each, as many as there are of all, and what to say where some had more."""
    counts = [len(lot) for lot in lots]
    least = min(counts)
    if max(counts) == least:
        return lots, []
    there = ", ".join(f"{count} of {subject.name}" for count, subject in zip(counts, subjects, strict=True))
    return [first(lot, least) for lot in lots], [
        f"Only the first {least} pictures of each are compared: there are {there}."
    ]


def first(lot: Lot, count: int) -> Lot:
    """The first so many pictures of a lot."""
    assert isinstance(lot, Generated | Stored)
    return replace(lot, side=replace(lot.side, count=count))


def warned(names: list[str], fakes: list[Sides], real: Sides, protocol: Protocol) -> list[str]:
    """What a reader of the numbers should be told, each once."""
    said = [line for fake in fakes for by in fake for line in cautions(fake[by], real[by], names)][:1]
    said += [line for fake in fakes for by in fake for line in departures(protocol, fake[by], real[by])]
    return list(dict.fromkeys(said))


def rows(subjects: list[Subject], table: Table) -> list[Row]:
    """A row for each generator."""
    lines = zip(*(line for _, line in table), strict=True)
    return [Row(s.name, line, kind) for s, line, kind in zip(subjects, lines, kinds(subjects), strict=True)]


def reference(photographs: list[float | None], real: Sides, fakes: list[Sides], columns: int) -> list[Row]:
    """The row of real pictures against other real ones, as far as they have numbers; none where they
    have none.
    """
    if all(value is None for value in photographs):
        return []
    key = next(iter(real))
    kept, generated = len(real[key].features), fakes[0][key].tally.count
    one = part_of(kept, generated)
    note = f"the generators: {generated} against {real[key].tally.count}"
    if one < generated:
        note += "; fewer pictures make distances larger, so a generator may lie lower"
    cells = [
        *(None if value is None else Cell(value) for value in photographs),
        *[None] * (columns - len(photographs)),
    ]
    return [Row(f"real pictures, {one} against {kept - one} others", tuple(cells), note, reference=True)]


def questions(subjects: list[Subject], data: str, desk: Desk, how: Measuring) -> list[Question]:
    """What each generator is asked; BadInput where there are pictures among them, which cannot be."""
    by, protocol = embedding(how, desk.device), desk.task.protocol
    found = []
    for each in subjects:
        if each.generator is None or each.experiment is None:
            raise BadInput(f"{', '.join(ASKED)} are asked of generators, {each.path} are pictures")
        size, count = desk.task.size, protocol.fakes.count
        found.append(
            Question(
                each.generator, each.experiment, data, size, protocol.psi, how.seed, count, by, each.cameras
            )
        )
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
            raise BadInput(
                f"{subjects[0].name} paints {one}, {each.name} {other}: --size N makes them one size"
            )
