"""Files from outside: regular files only, of a limited size."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from genscene.errors import BadInput

MIB = 1 << 20
MAX_BYTES = 1 << 40  # of files that are mapped or read in parts
MAX_READ = 256 * MIB  # of files that are read whole
_FLAGS = ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")  # where the system has them


def user_path(path: str | Path) -> Path:
    """A path with ~ and ~user replaced by home folders; BadInput where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise BadInput(f"{path}: the home folder that ~ stands for is not known") from None


def open_regular(path: str | Path, what: str, limit: int = MAX_BYTES) -> BinaryIO:
    """Open a regular file of at most `limit` bytes for reading; links are followed.

    Raises BadInput, with what the file is read as and its path, where it is missing, cannot be read, is a
    folder, a pipe, a device or a socket, or is larger. Never waits for another process.
    """
    try:
        _require_regular(os.stat(path), path, what, limit)  # before it is opened: devices may act on that
        flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in _FLAGS)
        descriptor = os.open(path, flags)
        try:
            _require_regular(os.fstat(descriptor), path, what, limit)
        except BaseException:
            os.close(descriptor)
            raise
        return os.fdopen(descriptor, "rb")
    except FileNotFoundError:
        raise BadInput(f"no {what} at {path}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"cannot read the {what} {path} ({_reason(error)})") from None


def read_bytes(path: str | Path, what: str, limit: int = MAX_READ) -> bytes:
    """The bytes of a regular file of at most `limit`; BadInput like `open_regular`."""
    with open_regular(path, what, limit) as file:
        try:
            size = os.fstat(file.fileno()).st_size or limit  # files of /proc announce no size
            content = file.read(size + 1) or b""
        except OSError as error:
            raise BadInput(f"cannot read the {what} {path} ({_reason(error)})") from None
    if len(content) > limit:
        raise BadInput(f"the {what} {path} is larger than {format_size(limit)}")
    return content


def format_size(count: int) -> str:
    """A number of bytes in the largest unit that leaves at least one: 300 bytes, 1.5 KiB, 20 GiB."""
    size, units = float(count), ["TiB", "GiB", "MiB", "KiB"]
    while size >= 1024 and units:
        size, unit = size / 1024, units.pop()
    return f"{size:.3g} {unit}" if size != count else f"{count} bytes"


def _require_regular(status: os.stat_result, path: str | Path, what: str, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, device or socket"
        raise BadInput(f"the {what} {path} is {kind}, wanted a regular file")
    if status.st_size > limit:
        found = format_size(status.st_size)
        raise BadInput(f"the {what} {path} has {found}, wanted at most {format_size(limit)}")


def _reason(error: Exception) -> str:
    return (error.strerror or "") if isinstance(error, OSError) else str(error)
