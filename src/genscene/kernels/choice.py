"""Which implementation computes on a device, and why: Triton's kernels on CUDA, torch elsewhere.

The environment variable GENSCENE_KERNELS is auto (the default), torch or triton.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from genscene.errors import BadInput, describe_error
from genscene.kernels.triton import interpreted

Name = Literal["auto", "torch", "triton"]
VARIABLE = "GENSCENE_KERNELS"
NAMES: tuple[Name, ...] = ("auto", "torch", "triton")
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int64)  # int64: keys of random numbers
CAPABILITY = (8, 0)  # of CUDA, the lowest that has bfloat16 and TF32

_forced: Name | None = None


@dataclass(frozen=True)
class Choice:
    """What is used on a device."""

    triton: bool  # False: torch
    why: str


def uses_triton(x: Tensor) -> bool:
    """Whether a tensor of this device and type goes to Triton's kernels."""
    if torch.compiler.is_compiling():  # torch's own operations are what its compiler fuses
        return False
    wanted = wanted_kernels()
    if wanted == "torch" or x.dtype not in DTYPES:
        return False
    return wanted == "triton" or (x.is_cuda and choose(x.device).triton)


def choose(device: torch.device) -> Choice:
    """What is used for float32, bfloat16 and float16 on a device; BadInput for an unknown name of kernels."""
    wanted = wanted_kernels()
    if wanted == "torch":
        return Choice(False, f"{VARIABLE}=torch")
    if wanted == "triton":
        return Choice(True, f"{VARIABLE}=triton" + (", interpreted" if interpreted() else ""))
    if device.type != "cuda":
        return Choice(False, f"Triton's kernels are for CUDA, not for {device.type}")
    if find_spec("triton") is None:
        return Choice(False, "triton is not installed (pip install 'genscene[triton]')")
    return _tried(device.index if device.index is not None else torch.cuda.current_device())


def wanted_kernels() -> Name:
    """What `forced`, else the environment, wants; BadInput for a name that there is not."""
    if _forced is not None:
        return _forced
    name = os.environ.get(VARIABLE, "auto")
    if name not in NAMES:
        raise BadInput(f"{VARIABLE} is {name!r:.99}, wanted one of {', '.join(NAMES)}")
    if name == "triton":
        require_triton()
    return NAMES[NAMES.index(name)]


def require_triton() -> None:
    """Raise BadInput where Triton is not installed, or has neither CUDA nor its interpreter."""
    if find_spec("triton") is None:
        raise BadInput(f"{VARIABLE} is triton, which is not installed (pip install 'genscene[triton]')")
    if not torch.cuda.is_available() and not interpreted():
        raise BadInput(f"{VARIABLE} is triton: wanted a CUDA device, or TRITON_INTERPRET=1")


@contextmanager
def forced(name: Name) -> Iterator[None]:
    """Use these kernels wherever they can compute, for tests and benchmarks."""
    global _forced
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


@cache
def _tried(index: int) -> Choice:
    """Every kernel is run on a CUDA device once, and compared: one that fails there is not used."""
    if torch.cuda.get_device_capability(index) < CAPABILITY:
        found = ".".join(map(str, torch.cuda.get_device_capability(index)))
        return Choice(False, f"Triton's kernels want compute capability 8.0 or more, this card has {found}")
    try:
        from genscene.kernels.triton.check import largest_errors

        errors = largest_errors(torch.device("cuda", index))
    except Exception as error:  # whatever a compiler raises on a card that these kernels never ran on
        return Choice(False, f"Triton's kernels fail on this card: {describe_error(error)}")
    wrong = [f"{name} by {error:.0e}" for name, (error, limit) in errors.items() if not error <= limit]
    if wrong:
        return Choice(False, f"Triton's kernels differ from the reference on this card: {', '.join(wrong)}")
    worst = max(error for error, _ in errors.values())
    return Choice(True, f"Triton's kernels agree with the reference on this card to {worst:.0e}")
