"""Several processes started by torchrun: ranks, gradients averaged by one all-reduce, rows gathered."""

import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from genscene.errors import BadInput, describe_error
from genscene.heartbeat import Heartbeat

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those of torchrun; a group of one without torchrun."""

    rank: int = 0
    world: int = 1
    heartbeat: Heartbeat | None = None

    def waiting(self) -> AbstractContextManager[None]:
        """Communication with the other processes; raises RankLost where one of them is gone."""
        return self.heartbeat.waiting() if self.heartbeat is not None else nullcontext()

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints: rank 0."""
        return self.rank == 0

    def all_reduce_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients over all processes with one flat all-reduce."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        with self.waiting():
            dist.all_reduce(flat)
            _finish()
        flat /= self.world
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def main_first(self, load: Callable[[], T]) -> T:
        """Call `load` in rank 0, then in the other ranks, which find in the cache what rank 0 left there."""
        if self.world == 1:
            return load()
        if self.is_main:
            loaded = load()
        with self.waiting():
            dist.barrier()
        return loaded if self.is_main else load()

    def broadcast(self, module: nn.Module) -> None:
        """Copy the weights and buffers of rank 0 to every process."""
        if self.world > 1:
            with self.waiting():
                for tensor in [*module.parameters(), *module.buffers()]:
                    dist.broadcast(tensor.detach(), src=0)
                _finish()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.world == 1:
            return flag
        raised = torch.tensor(float(flag), device=_device())
        with self.waiting():
            dist.all_reduce(raised, op=dist.ReduceOp.MAX)
            return bool(raised)

    def broadcast_int(self, number: int) -> int:
        """The value that rank 0 has of a whole number."""
        if self.world == 1:
            return number
        value = torch.tensor(number, device=_device())
        with self.waiting():
            dist.broadcast(value, src=0)
            return int(value)

    def all_gather_rows(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """Rows [counts[rank], D] of every process, by rank; the first of the counts is the largest."""
        if self.world == 1:
            return [rows]
        padded = rows.new_zeros(counts[0], rows.shape[1])
        padded[: len(rows)] = rows
        padded = padded.to(_device())
        gathered = [torch.empty_like(padded) for _ in range(self.world)]
        with self.waiting():
            dist.all_gather(gathered, padded)
            _finish()
        return [part[:count] for part, count in zip(gathered, counts, strict=True)]

    def close(self, left: bool = True) -> None:
        """Destroy the process group, where there is one; left: this process is not to be missed."""
        if self.heartbeat is not None:
            self.heartbeat.close(left)
        if self.world > 1:
            dist.destroy_process_group()


@contextmanager
def joined(device: torch.device) -> Iterator[ProcessGroup]:
    """The group of torchrun, see `init_group`, until the block ends."""
    group = init_group(device)
    try:
        yield group
    except BaseException:
        group.close(left=False)
        raise
    group.close()


def init_group(device: torch.device) -> ProcessGroup:
    """Join the group of torchrun; on CUDA each process takes the card of its local rank.

    torch imports torch.distributed.nn.functional with the first optimiser, and the default arguments of its
    functions then hold the group for ever: its threads would outlive it and abort the interpreter. So it is
    imported before.
    """
    world = _from_torchrun("WORLD_SIZE", 1, 1 << 20) if "WORLD_SIZE" in os.environ else 1
    if world == 1:
        return ProcessGroup()
    _from_torchrun("RANK", 0, world - 1)
    port = _from_torchrun("MASTER_PORT", 1, 65_535)
    address = os.environ.get("MASTER_ADDR", "")
    try:
        socket.getaddrinfo(address, port)
    except (OSError, UnicodeError):
        raise BadInput(f"MASTER_ADDR {address!r} in the environment: no such machine") from None
    import_module("torch.distributed.nn.functional")
    if device.type == "cuda":
        card, cards = _from_torchrun("LOCAL_RANK", 0, world - 1), torch.cuda.device_count()
        if card >= cards:
            raise BadInput(
                f"torchrun started process {card + 1} on a machine with {cards} CUDA cards: one each"
            )
        torch.cuda.set_device(card)
    try:
        with _ended_by_sigterm():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            return ProcessGroup(dist.get_rank(), world, Heartbeat(dist.get_rank(), world))
    except (RuntimeError, ValueError) as error:
        raise BadInput(f"cannot join the {world} processes of torchrun ({describe_error(error)})") from None


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the process at once: torch waits for other processes without looking at signals."""
    try:
        before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    except ValueError:  # signals reach the main thread only
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _from_torchrun(name: str, least: int, most: int) -> int:
    """A number that torchrun sets in the environment; BadInput, naming it, for anything else."""
    found = os.environ.get(name, "")
    if not (found.isascii() and found.isdecimal() and len(found) < 10 and least <= int(found) <= most):
        raise BadInput(f"{name} {found!r} in the environment: torchrun sets a number from {least} to {most}")
    return int(found)


def _device() -> str:
    """Where tensors must lie to be communicated."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def _finish() -> None:
    """Wait for communication on CUDA, which else goes on after its call."""
    if _device() == "cuda":
        torch.cuda.current_stream().synchronize()
