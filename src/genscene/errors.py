"""Errors that a person can act on, each in one line."""

import difflib
import errno
from collections.abc import Iterable

WANTED = {
    errno.ENOSPC: "free space there, or another place",
    errno.EDQUOT: "free space there, or another place",
    errno.EFBIG: "a place where files may be that large",
    errno.EACCES: "a place that this user may read and write",
    errno.EPERM: "a place that this user may read and write",
    errno.EROFS: "a place that can be written to",
    errno.ENOENT: "a place that exists",
    errno.ENOTDIR: "a path through folders",
    errno.ENAMETOOLONG: "a shorter name",
}


class BadInput(ValueError):
    """A file, option or argument cannot be used: what was got, what was wanted, where."""


class Diverged(RuntimeError):
    """A loss or gradient is not finite; the message names step, player and last good checkpoint."""


class RankLost(RuntimeError):
    """One of the processes of a run is gone; the message says which, and how to go on."""


class Cancelled(RuntimeError):
    """Rendering was stopped because `RenderOptions.cancelled` returned True."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


def escape(text: object) -> str:
    """The same text for any terminal: control characters, and bytes that are no UTF-8, as escapes."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in str(text)
    )


def printable(text: object, limit: int = 400) -> str:
    """The same text in one line for any terminal, cut in the middle to `limit` characters."""
    line = escape(" ".join(str(text).split()))
    half = (limit - 5) // 2
    return line if len(line) <= limit else f"{line[:-half][: limit - 5 - half]} ... {line[-half:]}"


def describe_os_error(error: OSError) -> str:
    """The file that cannot be used, why, and what is wanted instead."""
    if not error.strerror:
        return str(error)
    wanted = WANTED.get(error.errno or 0, "")
    where = error.filename if error.filename is not None else "a file, or the standard output"
    return f"cannot use {where}: {error.strerror}{f'; wanted {wanted}' if wanted else ''}"


def describe_error(error: BaseException) -> str:
    """The class and the message of an error in one line, at most 200 characters of the message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def suggest(word: str, choices: Iterable[str]) -> str:
    """The end of an error line about an unknown word: the closest known word, then all of them."""
    known = sorted(choices)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}known: {', '.join(known)}"
