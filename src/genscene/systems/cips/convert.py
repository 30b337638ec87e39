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
from genscene.io.foreign_pickles import collect_tensors, read_checkpoint
from genscene.io.rename import Rules, rename
from genscene.layers.mapping import update_w_avg
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig
from genscene.systems.cips.network import CIPSNetworkConfig
from genscene.systems.cips.presets import PRESETS
from genscene.systems.cips.system import CIPSConfig

RANKS = {"emb.input": 4, "lff.ffm.conv.weight": 4, "style.1.weight": 2}  # of tensors that tell sizes
PAIR = ("first", "second")  # names of the layers of a block
MAX_DEPTH = 64  # layers of the mapping network


def convert(path: Path, preset: str) -> tuple[Experiment, CIPSGenerator]:
    """Read a *_g_ema.pt, or the g_ema of a training's file; preset: of the data and the trained size.

    Raises BadInput where it is neither, or its tensors do not fit. Nothing in the file is executed.
    """
    content = read_checkpoint(path)
    part = content.get("g_ema", content) if isinstance(content, Mapping) else None
    found = {name.removeprefix("module."): x for name, x in collect_tensors(part).items()}
    residual = "to_rgb_last.bias" in found
    if not residual and "to_rgbs.0.bias" not in found:
        raise BadInput(f"{path} is no generator of CIPS: it has neither to_rgbs.0.bias nor to_rgb_last.bias")
    preset = preset or ("cips-landscapes-256" if residual else "cips-ffhq-256")
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r} of CIPS to take the size from; known: {', '.join(PRESETS)}")
    experiment = PRESETS[preset]
    assert isinstance(experiment.system, CIPSConfig)
    config = official(found, experiment.system.generator)
    with without_memory():  # sizes are those of the file's tensors, which fit together or are refused
        generator = CIPSGenerator(config)
    renamed = rename(plain(found), generator_rules(found), dict(generator.named_parameters()))
    weights = {name: x.float() for name, x in renamed.items()}
    generator.load_state_dict({"mapping.w_avg": torch.zeros(config.latent_dim)} | weights, assign=True)
    update_w_avg(generator)
    stages = tuple(replace(stage, size=config.size) for stage in experiment.stages)
    return replace(experiment, system=replace(experiment.system, generator=config), stages=stages), generator


def official(found: Mapping[str, Tensor], like: CIPSGeneratorConfig) -> CIPSGeneratorConfig:
    """The generator of official tensors with the conventions of the released code.

    like: gives what they do not tell. Pictures have an embedding for every pixel, or are larger and have its
    size.
    """
    for name, rank in RANKS.items():
        if name in found and (found[name].ndim != rank or not found[name].numel()):
            raise BadInput(f"{name} has shape {tuple(found[name].shape)}, wanted {rank} dimensions")
    table, fourier = found.get("emb.input"), found.get("lff.ffm.conv.weight")
    if "style.1.weight" not in found or (fourier is None and table is None):
        raise BadInput("the checkpoint lacks style.1.weight, or both lff.ffm.conv.weight and emb.input")
    side = (256, 256) if table is None else (table.shape[2], table.shape[3])
    activation = like.network.activation
    if any(name.endswith("activate.bias") for name in found):
        activation = "leaky_relu"
    elif activation == "leaky_relu":
        activation = "sin"  # the sine and half a sine have the same tensors
    network = CIPSNetworkConfig(
        features=len(fourier) if fourier is not None else found["emb.input"].shape[1],
        fourier=fourier is not None,
        embedding=table is not None,
        embedding_size=side,
        widths=block_widths(found),
        variant="residual" if "to_rgb_last.bias" in found else "skip",
        activation=activation,
        noise="random",
        legacy_fourier_bias="lff.ffm.conv.bias" in found,
        legacy_grid_sample=True,
    )
    depth = sum(bool(re.fullmatch(r"style\.\d+\.weight", name)) for name in found)
    size = like.size if min(like.size) >= max(side) and like.size != like.network.embedding_size else side
    latent_dim = found["style.1.weight"].shape[-1]
    return replace(like, latent_dim=latent_dim, mapping_depth=depth, network=network, size=size)


