"""The cache of decoded images on a disk without room."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import genscene

SCRIPT = """
import collections, shutil, sys
import numpy as np
from genscene.data.images.cache import cached_array
shutil.disk_usage = lambda _: collections.namedtuple("Usage", "free")(1 << 40)  # such as a quota hides

def compute(allocate):
    pixels = allocate((4, 1000, 1000, 3))
    pixels[:] = 7
    return pixels, {}

pixels, _ = cached_array("key", compute)
assert pixels.min() == 7 and not isinstance(pixels, np.memmap)
"""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_images_that_find_no_room_in_the_cache_are_in_memory(small_disk):
    source = str(Path(genscene.__file__).parents[1])
    environment = os.environ | {"GENSCENE_CACHE": str(small_disk), "PYTHONPATH": source}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not [path for path in small_disk.rglob("*") if path.is_file()]
