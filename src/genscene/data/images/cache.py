"""Decoded images cached on disk as one array, which is mapped into memory."""

import hashlib
import json
import math
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from genscene.devices import require_memory
from genscene.errors import BadInput
from genscene.io.atomic import atomic, cache_folder, make_parent, reserve

VERSION = 3  # to be raised with every change of the decoding or of the embedded sets
Shape = tuple[int, ...]
Cached = tuple[np.ndarray, dict[str, Any]]  # uint8 array, notes that JSON can hold
Allocate = Callable[[Shape], np.ndarray]  # shape -> uint8 array to be filled


def cached_array(key: Any, compute: Callable[[Allocate], Cached]) -> Cached:
    """The array and notes stored under a key (any JSON value), computed and stored where there are none.

    compute allocates one array, fills it and returns it, or its first rows. The array lies on disk, so it may
    exceed the memory; where the cache cannot be written or is too full, it is allocated in memory and not
    stored.
    """
    digest = hashlib.blake2b(json.dumps([VERSION, key]).encode(), digest_size=16).hexdigest()
    array, notes = (cache_folder() / "pictures" / f"{digest}{suffix}" for suffix in (".npy", ".json"))
    try:
        return _load(array, notes)
    except (OSError, ValueError):
        pass
    mine = f"{socket.gethostname()}.{os.getpid()}"  # the folder may be on a disk of several machines
    partial = array.with_name(f".{array.stem}.{mine}.partial")
    try:
        pixels, about = compute(lambda shape: _allocate(partial, shape))
        if not isinstance(pixels, np.memmap):
            return pixels, about
        try:
            pixels.flush()
            with atomic(notes) as text:
                text.write_text(json.dumps({"rows": len(pixels), "about": about}))
            partial.replace(array)
        except OSError:  # there is no room for the notes
            return pixels, about
    finally:
        if partial.exists():
            partial.unlink()
    return _load(array, notes)


def _load(array: Path, notes: Path) -> Cached:
    """What an earlier call stored; OSError or ValueError where there is no such entry."""
    stored = json.loads(notes.read_text())
    if not isinstance(stored, dict) or not {"rows", "about"} <= set(stored):
        raise ValueError(f"{notes} is no cache entry")
    return np.load(array, mmap_mode="r")[: stored["rows"]], stored["about"]


def _allocate(path: Path, shape: Shape) -> np.ndarray:
    """A uint8 array mapped to a file; in memory where the file cannot be written or would not fit."""
    try:
        make_parent(path)
        if shutil.disk_usage(path.parent).free > 2 * int(np.prod(shape, dtype=np.int64)):
            array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
            reserve(path)
            return array
    except (OSError, BadInput):
        pass
    wanted = "room on the disk of GENSCENE_CACHE, a smaller --size, or --data-cache share"
    require_memory(math.prod(shape), "decoded images, for which the cache has no room,", wanted)
    return np.empty(shape, np.uint8)
