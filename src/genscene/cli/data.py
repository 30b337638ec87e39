"""genscene data inspect|synthesize: look into pictures, or make some."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genscene.cli.options import parse, size_of, tell
from genscene.data.inspect import inspect
from genscene.data.write import write_set
from genscene.errors import BadInput, nearest

USAGE = """usage: genscene data inspect PATH
       genscene data synthesize NAME --out FOLDER [--count N] [--size N] [--seed N]
"""


@dataclass(frozen=True)
class Inspect:
    """All options of data inspect."""

    path: Positional[Path]  # a folder or zip of pictures


@dataclass(frozen=True)
class Synthesize:
    """All options of data synthesize."""

    name: Positional[str]  # an embedded set: cars, objects
    out: Path  # folder to write to; it must be new or empty
    count: int = 1000  # pictures
    size: str = "128"  # side, or height x width, in pixels
    seed: int = 0  # another seed gives other pictures


def main(words: list[str]) -> None:
    """Run the verb."""
    verbs = ("inspect", "synthesize")
    if not words or words[0] in ("-h", "--help"):
        tell(USAGE)
        if not words:
            raise BadInput(f"what about data? {' or '.join(verbs)}")
    elif words[0] == "inspect":
        options = parse(Inspect, words[1:], "genscene data inspect", description="What pictures are there.")
        tell("\n".join(inspect(options.path)))
    elif words[0] == "synthesize":
        about = "Pictures of an embedded set with their cameras, masks and depths."
        made = parse(Synthesize, words[1:], "genscene data synthesize", description=about)
        write_set(made.name, made.out, made.count, size_of(made.size), made.seed)
        tell(f"{made.out}: {made.count} pictures")
    else:
        raise BadInput(f"cannot {words[0]!r} data; {nearest(words[0], verbs)}")
