"""The two sides of a comparison."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor

from genscene import kernels
from genscene.contract import ImageBatch
from genscene.render.fields import chunks
from genscene.training.loop import Precision, TrainState, train_step

Work = Callable[[], Tensor]  # computes once -> numbers that both sides must agree on
SECOND = repeat(1)  # the step that is computed again and again
WHOLE = 1 << 50  # of RenderOptions.max_bytes: pictures at once, as the official code renders in training


@dataclass(frozen=True)
class Side:
    """How a case is computed, and where."""

    plain: bool  # the formulas as the papers write them, float32, whole pictures
    device: torch.device
    precision: Precision = "fp32"

    @property
    def large(self) -> bool:
        """Whether there is a GPU to fill."""
        return self.device.type == "cuda"

    def kernels(self) -> AbstractContextManager[object]:
        """The oracle and whole pictures for the plain side."""
        return plainly() if self.plain else nullcontext()

    def mixed(self) -> AbstractContextManager[object]:
        """Autocast to bf16 where that is the precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


@contextmanager
def plainly() -> Iterator[None]:
    """Compute as the papers write it, pictures in one part if options.max_bytes allow it."""
    before, chunks.CPU_BYTES, chunks.LEAST = (chunks.CPU_BYTES, chunks.LEAST), WHOLE, WHOLE
    try:
        with kernels.oracle():
            yield
    finally:
        chunks.CPU_BYTES, chunks.LEAST = before


def synchronize(device: torch.device) -> None:
    """Wait for all that a card was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def training_step(
    side: Side, state: TrainState, batch: int, pixels: int, steps: Iterator[int] = SECOND
) -> Work:
    """A whole step of all players on random square images -> the losses; steps: the numbers of steps."""
    numbers = torch.Generator().manual_seed(0)
    images = ImageBatch(torch.rand(batch, 3, pixels, pixels, generator=numbers).to(side.device))

    def work() -> Tensor:
        stats = train_step(state, images, next(steps))
        return torch.stack([stats[name].double() for name in sorted(stats)])

    return work
