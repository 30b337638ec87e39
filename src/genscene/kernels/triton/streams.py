"""Random numbers as hashes of keys and counters: those of a whole batch in one launch."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
def _hash_uniform(keys, out, first, count, BLOCK: tl.constexpr):
    """Numbers `first`, `first` + 1, ... of the stream of one key: SplitMix64 (Steele et al. 2014)."""
    stream = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    counter = (first + index).to(tl.uint64)
    x = tl.load(keys + stream).to(tl.uint64) + counter * 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB
    x = x ^ (x >> 31)
    value = (x & 0xFFFFFF).to(tl.float32) * (1.0 / 16777216.0)
    tl.store(out + stream * count + index, value, mask=index < count)


def hash_uniform(keys: Tensor, first: int, count: int) -> Tensor:
    """Uniform in [0, 1): keys [K] int64 -> numbers first, ..., first + count - 1 of each [K, count].

    The same as the reference's, bit for bit: all but the last division by a power of two is in integers.
    """
    out = torch.empty(len(keys), count, dtype=torch.float32, device=keys.device)
    if out.numel():
        with torch.cuda.device_of(keys):
            grid = (triton.cdiv(count, BLOCK), len(keys))
            _hash_uniform[grid](keys.contiguous(), out, first, count, BLOCK, enable_fp_fusion=True)
    return out
