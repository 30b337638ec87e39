"""genscene presets: the experiments that can be trained."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from genscene.cli.shared.options import parse
from genscene.systems import PRESETS


@dataclass(frozen=True)
class Presets:
    """No options."""


def main(words: list[str]) -> None:
    """Run the verb."""
    parse(Presets, words, "genscene presets", description="List the experiments that can be trained.")
    table = Table("preset", "data", "stages (side x batch from step)", "steps", box=None, pad_edge=False)
    for name, experiment in PRESETS.items():
        fitted = experiment.system.fits_photographs or experiment.system.batch == "pixels"
        side = experiment.posed.side or "as it is " if fitted else None
        stages = ", ".join(f"{side or s.size[0]}x{s.batch} from {s.start}" for s in experiment.stages)
        table.add_row(name, experiment.data or "--data PATH", stages, str(experiment.steps))
    Console(width=140).print(table)
