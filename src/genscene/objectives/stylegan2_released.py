"""Discriminators of StyleGAN2 in released checkpoints: names and shapes of their tensors."""

from collections.abc import Mapping

from torch import Tensor

from genscene.devices import without_memory
from genscene.errors import BadInput
from genscene.io.rename import Rules, rename
from genscene.objectives.stylegan2 import StyleGAN2Discriminator, StyleGAN2DiscriminatorConfig

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


def label_mapping_rules(theirs: str, ours: str) -> Rules:
    """NVIDIA's names of the mapping of labels -> those of `LabelMapping`."""
    return (
        (rf"{theirs}\.embed\.(weight|bias)", rf"{ours}.embedding.\1"),
        (rf"{theirs}\.fc(\d+)\.(weight|bias)", rf"{ours}.layers.\1.\2"),
    )


def nvidia_rules(size: int) -> Rules:
    """Names in NVIDIA's checkpoints of discriminators of images with this side -> names here."""
    sides = [size >> i for i in range(MOST_BLOCKS) if size >> i > 4]
    return (
        (r".*resample_filter", None),  # the blur, [1, 3, 3, 1]
        (r"b\d+_pose\..*", None),  # of CGS-GAN; computed there, but never used
        (rf"b{size}\.fromrgb\.(weight|bias)", r"from_rgb.\1"),
        *(
            (rf"b{side}\.{theirs}\.(weight|bias)", rf"blocks.{i}.{ours}.\1")
            for i, side in enumerate(sides)
            for theirs, ours in (("conv0", "first"), ("conv1", "second"), ("skip", "shortcut"))
        ),
        (r"b4\.conv\.(weight|bias)", r"last_conv.\1"),
        (r"b4\.fc\.(weight|bias)", r"hidden.\1"),
        (r"b4\.out\.(weight|bias)", r"last.\1"),
        *label_mapping_rules("mapping", "labels"),
    )


def nvidia_discriminator(found: Mapping[str, Tensor]) -> StyleGAN2Discriminator:
    """The discriminator of tensors under NVIDIA's names, whose shapes tell its sizes.

    Raises BadInput where they do not fit together.
    """
    sides = [name.split(".")[0][1:] for name in found if name.endswith(".fromrgb.weight")]
    size = int(sides[0]) if sides and sides[0].isdecimal() and len(sides[0]) < 6 else 0
    first, last, out = (found.get(f"b{n}.weight") for n in (f"{size}.fromrgb", "4.conv", "4.out"))
    embed = found.get("mapping.embed.weight")
    if first is None or last is None or out is None or first.ndim != 4:
        raise BadInput("no discriminator of StyleGAN2: it lacks fromrgb, b4.conv or b4.out")
    depth = sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in found)
    config = StyleGAN2DiscriminatorConfig(
        size,
        max(1, len(first)) * size,
        max(1, len(last)),
        conv_clamp=256.0,
        label_features=max(1, len(out)),
        label_depth=depth,
    )
    with without_memory():  # sizes are those of the tensors, or these are refused
        network = StyleGAN2Discriminator(config, first.shape[1], 0 if embed is None else embed.shape[-1])
    renamed = rename(found, nvidia_rules(size), dict(network.named_parameters()))
    network.load_state_dict({name: x.float() for name, x in renamed.items()}, assign=True)
    return network.requires_grad_()
