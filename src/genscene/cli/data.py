"""genscene data inspect|synthesize|poses: look into pictures, make some, find where they were taken from."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genscene.cli.shared.options import parse, parse_size, print_line
from genscene.data import say
from genscene.data.inspect import inspect
from genscene.data.posed.sfm import ADVICE, Matching, place
from genscene.data.write import write_set
from genscene.errors import BadInput, suggest

USAGE = """usage: genscene data inspect PATH
       genscene data synthesize NAME --out FOLDER [--count N] [--size N] [--seed N]
       genscene data poses FOLDER [--out FOLDER] [--matching exhaustive|sequential] [--no-shared-lens] [--side N]
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


@dataclass(frozen=True)
class Poses:
    """All options of data poses."""

    folder: Positional[Path]  # photographs of one scene that stands still
    out: Path | None = None  # folder to write to, new or empty; FOLDER-posed if not given
    matching: Matching = (
        "exhaustive"  # compare all with all, or (frames of a film) with the next ones by name
    )
    shared_lens: bool = True  # all photographs have one focal length and distortion
    side: int = 1600  # longer side of what is written, in pixels, if that is smaller; 0 for as it is


def main(words: list[str]) -> None:
    """Run the verb."""
    verbs = ("inspect", "synthesize", "poses")
    if not words or words[0] in ("-h", "--help"):
        print_line(USAGE)
        if not words:
            raise BadInput(f"what about data? {', '.join(verbs[:-1])} or {verbs[-1]}")
    elif words[0] == "inspect":
        options = parse(Inspect, words[1:], "genscene data inspect", description="What pictures are there.")
        print_line("\n".join(inspect(options.path)))
    elif words[0] == "synthesize":
        about = "Pictures of an embedded set with their cameras, masks and depths."
        made = parse(Synthesize, words[1:], "genscene data synthesize", description=about)
        write_set(made.name, made.out, made.count, parse_size(made.size), made.seed)
        print_line(f"{made.out}: {made.count} pictures")
    elif words[0] == "poses":
        about = (
            "Photographs without cameras to photographs with cameras, by structure from motion (COLMAP's)."
        )
        poses(parse(Poses, words[1:], "genscene data poses", description=about))
    else:
        raise BadInput(f"cannot {words[0]!r} data; {suggest(words[0], verbs)}")


def poses(options: Poses) -> None:
    """Find cameras, and print_line of which photographs."""
    folder = options.folder.expanduser().resolve()
    out = options.out or folder.with_name(f"{folder.name}-posed")
    placed = place(options.folder, out, options.matching, options.shared_lens, options.side)
    found = placed.count - len(placed.missing)
    if placed.missing:
        say(f"not placed: {', '.join(placed.missing)}")
    if 2 * found < placed.count:
        say(
            "fewer than half were placed: the scene may be a part of what was photographed, or wrong; "
            + ADVICE
        )
    print_line(
        f"{out}: {found} of {placed.count} photographs placed, {placed.points} points, {placed.error:.2f} pixels off"
    )
    print_line(f"train on them: genscene train nerf-grid-photos --data {shlex.quote(str(out))}")
