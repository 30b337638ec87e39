"""Floating-point operations: how many a case takes, and how many a second the machine reaches at all."""

import time
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.side import synchronize
from genscene.kernels._cpu import product
from genscene.training.loop import Precision


class Operations(TorchDispatchMode):
    """Counts the operations of products and convolutions, of second derivatives as well."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call an operation of torch."""
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def peak(device: torch.device, precision: Precision, repeats: int = 5) -> float:
    """The most operations a second of the processor (on a card, of the clock) in products of a precision.

    Of torch's own product and that of the layers, which differ by library.
    """
    side = 8192 if device.type == "cuda" else 1536
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = time.perf_counter if device.type == "cuda" else time.process_time
    least = float("inf")
    for multiply in (torch.mm, product) if device.type == "cpu" else (torch.mm,):
        for _ in range(repeats + 1):
            synchronize(device)
            start = seconds()
            multiply(a, b)
            synchronize(device)
            least = min(least, seconds() - start)
    return 2 * side**3 / least
