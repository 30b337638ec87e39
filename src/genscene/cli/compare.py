"""genscene compare A B C: scores of several generators with intervals, in a table and on a page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from genscene.cli.shared.evaluation_options import EvaluationOptions, describe_choices, run
from genscene.cli.shared.options import parse
from genscene.errors import BadInput
from genscene.evaluation.intervals.bootstrap import Resampling

ABOUT = "Scores of several generators, or folders of generated images, under one protocol.\n\n"


@dataclass(frozen=True)
class Compare:
    """All options of the verb."""

    generators: Positional[tuple[Path, ...]]  # .safetensors files, folders of runs, folders or zips of images
    options: Annotated[EvaluationOptions, arg(name="")] = EvaluationOptions()
    resamples: int = Resampling.count  # for the interval of a Frechet distance, at least 39
    title: str = ""  # of the page


def main(words: list[str]) -> None:
    """Run the verb."""
    verb = parse(Compare, words, "genscene compare", description=ABOUT + describe_choices())
    if len(verb.generators) < 2:
        raise BadInput(f"{len(verb.generators)} to compare, wanted at least 2 (for one: genscene evaluate)")
    if verb.resamples < 39:
        raise BadInput(f"--resamples {verb.resamples}: an interval of 95 % needs at least 39")
    run(verb.generators, verb.options, Resampling(verb.resamples, verb.options.seed), verb.title)
