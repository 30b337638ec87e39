"""The residual discriminator of StyleGAN2 (Karras et al. 2020, sec. 4.1), as CIPS and EG3D have it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from torch import Tensor, nn

from genscene.devices import without_memory
from genscene.errors import BadInput
from genscene.geometry.cameras import Size
from genscene.io.rename import Rules, rename
from genscene.layers.minibatch_std import minibatch_std, strided_minibatch_std
from genscene.layers.stylegan2 import EqualConv2d, EqualLinear, blur, scaled_leaky_relu
from genscene.ranges import Channels, Count, Natural, Side


@dataclass(frozen=True)
class StyleGAN2DiscriminatorConfig:
    """Residual blocks that halve the image down to 4x4 pixels, and two linear layers."""

    size: Side = 256  # of the images, a power of two
    # an image of n x n pixels has channel_base / n channels, at most channel_max
    channel_base: Count = 32_768
    channel_max: Channels = 512
    # images over which the minibatch standard deviation is taken before the last convolution; 0: none
    mbstd_group: Natural = 4
    # a group is every (B / group)-th image, as in the released code; off: images that follow one another,
    # between which a batch may be cut for gradient accumulation and for several processes
    mbstd_strided: bool = False

    @property
    def sides(self) -> list[int]:
        """Sides of the images before each block and behind the last: size, size / 2, ... 4."""
        return [self.size >> i for i in range(int(math.log2(self.size)) - 1)]

    def shrunk(self, size: int) -> "StyleGAN2DiscriminatorConfig":
        """The same for images of another size, with at most 8 channels and pairs of images, for tests."""
        few = min(2, self.mbstd_group)
        return replace(self, size=size, channel_base=128, channel_max=8, mbstd_group=few)

    def channels_at(self, side: int) -> int:
        """Channels of an image with this side."""
        return max(1, min(self.channel_max, self.channel_base // side))

    def check_size(self, size: Size) -> None:
        """Raise BadInput for images of another size, and a size that blocks do not halve to 4."""
        if self.size < 4 or self.size & (self.size - 1):
            raise BadInput(f"the discriminator's size {self.size}: wanted a power of two from 4")
        if size != (self.size, self.size):
            raise BadInput(
                f"images of {size[0]}x{size[1]}: wanted {self.size}x{self.size} for this discriminator"
            )


class ResidualBlock(nn.Module):
    """(convolutions(x) + projection(x)) / sqrt(2), both blurred before they are halved."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.first = EqualConv2d(in_channels, in_channels, 3, padding=1, bias=True)
        self.second = EqualConv2d(in_channels, out_channels, 3, stride=2, bias=True)
        self.shortcut = EqualConv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H / 2, W / 2]."""
        y = scaled_leaky_relu(self.first(x))
        y = scaled_leaky_relu(self.second(blur(y, 2)))
        return (y + self.shortcut(blur(x, 1, stride=2))) / math.sqrt(2)


class StyleGAN2Discriminator(nn.Module):
    """Images [B, C, S, S] of one size in [-1, 1] -> logits [B]."""

    def __init__(self, config: StyleGAN2DiscriminatorConfig, inputs: int = 3, outputs: int = 1):
        """inputs: channels of the images. outputs: numbers per image, the first of them is the logit."""
        super().__init__()
        config.check_size((config.size, config.size))
        self.config, widths = config, [config.channels_at(side) for side in config.sides]
        last = widths[-1]
        self.from_rgb = EqualConv2d(inputs, widths[0], 1, bias=True)
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))
        self.last_conv = EqualConv2d(last + (config.mbstd_group > 0), last, 3, padding=1, bias=True)
        self.hidden = EqualLinear(16 * last, last)
        self.last = EqualLinear(last, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, C, S, S] in [-1, 1] -> logits [B]."""
        return self.outputs(images)[:, 0]

    def outputs(self, images: Tensor) -> Tensor:
        """Images [B, C, S, S] in [-1, 1] -> all outputs [B, outputs], as projection discriminators need."""
        x = scaled_leaky_relu(self.from_rgb(images))
        for block in self.blocks:
            x = block(x)
        if self.config.mbstd_group:
            deviation = strided_minibatch_std if self.config.mbstd_strided else minibatch_std
            x = deviation(x, self.config.mbstd_group)
        x = scaled_leaky_relu(self.last_conv(x))
        return self.last(scaled_leaky_relu(self.hidden(x.flatten(1))))

    def grow(self, smaller: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a discriminator of smaller images in the last blocks, its own in those before."""
        blocks = {int(name.split(".")[1]) for name in smaller if name.startswith("blocks.")}
        more = len(self.blocks) - len(blocks)
        if more <= 0:
            return dict(smaller)
        moved = {
            re.sub(r"^blocks\.(\d+)", lambda i: f"blocks.{int(i[1]) + more}", n): x
            for n, x in smaller.items()
        }
        return self.state_dict() | {n: x for n, x in moved.items() if not n.startswith("from_rgb.")}


MOST_BLOCKS = 12  # of a released discriminator
# names in CIPS's checkpoints, which are those of rosinality/stylegan2-pytorch -> names here
RELEASED_NAMES: Rules = (
    (r"convs\.\d+\.(?:conv2|skip)\.0\.kernel", None),  # the blur, [1, 3, 3, 1]
    (r"convs\.0\.0\.weight", "from_rgb.weight"),
    (r"convs\.0\.1\.bias", "from_rgb.bias"),
    *(
        (rf"convs\.{i + 1}\.{released}", f"blocks.{i}.{name}")
        for i in range(MOST_BLOCKS)
        for released, name in (
            (r"conv1\.0\.weight", "first.weight"),
            (r"conv1\.1\.bias", "first.bias"),
            (r"conv2\.1\.weight", "second.weight"),
            (r"conv2\.2\.bias", "second.bias"),
            (r"skip\.1\.weight", "shortcut.weight"),
        )
    ),
    (r"final_conv\.0\.weight", "last_conv.weight"),
    (r"final_conv\.1\.bias", "last_conv.bias"),
    (r"final_linear\.0\.(weight|bias)", r"hidden.\1"),
    (r"final_linear\.1\.(weight|bias)", r"last.\1"),
)


def released_discriminator(found: Mapping[str, Tensor]) -> StyleGAN2Discriminator:
    """The discriminator of released tensors, whose shapes tell its sizes.

    Raises BadInput where they do not fit together.
    """
    first, last = found.get("convs.0.0.weight"), found.get("final_conv.0.weight")
    blocks = sum(name.endswith(".conv2.1.weight") for name in found)
    if first is None or last is None or first.ndim != 4 or not 0 < blocks <= MOST_BLOCKS:
        raise BadInput("no discriminator of StyleGAN2: it lacks convs.0.0, convs.1 or final_conv.0")
    size = 4 << blocks
    config = StyleGAN2DiscriminatorConfig(size, max(1, len(first)) * size, max(1, len(last)))
    with without_memory():  # sizes are those of the tensors, or these are refused
        network = StyleGAN2Discriminator(config, first.shape[1])
    renamed = rename(found, RELEASED_NAMES, dict(network.named_parameters()))
    network.load_state_dict({name: x.float() for name, x in renamed.items()}, assign=True)
    return network.requires_grad_()
