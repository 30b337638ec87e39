"""CIPS's released checkpoints: state dicts of the averaged generator, and files of the training."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from genscene.devices import without_memory
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io.foreign_pickles import collect_tensors, read_checkpoint, read_state_dict
from genscene.io.rename import Rules, rename
from genscene.layers.mapping import update_w_avg
from genscene.objectives.stylegan2_released import released_discriminator
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig
from genscene.systems.cips.network import CIPSNetworkConfig
from genscene.systems.cips.presets import PRESETS
from genscene.systems.cips.system import CIPS, CIPSConfig

BLOCKS = range(16)  # more than any network has


def layer_rules(theirs: str, ours: str) -> Rules:
    """Rules for one layer; the bias has another name where the activation is a sine."""
    return (
        (rf"{theirs}\.conv\.((?:modulation\.)?(?:weight|bias))", rf"network.{ours}.linear.\1"),
        (rf"{theirs}\.noise\.weight", f"network.{ours}.noise_strength"),
        (rf"{theirs}\.(?:activate\.)?bias", f"network.{ours}.bias"),
    )


INPUTS: Rules = (
    *((rf"style\.{i + 1}\.(weight|bias)", rf"mapping.network.{i}.\1") for i in range(64)),
    (r"lff\.ffm\.conv\.(weight|bias)", r"network.fourier.linear.\1"),
    (r"emb\.input", "network.embedding.table"),
)
SKIP: Rules = (
    *INPUTS,
    *layer_rules("conv1", "first"),
    *(rule for i in BLOCKS for rule in layer_rules(rf"linears\.{2 * i}", f"blocks.{i}.first")),
    *(rule for i in BLOCKS for rule in layer_rules(rf"linears\.{2 * i + 1}", f"blocks.{i}.second")),
    *(rule for i in BLOCKS for rule in layer_rules(rf"to_rgbs\.{i}", f"to_rgb.{i}")),
)
RESIDUAL: Rules = (
    *INPUTS,
    *layer_rules(r"linears\.0", "first"),
    *(rule for i in BLOCKS for rule in layer_rules(rf"linears\.{i + 1}\.conv1", f"blocks.{i}.first")),
    *(rule for i in BLOCKS for rule in layer_rules(rf"linears\.{i + 1}\.conv2", f"blocks.{i}.second")),
    *((rf"linears\.{i + 1}\.skip\.0\.weight", f"network.blocks.{i}.shortcut.weight") for i in BLOCKS),
    *layer_rules("to_rgb_last", "to_rgb.0"),
)


def convert(path: Path, preset: str, part: str = "g_ema") -> tuple[Experiment, CIPSGenerator]:
    """Read a *_g_ema.pt, or a part of a training's file; preset: of the data and the trained size.

    Raises BadInput where it is neither, or its tensors do not fit. Nothing in the file is executed.
    """
    content = read_checkpoint(path)
    state = content.get(part, content) if isinstance(content, Mapping) else None
    found = {name.removeprefix("module."): x for name, x in collect_tensors(state).items()}
    if "to_rgb_last.bias" not in found and "to_rgbs.0.bias" not in found:
        raise BadInput(f"{path} is no generator of CIPS: it has neither to_rgbs.0.bias nor to_rgb_last.bias")
    preset = preset or ("cips-landscapes-256" if "to_rgb_last.bias" in found else "cips-ffhq-256")
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r} of CIPS to take the size from; known: {', '.join(PRESETS)}")
    experiment = PRESETS[preset]
    assert isinstance(experiment.system, CIPSConfig)
    config = official(found, experiment.system.generator)
    with without_memory():  # sizes are those of the file's tensors, which fit together or are refused
        generator = CIPSGenerator(config)
    renamed = {name: x.float() for name, x in our_tensors(found, generator).items()}
    generator.load_state_dict({"mapping.w_avg": torch.zeros(config.latent_dim)} | renamed, assign=True)
    update_w_avg(generator)
    stages = tuple(replace(stage, size=config.size) for stage in experiment.stages)
    return replace(experiment, system=replace(experiment.system, generator=config), stages=stages), generator


def convert_players(path: Path, preset: str) -> tuple[Experiment, CIPS]:
    """Read the generator and the discriminator that a training's file holds beside the average."""
    discriminator = released_discriminator(read_state_dict(path, "d"))
    experiment, generator = convert(path, preset, "g")
    assert isinstance(experiment.system, CIPSConfig)
    channels = discriminator.from_rgb.weight.shape[1]
    if channels not in (3, 5):
        raise BadInput(f"{path}: a discriminator of {channels} channels, wanted 3, or 5 with coordinates")
    seen = channels == 5
    config = replace(experiment.system, discriminator=discriminator.config, discriminator_coords=seen)
    with without_memory():
        system = CIPS(config)
    system.generator, system.discriminator = generator, discriminator
    return replace(experiment, system=config), system


def official(found: Mapping[str, Tensor], like: CIPSGeneratorConfig) -> CIPSGeneratorConfig:
    """The generator of official tensors, whose shapes tell its sizes, with the released code's conventions.

    like: gives the kind of sine of activations, and the size of pictures with fewer embeddings than pixels.
    """
    table, fourier = found.get("emb.input"), found.get("lff.ffm.conv.weight")
    residual = "to_rgb_last.bias" in found
    ends = r"linears\.(\d{1,3})\.conv2" if residual else r"linears\.(\d{0,2}[13579])"  # of blocks
    matches = {name: re.fullmatch(rf"{ends}\.(?:activate\.)?bias", name) for name in found}
    widths = {int(match[1]): found[name].numel() for name, match in matches.items() if match}
    if not widths or (fourier is None and table is None) or "style.1.bias" not in found:
        raise BadInput("the checkpoint lacks its layers (linears, style.1), or both lff.ffm.conv and emb")
    if any(not x.numel() for x in found.values()) or (table is not None and table.ndim != 4):
        raise BadInput("the checkpoint has tensors without numbers, or an emb.input without 4 dimensions")
    side = (256, 256) if table is None else (table.shape[2], table.shape[3])
    activation = "sin" if like.network.activation == "leaky_relu" else like.network.activation
    network = CIPSNetworkConfig(
        features=len(fourier) if fourier is not None else found["emb.input"].shape[1],
        fourier=fourier is not None,
        embedding=table is not None,
        embedding_size=side,
        widths=tuple(widths[i] for i in sorted(widths)),
        variant="residual" if residual else "skip",
        activation="leaky_relu" if any(name.endswith("activate.bias") for name in found) else activation,
        noise="random",
        legacy_fourier_bias="lff.ffm.conv.bias" in found,
        legacy_grid_sample=True,
    )
    depth = sum(bool(re.fullmatch(r"style\.\d+\.weight", name)) for name in found)
    size = like.size if like.size != like.network.embedding_size and min(like.size) >= max(side) else side
    return replace(
        like, latent_dim=len(found["style.1.bias"]), mapping_depth=depth, network=network, size=size
    )


def our_tensors(found: Mapping[str, Tensor], generator: CIPSGenerator) -> dict[str, Tensor]:
    """Official tensors under our names, without the sides of size 1 of convolutions of single pixels."""

    def reshaped(name: str, x: Tensor) -> Tensor:
        x = x.flatten(0, 1) if name == "emb.input" or x.ndim == 5 else x
        plain = name == "emb.input" or x.ndim < 3
        return x if plain else x.flatten(0 if name.endswith(".bias") else 1)

    rules = RESIDUAL if generator.config.network.variant == "residual" else SKIP
    plain = {name: reshaped(name, x) for name, x in found.items()}
    return rename(plain, rules, dict(generator.named_parameters()))
