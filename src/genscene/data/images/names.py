"""Names of images in lists, labels, scores and masks: as they are, or shorter where that is unique."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from genscene.data.images.files import ImageFiles
from genscene.errors import BadInput, printable
from genscene.io.files import user_path
from genscene.io.json_file import read_json

T = TypeVar("T")
Key = str | int  # a name, or the number at its end


def keys_of(files: ImageFiles, name: str) -> Iterator[Key]:
    """What may stand for an image: its name, without the folders of all, without suffix; its last number."""
    short = name.removeprefix(files.shared)
    below = f"{files.root.name}/{name}" if files.labels.startswith("../") else name
    yield from (name, below, short)
    yield from (each.removesuffix(PurePosixPath(name).suffix) for each in (name, short))
    if digits := re.search(r"\d+$", PurePosixPath(name).stem):
        yield int(digits[0]) if len(digits[0]) < 19 else digits[0]


def rows_by_key(files: ImageFiles) -> dict[Key, int]:
    """The index of an image by each of its keys; -1 where two images have the same."""
    found: dict[Key, int] = {}
    for row, name in enumerate(files.names):
        for key in dict.fromkeys(keys_of(files, name)):
            found[key] = row if found.get(key, row) == row else -1
    return found | {name: row for row, name in enumerate(files.names)}


def match(files: ImageFiles, keys: Iterable[Key], where: str | Path) -> list[int]:
    """The index of the image that each key stands for; BadInput, naming the first, for one that has none."""
    rows, keys = rows_by_key(files), list(keys)
    found = [rows.get(key, -2) for key in keys]
    wrong = [key for key, row in zip(keys, found, strict=True) if row < 0]
    if wrong:
        many = "several" if rows.get(wrong[0]) == -1 else "none"
        count = f"{len(wrong)} of {len(keys)} names are not those of one image in {files.root}"
        raise BadInput(f"{where}: {count}, the first: {printable(wrong[0], 80)!r} ({many} has it)")
    return found


def entries(files: ImageFiles, indices: Sequence[int], table: Mapping[str, T], what: str) -> list[T]:
    """What a table holds for the images at N indices; BadInput, with the first, where some are missing.

    what: the end of "... has no ...".
    """
    found = lookup(files, indices, table)
    missing = [files.names[i] for i, value in zip(indices, found, strict=True) if value is None]
    if missing:
        raise BadInput(f"{what} for {len(missing)} images, the first: {missing[0]}")
    return [value for value in found if value is not None]


def lookup(files: ImageFiles, indices: Sequence[int], table: Mapping[str, T]) -> list[T | None]:
    """What a table holds for the images at N indices, under any of their names; None: nothing."""
    shorter = [[str(k) for k in keys_of(files, files.names[i]) if k in table] for i in indices]
    return [table[keys[0]] if keys else None for keys in shorter]


def mask_names(files: ImageFiles, indices: Sequence[int]) -> list[str]:
    """The masks of the images at N indices: masks/NAME.png of NAME and of images/NAME.

    The folders that all images lie in may be left out. Raises BadInput where an image has none.
    """
    found, missing = list[str](), list[str]()
    for name in (files.names[i] for i in indices):
        inner = name.removeprefix(files.top)
        ways = dict.fromkeys([inner, name.removeprefix(files.shared), inner.removeprefix("images/")])
        masks = [files.mask_folder + str(PurePosixPath(way).with_suffix(".png")) for way in ways]
        here = [mask for mask in masks if mask in files.masks]
        (found if here else missing).append(here[0] if here else masks[-1])
    if missing:
        raise BadInput(f"{files.root} has no masks for {len(missing)} images, the first: {missing[0]}")
    return found


def read_index(files: ImageFiles, path: str) -> list[int]:
    """A JSON list of names or numbers of images -> their indices, with the repeats; BadInput for all else."""
    document: Any = read_json(user_path(path), "index list")
    if not isinstance(document, list) or not document:
        raise BadInput(f"{path}: wanted a list of names or numbers of images, at least one")
    wrong = next((x for x in document if type(x) not in (str, int)), None)
    if wrong is not None:
        raise BadInput(f"{path}: holds {printable(repr(wrong), 60)}, wanted names or numbers of images")
    return match(files, document, path)
