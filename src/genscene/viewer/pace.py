"""Drawing takes turns, and beside training no more than a share of the time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BURST = 0.5  # seconds of drawing that are saved up while nothing is drawn
POLL = 0.02  # seconds between two looks whether time is left


class Pace:
    """One thread draws at a time; training, where there is some, is left its share of the time.

    Time to draw accrues by the clock, and what drawing takes is subtracted. So pictures lag behind where the
    share is large, but never delay training by more.
    """

    def __init__(
        self,
        training: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        """training: the share of the time that is not drawn in, 0 to 1; 0: there is no training."""
        self.training, self.clock, self.sleep = training, clock, sleep
        self.free = False  # training is paused: all the time is for drawing
        self._turn, self._count = threading.Lock(), threading.Lock()
        self._left, self._seen = BURST, clock()
        self._started = 0.0

    @contextmanager
    def drawing(self) -> Iterator[Callable[[Callable[[], bool]], bool]]:
        """Hold the turn -> a function to call between parts, with what says that they are of no more use.

        It gives others the turn, waits for time that is left, and returns whether to stop.
        """
        self._begin(lambda: False)
        try:
            yield self._between
        finally:
            self._end()

    @contextmanager
    def turn(self, blocking: bool = True) -> Iterator[bool]:
        """Hold the turn without being counted -> whether it was free, unless `blocking`."""
        mine = self._turn.acquire(blocking)
        try:
            yield mine
        finally:
            if mine:
                self._turn.release()

    def left(self) -> float:
        """Seconds of drawing that are left; below 0: a debt."""
        with self._count:
            now = self.clock()
            self._left = min(BURST, self._left + (now - self._seen) * (1 - self.training))
            self._seen = now
            return self._left

    def _between(self, useless: Callable[[], bool]) -> bool:
        self._end()
        self._begin(useless)
        return useless()

    def _begin(self, useless: Callable[[], bool]) -> None:
        while self.training and not self.free and self.left() <= 0 and not useless():
            self.sleep(POLL)
        self._turn.acquire()
        self._started = self.clock()

    def _end(self) -> None:
        taken = 0.0 if self.free else self.clock() - self._started
        self.left()
        with self._count:
            self._left -= taken
        self._turn.release()
