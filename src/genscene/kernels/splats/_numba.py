"""Blending on the CPU by compiled loops, with their backward pass."""

from typing import Any

import torch
from numba import config, set_num_threads
from torch import Tensor
from torch.autograd.function import once_differentiable

from genscene.kernels.splats import _lists as lists
from genscene.kernels.splats import _loops as loops
from genscene.kernels.splats._torch import Size, SortedSplats
from genscene.kernels.splats.limits import Limits


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
        cut = limits.alpha_min, limits.alpha_max, limits.stop
        use_threads()
        tiles = lists.list_tiles(*splats[:3], order, counts, *size, cut)
        image, *state = loops.forward(*splats, *tiles, *size, cut)
        ctx.state = splats, tiles, state, size, cut
        return torch.from_numpy(image), 1 - torch.from_numpy(state[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of means, conics, opacities and colors."""
        splats, (starts, members), state, size, cut = ctx.state
        use_threads()
        given = [g.contiguous().numpy() for g in gradients]
        slots = loops.backward(*splats, starts, members, *state, *given, *size, cut)
        total = torch.from_numpy(lists.collect(slots, members, starts, *splats[2].shape))
        return total[..., :2], total[..., 2:5], total[..., 5], total[..., 6:], None, None, None, None


def use_threads() -> None:
    """As many threads as torch uses, which is one in each of several processes."""
    set_num_threads(min(torch.get_num_threads(), config.NUMBA_NUM_THREADS))
