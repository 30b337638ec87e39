"""What Python code does to the world outside: programs it starts, connections, files it opens to write."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

STARTS = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.")
REACHES = ("socket.connect", "socket.bind", "urllib.")
CHANGES = ("os.remove", "os.rename", "os.rmdir", "shutil.")
_active = []


@contextmanager
def watched(*inside: Path):
    """A list that fills with programs started, connections, and writes outside of `inside` folders."""
    events = []
    _active.append((events, tuple(str(Path(folder).resolve()) for folder in inside)))
    try:
        yield events
    finally:
        _active.pop()


def _record(event, arguments):
    if not _active:
        return
    events, inside = _active[-1]
    if event.startswith(STARTS + REACHES):
        events.append((event, repr(arguments)[:200]))
    elif event.startswith(CHANGES) or (event == "open" and _writes(*arguments)):
        path = os.path.realpath(os.fsdecode(arguments[0])) if not isinstance(arguments[0], int) else ""
        compiled = f"{os.sep}__pycache__" in path  # bytecode, and numba's compiled loops
        if path and not path.startswith(inside) and path != os.devnull and not compiled:
            events.append((event, path))


def _writes(path, mode, flags):
    return not isinstance(path, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


sys.addaudithook(_record)
