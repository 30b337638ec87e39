"""Stopping a run in good order."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A person stopped the run; the message says how to go on."""


@contextmanager
def stop_flag() -> Iterator["Flag"]:
    """While inside, the first Ctrl-C or SIGTERM raises a flag, so that the step is finished; the second interrupts."""
    flag = Flag()
    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {kind: signal.signal(kind, flag.up) for kind in signals}
    except ValueError:  # not the main thread: nobody to interrupt
        yield flag
        return
    try:
        yield flag
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


class Flag:
    """Up after the first signal."""

    def __init__(self) -> None:
        self.raised = False

    def up(self, number: int, frame: FrameType | None) -> None:
        """Raise it; a second time, interrupt."""
        if self.raised:
            raise KeyboardInterrupt
        self.raised = True

    def __call__(self) -> bool:
        return self.raised
