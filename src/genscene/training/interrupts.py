"""Stopping a run between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A run was stopped by a signal; the message says how to resume."""


@contextmanager
def stop_flag() -> Iterator["StopFlag"]:
    """A flag set by the first SIGINT or SIGTERM; the second one interrupts at once."""
    flag = StopFlag()
    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        before = {kind: signal.signal(kind, flag.handle) for kind in signals}
    except ValueError:  # signals reach the main thread only
        yield flag
        return
    try:
        yield flag
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


class StopFlag:
    """Whether a signal was received."""

    def __init__(self) -> None:
        self.raised = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: set the flag, or interrupt where it is set."""
        if self.raised:
            raise KeyboardInterrupt
        self.raised = True

    def __call__(self) -> bool:
        return self.raised
