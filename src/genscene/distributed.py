"""Several processes at one task: who we are, gradients averaged by hand, rows gathered."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from genscene.errors import BadInput

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that `torchrun` started; alone without it."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and talks."""
        return self.rank == 0

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients over all processes: one flat all-reduce."""
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def first_then_others(self, load: Callable[[], T]) -> T:
        """Let the first process load something, and the others after it, who find what it left in the cache."""
        if self.world == 1:
            return load()
        if self.first:
            loaded = load()
            dist.barrier()
            return loaded
        dist.barrier()
        return load()

    def agree(self, module: nn.Module) -> None:
        """Give every process the weights of the first."""
        if self.world > 1:
            for tensor in [*module.parameters(), *module.buffers()]:
                dist.broadcast(tensor.detach(), src=0)

    def any(self, flag: bool) -> bool:
        """Whether any process raises a flag."""
        if self.world == 1:
            return flag
        raised = torch.tensor(float(flag), device=_device())
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return bool(raised)

    def told(self, number: int) -> int:
        """A whole number, as the first process knows it."""
        if self.world == 1:
            return number
        word = torch.tensor(number, device=_device())
        dist.broadcast(word, src=0)
        return int(word)

    def gathered(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """The rows [counts[rank], D] of all processes, by rank; the first of the counts is the largest."""
        if self.world == 1:
            return [rows]
        room = rows.new_zeros(counts[0], rows.shape[1])
        room[: len(rows)] = rows
        room = room.to(_device())
        found = [torch.empty_like(room) for _ in range(self.world)]
        dist.all_gather(found, room)
        return [part[:count] for part, count in zip(found, counts, strict=True)]

    def leave(self) -> None:
        """End the group, where there is one."""
        if self.world > 1:
            dist.destroy_process_group()


def join(device: torch.device) -> ProcessGroup:
    """Join the group that torchrun's environment speaks of; on CUDA each process takes a card of its own.

    torch.distributed.nn.functional has the group as it finds it for the default of its functions, and torch imports it
    unasked with the first optimiser: imported after the group, it keeps it for ever, and the group's threads die with
    the interpreter, sometimes by an abort.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return ProcessGroup()
    import_module("torch.distributed.nn.functional")
    if device.type == "cuda":
        card, cards = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if card >= cards:
            raise BadInput(
                f"torchrun started process {card + 1} on a machine with {cards} CUDA cards: one each"
            )
        torch.cuda.set_device(card)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return ProcessGroup(dist.get_rank(), world)


def _device() -> str:
    """Where the processes' messages lie."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
