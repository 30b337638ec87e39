"""Convolutions that are differentiated twice, as gradient penalties do, at the speed of the library.

torch computes the second derivative by weights as a convolution with a kernel as large as the image, which
takes two to three times as long as oneDNN's own gradient of weights (Karras et al. 2020 do the same on CUDA).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Optional = Tensor | None
Pair = tuple[int, int]
_alone = False  # only gradients by inputs are wanted, not those by weights


class DifferentiatedTwice(TorchFunctionMode):
    """Within it all convolutions without groups, autocast and dilation are computed here."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """The function itself, but for convolutions."""
        if func is torch.conv2d:
            return convolution(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


@contextmanager
def gradients_of_inputs() -> Iterator[None]:
    """Within it backward passes leave out gradients by weights, for those by images alone."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Optional = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """torch's conv2d: [B, I, H, W], [O, I, K, L], [O] -> [B, O, *, *]."""
    simple = groups == 1 and dilation in (1, (1, 1)) and not isinstance(padding, str)
    if not simple or x.dtype != weight.dtype or torch.is_autocast_enabled(x.device.type):
        with torch._C.DisableTorchFunction():
            return torch.conv2d(x, weight, bias, stride, padding, dilation, groups)
    assert not isinstance(padding, str)
    return Convolution.apply(x, weight, bias, pair(stride), pair(padding))


def pair(value: int | Pair) -> Pair:
    """The same along rows and columns, where it is one number."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class Convolution(torch.autograd.Function):
    """A convolution whose gradients are `Gradients`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Optional, stride: Pair, padding: Pair) -> Tensor:
        """As torch's."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Optional, ...]:
        """Gradients of x, the weight and the bias."""
        needed = [each and (i == 0 or not _alone) for i, each in enumerate(ctx.needs_input_grad[:3])]
        found = Gradients.apply(gradients[0], *ctx.saved_tensors, ctx.stride, ctx.padding, needed)
        return *found, None, None


class Gradients(torch.autograd.Function):
    """A convolution's gradients of x, the weight and the bias, of those that are needed."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, needed: list[bool]
    ) -> tuple[Optional, ...]:
        """g [B, O, *, *]: the gradient of the output."""
        ctx.save_for_backward(g, x, weight)
        ctx.stride, ctx.padding = stride, padding
        ctx.set_materialize_grads(False)
        return derive(g, x, weight, stride, padding, needed)

    @staticmethod
    def backward(ctx: Any, *gradients: Optional) -> tuple[Optional, ...]:
        """Gradients of g, x and the weight, of those of the three outputs [like x, weight and bias]."""
        g, x, weight = ctx.saved_tensors
        by_x, by_weight, by_bias = gradients
        place = ctx.stride, ctx.padding
        of_g = None if by_bias is None else by_bias[:, None, None].expand_as(g)
        of_x = of_weight = None
        if by_x is not None:
            of_g = add(of_g, Convolution.apply(by_x, weight, None, *place))
            _, of_weight, _ = Gradients.apply(g, by_x, weight, *place, [False, True, False])
        if by_weight is not None:
            of_g = add(of_g, Convolution.apply(x, by_weight, None, *place))
            of_x, _, _ = Gradients.apply(g, x, by_weight, *place, [True, False, False])
        return of_g, of_x, of_weight, None, None, None


def add(a: Optional, b: Tensor) -> Tensor:
    """Their sum."""
    return b if a is None else a + b


def derive(
    g: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, needed: Sequence[bool]
) -> tuple[Optional, ...]:
    """The library's gradients of x, the weight and the bias, of those that are needed."""
    found = torch.ops.aten.convolution_backward(
        g, x, weight, [len(weight)], stride, padding, (1, 1), False, (0, 0), 1, needed
    )
    return tuple(each if wanted else None for each, wanted in zip(found, needed, strict=True))