def block_widths(found: Mapping[str, Tensor]) -> tuple[int, ...]:
    """The widths of the blocks: of every second layer, or of every residual block."""
    residual, widths = "to_rgb_last.bias" in found, []
    numbers = layer_numbers(found)
    for i in numbers[1:] if residual else numbers[1::2]:
        x = found.get(f"linears.{i}.{'conv2.' * residual}conv.weight")
        if x is None or x.ndim != 5 or not x.numel():
            raise BadInput(f"the checkpoint lacks the layer linears.{i}, or it has not the shape of one")
        widths.append(x.shape[1])
    if not widths or len(numbers) != (len(widths) + 1 if residual else 2 * len(widths)):
        raise BadInput("the checkpoint has no layers (linears), or an odd number of them between colors")
    return tuple(widths)


def layer_numbers(found: Mapping[str, Tensor]) -> list[int]:
    """The numbers of the layers, or of the residual blocks with the layer before them."""
    matches = [re.match(r"linears\.(\d{1,3})\.", name) for name in found]
    return sorted({int(match[1]) for match in matches if match})


def plain(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official tensors without the sides of size 1 that convolutions of single pixels have."""

    def reshaped(name: str, x: Tensor) -> Tensor:
        if name == "emb.input" or x.ndim == 5:
            x = x.flatten(0, 1)
        if name == "emb.input" or x.ndim < 3:
            return x
        return x.flatten() if name.endswith(".bias") else x.flatten(1)

    return {name: reshaped(name, x) for name, x in found.items()}


def generator_rules(found: Mapping[str, Tensor]) -> Rules:
    """Rules for the generator of official tensors; layers are numbered one by one, or by residual block."""
    places = {"conv1": "first"}
    if "to_rgb_last.bias" in found:
        places = {"linears.0": "first"}
        for i in layer_numbers(found):
            places |= {f"linears.{i}.conv{k}": f"blocks.{i - 1}.{PAIR[k - 1]}" for k in (1, 2)}
    else:
        places |= {f"linears.{i}": f"blocks.{i // 2}.{PAIR[i % 2]}" for i in layer_numbers(found)}
    return (
        *((rf"style\.{i + 1}\.(weight|bias)", rf"mapping.network.{i}.\1") for i in range(MAX_DEPTH)),
        (r"lff\.ffm\.conv\.(weight|bias)", r"network.fourier.linear.\1"),
        (r"emb\.input", "network.embedding.table"),
        *(rule for theirs, ours in places.items() for rule in layer_rules(re.escape(theirs), ours)),
        *(
            (rf"linears\.{i}\.skip\.0\.weight", f"network.blocks.{i - 1}.shortcut.weight")
            for i in layer_numbers(found)
        ),
        (r"to_rgb_last\.conv\.((?:modulation\.)?(?:weight|bias))", r"network.to_rgb.0.linear.\1"),
        (r"to_rgb_last\.bias", "network.to_rgb.0.bias"),
        (r"to_rgbs\.(\d+)\.conv\.((?:modulation\.)?(?:weight|bias))", r"network.to_rgb.\1.linear.\2"),
        (r"to_rgbs\.(\d+)\.bias", r"network.to_rgb.\1.bias"),
    )


def layer_rules(theirs: str, ours: str) -> Rules:
    """Rules for one layer; with sines its bias has another name."""
    return (
        (rf"{theirs}\.conv\.((?:modulation\.)?(?:weight|bias))", rf"network.{ours}.linear.\1"),
        (rf"{theirs}\.noise\.weight", f"network.{ours}.noise_strength"),
        (rf"{theirs}\.(?:activate\.)?bias", f"network.{ours}.bias"),
    )
