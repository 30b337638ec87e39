"""What hostile command lines end in, by exit code, line, memory, time, and what they start and leave."""

import atexit
import os
import random
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

from border import command_lines
from border.processes import MAX_WAIT, Ended, run_forked, run_verb
from genscene.errors import escape, printable

MAX_MEGABYTES = 512  # more than the same verb takes on good input; a run over other voxels takes 230 to 350
MAX_LINE = 420
WANTED = re.compile(
    "wanted|did you mean|known:|expected|invalid choice|needs?|at most|at least|must|see genscene|lower"
    "|cannot|nrecognized|no such|issing|required|damaged|a whole|no JSON|not JSON|has no|holds? no|neither"
    "|no file of|no checkpoint|not finite|format|none of|choose|sets a number|compared with"
)
PROGRESS = re.compile(r"\d+ %|takes about|step \d+|left$", re.M)


@cache
def goods() -> Path:
    """A folder of good inputs, made in a process of its own: this one starts no threads."""
    folder = Path(tempfile.mkdtemp(prefix="border"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # gigabytes of sets; forked processes skip it
    made = folder / "good"
    made.mkdir()

    def make() -> int:
        os.environ["GENSCENE_CACHE"] = str(folder / "cache")
        command_lines.make_goods(made)
        return 0

    ended = run_forked(make, folder / "make", 120)
    assert ended.code == 0, ended.err[-2000:]
    return made


@cache
def growth(verb: str) -> float:
    """MiB that a verb takes on good input."""
    if verb not in command_lines.VERBS:
        return growth("render png")
    return run(command_lines.good(verb), goods().parent / f"growth {verb}")[0].grown


@cache
def options_of(verb: str) -> list[str]:
    """The options of a verb."""
    return command_lines.options_of(verb)


def run(line: command_lines.CommandLine, folder: Path) -> tuple[Ended, list[str]]:
    """A command line beside a copy of the good inputs -> how it ended, and the files it left half-written."""
    if not folder.exists():
        shutil.copytree(goods(), folder)
    ended = run_verb(line.words, folder, line.variables, line.encoding, line.inside)
    left = [str(path.relative_to(folder)) for path in folder.rglob("*") if ".partial" in path.name]
    if (
        ended.code
        and not line.verb.startswith(("train", "ablate"))
        and "out" in line.words + [w[:3] for w in line.words]
    ):
        left += [str(path) for path in (folder / "out").rglob("*") if path.is_file()]
    return ended, left


def outcome(kind: str, seed: int) -> tuple[str, str]:
    """What one command line ends in: a word, and for all but `done`, `refused` and `long` what happened."""
    chance = random.Random(f"{kind} {seed}")
    known = {verb: options_of(verb) for verb in command_lines.VERBS}
    goods()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "case"
        shutil.copytree(goods(), folder)
        line = command_lines.KINDS[kind](folder, chance, known)
        ended, left = run(line, folder)
    word, what = judge(line, ended, left)
    shown = f"{line.variables or ''} genscene {' '.join(line.words)}" if what else ""
    return word, escape(f"{what[:600]} | {shown[:400]}") if what else ""


def judge(line: command_lines.CommandLine, ended: Ended, left: list[str]) -> tuple[str, str]:
    """The word for how a command line ended, and what happened where that is bad."""
    last = ended.err.strip().splitlines()[-1:] or [""]
    if ended.outside:
        return "reached outside", ended.outside[0]
    if "Traceback" in ended.err or "Traceback" in ended.out or ended.code == 99:
        return "traceback", ended.err[-400:]
    if ended.code == -999:
        working = PROGRESS.search(ended.err + ended.out)
        return ("long", "") if working else ("hang", f"{MAX_WAIT:.0f} s without a word")
    if ended.code not in (0, 1, 2):
        return f"exit {ended.code}", ended.err[-400:]
    if left:
        return "half written", f"{left[:3]} {last[0]}"
    extra = ended.grown - growth(line.verb)
    if extra > MAX_MEGABYTES:
        return "memory", f"{extra:.0f} MiB more, exit {ended.code}, {last[0]}"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", ended.err + ended.out):
        return "control characters", repr(ended.err + ended.out)[:400]
    if ended.code == 0:
        return ("warning", ended.err[-400:]) if "Warning" in ended.err else ("done", "")
    lines = [text for text in ended.err.splitlines() if text.startswith("genscene: ")]
    if len(lines) != 1 or lines[0] != last[0] or len(last[0]) > MAX_LINE:
        return "not one line", ended.err[-600:]
    if not any(printable(name)[:20] in last[0] for name in line.blame):
        return "nothing named", last[0]
    return ("refused", "") if WANTED.search(last[0]) else ("nothing wanted", last[0])
