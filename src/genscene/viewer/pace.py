"""Rendering takes turns, and beside training no more than a share of the time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BURST = 0.5  # seconds of rendering that are saved up while nothing is rendered
POLL = 0.02  # seconds between two looks whether time is left


class Pace:
    """One thread renders at a time, in the order of asking; training, where there is some, is left its share.

    Time to render accrues by the clock, and what rendering takes is subtracted. So pictures lag behind where
    the share is large, but never delay training by more.
    """

    def __init__(
        self,
        training: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        """training: the share of the time that is not rendered in, 0 to 1; 0: there is no training."""
        self.training, self.clock, self.sleep = training, clock, sleep
        self.free = False  # training is paused: all the time is for rendering
        self.longest = self.spent = 0.0  # seconds of the longest part, and of all, since a picture was begun
        self._turns = threading.Condition()
        self._given = self._asked = 0  # turns that have ended, and that were asked for
        self._left, self._seen = BURST, clock()
        self._started = 0.0

    @contextmanager
    def rendering(self) -> Iterator[Callable[[Callable[[], bool]], bool]]:
        """Hold the turn -> a function to call between parts, with what says that they are of no more use.

        It gives others the turn, waits for time that is left, and returns whether to stop.
        """
        self._begin(lambda: False)
        self.longest = self.spent = 0.0
        try:
            yield self._between
        finally:
            self._end()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what a block takes like rendering, without the turn, as for sending a picture."""
        began = self.clock()
        yield
        self._count(self.clock() - began)

    @contextmanager
    def turn(self, blocking: bool = True) -> Iterator[bool]:
        """Hold the turn without being counted -> whether it was free, unless `blocking`."""
        mine = self._acquire(blocking)
        try:
            yield mine
        finally:
            if mine:
                self._release()

    def left(self) -> float:
        """Seconds of rendering that are left; below 0: a debt."""
        with self._turns:
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
        self._acquire()
        self._started = self.clock()

    def _end(self) -> None:
        taken = self.clock() - self._started
        self.longest, self.spent = max(self.longest, taken), self.spent + taken
        self._count(taken)
        self._release()

    def _count(self, seconds: float) -> None:
        self.left()
        with self._turns:
            self._left -= 0.0 if self.free else seconds

    def _acquire(self, blocking: bool = True) -> bool:
        with self._turns:
            if not blocking and self._given != self._asked:
                return False
            mine, self._asked = self._asked, self._asked + 1
            self._turns.wait_for(lambda: self._given == mine)
            return True

    def _release(self) -> None:
        with self._turns:
            self._given += 1
            self._turns.notify_all()
