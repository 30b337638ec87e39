"""genscene ablate PRESET ...: variants are trained under one budget, and compared under one protocol."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from genscene.cli.shared.evaluation_options import EvaluationOptions, evaluate
from genscene.cli.shared.evaluation_results import output, write_markdown
from genscene.cli.shared.options import parse, print_line
from genscene.data.progress import clock
from genscene.devices import Device
from genscene.errors import BadInput, suggest
from genscene.evaluation.intervals.seeds import over_seeds
from genscene.evaluation.report import Report
from genscene.experiment.schema import Experiment
from genscene.experiment.serialise import with_overrides
from genscene.experiment.validation import validate
from genscene.experiment.variants import combinations, parse_factor
from genscene.ranges import Count, Natural, NonNegative
from genscene.systems import KINDS, PRESETS
from genscene.systems.ablations import ABLATIONS
from genscene.training.ablation import Budget, Trained, train_variants
from genscene.training.loop import Precision
from genscene.training.run import Run

OWN = ("out", "device", "statistics")  # options of an evaluation that the verb has itself, or does not offer
RUNS, RESULT = "runs", "ablation"  # folder of the runs, and name of the table's files, in --out


@dataclass(frozen=True)
class Ablate:
    """All options of the verb."""

    # presets (genscene presets), or tables: pigan, nerf, giraffe, cips, cgsgan
    presets: Positional[tuple[str, ...]]
    # folder of the runs and the table; the same command again goes on where it ended
    out: Path = Path("runs/ablation")
    # FIELD=VALUE,VALUE: a field of the experiment, as genscene train names it, with each value; several that
    # are joined by ; change together; one value: in every variant. Of several --vary all combinations are
    # trained
    vary: UseAppendAction[tuple[str, ...]] = ()
    only: str = ""  # names of the variants that are trained, joined by ; and as --dry-run lists them
    seeds: Count = 1  # runs of every variant, from the preset's seed and those that follow it
    steps: Natural = 0  # of every run; 0: the preset's
    # of every run, instead of steps: so many steps as take about this long, by the speed measured before
    minutes: NonNegative = 0.0
    data: str = ""  # what all are trained on, instead of the preset's
    batch: int | None = None  # images, or rays, a step
    size: int | None = None  # side of the images in pixels
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu
    precision: Precision = "fp32"  # as of genscene train
    save_every: Natural = 500  # steps between two checkpoints; 0: only the last
    grid_every: Natural = 0  # steps between two grids of pictures; 0: none
    # how the runs of each seed are compared, as genscene compare does
    evaluation: EvaluationOptions = EvaluationOptions()
    dry_run: bool = False  # list the variants and exit

    def __post_init__(self) -> None:
        """Raise BadInput for numbers out of range, and for two budgets."""
        validate(self)
        if self.steps and self.minutes:
            raise BadInput("--steps and --minutes: wanted one of them, every run has one budget")
        default = EvaluationOptions()
        for name in OWN:
            if getattr(self.evaluation, name) != getattr(default, name):
                raise BadInput(f"--evaluation.{name}: wanted none; --out and --device are for all of it")


def main(words: list[str]) -> None:
    """Run the verb."""
    tables = "\n".join(f"  {name:8} {table.__doc__}" for name, table in ABLATIONS.items())
    about = f"Train variants under one budget, and compare them.\n\ntables:\n{tables}"
    options = parse(Ablate, words, "genscene ablate", description=about)
    if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        raise BadInput("genscene ablate: wanted one process, not torchrun")
    variants = variants_of(options)
    if options.dry_run:
        print_line("\n".join(f"{name}: {each.data}, {each.steps} steps" for name, each in variants.items()))
        return
    require_ablation_folder(options.out)
    run = Run(
        options.out / RUNS,
        options.device,
        options.precision,
        save_every=options.save_every,
        grid_every=options.grid_every,
    )
    trained = list(train_variants(variants, options.seeds, run, Budget(options.minutes)))
    report = result(options, list(variants), trained)
    output(report, options.out / f"{RESULT}.html")
    write_markdown(report, options.out / f"{RESULT}.md")


def variants_of(options: Ablate) -> dict[str, Experiment]:
    """All variants by name; BadInput where there are fewer than two, or one cannot be trained on anything."""
    if not options.presets:
        raise BadInput(f"which presets, or which table? {suggest('', ABLATIONS)}")
    factors, found = [parse_factor(text) for text in options.vary], dict[str, Experiment]()
    for preset in options.presets:
        if preset not in ABLATIONS and preset not in PRESETS:
            raise BadInput(f"no preset or table {preset!r}; {suggest(preset, [*ABLATIONS, *PRESETS])}")
        table = ABLATIONS[preset]() if preset in ABLATIONS else {"": PRESETS[preset]}
        for row, experiment in table.items():
            for name, variant in combinations(experiment, factors, KINDS).items():
                parts = [preset if len(options.presets) > 1 or not (row or name) else "", row, name]
                unique = ", ".join(filter(None, parts))
                if unique in found:
                    raise BadInput(f"{unique} twice, wanted every preset once")
                found[unique] = with_options(variant, options)
    found = chosen(found, options.only)
    if len(found) < 2:
        raise BadInput(f"one variant ({', '.join(found)}), wanted two or more: --vary FIELD=VALUE,VALUE")
    for name, each in found.items():
        if not each.data:
            raise BadInput(f"{name} wants --data PATH: what all variants are trained on")
        if each.system.batch == "surface":
            raise BadInput(f"{name} is a solid, of which nothing is evaluated")
    return found


def chosen(variants: dict[str, Experiment], only: str) -> dict[str, Experiment]:
    """The variants of these names, joined by semicolons; all where none are given."""
    names = [name.strip() for name in only.split(";")] if only else list(variants)
    for name in names:
        if name not in variants:
            raise BadInput(f"--only: no variant {name!r}; {suggest(name, variants)}")
    return {name: variants[name] for name in names}


def with_options(experiment: Experiment, options: Ablate) -> Experiment:
    """The experiment with the options that all variants share."""
    data, steps = options.data or experiment.data, options.steps or experiment.steps
    return with_overrides(replace(experiment, data=data, steps=steps), options.batch, options.size)


def require_ablation_folder(out: Path) -> None:
    """Raise BadInput where a folder holds anything but an ablation."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file, wanted the name of a folder")
    other = [path.name for path in out.iterdir() if not path.stem.startswith(".")] if out.exists() else []
    if other and RUNS not in other:
        raise BadInput(f"--out {out} holds {min(other)}: wanted a new folder, or that of an ablation")


