"""Compositing along rays (NeRF, eq. 3): weights, color, distance and opacity in one pass over the samples."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from genscene.kernels import _torch
from genscene.kernels.triton import interpreted

MOST_CHANNELS = 8  # wider features are better summed by a matrix product
MOST_SAMPLES = 1024  # a block holds whole rays
BLOCK = 65_536 if interpreted() else 2048  # samples of a block


@triton.jit
def _absorbed(optical):
    """1 - exp(-optical) without cancellation, for optical depths of at least 0."""
    thin = tl.minimum(optical, 0.25)
    series = 1.0 - thin * (1.0 / 6.0) * (1.0 - thin * (1.0 / 7.0))
    series = 1.0 - thin * 0.25 * (1.0 - thin * 0.2 * series)
    series = thin * (1.0 - thin * 0.5 * (1.0 - thin * (1.0 / 3.0) * series))
    return tl.where(optical < 0.25, series, 1.0 - tl.exp(-optical))


@triton.jit
def _transmittance(optical, place, sample, real):
    """How much light passes all samples before each; sums leave out a sample's own, which may be 1e10."""
    before = tl.load(optical + place - 1, mask=real & (sample > 0), other=0.0)
    return tl.exp(-tl.cumsum(before, axis=1))


@triton.jit
def _block(rays, samples, RAYS: tl.constexpr, SAMPLES: tl.constexpr):
    """Numbers of rays and of samples, which of them there are, and where they are stored."""
    ray = tl.program_id(0).to(tl.int64) * RAYS + tl.arange(0, RAYS)
    sample = tl.arange(0, SAMPLES)[None, :]
    real = (ray < rays)[:, None] & (sample < samples)
    return ray, sample, real, ray[:, None] * samples + sample


@triton.jit
def _forward(
    optical, values, distances, weights, color, distance, alpha, rays, samples,
    CHANNELS: tl.constexpr, RAYS: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    """Outputs of a block of rays."""
    ray, sample, real, place = _block(rays, samples, RAYS, SAMPLES)
    own = tl.load(optical + place, mask=real, other=0.0)
    weight = _transmittance(optical, place, sample, real) * _absorbed(own)
    tl.store(weights + place, weight, mask=real)
    tl.store(alpha + ray, tl.sum(weight, axis=1), mask=ray < rays)
    t = tl.load(distances + place, mask=real, other=0.0)
    tl.store(distance + ray, tl.sum(weight * t, axis=1), mask=ray < rays)
    for c in tl.static_range(CHANNELS):
        value = tl.load(values + place * CHANNELS + c, mask=real, other=0.0)
        tl.store(color + ray * CHANNELS + c, tl.sum(weight * value, axis=1), mask=ray < rays)


@triton.jit
def _backward(
    optical, values, distances, by_weights, by_color, by_distance, by_alpha,
    by_optical, by_values, by_distances, rays, samples,
    CHANNELS: tl.constexpr, RAYS: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    """Gradients of a block of rays: more light absorbed at a sample is less that later ones are seen by."""
    ray, sample, real, place = _block(rays, samples, RAYS, SAMPLES)
    own = tl.load(optical + place, mask=real, other=0.0)
    passed = _transmittance(optical, place, sample, real)
    weight = passed * _absorbed(own)
    mean = tl.load(by_distance + ray, mask=ray < rays, other=0.0)[:, None]
    tl.store(by_distances + place, weight * mean, mask=real)
    total = tl.load(by_weights + place, mask=real, other=0.0)
    total += tl.load(by_alpha + ray, mask=ray < rays, other=0.0)[:, None]
    total += mean * tl.load(distances + place, mask=real, other=0.0)
    for c in tl.static_range(CHANNELS):
        part = tl.load(by_color + ray * CHANNELS + c, mask=ray < rays, other=0.0)[:, None]
        total += part * tl.load(values + place * CHANNELS + c, mask=real, other=0.0)
        tl.store(by_values + place * CHANNELS + c, weight * part, mask=real)
    seen = weight * total
    later = tl.cumsum(seen, axis=1, reverse=True) - seen
    tl.store(by_optical + place, total * passed * tl.exp(-own) - later, mask=real)


def launch(kernel: Any, given: tuple[Tensor, ...], made: tuple[Tensor, ...]) -> None:
    """Run a kernel on all rays; given begins with optical depths [..., S] and values [..., S, C]."""
    optical, values = given[:2]
    samples, rays = optical.shape[-1], optical.shape[:-1].numel()
    if not optical.numel():
        return
    padded = triton.next_power_of_2(samples)
    block = max(1, min(triton.next_power_of_2(rays), BLOCK // padded))
    with torch.cuda.device_of(optical):
        tensors = (*(x.contiguous() for x in given), *made)
        kernel[(triton.cdiv(rays, block),)](
            *tensors, rays, samples, values.shape[-1], block, padded, enable_fp_fusion=True
        )


class Composite(torch.autograd.Function):
    """Weights, color, distance, opacity, with gradients by optical depths, values and distances."""

    @staticmethod
    def forward(ctx: Any, optical: Tensor, values: Tensor, distances: Tensor) -> tuple[Tensor, ...]:
        """Optical [B, R, S], values [B, R, S, C], distances [B, R, S] -> as `composite`."""
        ctx.save_for_backward(optical, values, distances)
        rays, channels = optical.shape[:-1], values.shape[-1]
        made = tuple(optical.new_empty(*rays, n) for n in (optical.shape[-1], channels, 1, 1))
        launch(_forward, (optical, values, distances), made)
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Gradients; where they are to be differentiated again, those of the reference."""
        given = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = [x if x.requires_grad else x.detach().requires_grad_() for x in given]
            return torch.autograd.grad(
                _torch.composite(*inputs), inputs, gradients, create_graph=True, materialize_grads=True
            )
        found = tuple(torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in given)
        launch(_backward, (*given, *gradients), found)
        return found


def composite(optical: Tensor, values: Tensor, distances: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Optical depths [B, R, S], values [B, R, S, C], distances [B, R, S], all in float32.

    -> weights [B, R, S], weighted sums of values [B, R, C] and distances [B, R, 1], opacity [B, R, 1].
    """
    weights, color, distance, alpha = Composite.apply(optical, values, distances)
    return weights, color, distance, alpha


def suits(optical: Tensor, values: Tensor, distances: Tensor) -> bool:
    """Whether the kernels can compute on these tensors."""
    kinds = {x.dtype for x in (optical, values, distances)}
    return (
        kinds == {torch.float32} and values.shape[-1] <= MOST_CHANNELS and optical.shape[-1] <= MOST_SAMPLES
    )
