"""Several processes started by torchrun: ranks, gradients averaged by one all-reduce, rows gathered."""

import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from genscene.errors import BadInput, Diverged, describe_error
from genscene.heartbeat import Heartbeat

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # for what takes as long as data are large; the heartbeat notices losses
PIECE = 1 << 28  # bytes that are sent at once


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those of torchrun; a group of one without torchrun."""

    rank: int = 0
    world: int = 1
    heartbeat: Heartbeat | None = None
    local_rank: int = 0  # among the processes of this machine
    on_cpu: dist.ProcessGroup | None = (
        None  # the same processes, for bytes and decoded images, whatever the device
    )

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

    def node_first(self, load: Callable[[], T]) -> T:
        """Call `load` in one process of each machine, then in its others, which find what that has cached."""
        if self.world == 1:
            return load()
        loaded, wrong = None, None
        if self.local_rank == 0:
            try:
                loaded = load()
            except BadInput as error:  # the others find it, too
                wrong = error
        with self.waiting():
            dist.barrier(group=self.on_cpu)
        if wrong is not None:
            raise wrong
        return load() if loaded is None else loaded

    def from_main(self, load: Callable[[], bytes]) -> bytes:
        """What `load` returns in rank 0, in every process; so is the BadInput that it raises."""
        if self.world == 1:
            return load()
        content, wrong = b"", False
        if self.is_main:
            try:
                content = load()
            except BadInput as error:
                content, wrong = str(error).encode(), True
        header = torch.tensor([len(content), wrong])
        with self.waiting():
            dist.broadcast(header, src=0, group=self.on_cpu)
            data = _as_tensor(content, int(header[0]))
            for piece in data.split(PIECE):
                dist.broadcast(piece, src=0, group=self.on_cpu)
        found = data.numpy().tobytes()
        if header[1]:
            raise BadInput(found.decode())
        return found

    def all_gather_bytes(self, content: bytes) -> list[bytes]:
        """What every process gives, by rank."""
        if self.world == 1:
            return [content]
        sizes = [torch.empty(1, dtype=torch.int64) for _ in range(self.world)]
        with self.waiting():
            dist.all_gather(sizes, torch.tensor([len(content)]), group=self.on_cpu)
            padded = _as_tensor(content, max(map(int, sizes)))
            found = [torch.empty_like(padded) for _ in sizes]
            dist.all_gather(found, padded, group=self.on_cpu)
        return [each[: int(size)].numpy().tobytes() for each, size in zip(found, sizes, strict=True)]

    def exchange_rows(self, rows: Tensor, sent: Sequence[int], received: Sequence[int]) -> Tensor:
        """Rows [sum(sent), ...] on the CPU, by receiving rank -> [sum(received), ...], by sender.

        sent and received: how many rows go to each rank, and come from it.
        """
        found = rows.new_empty(sum(received), *rows.shape[1:])
        with self.waiting():
            dist.all_to_all_single(found, rows.contiguous(), [*received], [*sent], group=self.on_cpu)
        return found

    def advise(self, how: str) -> None:
        """How to go on where another process is lost from now on, the end of the line that reports it."""
        if self.heartbeat is not None:
            self.heartbeat.advice = how

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

    def close(self, left: bool = True, reason: str = "") -> None:
        """Destroy the process group, where there is one; left: this process is not to be missed.

        reason: why it ends, for the other processes.
        """
        if self.heartbeat is not None:
            self.heartbeat.close(left, reason)
        if self.world > 1:
            dist.destroy_process_group()


@contextmanager
def joined(device: torch.device) -> Iterator[ProcessGroup]:
    """The group of torchrun, see `init_group`, until the block ends."""
    group = init_group(device)
    try:
        yield group
    except BaseException as error:
        group.close(left=False, reason=str(error) if isinstance(error, BadInput | Diverged) else "")
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
    rank = _from_torchrun("RANK", 0, world - 1)
    local_rank = _from_torchrun("LOCAL_RANK", 0, rank) if "LOCAL_RANK" in os.environ else rank
    port = _from_torchrun("MASTER_PORT", 1, 65_535)
    address = os.environ.get("MASTER_ADDR", "")
    try:
        socket.getaddrinfo(address, port)
    except (OSError, UnicodeError):
        raise BadInput(f"MASTER_ADDR {address!r} in the environment: no such machine") from None
    import_module("torch.distributed.nn.functional")
    if device.type == "cuda":
        cards = torch.cuda.device_count()
        if local_rank >= cards:
            raise BadInput(
                f"torchrun started process {local_rank + 1} on a machine with {cards} CUDA cards: one each"
            )
        torch.cuda.set_device(local_rank)
    try:
        with _ended_by_sigterm():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            on_cpu = dist.new_group(backend="gloo", timeout=PATIENCE)
            rank = dist.get_rank()
            return ProcessGroup(rank, world, Heartbeat(rank, world), local_rank, on_cpu)
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


def _as_tensor(content: bytes, size: int) -> Tensor:
    """Bytes, followed by zeros to a size -> uint8 [size]."""
    return torch.frombuffer(bytearray(content.ljust(max(1, size), b"\0")), dtype=torch.uint8)[:size]


def _device() -> str:
    """Where tensors must lie to be communicated."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def _finish() -> None:
    """Wait for communication on CUDA, which else goes on after its call."""
    if _device() == "cuda":
        torch.cuda.current_stream().synchronize()
