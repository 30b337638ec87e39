"""Styles: mapping networks to them, their mean, truncation, and functions of their tensors."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from genscene.errors import BadInput
from genscene.geometry.cameras import no_autocast
from genscene.randomness import Randomness, RandomStreams

LatentDistribution = Literal["gaussian", "uniform"]
W_AVG_SAMPLES = 10_000
OBJECTS = ("shape", "appearance", "classes", "boxes", "present")  # what styles of objects have of each


class MappingNetwork(nn.Module):
    """z -> w, with the mean style w_avg for truncation (StyleGAN, sec. 2; pi-GAN, sec. 3.1)."""

    w_avg: Tensor  # [*shape]

    def __init__(
        self,
        network: nn.Module,
        latent_dim: int,
        shape: tuple[int, ...],
        latent: LatentDistribution = "gaussian",
    ):
        """network: z [B, latent_dim] -> [B, product of shape]; nn.Identity where z is the style.

        One that labels condition takes them as well.
        """
        super().__init__()
        self.network, self.latent_dim, self.latent = network, latent_dim, latent
        self.register_buffer("w_avg", torch.zeros(shape))

    def forward(self, z: Tensor, psi: float | Tensor = 1.0, labels: Tensor | None = None) -> Tensor:
        """z [B, latent_dim] -> w [B, *shape]; psi, one number or [B]: truncation, w_avg + psi (w - w_avg).

        labels: [B, label_dim], of cameras, for networks that they condition; None: their default.
        """
        with no_autocast(z):  # styles scale frequencies: bfloat16 is too coarse
            w = self.network(z) if labels is None else self.network(z, labels)
        w = w.view(len(z), *self.w_avg.shape)
        if not isinstance(psi, Tensor):
            return w if psi == 1 else self.w_avg + psi * (w - self.w_avg)
        each = psi.to(w).reshape(-1, *[1] * self.w_avg.ndim)
        return torch.where(each == 1, w, self.w_avg + each * (w - self.w_avg))

    def latents(self, randomness: Randomness, *shape: int) -> Tensor:
        """Numbers of latent codes, standard normal or uniform in [-1, 1) -> [B, *shape]."""
        return 2 * randomness.uniform(*shape) - 1 if self.latent == "uniform" else randomness.normal(*shape)


def scale_codes(z: Tensor, psi: float | Tensor) -> Tensor:
    """Latent codes [B, ...] times psi, one number or [B]: truncation where z itself is the style."""
    if isinstance(psi, Tensor) and psi.ndim:
        psi = psi.to(z).reshape(-1, *[1] * (z.ndim - 1))
    return psi * z


@torch.no_grad()
def update_w_avg(generator: nn.Module) -> None:
    """Set w_avg of every mapping network in a generator to the mean style of 10,000 fixed latent codes.

    To be called once the weights are final, before truncation or saving.
    """
    for module in generator.modules():
        if isinstance(module, MappingNetwork) and next(module.parameters(), None) is not None:
            z = module.latents(RandomStreams([0]), W_AVG_SAMPLES, module.latent_dim)[0]
            module.w_avg.copy_(module(z.to(module.w_avg.device)).mean(dim=0))


def map_tensors(function: Callable[..., Tensor], first: Any, *others: Any) -> Any:
    """Apply a function to the tensors of styles or scenes: tensors, or (nested) dataclasses of some.

    Switches, and tensors that are not there, are those of the first.
    """
    if isinstance(first, Tensor):
        return function(first, *others)
    if first is None or isinstance(first, bool):
        return first
    assert is_dataclass(first), f"a style is a tensor or a dataclass of tensors, not {type(first).__name__}"
    columns = {each.name: [getattr(w, each.name) for w in (first, *others)] for each in fields(first)}
    return replace(first, **{name: map_tensors(function, *column) for name, column in columns.items()})  # type: ignore[type-var]


def select_objects(w: Any, numbers: slice | list[int]) -> Any:
    """Styles of scenes of objects with some of the objects alone."""
    return replace(w, **{name: map_tensors(lambda x: x[:, numbers], getattr(w, name)) for name in OBJECTS})


def style_count(w: Any) -> int:
    """The number of styles in w: its first dimension, or that of its first tensor."""
    if isinstance(w, Tensor):
        return len(w)
    return style_count(next(value for each in fields(w) if (value := getattr(w, each.name)) is not None))


def join_styles(parts: Sequence[Any]) -> Any:
    """Styles of several scenes -> all of them, in order; BadInput where they are of different shapes."""
    try:
        return map_tensors(lambda *tensors: torch.cat(tensors), *parts)
    except RuntimeError:
        raise BadInput("these styles have different shapes, wanted scenes of as many objects") from None


def take_styles(w: Any, part: slice) -> Any:
    """Some of the styles in w."""
    return map_tensors(lambda x: x[part], w)
