"""The viewer beside training: pictures of a copy of the weights, within a share of the time."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from genscene.contract import Generator
from genscene.data.progress import log_line
from genscene.experiment.schedules import largest_size
from genscene.io.generator_file import GeneratorFile
from genscene.viewer.pace import POLL, Pace
from genscene.viewer.page.server import Server
from genscene.viewer.session import Training, ViewedGenerator

Update = Callable[[int, Mapping[str, Tensor], Callable[[], bool]], None]
LINES_EVERY = 0.5  # seconds between two lines about the losses


class TrainingView:
    """A server of the weights of a run."""

    def __init__(self, live: Generator, server: Server, steps: int):
        """live: the generator that is being trained, of which the server shows a copy."""
        self.live, self.server, self.viewed, self.steps = live, server, server.viewed, steps
        self.due = self.line_due = 0.0

    def update(self, done: int, stats: Mapping[str, Tensor], stopped: Callable[[], bool]) -> None:
        """After a step: show its numbers, copy the weights when that is due, wait while training is paused.

        stopped: whether the run is to end. Without a window it returns at once.
        """
        loops, training = self.server.all(), self.viewed.training
        if not loops or training is None:
            return
        now = time.monotonic()
        if now >= self.line_due:
            numbers = "  ".join(f"{name} {float(value):.3f}" for name, value in stats.items())
            training.line = f"step {done} of {self.steps}  {numbers}"
            self.server.report_training()
            self.line_due = now + LINES_EVERY
        share = self.viewed.pace.training
        if now >= self.due and self.refresh():
            self.due = now + share / max(1 - share, 1e-3) * max(loop.seconds for loop in loops)
            self.server.stepped()
        while training.paused and not stopped() and self.server.all():
            time.sleep(POLL)
        if not self.server.all():  # whoever has paused it is gone
            training.paused = self.viewed.pace.free = False

    @torch.no_grad()
    def refresh(self) -> bool:
        """Copy the weights, unless a picture is being rendered at this moment -> whether they were copied."""
        with self.viewed.pace.turn(blocking=False) as mine:
            if not mine:
                return False
            shown, live = self.viewed.generator, self.live
            for old, new in zip(
                chain(shown.parameters(), shown.buffers()),
                chain(live.parameters(), live.buffers()),
                strict=True,
            ):
                old.copy_(new)
            self.viewed.version += 1
            return True


@contextmanager
def view_training(content: GeneratorFile, name: str, port: int, share: float) -> Iterator[Update]:
    """Serve the generator while it is being trained -> a function to call after each step.

    share: of the time that training is left while somebody looks, 0 to below 1.
    """
    size = content.cameras.size if content.cameras is not None else largest_size(content.experiment)
    shown = copy.deepcopy(content.generator).eval().requires_grad_(False)
    viewed = ViewedGenerator(
        replace(content, generator=shown), name, size, pace=Pace(share), training=Training()
    )
    server = Server(viewed, port)
    log_line(f"to look at it: {server.describe()}")
    try:
        yield TrainingView(content.generator, server, content.experiment.steps).update
    finally:
        server.close()
