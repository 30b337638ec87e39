"""Zips from outside: members are read one by one, of limited size, and each damage names its member."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from genscene.errors import BadInput, describe_error
from genscene.io.files import MAX_READ, format_size, open_regular


@contextmanager
def open_zip(path: str | Path, what: str) -> Iterator[zipfile.ZipFile]:
    """The zip in a regular file; BadInput, naming it, where it is none or its directory is damaged."""
    with open_regular(path, what) as file:
        try:
            archive = zipfile.ZipFile(file)
        except Exception:  # damaged directories raise a dozen kinds
            named = Path(path).suffix.lower() in (".zip", ".npz")  # or else it may be anything
            fault = "damaged: not a complete zip" if named else f"neither a folder nor a complete {what}"
            raise BadInput(f"{path} is {fault}") from None
        with archive:
            yield archive


def member_bytes(archive: zipfile.ZipFile, name: str, limit: int = MAX_READ) -> bytes:
    """The content of a member, inflated to at most `limit` bytes; BadInput, naming it, for all else."""
    try:
        size = archive.getinfo(name).file_size
        if size <= limit:
            with archive.open(name) as member:
                content = member.read(limit + 1)
            if len(content) <= limit:
                return content
            size = len(content)
    except KeyError:
        raise BadInput(f"the zip holds no {name}") from None
    except Exception as error:  # zlib, lzma and bz2 each raise their own; so do encrypted members
        raise BadInput(f"{name} is damaged in the zip ({describe_error(error)})") from None
    raise BadInput(f"{name} inflates to {format_size(size)} or more, wanted at most {format_size(limit)}")
