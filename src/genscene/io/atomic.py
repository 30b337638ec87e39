"""Files written whole or not at all, and the folder of those that can be made again."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from genscene.errors import BadInput

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk has no room; such errors do not name their file


def cache_folder() -> Path:
    """$GENSCENE_CACHE, or genscene in the user's cache folder."""
    chosen = os.environ.get("GENSCENE_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genscene"


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A name to write to, beside `path` and with its ending; renamed to it when all is written, removed if not."""
    path = Path(path)
    made_for(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        partial.touch()  # where no file can be made, better now than when all is computed
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.chmod(0o666 & ~_umask())  # safetensors would keep them from others
        partial.replace(path)
    except OSError as error:
        if error.errno not in FULL and str(error.filename) != str(partial):
            raise  # of another file, or of the network
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with suppress(OSError):
            partial.unlink()


def locked(path: Path) -> IO[str] | None:
    """An open file that no other process has locked, until it is closed; None where one has, or none can be made."""
    try:
        made_for(path)
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


def made_for(path: Path) -> None:
    """Make the folder a file is to be written to."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make the folder {path.parent} ({error.strerror})") from None
    if path.is_dir():
        raise BadInput(f"{path} is a folder, wanted the name of a file")


def _umask() -> int:
    """Which permissions new files do not get."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
