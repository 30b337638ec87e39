"""Gaussians within their parents, level by level: what heads say, to Gaussians (CGS-GAN; GSGAN)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from genscene.errors import BadInput
from genscene.geometry.cameras import no_autocast
from genscene.geometry.rotations import rotation
from genscene.layers.mapping import map_tensors
from genscene.layers.stylegan2 import EqualLinear
from genscene.ranges import Distance, Extent, Factor, NonNegative, PositiveShare

SIZES = {"xyz": 3, "scale": 3, "rotation": 4, "color": 3, "opacity": 1}  # numbers of each attribute
SOFT_LIMIT = 20.0  # of everything but positions, before activation
QUATERNION_EPS = 1e-3  # added to the norm of a parent's quaternion
HARMONIC = 0.28209479  # spherical harmonic of degree 0


@dataclass(frozen=True)
class RawGaussians:
    """B clouds of N Gaussians, or anchors, before activation."""

    xyz: Tensor  # [B, N, 3], in world units
    scale: Tensor  # [B, N, 3], logarithms of standard deviations
    rotation: Tensor  # [B, N, 4], (w, x, y, z), not normalised
    color: Tensor  # [B, N, 3]
    opacity: Tensor  # [B, N, 1], logits


@dataclass(frozen=True)
class ResidualConfig:
    """Bounds and offsets of a level's Gaussians from those of the level before; the defaults are at 512."""

    first_scale: Factor = math.exp(-5)  # standard deviation that the first anchors' heads start from
    max_scale: Extent = 0.5 / math.sqrt(512)  # no first anchor is larger
    # children of a parent that is larger than this are smaller by split_ratio
    min_scale: Extent = 0.5 / 512
    split_ratio: Factor = 1.866066
    # the first anchors' own Gaussians, too, are smaller than these
    split_first: bool = True
    child_box: NonNegative = 1.0  # children lie within so many of their parent's standard deviations
    # the logarithm of a standard deviation is at most this below the largest that its parent allows, so that
    # there are no needles; 0: no bound
    scale_range: NonNegative = 0.0
    anchor_factor: Factor = 0.2  # of what the heads say, for the positions of the first anchors
    # instead: the first anchors stay this close to their points, along each axis; 0: they do not
    anchor_bound: Distance = 0.0
    opacity: PositiveShare = 0.1  # that the heads start from
    color: Literal["harmonic", "sigmoid"] = "harmonic"  # 0.282 x + 0.5, not below 0; or 0 to 1
    bound: Extent = 0.5  # half side of the box that all Gaussians are moved into

    def check(self) -> None:
        """Raise BadInput for Gaussians that are opaque before training."""
        if self.opacity == 1:
            raise BadInput("opacity 1.0: wanted less than 1, the heads start from its logit")


class ResidualHeads(nn.ModuleDict):
    """For each attribute a linear layer of each level: its features to what it says."""

    def __init__(
        self,
        features: tuple[int, ...],
        xyz_std: float = 1.0,
        color_std: float = 1.0,
        scale_bias: float = -1.0,
    ):
        """features: of each level. At first, standard deviations of weights; scale_bias: biases of scales."""
        super().__init__()
        for name, size in SIZES.items():
            bias = scale_bias if name == "scale" else 0.0
            heads = [EqualLinear(each, size, bias_init=bias) for each in features]
            std = {"xyz": xyz_std, "color": color_std, "scale": 0.1, "rotation": 0.1}.get(name, 1.0)
            with torch.no_grad():
                for head in heads:
                    head.weight.mul_(std)
            self[name] = nn.ModuleList(heads)

    def forward(self, level: int, features: Tensor) -> RawGaussians:
        """Features of a level [B, N, F] -> what its heads say; positions want more than bfloat16."""
        with no_autocast(features):
            heads = {name: self.get_submodule(f"{name}.{level}") for name in SIZES}
            x = features if features.dtype == torch.float64 else features.float()
            return RawGaussians(**{name: head(x) for name, head in heads.items()})


def released_scales(size: int, points: int = 512) -> tuple[float, float, float]:
    """(split_ratio, min_scale, max_scale) of the released code for pictures of this side."""
    largest, smallest = 0.5 / math.sqrt(points), 0.5 / size
    levels = math.log2(2 * (size // 4)) - 3
    return (largest / smallest) ** (1 / levels), smallest, largest


def first_anchors(raw: RawGaussians, points: Tensor, config: ResidualConfig) -> RawGaussians:
    """What the heads of the first level say, and its points [N, 3] -> its anchors."""
    if config.anchor_bound:
        xyz = points + config.anchor_bound * raw.xyz.tanh()
    else:
        xyz = config.anchor_factor * raw.xyz
    largest = math.log(config.max_scale)
    scale = largest - softplus(largest - (math.log(config.first_scale) + raw.scale))
    unit = raw.rotation.new_tensor([1.0, 0.0, 0.0, 0.0])
    opacity = raw.opacity + math.log(config.opacity / (1 - config.opacity))
    return soft_bounded(RawGaussians(xyz, scale, raw.rotation + unit, raw.color, opacity))


def child_gaussians(
    raw: RawGaussians, parents: RawGaussians, config: ResidualConfig, split: bool = True
) -> RawGaussians:
    """What the heads of a level say [B, N, ...], and M parents -> N children, N / M of each side by side.

    split: whether children are smaller by split_ratio.
    """
    count = parents.xyz.shape[1]
    raw = map_tensors(lambda x: x.unflatten(1, (count, -1)), raw)  # [B, M, N / M, ...]
    of = map_tensors(lambda x: x[:, :, None], parents)
    turn = rotation(of.rotation / (of.rotation.norm(dim=-1, keepdim=True) + QUATERNION_EPS))
    inside = config.child_box * of.scale.exp() * raw.xyz.tanh()
    xyz = of.xyz + (turn @ inside[..., None])[..., 0]
    largest = of.scale
    if split:
        large = of.scale.amax(dim=-1, keepdim=True) > math.log(config.min_scale)
        largest = torch.where(large, largest - math.log(config.split_ratio), largest).clamp(-100, 0)
    less = softplus(-raw.scale)
    if config.scale_range:
        less = config.scale_range * (less / config.scale_range).tanh()
    found = RawGaussians(
        xyz, largest - less, of.rotation + raw.rotation, of.color + raw.color, of.opacity + raw.opacity
    )
    return soft_bounded(map_tensors(lambda x: x.flatten(1, 2), found))


def soft_bounded(raw: RawGaussians) -> RawGaussians:
    """Everything but positions between -20 and 20, almost unchanged near 0."""
    others = (raw.scale, raw.rotation, raw.color, raw.opacity)
    return RawGaussians(raw.xyz, *(SOFT_LIMIT * (x / SOFT_LIMIT).tanh() for x in others))


def joined(levels: list[RawGaussians], bound: float) -> RawGaussians:
    """The Gaussians of all levels, the first one first, moved into a box of this half side."""
    every: RawGaussians = map_tensors(lambda *parts: torch.cat(parts, dim=1), *levels)
    return RawGaussians(
        every.xyz.clamp(-bound, bound), every.scale, every.rotation, every.color, every.opacity
    )


def activated(raw: RawGaussians, config: ResidualConfig) -> dict[str, Tensor]:
    """The fields of `Gaussians` by name."""
    color = (HARMONIC * raw.color + 0.5).relu() if config.color == "harmonic" else raw.color.sigmoid()
    return {
        "means": raw.xyz,
        "quats": normalize(raw.rotation, dim=-1),
        "scales": raw.scale.exp(),
        "opacities": raw.opacity.sigmoid()[..., 0],
        "colors": color,
    }
