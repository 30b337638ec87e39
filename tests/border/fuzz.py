"""Hostile inputs by the thousand, read as the verbs would and by the verbs: python tests/border/fuzz.py."""

import argparse
import contextlib
import io
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from border import command_lines, hostile, verbs
from border.watch import watched
from genscene.errors import BadInput

MAX_SECONDS, MAX_WAIT, MAX_MEGABYTES = 5.0, 30.0, 256  # of one input: processor time, wall time, memory
GOOD = ("read", "done", "refused", "long")  # long: a large amount of work, with progress
KINDS = (*hostile.KINDS, *command_lines.KINDS)
READ_TOGETHER = 20  # files that are read for each command line


def outcome(kind: str, seed: int) -> tuple[str, str]:
    """What one input ends in: a word, and for all but those of GOOD what happened."""
    return verbs.outcome(kind, seed) if kind in command_lines.KINDS else reading(kind, seed)


def reading(kind: str, seed: int) -> tuple[str, str]:
    """What reading one file ends in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        read = hostile.KINDS[kind](folder, random.Random(f"{kind} {seed}"))
        start, used, before = time.monotonic(), time.process_time(), _peak()
        shown = io.StringIO()
        with watched(folder) as events, contextlib.redirect_stderr(shown), warnings.catch_warnings():
            warnings.simplefilter("error")
            result = _result(read, folder)
        if events:
            return "reached outside", str(events[0])
        waited, used = time.monotonic() - start, time.process_time() - used
        if used > MAX_SECONDS or waited > MAX_WAIT:
            return "slow", f"{used:.1f} s of processor time, {waited:.1f} s"
        if _peak() - before > MAX_MEGABYTES:
            return "memory", f"{_peak() - before:.0f} MiB"
        return result


def _result(read, folder):
    try:
        read()
    except BadInput as error:
        line = str(error)
        if "\n" in line or len(line) > 700:
            return "not one line", line[:300]
        return ("refused", "") if str(folder) in line else ("nothing named", line)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {str(error)[:200]}"
    return "read", ""


def _peak() -> float:
    """The largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    """Print the counts by kind and outcome, and the seed of every input that ended badly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the first input")
    parser.add_argument("--one", action="store_true", help="round of inputs, those of the seed")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    options = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    end, number = time.monotonic() + 60 * options.minutes, options.seed
    while time.monotonic() < end:
        for kind in options.kinds:
            together = 1 if kind in command_lines.KINDS else READ_TOGETHER
            for seed in range(number * together, (number + 1) * together):
                word, what = outcome(kind, seed)
                counts[kind, word] += 1
                if word not in GOOD or options.one:
                    print(f"{kind} {seed}: {word}: {what}", flush=True)
        number += 1
        if options.one:
            break
    for (kind, word), count in sorted(counts.items()):
        print(f"{kind:20} {word:18} {count}")
    print(f"seeds {options.seed} to {number - 1}; one again: --kinds KIND --seed SEED --one")
    sys.exit(any(word not in GOOD for _, word in counts))


if __name__ == "__main__":
    main()
