"""Pictures decoded once, kept as one array on disk and mapped into memory."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from genscene.files import atomic

VERSION = 2  # of what the cache holds; a change of the decoding or of the embedded sets raises it
Made = tuple[np.ndarray, dict[str, Any]]


def cache_folder() -> Path:
    """$GENSCENE_CACHE, or genscene in the user's cache folder."""
    chosen = os.environ.get("GENSCENE_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genscene"


def cached(key: Any, make: Callable[[], Made]) -> Made:
    """The array and notes kept under a key (anything JSON can write), made where there are none yet.

    Where the folder cannot be written to, they are made every time.
    """
    digest = hashlib.blake2b(json.dumps([VERSION, key]).encode(), digest_size=16).hexdigest()
    array, notes = (cache_folder() / "pictures" / f"{digest}{ending}" for ending in (".npy", ".json"))
    try:
        return np.load(array, mmap_mode="r"), json.loads(notes.read_text())
    except (OSError, ValueError):
        pass
    pixels, about = make()
    try:
        with atomic(array) as partial:
            np.save(partial, pixels)
        with atomic(notes) as partial:
            partial.write_text(json.dumps(about))
    except (OSError, ValueError):  # full or read-only: go without; BadInput is a ValueError
        return pixels, about
    return np.load(array, mmap_mode="r"), about
