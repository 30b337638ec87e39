"""Full precision for networks that measure: no TF32, no bf16, whatever training has switched on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Products and convolutions in whole float32 within, on a device of this type; then as it was."""
    convolutions, products = torch.backends.cudnn, torch.get_float32_matmul_precision()
    kept = convolutions.allow_tf32
    torch.set_float32_matmul_precision("highest")
    convolutions.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(products)
        convolutions.allow_tf32 = kept
