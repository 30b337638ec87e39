"""genscene evaluate GENERATOR: scores of a generator, or of generated images, under a protocol."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from genscene.cli.shared.evaluation_options import EvaluationOptions, describe_choices, run
from genscene.cli.shared.options import parse

ABOUT = "Scores of a generator, or of a folder or zip of generated images, under a protocol.\n\n"


@dataclass(frozen=True)
class Evaluate:
    """All options of the verb."""

    # a .safetensors file, the folder of a run, or a folder or zip of generated images
    generator: Positional[Path]
    options: Annotated[EvaluationOptions, arg(name="")] = EvaluationOptions()


def main(words: list[str]) -> None:
    """Run the verb."""
    verb = parse(Evaluate, words, "genscene evaluate", description=ABOUT + describe_choices())
    run([verb.generator], verb.options)
