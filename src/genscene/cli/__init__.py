"""The command line: genscene VERB ..."""

import ctypes
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import TextIO

from genscene.errors import (
    BadInput,
    Diverged,
    RankLost,
    Terminated,
    describe_error,
    describe_os_error,
    escape,
    printable,
    suggest,
)

TRACEBACK = "--traceback"  # of every verb: where an error was raised
OF_SCENES = ("render", "view", "interpolate", "invert", "edit", "foveate", "export")  # verbs in cli/scenes
CODES: dict[type[BaseException], int] = {
    BadInput: 2,
    Diverged: 1,
    RankLost: 1,
    Terminated: 143,
    KeyboardInterrupt: 130,
}
WITHOUT_MESSAGE = {130: "interrupted"}
LOWER = {  # verb -> the options that its memory depends on
    "train": "--batch or --size, or raise --stages.0.accumulation",
    "render": "--size, --frames, the number of --seeds, or --memory",
    "view": "--side",
    "interpolate": "--size, --frames, or --memory",
    "invert": "--side, or the number of pictures",
    "edit": "--size, --steps, the number of --seeds, or --memory",
    "foveate": "--size, the number of --seeds, or --memory",
    "export": "--resolution, --count, --splats, --views, --side or --cells",
    "ablate": "--batch or --size",
    "analyse": "--size, --memory, or the number of --seeds",
    "evaluate": "--count, --reals or --size",
    "compare": "--count, --reals or --size",
    "publish": "--size, the number of --seeds, or --memory",
    "data": "--count, --size or --side",
}

USAGE = """usage: genscene VERB ... (options: genscene VERB --help)

  train        train a preset on images or photographs
  ablate       train variants of presets under one budget, and compare them in a table and on a page
  presets      list the experiments that can be trained
  render       pictures and videos of a trained generator
  view         look around in a browser
  interpolate  a video from one scene to the next
  invert       the latents and cameras with which a generator renders given pictures
  edit         scenes moved along directions, or mixed; objects of a scene changed
  foveate      pictures of which the pixels around a center are evaluated, and the time that this saves
  export       a mesh, points, Gaussians, a camera trajectory, or a plot of the prior, as a file
  analyse      pictures of a generator's spectra, of what is along a ray, of slices through a scene
  evaluate     metrics of a generator
  compare      metrics of several generators, in one table and on one page
  convert      official checkpoints to generator files, without executing them
  publish      a folder of a generator, pictures and a model card, uploaded to the Hugging Face hub
  data         inspect images, synthesize, prepare, pack and select them, suggest boxes, find camera poses
  doctor       report versions, devices and optional packages

--traceback, of every verb, shows where an error was raised
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a verb -> exit code.

    0 done, 1 diverged or a process lost, 2 bad input, 70 a bug of genscene, 130 interrupted, 143 terminated.
    """
    configure_process()
    words = list(sys.argv[1:] if arguments is None else arguments)
    trace = TRACEBACK in words
    words = [word for word in words if word != TRACEBACK]
    try:
        with terminated_by_signal():
            code = run(words)
            sys.stdout.flush()
    except BaseException as error:
        code = report(error, words, trace)
    return code


def run(words: list[str]) -> int:
    """Run a verb, or print the help or the version -> exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if words else 2
    if words[0] == "--version":
        from genscene.version import __version__

        print(f"genscene {__version__}")
    else:
        from genscene.cli.shared.options import check_spelling, check_values

        check_spelling(words[0], words[1:])
        check_values(words[0], words[1:])
        verb(words[0])(words[1:])
    return 0


def verb(name: str) -> Callable[[list[str]], None]:
    """The function of a verb; imported only when it is called, so that help is quick."""
    if name == "presets":
        from genscene.cli.train import list_presets

        return list_presets
    known = [line.split()[0] for line in USAGE.splitlines() if line.startswith("  ")]
    if name not in known:
        raise BadInput(f"unknown verb {name!r}; {suggest(name, known)}")
    folder = "cli.scenes" if name in OF_SCENES else "cli"
    main: Callable[[list[str]], None] = import_module(f"genscene.{folder}.{name}").main
    return main


def report(error: BaseException, words: list[str], trace: bool) -> int:
    """Print what ended a verb in one line, after its traceback where `trace` -> exit code."""
    drop_output()
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 2
    if trace:
        print_stderr(escape("".join(traceback.format_exception(error)).rstrip()))
    if isinstance(error, BrokenPipeError):  # the reader of the output has seen enough
        return 141
    if isinstance(error, OSError):
        return print_error(describe_os_error(error), 2)
    for kinds, code in CODES.items():
        if isinstance(error, kinds):
            return print_error(str(error) or WITHOUT_MESSAGE.get(code, type(error).__name__), code)
    if is_out_of_memory(error):
        lower = LOWER.get("".join(words[:1]), "the sizes and counts of the options")
        return print_error(f"not enough memory: lower {lower} ({describe_error(error)})", 2)
    shown = "to see where: the same command with --traceback"
    return print_error(
        f"{' '.join(words[:1])}: this is a bug of genscene, {describe_error(error)}; {shown}", 70
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch's allocator or a graphics card had no more memory; torch is not imported."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or any(sign in str(error) for sign in ("DefaultCPUAllocator", "not enough memory"))
    )


def print_error(error: object, code: int) -> int:
    """Print one line on stderr; of the processes of torchrun only the first of a machine prints bad input."""
    if code in (1, 70) or not is_follower():
        print_stderr(f"genscene: {printable(error)}")
    return code


def print_stderr(text: str) -> None:
    """Print on stderr; where that is closed or full, the exit code has to do."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        divert(sys.stderr)


def is_follower() -> bool:
    """Whether torchrun started this process, and one of a lower rank on this machine, which says the same."""
    given = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")]
    given.append(os.environ.get("LOCAL_RANK", given[0]))
    if not all(re.fullmatch("[0-9]{1,9}", text) for text in given):
        return False
    rank, world, port, here = map(int, given)
    return 0 < here <= rank < world and 0 < port < 65_536


def drop_output() -> None:
    """Drop what standard output cannot take, else the interpreter tries it again at its end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        divert(sys.stdout)


def divert(stream: TextIO) -> None:
    """Send what a stream still holds, and what it is given from now on, to nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def terminated_by_signal() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Terminated, so that partial files are removed; verbs may handle it otherwise.

    What the caller has ignored, as nohup does, remains ignored.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        raise Terminated("terminated")

    before = {}
    for kind in [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]:
        if signal.getsignal(kind) != signal.SIG_IGN:
            with suppress(ValueError):  # signals reach the main thread only
                before[kind] = signal.signal(kind, handle)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def configure_process() -> None:
    """Before torch is imported: OpenMP threads wait briefly, freed memory stays, any name can be printed.

    glibc returns large blocks as soon as they are freed and gets them back page by page: training a field on
    a CPU takes up to twice as long that way.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # some microseconds
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may hold what the terminal has no code for
            stream.reconfigure(errors="backslashreplace")
    try:
        libc = ctypes.CDLL("libc.so.6")
        trim, threshold, most = -1, -3, -4  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX
        libc.mallopt(threshold, 1 << 30)
        libc.mallopt(trim, (1 << 31) - 1)
        libc.mallopt(most, 0)
    except (OSError, AttributeError):  # not glibc
        pass