def result(options: Ablate, names: Sequence[str], trained: Sequence[Trained]) -> Report:
    """The report on all runs that did not fail; BadInput where all failed."""
    done = [each for each in trained if not each.error]
    failed = [f"{each.variant}, seed {each.seed} failed: {each.error}" for each in trained if each.error]
    if not done:
        raise BadInput(f"every run failed; {failed[0]}")
    how, reports = replace(options.evaluation, device=options.device), {}
    for seed in sorted({each.seed for each in done}):
        runs = [each for each in done if each.seed == seed]
        found = evaluate([each.folder for each in runs], how, names=[each.variant for each in runs])
        assert found is not None
        reports[seed] = found
    report = over_seeds(reports, names, failed)
    rows = [replace(row, note=describe_runs(row.note, row.name, done)) for row in report.rows]
    described = [describe_run(each, reports) for each in trained]
    title = f"ablation of {', '.join(options.presets)}"
    return replace(report, title=title, rows=rows, runs=described)


def describe_runs(note: str, variant: str, done: Sequence[Trained]) -> str:
    """The note on a variant, with the steps and mean time of its runs."""
    own = [each for each in done if each.variant == variant]
    if not own:
        return note
    seconds = clock(sum(each.seconds for each in own) / len(own))
    return f"{note}; {own[0].steps} steps in {seconds}, {len(own)} run{'s' * (len(own) > 1)}"


def describe_run(run: Trained, reports: dict[int, Report]) -> dict[str, object]:
    """A run as JSON has it, with its scores."""
    found: dict[str, object] = {"variant": run.variant, "seed": run.seed, "folder": str(run.folder)}
    if run.error:
        return found | {"error": run.error}
    (row,) = (row for row in reports[run.seed].rows if row.name == run.variant)
    scores = {key: score.value for key, score in row.scores.items()}
    return found | {"steps": run.steps, "seconds": round(run.seconds, 1), "scores": scores}
