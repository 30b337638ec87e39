"""The device to compute on, the memory that this process may take, and tensors without memory."""

import os
import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from genscene.errors import BadInput
from genscene.io.files import format_size

Device = Literal["auto", "cpu", "cuda", "mps"]
Result = TypeVar("Result")

RANDOM = ("normal_", "uniform_", "trunc_normal_", "bernoulli_")  # in-place initialisations
CGROUPS = Path("/sys/fs/cgroup")
LIMITS = (  # of the control group: most bytes, bytes in use, what of these can be freed
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def pick_device(name: Device) -> torch.device:
    """A device by name; auto: cuda, else mps, else cpu. BadInput where this machine has none of it."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available.get(name, False):
        raise BadInput(f"this machine has no {name} device that torch {torch.__version__} can use")
    return torch.device(name)


def require_memory(needed: int, what: str, wanted: str, device: torch.device | None = None) -> None:
    """Raise BadInput where what is to be done takes more memory than there is: how much, what is wanted."""
    on_card = device is not None and device.type == "cuda"
    available = torch.cuda.mem_get_info(device)[0] if on_card else available_memory()
    if needed > available:
        sizes = f"{format_size(needed)} of memory, {format_size(available)} are available"
        raise BadInput(f"{what} takes about {sizes}: {wanted}")


def available_memory() -> int:
    """Bytes that this process may still take: of the machine, of its control group, of its own limit."""
    found = [2**63]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")))
    for most, used, statistics, freeable in LIMITS:
        with suppress(OSError, ValueError):
            limit = int((CGROUPS / most).read_text())
            lines = (CGROUPS / statistics).read_text().splitlines()
            cached = sum(int(line.split()[1]) for line in lines if line.split()[0] == freeable)
            found.append(limit - int((CGROUPS / used).read_text()) + cached)
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        with suppress(OSError, ValueError):
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            found.append(limit - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(found))


class Uninitialised(TorchFunctionMode):
    """Random initialisation does nothing: on the meta device it would import torch's compiler."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch, unless it fills a tensor with random numbers."""
        if getattr(function, "__name__", "") in RANDOM:
            return args[0] if args else kwargs["tensor"]  # torch.nn.init passes it by name
        return function(*args, **(kwargs or {}))


@contextmanager
def without_memory() -> Iterator[None]:
    """Tensors that are made have a shape and a type, but no numbers and no memory."""
    with torch.device("meta"), Uninitialised():
        yield


def with_saved_bytes(compute: Callable[[], Result]) -> tuple[Result, int]:
    """What a function gives, and bytes of the tensors that its graph keeps for gradients, weights apart."""
    kept: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        if not (x.is_leaf and x.requires_grad):
            kept[x.untyped_storage()._cdata] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        result = compute()
    return result, sum(kept.values())


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes that tensors take, or would take."""
    return sum(t.numel() * t.element_size() for t in tensors)
