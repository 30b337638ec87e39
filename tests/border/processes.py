"""Command lines in processes of their own, forked from this one: what they print, take, start and leave."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from border.watch import watched
from genscene.cli import main

torch.set_num_threads(1)  # a process with threads cannot be forked safely
torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports much, here once for all processes
MAX_WAIT = 30.0  # seconds
ADDRESSES = 12 << 30  # bytes a process may ask for, so that one does not end the others


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int  # as the shell has it; negative: by this signal; None of these: -999, it had to be killed
    out: str
    err: str
    seconds: float
    grown: float  # MiB, above what this process had when it was forked
    outside: list[str]  # programs started, connections, and files written outside of its folders


def run_verb(
    words: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    inside: Sequence[str] = (),
) -> Ended:
    """A command line whose working folder is `folder`; it may write there and `inside`."""

    def verb() -> int:
        os.chdir(folder)
        places = {"HOME": str(folder), "GENSCENE_CACHE": str(folder / "cache")}
        os.environ.update({**places, **(variables or {})})
        sys.stdout = os.fdopen(1, "w", encoding=encoding, errors="strict")
        sys.stderr = os.fdopen(2, "w", encoding=encoding, errors="backslashreplace")
        with watched(folder, *inside) as events:
            code = main(list(words))
        sys.stderr.flush()
        Path(f"{folder}.outside").write_text("\n".join(map(repr, events)))
        return code

    return run_forked(verb, folder)


def run_forked(function: Callable[[], int], folder: Path, wait: float = MAX_WAIT) -> Ended:
    """A function in a process of its own, ended after `wait` seconds; its return value is the exit code."""
    texts = [Path(f"{folder}.{name}") for name in ("out", "err", "outside")]
    for path in texts:
        path.write_bytes(b"")
    sys.stdout.flush()
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    start, pid = time.monotonic(), os.fork()
    if pid == 0:
        _become_child(function, texts)
    used, status = _wait(pid, start + wait)
    code = -999 if status is None else os.waitstatus_to_exitcode(status)
    out, err, outside = (path.read_text(errors="surrogateescape") for path in texts)
    seconds = time.monotonic() - start
    return Ended(code, out, err, seconds, used.ru_maxrss / 2**10 - before / 2**20, outside.splitlines())


def _become_child(function: Callable[[], int], texts: Sequence[Path]) -> None:
    code = 99
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, path in zip((1, 2), texts, strict=False):
            os.dup2(os.open(path, os.O_WRONLY), number)
        code = function()
    except BaseException as error:  # not caught by the command line: as bad as a traceback
        os.write(2, f"Traceback: {type(error).__name__}: {error!r}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def _wait(pid: int, deadline: float) -> tuple[resource.struct_rusage, int | None]:
    """The resources and the status of a process; without status where it had to be killed."""
    while time.monotonic() < deadline:
        done, status, used = os.wait4(pid, os.WNOHANG)
        if done:
            return used, status
        time.sleep(0.003)
    os.killpg(pid, signal.SIGKILL)
    return os.wait4(pid, 0)[2], None
