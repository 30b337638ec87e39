"""CGS-GAN's released snapshots: pickles of modules with their source, of which only tensors are read."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from genscene.devices import without_memory
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io.foreign_pickles import collect_tensors, read_checkpoint
from genscene.io.rename import Rules, rename
from genscene.objectives.stylegan2_released import label_mapping_rules, nvidia_discriminator
from genscene.systems.cgsgan.generator import CGSGANGenerator, CGSGANGeneratorConfig
from genscene.systems.cgsgan.presets import CHILDREN, PRESETS, of_levels
from genscene.systems.cgsgan.system import CGSGAN, CGSGANConfig

HEAD = 64  # channels of a head of the released attention
SUBPIXEL = r"point_gen\.upsample_layers\.(\d+)\.subpixel\.weight"
MIXES = {
    r"attn\.c_qkv": "mixes.0.qkv",
    r"attn\.c_proj": "mixes.0.projection",
    r"mlp\.c_fc": "mixes.1.first",
    r"mlp\.c_proj": "mixes.1.second",
}
BLOCK: Rules = (
    *((rf"{theirs}\.(weight|bias)", rf"{ours}.\1") for theirs, ours in MIXES.items()),
    *((rf"ln_{i + 1}\.(gamma|beta)\.(weight|bias)", rf"norms.{i}.\1.\2") for i in range(2)),
    *((rf"ls_{i + 1}\.(weight|bias)", rf"gates.{i}.\1") for i in range(2)),
)


def generator_rules(first_blocks: int, levels: int) -> Rules:
    """Released names -> ours, for a transformer with so many blocks before the first of the levels."""
    places = [rf"first_layers\.{i}" for i in range(first_blocks)]
    places += [rf"resblocks\.{i}" for i in range(levels - 1)]
    return (
        (r"dataset_label_std|point_gen\.(scale|color|rotation|opacity)_(init|threshold)", None),  # constants
        (rf"point_gen\.anchors\.\w+\.{levels - 1}\.(weight|bias)", None),  # never used
        (r"_xyz", "network.points"),
        (r"point_gen\.conv_in\.learnable_pe\.ffm\.linear\.(\w+)", r"network.encoding.sines.linear.\1"),
        (r"point_gen\.conv_in\.const_pe\.const_pe", "network.encoding.table"),
        *(
            (rf"point_gen\.transformer\.{place}\.{theirs}", f"network.blocks.{i}.{ours}")
            for i, place in enumerate(places)
            for theirs, ours in BLOCK
        ),
        (r"point_gen\.upsample_layers\.(\d+)\.subpixel\.(weight|bias)", r"network.upsample.\1.subpixel.\2"),
        (r"point_gen\.upsample_layers\.(\d+)\.res_fc\.(weight|bias)", r"network.upsample.\1.shortcut.\2"),
        (r"point_gen\.((?:anchors|gaussians)\.\w+\.\d+\.(?:weight|bias))", r"network.\1"),
        *label_mapping_rules("mapping_network", "mapping.network"),
        (r"mapping_network\.w_avg", "mapping.w_avg"),
    )


def convert(path: Path, preset: str, part: str = "G_ema") -> tuple[Experiment, CGSGANGenerator]:
    """Read a network-snapshot-*.pkl; preset: of the data, default: one of its size.

    Raises BadInput where it is none, or its tensors do not fit. Nothing in the file is executed.
    """
    found = players(path)[part]
    config, side = official(found)
    preset = preset or f"cgsgan-ffhqc-{side}"
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r} of CGS-GAN to take the data from; known: {', '.join(PRESETS)}")
    experiment = PRESETS[preset]
    assert isinstance(experiment.system, CGSGANConfig)
    config = replace(config, prior=experiment.system.generator.prior)
    with without_memory():  # sizes are those of the file's tensors, which fit together or are refused
        generator = CGSGANGenerator(config)
    generator.load_state_dict({n: x.float() for n, x in our_tensors(found, generator).items()}, assign=True)
    generator.requires_grad_()
    discriminator = replace(experiment.system.discriminator, size=side)
    system = replace(experiment.system, generator=config, discriminator=discriminator)
    stages = tuple(replace(stage, size=(side, side)) for stage in experiment.stages)
    return replace(experiment, system=system, stages=stages), generator


def convert_players(path: Path, preset: str) -> tuple[Experiment, CGSGAN]:
    """Read the generator and the discriminator that a snapshot holds beside the average."""
    discriminator = nvidia_discriminator(players(path)["D"])
    experiment, generator = convert(path, preset, "G")
    assert isinstance(experiment.system, CGSGANConfig)
    config = replace(experiment.system, discriminator=replace(discriminator.config, blur_steps=0))
    with without_memory():
        system = CGSGAN(config)
    system.generator, system.discriminator = generator, discriminator
    return replace(experiment, system=config), system


def players(path: Path) -> dict[str, dict[str, Tensor]]:
    """The tensors of G, D and G_ema in a snapshot."""
    content = read_checkpoint(path)
    parts = content if isinstance(content, Mapping) else {}
    found = {name: collect_tensors(parts.get(name, {})) for name in ("G", "D", "G_ema")}
    if "_xyz" not in found["G_ema"] or "_xyz" not in found["G"]:
        raise BadInput(f"{path} is no snapshot of CGS-GAN: its G and G_ema have no _xyz")
    return found


def official(found: Mapping[str, Tensor]) -> tuple[CGSGANGeneratorConfig, int]:
    """The generator of released tensors, whose shapes tell its sizes, and the side of its pictures."""
    block, mapping = "point_gen.transformer.first_layers.0.mlp.c_fc.weight", "mapping_network.fc0.weight"
    subpixel = {int(m[1]): x for name, x in found.items() if (m := re.fullmatch(SUBPIXEL, name))}
    levels, table = len(subpixel), found.get("point_gen.conv_in.const_pe.const_pe")
    matrices = [found.get(block), found.get(mapping), *subpixel.values()]
    if not 5 <= levels <= len(CHILDREN) or sorted(subpixel) != [*range(levels)] or table is None:
        raise BadInput("the snapshot lacks layers of CGS-GAN (5 to 8 upsample_layers, const_pe)")
    if any(x is None or x.ndim != 2 for x in matrices) or not all(x.numel() for x in found.values()):
        raise BadInput("the snapshot lacks layers of CGS-GAN, or has some without numbers")
    config, side = of_levels(levels)
    (hidden, width), (style, inputs) = found[block].shape, found[mapping].shape
    ratios = [count // config.network.points for count in config.network.counts]
    network = replace(
        config.network,
        points=len(found["_xyz"]),
        width=width,
        heads=max(1, width // HEAD),
        mlp_ratio=max(1, hidden // width),
        first_blocks=len({n.split(".")[3] for n in found if ".first_layers." in n}),
        features=tuple(max(1, len(subpixel[i]) // ratio) for i, ratio in enumerate(ratios)),
        pe_entries=table.shape[-1],
    )
    depth = sum(bool(re.fullmatch(r"mapping_network\.fc\d+\.bias", name)) for name in found)
    config = replace(config, latent_dim=max(1, inputs - style), style_dim=style, mapping_depth=depth)
    return replace(config, network=network), side


def our_tensors(found: Mapping[str, Tensor], generator: CGSGANGenerator) -> dict[str, Tensor]:
    """Released tensors under our names; the table of the constant encoding without its side of size 1."""
    network = generator.config.network
    rules = generator_rules(network.first_blocks, len(network.children))
    plain = {name: x.flatten(2) if name.endswith(".const_pe") else x for name, x in found.items()}
    return rename(plain, rules, dict(generator.state_dict()))
