"""The device to compute on."""

from typing import Literal

import torch

from genscene.errors import BadInput

Device = Literal["auto", "cpu", "cuda", "mps"]


def pick_device(name: Device) -> torch.device:
    """A device by name; auto: cuda, else mps, else cpu. BadInput where this machine has none of it."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available.get(name, False):
        raise BadInput(f"this machine has no {name} device that torch {torch.__version__} can use")
    return torch.device(name)
