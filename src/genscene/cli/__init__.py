"""The command line: genscene VERB ..."""

import ctypes
import os
import sys
from collections.abc import Callable

from genscene.errors import BadInput, Diverged, suggest

USAGE = """usage: genscene VERB ... (genscene VERB --help tells more)

  train        train a preset on pictures
  presets      list what can be trained
  render       pictures and films of a trained generator
  interpolate  a film from one scene to the next
  export       a mesh, a camera path, or a plot of the prior, as a file
  evaluate     how good a generator is, in numbers
  compare      several generators, in one table and on one page
  convert      official checkpoints into ours, safely
  data         look into pictures, or make some
  doctor       what this machine can do
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a verb -> exit code: 0 done, 1 diverged, 2 bad input, 130 interrupted."""
    prepare()
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if words else 2
    try:
        if words[0] == "--version":
            from genscene import __version__

            print(f"genscene {__version__}")
        else:
            verb(words[0])(words[1:])
    except BadInput as error:
        return fail(error, 2)
    except Diverged as error:
        return fail(error, 1)
    except KeyboardInterrupt as error:
        return fail(str(error) or "interrupted", 130)
    except OSError as error:
        return fail(error, 2)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    return 0


def verb(name: str) -> Callable[[list[str]], None]:
    """The function behind a verb; imported only now, so that help is quick."""
    match name:
        case "train":
            from genscene.cli.train import main
        case "presets":
            from genscene.cli.presets import main
        case "render":
            from genscene.cli.render import main
        case "interpolate":
            from genscene.cli.interpolate import main
        case "export":
            from genscene.cli.export import main
        case "evaluate":
            from genscene.cli.evaluate import main
        case "compare":
            from genscene.cli.compare import main
        case "convert":
            from genscene.cli.convert import main
        case "data":
            from genscene.cli.data import main
        case "doctor":
            from genscene.cli.doctor import main
        case _:
            known = [line.split()[0] for line in USAGE.splitlines() if line.startswith("  ")]
            raise BadInput(f"unknown verb {name!r}; {suggest(name, known)}")
    return main


def fail(error: object, code: int) -> int:
    """One line on stderr; where torchrun started several processes that fail alike, the first one's."""
    if code == 1 or os.environ.get("RANK", "0") == "0":
        print(f"genscene: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def prepare() -> None:
    """Before torch is loaded: threads that sleep while they wait, and memory that is not handed back at once.

    glibc returns big blocks to the system as soon as they are freed and gets them back page by page: training a
    field on a CPU takes up to twice as long that way.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        libc = ctypes.CDLL("libc.so.6")
        trim, threshold, most = -1, -3, -4  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX
        libc.mallopt(threshold, 1 << 30)
        libc.mallopt(trim, (1 << 31) - 1)
        libc.mallopt(most, 0)
    except (OSError, AttributeError):  # not glibc
        pass
