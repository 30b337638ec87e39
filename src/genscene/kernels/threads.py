"""Work on all of torch's threads: compiled loops, and operations of torch side by side."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from itertools import pairwise
from os import getpid
from threading import current_thread, main_thread
from typing import Any, TypeVar

import numpy as np
import torch

PARTS = 8  # of the work of each thread: parts take different times
MOST = 4  # parts side by side: beyond it they would wait for Python's lock
T = TypeVar("T")
R = TypeVar("R")


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


def threads_at_once() -> int:
    """How many parts are computed side by side: 1 but in the main thread.

    Numbers of threads are partly those of the process, where other threads may be computing.
    """
    return min(MOST, torch.get_num_threads()) if current_thread() is main_thread() else 1


def side_by_side(work: Callable[[T], R], parts: Iterable[T], threads: int) -> Iterator[R]:
    """work of each part, in order, so many at a time; torch's threads are divided among them.

    For operations on small tensors, which take longer on several threads that wait for one another. Gradients
    and autocast are as in the caller.
    """
    before, grad = torch.get_num_threads(), torch.is_grad_enabled()
    mixed = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def alone(part: T) -> R:
        with torch.set_grad_enabled(grad), torch.autocast("cpu", mixed[1], enabled=mixed[0]):
            return work(part)

    if threads == 1:
        yield from map(work, parts)
        return
    torch.set_num_threads(max(1, before // threads))  # which threads that begin have, too
    try:
        with ThreadPoolExecutor(threads, "parts") as pool:
            yield from pool.map(alone, parts)
    finally:
        torch.set_num_threads(before)
