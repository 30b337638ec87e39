"""Pictures decoded once, kept as one array on disk and mapped into memory."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from genscene.errors import BadInput
from genscene.io.atomic import atomic, cache_folder, make_parent

VERSION = 3  # of what the cache holds; a change of the decoding or of the embedded sets raises it
Shape = tuple[int, ...]
Made = tuple[np.ndarray, dict[str, Any]]
Blank = Callable[[Shape], np.ndarray]  # bytes of a shape, to be filled


def cached(key: Any, make: Callable[[Blank], Made]) -> Made:
    """The bytes and notes kept under a key (anything JSON can write), made where there are none yet.

    make: asks for one blank array and gives it, or its first rows, filled. It lies on disk and so need not fit into
    memory; only where the folder cannot be written to, or is too full, is it in memory and made every time.
    """
    digest = hashlib.blake2b(json.dumps([VERSION, key]).encode(), digest_size=16).hexdigest()
    array, notes = (cache_folder() / "pictures" / f"{digest}{ending}" for ending in (".npy", ".json"))
    try:
        return found(array, notes)
    except (OSError, ValueError):
        pass
    partial = array.with_name(f".{array.stem}.{os.getpid()}.partial")
    try:
        pixels, about = make(lambda shape: room(partial, shape))
        if not isinstance(pixels, np.memmap):
            return pixels, about
        pixels.flush()
        partial.replace(array)
        with atomic(notes) as text:
            text.write_text(json.dumps({"rows": len(pixels), "about": about}))
    finally:
        if partial.exists():
            partial.unlink()
    return found(array, notes)


def found(array: Path, notes: Path) -> Made:
    """What an earlier call kept."""
    told = json.loads(notes.read_text())
    if not isinstance(told, dict) or not {"rows", "about"} <= set(told):
        raise ValueError(f"{notes} is none of ours")
    return np.load(array, mmap_mode="r")[: told["rows"]], told["about"]


def room(path: Path, shape: Shape) -> np.ndarray:
    """Bytes of a shape in a file; in memory where the file cannot be, or would not fit (a mapped file must)."""
    try:
        make_parent(path)
        if shutil.disk_usage(path.parent).free > 2 * int(np.prod(shape, dtype=np.int64)):
            return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    except (OSError, BadInput):
        pass
    return np.empty(shape, np.uint8)
