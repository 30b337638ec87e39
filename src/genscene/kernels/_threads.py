"""Compiled loops on all of torch's threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from os import getpid
from typing import Any

import numpy as np
import torch

PARTS = 8  # of the work of each thread: parts take different times


@lru_cache
def compiled() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def spread(count: int, work: Callable[..., None], *given: Any, parts: int = PARTS) -> None:
    """Call work(first, end, *given) for parts of `count` on as many threads as torch uses."""
    threads = torch.get_num_threads()
    if not count:
        return
    if threads == 1 or count < 2:
        work(0, count, *given)
        return
    ends = np.linspace(0, count, min(count, threads * parts) + 1).astype(int).tolist()
    pool = thread_pool(threads, getpid())
    for done in [pool.submit(work, first, end, *given) for first, end in pairwise(ends)]:
        done.result()


@lru_cache(maxsize=1)
def thread_pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process; compiled loops do not hold Python's lock."""
    return ThreadPoolExecutor(threads, "kernels")
