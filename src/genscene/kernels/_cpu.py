"""Linear layers with their activation on a CPU, in pieces of rows that stay in the cache.

Products are oneDNN's, which use the widest vectors of every CPU (MKL does so on Intel's alone).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import linear

from genscene.kernels.threads import compiled, spread

# bytes of what a piece's product gives; a product in bfloat16 takes little longer than its call
PIECES = {torch.float32: 1 << 20, torch.float64: 1 << 20, torch.bfloat16: 1 << 22}
LEAST = 1 << 16  # elements below which the passes over memory do not count
T = TypeVar("T")
Piece = tuple[int, slice]  # of a picture, and its rows


def suits(x: Tensor, weight: Tensor) -> bool:
    """Whether rows x [B, N, I] of a layer [..., O, I] are many, of a precision that is computed here."""
    if torch.compiler.is_compiling():  # torch's own operations are what its compiler fuses
        return False
    size = len(x) * x.shape[1] * weight.shape[-2]
    kinds = (torch.float32, torch.bfloat16)
    return x.device.type == "cpu" and size >= LEAST and x.dtype in kinds and weight.dtype == torch.float32


def activated(parts: Sequence[Tensor], weights: Sequence[Tensor], bias: Tensor, sine: bool) -> Tensor:
    """sin or relu of the sum of products: [B, N, I_k], [B, O, I_k], [B, O] -> [B, N, O].

    In float32, under autocast in its precision.
    """
    dtype = parts[0].dtype
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
    given = [bias.to(dtype), *(x.to(dtype).contiguous() for x in (*parts, *weights))]
    if not torch.is_grad_enabled():  # which a Function does not see
        given = [x.detach() for x in given]
    with torch.autocast("cpu", enabled=False):
        return Activated.apply(sine, *given)


class Activated(torch.autograd.Function):
    """The layer as one operation of torch, which saves the derivative of its activation, not its argument."""

    @staticmethod
    def forward(ctx: Any, sine: bool, bias: Tensor, *given: Tensor) -> Tensor:
        """given: the parts [B, N, I_k], then their weights [B, O, I_k]."""
        parts, weights = halves(given)
        ctx.sine = sine
        if not sine and len(given) == 2 and len(bias) == 1:
            out = product(parts[0][0], weights[0][0], bias[0], rectify=True)[None]
            ctx.save_for_backward(bias, out, *given)
            return out
        out = bias.new_empty(*parts[0].shape[:2], bias.shape[1])
        slope = torch.empty_like(out) if sine and any(ctx.needs_input_grad) else None
        for b, rows in pieces(out, parallel=True):
            argument = product(parts[0][b, rows], weights[0][b], bias[b])
            for part, weight in zip(parts[1:], weights[1:], strict=True):
                argument += product(part[b, rows], weight[b])
            if sine:
                write_sines(argument, out[b, rows], None if slope is None else slope[b, rows])
            else:
                torch.clamp_min(argument, 0, out=out[b, rows])
        ctx.save_for_backward(bias, out if slope is None else slope, *given)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the bias, the parts and the weights."""
        bias, slope, *given = ctx.saved_tensors
        (g,) = gradients
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # to be differentiated again
            return None, *differentiable(ctx.sine, g, bias, *halves(given))
        g, (parts, weights) = g.contiguous(), halves(given)
        found, sums = halves([empty_gradient(x, i < len(parts), needed[i]) for i, x in enumerate(given)])
        total = torch.zeros_like(bias, dtype=at_least_float(bias))
        for b, rows in pieces(g):
            if ctx.sine:
                inner = g[b, rows] * slope[b, rows]
            else:
                inner = torch.ops.aten.threshold_backward(g[b, rows], slope[b, rows], 0)
            total[b] += inner.sum(dim=0)
            for part, weight, to, into in zip(parts, weights, found, sums, strict=True):
                if into is not None:
                    into[b] += outer(inner, part[b, rows])
                if to is not None:
                    write_product(inner, weight[b], to[b, rows])
        return None, total, *found, *sums


