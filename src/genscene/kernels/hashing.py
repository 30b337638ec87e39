"""Hashes of whole numbers, in tensors."""

from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # 2**64 over the golden ratio, as a signed number


def splitmix64(x: Tensor) -> Tensor:
    """The mixing function of SplitMix64 (Steele et al. 2014) on int64 of any shape, sign bit included."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64)):
        x = (x ^ shift_right(x, shift)) * factor
    return x ^ shift_right(x, 31)


def shift_right(x: Tensor, by: int) -> Tensor:
    """Logical shift of int64 to the right: zeros enter from the left."""
    return (x >> by) & ((1 << (64 - by)) - 1)
