"""Blending on the CPU by compiled loops on all of torch's threads, with their backward pass."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from genscene.kernels.splats import _lists as lists
from genscene.kernels.splats import _loops as loops
from genscene.kernels.splats._torch import Size, SortedSplats
from genscene.kernels.splats.limits import TILE, Limits
from genscene.kernels.threads import spread


def blend(splats: SortedSplats, size: Size, limits: Limits) -> tuple[Tensor, Tensor]:
    """The same as `_torch.blend`."""
    differentiable = (splats.means, splats.conics, splats.opacities, splats.colors)
    return Blend.apply(*differentiable, splats.order, splats.counts, size, limits)


class Blend(torch.autograd.Function):
    """The compiled loops as one operation of torch."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        """Colors [P, H, W, D] and alpha [P, H, W]."""
        *tensors, size, limits = given
        *splats, order, counts = [x.detach().contiguous().numpy() for x in tensors]
        cut, like = (limits.alpha_min, limits.alpha_max, limits.stop), splats[0].dtype
        tiles = list_tiles(splats, order, counts, size, cut)
        pictures, colors = len(counts), splats[3].shape[-1]
        image = np.zeros((pictures, *size, colors), like)
        state = np.ones((pictures, *size), like), np.full((pictures, *size), -1, np.int32)
        spread(len(tiles[0]) - 1, loops.forward, tuple(splats), *tiles, cut, image, *state)
        ctx.state = tuple(splats), tiles, cut, state
        return torch.from_numpy(image), 1 - torch.from_numpy(state[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of means, conics, opacities and colors."""
        splats, (starts, members), cut, state = ctx.state
        given = tuple(g.contiguous().numpy() for g in gradients)
        slots = np.zeros((len(members), 6 + splats[3].shape[-1]), splats[0].dtype)
        spread(len(starts) - 1, loops.backward, splats, starts, members, cut, state, given, slots)
        total = np.zeros((*splats[2].shape, slots.shape[1]), slots.dtype)
        spread(len(total), lists.collect, slots, members, starts, total)
        means, conics, opacities, colors = torch.from_numpy(total).tensor_split([2, 5, 6], dim=-1)
        return means, conics, opacities[..., 0], colors, None, None, None, None


def list_tiles(
    splats: list[np.ndarray], order: np.ndarray, counts: np.ndarray, size: Size, cut: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """For every tile the splats that reach it, front to back: starts [P * tiles + 1], members [I]."""
    (height, width), pictures = size, len(counts)
    numbers = np.zeros((pictures, -(-height // TILE) * -(-width // TILE)), np.int64)
    boxes = np.empty((*order.shape, 4), np.int32)
    spread(pictures, lists.count_tiles, *splats[:3], order, counts, height, width, cut, numbers, boxes)
    starts = np.concatenate([np.zeros(1, np.int64), numbers.ravel().cumsum()])
    members = np.empty(starts[-1], np.int32)
    spread(pictures, lists.fill_lists, order, counts, width, boxes, starts, members)
    return starts, members
