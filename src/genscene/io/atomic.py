"""Files written whole or not at all, locks, and the cache folder."""

import errno
import os
import shutil
import socket
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
        sync(partial)
        partial.chmod(0o666 & ~_umask())  # safetensors writes files that only their owner can read
        partial.replace(path)
    except OSError as error:
        if error.errno not in FULL and str(error.filename) != str(partial):
            raise  # of another file, or of the network
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def append(path: Path) -> Iterator[IO[str]]:
    """A file open for writing lines at its end; the error of a full disk names it."""
    try:
        with path.open("a") as file:
            yield file
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def sync(path: Path) -> None:
    """Wait until a file is on the disk; OSError where it has no room there."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`: it takes the place of that, which must be empty, when the block ends.

    It is removed if the block raises; what a killed process left is removed by the next one. Raises BadInput
    where another process writes the folder.
    """
    folder = folder.resolve()
    partial = folder.with_name(f".{folder.name}.partial")
    with locked(folder.with_name(f".{folder.name}.lock")) as holder:
        if holder:
            raise BadInput(f"{folder} is being written by {holder}: wait for its end, or choose another name")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            yield partial
            if folder == Path.cwd() or os.path.ismount(folder):
                for path in partial.iterdir():
                    path.replace(folder / path.name)
            else:
                with suppress(FileNotFoundError):
                    folder.rmdir()  # it is empty
                partial.replace(folder)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise OSError(error.errno, error.strerror, str(folder)) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def reserve(path: Path) -> None:
    """Give a file room on the disk for all its bytes: where there is none, writing to its map is a SIGBUS.

    Raises OSError, naming the file, where there is no room; the file is removed then.
    """
    try:
        with path.open("rb+") as file:
            size = os.fstat(file.fileno()).st_size
            if size and hasattr(os, "posix_fallocate"):  # not on macOS and Windows
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


def try_lock(path: Path) -> IO[str] | None:
    """An open file, locked until it is closed; None if another process has it, or none can be made."""
    try:
        make_parent(path)
        file = path.open("a+")
    except (OSError, BadInput):
        return None
    if _lock(file):
        return file
    file.close()
    return None


@contextmanager
def locked(path: Path) -> Iterator[str]:
    """Hold a lock until the block ends or the process dies -> "", or the process that holds it already.

    The lock file, and the folders that were made for it and are still empty, are removed at the end.
    """
    new = [folder for folder in path.parents if not folder.exists()]
    make_parent(path)
    file = path.open("a+")
    while (free := _lock(file)) and not _is_at(file, path):  # who held it has removed it meanwhile
        file.close()
        make_parent(path)
        file = path.open("a+")
    with file:
        if not free:
            file.seek(0)
            yield file.read(100) or "another process"
            return
        with suppress(OSError):  # of a full disk: this is for people
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        try:
            yield ""
        finally:
            with suppress(OSError):
                path.unlink()
                for folder in new:
                    folder.rmdir()


def _lock(file: IO[str]) -> bool:
    """Lock an open file; False if another process has it. True where the system has no such locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # not on Windows
        return True
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


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