def differentiable(
    sine: bool, g: Tensor, bias: Tensor, parts: Sequence[Tensor], weights: Sequence[Tensor]
) -> list[Tensor]:
    """The gradients of the bias, the parts and the weights by operations that can be differentiated."""
    argument = bias[:, None] + torch.stack([x @ w.mT for x, w in zip(parts, weights, strict=True)]).sum(dim=0)
    inner = g * argument.cos() if sine else g * (argument > 0)
    before = [inner @ w for w in weights]
    return [inner.sum(dim=1), *before, *(inner.mT @ x for x in parts)]


def empty_gradient(x: Tensor, overwritten: bool, needed: bool) -> Tensor | None:
    """Where the gradient of a tensor is written, or summed in float32 or more."""
    if not needed:
        return None
    return torch.empty_like(x) if overwritten else torch.zeros_like(x, dtype=at_least_float(x))


def at_least_float(x: Tensor) -> torch.dtype:
    """float32, or what is more."""
    return torch.promote_types(x.dtype, torch.float32)


def halves(given: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Parts, weights."""
    count = len(given) // 2
    return given[:count], given[count:]


def pieces(x: Tensor, parallel: bool = False) -> Iterator[Piece]:
    """Pictures and rows of x [B, N, O], as many at a time as fit a piece; parallel: larger for more threads.

    Sums over rows are of pieces of one size, whatever the number of threads.
    """
    size = PIECES[x.dtype] * (4 if parallel and torch.get_num_threads() > 1 else 1)
    step = max(1, size // max(1, x.shape[2] * x.itemsize))
    for b in range(len(x)):
        for start in range(0, x.shape[1], step):
            yield b, slice(start, start + step)


def write_sines(argument: Tensor, sine: Tensor, cosine: Tensor | None) -> None:
    """sin, and cos where wanted, of what is contiguous and of one shape and precision."""
    if argument.dtype == torch.float64 or not compiled():
        torch.sin(argument, out=sine)
        if cosine is not None:
            torch.cos(argument, out=cosine)
        return
    from genscene.kernels import _sines as loops  # takes half a second to import

    stored = torch.float32 if argument.dtype == torch.float32 else torch.uint16  # NumPy has no bfloat16
    given = (argument, sine) if cosine is None else (argument, sine, cosine)
    work = loops.sines if cosine is None else loops.sines_and_cosines
    spread(argument.numel(), work, *(x.view(stored).view(-1).numpy() for x in given), parts=1)


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, rectify: bool = False) -> Tensor:
    """x weight^T + bias, or relu of it: [N, I], [O, I], [O] -> [N, O]."""
    fast = onednn_linear()
    if fast is None or x.dtype == torch.float64:
        return linear(x, weight, bias).clamp_min_(0) if rectify else linear(x, weight, bias)
    return fast(x, weight, bias, "relu" if rectify else "none", [], "")


def write_product(g: Tensor, weight: Tensor, out: Tensor) -> None:
    """g weight, [N, O], [O, I] -> out [N, I]."""
    if g.dtype == torch.bfloat16:  # torch calls oneDNN itself
        torch.mm(g, weight, out=out)
    else:
        out.copy_(product(g, weight.t()))


def outer(g: Tensor, x: Tensor) -> Tensor:
    """g^T x, the sum over rows: [N, O], [N, I] -> [O, I]."""
    fast = onednn_linear()
    if fast is None or g.dtype != torch.float32 or torch.get_float32_matmul_precision() == "medium":
        return g.t() @ x  # torch calls oneDNN itself
    return fast(g.t(), x.t(), None, "none", [], "")


@lru_cache
def onednn_linear() -> Callable[..., Tensor] | None:
    """oneDNN's linear layer; None where torch was built without it."""
    if not torch.backends.mkldnn.is_available():
        return None
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)
