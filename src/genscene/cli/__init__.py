"""The command line: genscene VERB ..."""

import ctypes
import os
import sys
from collections.abc import Callable

from genscene.errors import BadInput, Diverged, suggest

USAGE = """usage: genscene VERB ... (options: genscene VERB --help)

  train        train a preset on images or photographs
  presets      list the experiments that can be trained
  render       pictures and videos of a trained generator
  interpolate  a video from one scene to the next
  export       a mesh, points, a camera trajectory, or a plot of the prior, as a file
  evaluate     metrics of a generator
  compare      metrics of several generators, in one table and on one page
  convert      official checkpoints to generator files, without executing them
  data         inspect images, synthesize some, find camera poses
  doctor       report versions, devices and optional packages
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a verb -> exit code: 0 done, 1 diverged, 2 bad input, 130 interrupted."""
    configure_process()
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
        return print_error(error, 2)
    except Diverged as error:
        return print_error(error, 1)
    except KeyboardInterrupt as error:
        return print_error(str(error) or "interrupted", 130)
    except OSError as error:
        return print_error(error, 2)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    return 0


def verb(name: str) -> Callable[[list[str]], None]:
    """The function of a verb; imported only when it is called, so that help is quick."""
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


def print_error(error: object, code: int) -> int:
    """Print one line on stderr; of the processes of torchrun only the first prints bad input."""
    if code == 1 or os.environ.get("RANK", "0") == "0":
        print(f"genscene: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def configure_process() -> None:
    """Before torch is imported: passive waiting of OpenMP threads, freed memory is not returned.

    glibc returns large blocks as soon as they are freed and gets them back page by page: training a field on
    a CPU takes up to twice as long that way.
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
