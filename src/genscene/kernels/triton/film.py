"""FiLM-SIREN layers: the sine, and in the backward pass the cosine, in the epilogue of the matrix product.

Frequencies and phases are folded into the weights of each picture. The backward pass computes the argument
of the cosine again: a product costs about what reading a saved argument costs, and half of the memory.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from genscene.kernels.triton import interpreted
from genscene.kernels.triton.sine import cosine, sine

COORDINATES = 16  # a product over no more inputs is of coordinates, which want all bits of float32
TILES = (  # rows, columns, inputs of a block, warps, stages; the interpreter takes the first
    (128, 64, 32, 4, 3),
    (128, 128, 32, 4, 3),
    (128, 128, 64, 8, 3),
    (128, 256, 64, 8, 3),
    (64, 256, 32, 4, 4),
)


def configurations() -> list[Any]:
    """The shapes of blocks that are timed on a card, once for each shape of weights."""
    return [
        triton.Config({"ROWS": a, "COLUMNS": b, "INPUTS": c}, num_warps=w, num_stages=s)
        for a, b, c, w, s in (TILES[:1] if interpreted() else TILES)
    ]


@triton.autotune(configs=configurations(), key=["outputs", "inputs", "DERIVATIVE", "PRECISION"])
@triton.jit
def _sine_linear(
    x, weight, offset, gradient, out, points, outputs, inputs,
    DERIVATIVE: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, INPUTS: tl.constexpr,
):  # fmt: skip
    """A block of sin(x weight^T + offset), or of its derivative by the argument times a gradient."""
    across = tl.cdiv(outputs, COLUMNS)
    block, batch = tl.program_id(0), tl.program_id(1).to(tl.int64)
    rows = (block // across).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = (block % across) * COLUMNS + tl.arange(0, COLUMNS)
    row, column = (rows < points)[:, None], (columns < outputs)[None, :]
    x += (batch * points + rows[:, None]) * inputs
    weight += (batch * outputs + columns[None, :]) * inputs
    argument = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, inputs, INPUTS):
        index = start + tl.arange(0, INPUTS)
        a = tl.load(x + index[None, :], mask=row & (index < inputs)[None, :], other=0.0)
        b = tl.load(weight + index[:, None], mask=column & (index < inputs)[:, None], other=0.0)
        if WIDEN:  # the interpreter has no products of bfloat16
            a = a.to(tl.float32)
            b = b.to(tl.float32)
        argument = tl.dot(a, b, argument, input_precision=PRECISION)
    argument += tl.load(offset + batch * outputs + columns, mask=columns < outputs, other=0.0)[None, :]
    place = (batch * points + rows[:, None]) * outputs + columns[None, :]
    if DERIVATIVE:
        value = cosine(argument) * tl.load(gradient + place, mask=row & column, other=0.0).to(tl.float32)
    else:
        value = sine(argument)
    tl.store(out + place, value.to(out.dtype.element_ty), mask=row & column)


def launch(x: Tensor, weight: Tensor, offset: Tensor, gradient: Tensor | None) -> Tensor:
    """sin(x weight^T + offset), or with a gradient [B, N, O] the cosine times it -> [B, N, O].

    x [B, N, I] and weight [B, O, I] of one type, which the result has; offset [B, O] in float32.
    """
    (batch, points, inputs), outputs = x.shape, weight.shape[1]
    out = torch.empty(batch, points, outputs, dtype=x.dtype, device=x.device)
    if not out.numel():
        return out

    def grid(meta: dict[str, int]) -> tuple[int, int]:
        return triton.cdiv(points, meta["ROWS"]) * triton.cdiv(outputs, meta["COLUMNS"]), batch

    x, weight, offset = x.contiguous(), weight.contiguous(), offset.contiguous()
    given = out if gradient is None else gradient.contiguous()
    precision = "ieee" if is_exact(x) else "tf32"
    with torch.cuda.device_of(x):
        _sine_linear[grid](
            x, weight, offset, given, out, points, outputs, inputs,
            DERIVATIVE=gradient is not None, PRECISION=precision, WIDEN=interpreted(),
            enable_fp_fusion=True,
        )  # fmt: skip
    return out


def is_exact(x: Tensor) -> bool:
    """Whether products of x [B, N, I] are in full float32: of coordinates always, else as torch is set."""
    return x.shape[-1] <= COORDINATES or torch.get_float32_matmul_precision() == "highest"


def is_faster(x: Tensor) -> bool:
    """Whether the kernel should be faster than torch: where the product is not that of plain float32.

    There the library's product is better than Triton's, which has no tensor cores to use.
    """
    return operand_type(x) != torch.float32 or x.shape[-1] <= COORDINATES or not is_exact(x)


def operand_type(x: Tensor) -> torch.dtype:
    """The type of the operands of a product: autocast's, else that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class SineLinear(torch.autograd.Function):
    """sin(x weight^T + offset), with gradients by x, weight and offset."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
        """x [B, N, I], weight [B, O, I], offset [B, O] in float32 -> [B, N, O]."""
        ctx.save_for_backward(x, weight, offset)
        return launch(x, weight, offset, None)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients; where they are to be differentiated again, by torch's own operations."""
        x, weight, offset = ctx.saved_tensors
        by_x, by_weight, by_offset = ctx.needs_input_grad
        with torch.autocast(x.device.type, enabled=False):
            if torch.is_grad_enabled():
                argument = torch.baddbmm(offset[:, None], x.float(), weight.float().mT)
                through = (argument.cos() * gradient).to(x.dtype)
            else:
                through = launch(x, weight, offset, gradient)
            return (
                through @ weight if by_x else None,
                through.mT @ x if by_weight else None,
                through.sum(dim=1, dtype=offset.dtype) if by_offset else None,
            )


def film_sine(x: Tensor, weight: Tensor, bias: Tensor, frequency: Tensor, phase: Tensor) -> Tensor:
    """sin(frequency * (x weight^T + bias) + phase): x [B, N, I], weight [O, I], styles [B, O] -> [B, N, O].

    Sums, argument and sine in float32; under autocast x, the folded weights and the result have its type.
    """
    dtype = operand_type(x)
    with torch.autocast(x.device.type, enabled=False):
        folded = (weight * frequency[:, :, None]).to(dtype)
        offset = (frequency * bias + phase).float()
        result: Tensor = SineLinear.apply(x.to(dtype), folded, offset)
    return result
