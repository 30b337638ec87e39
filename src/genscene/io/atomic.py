"""Files written whole or not at all, locks, and the cache folder."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from genscene.errors import BadInput

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room on the disk; such errors do not name their file


def cache_folder() -> Path:
    """$GENSCENE_CACHE, else genscene in the user's cache folder."""
    chosen = os.environ.get("GENSCENE_CACHE")
    try:
        if chosen:
            return Path(chosen).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genscene"
    except RuntimeError:
        wrong = f"GENSCENE_CACHE={chosen}: there is no such home folder"
        found = wrong if chosen else "no home folder for the cache"
        raise BadInput(f"{found}; set GENSCENE_CACHE to a folder") from None


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`: renamed to it when the block ends, removed if it raises."""
    path = Path(path)
    make_parent(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        partial.touch()  # where no file can be made, fail before the work
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.chmod(0o666 & ~_umask())  # safetensors writes files that only their owner can read
        partial.replace(path)
    except OSError as error:
        if error.errno not in FULL and str(error.filename) != str(partial):
            raise  # of another file, or of the network
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with suppress(OSError):
            partial.unlink()


def try_lock(path: Path) -> IO[str] | None:
    """An open file, locked until it is closed; None if another process has it, or none can be made."""
    try:
        make_parent(path)
        file = path.open("w")
    except (OSError, BadInput):
        return None
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # not on Windows
        return file
    except OSError:
        file.close()
        return None
    return file


def make_parent(path: Path) -> None:
    """Make the folder that a file is to be written to; BadInput where that fails or `path` is a folder."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"cannot make the folder {path.parent} ({error.strerror}); wanted a place to write to"
        ) from None
    if path.is_dir():
        raise BadInput(f"{path} is a folder, wanted the name of a file")


def _umask() -> int:
    """The permissions that new files do not get."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
