"""GRAF's released checkpoints: a dict of state dicts, the moving averages under generator_test."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from genscene.errors import BadInput
from genscene.experiment.schema import Experiment
from genscene.io.foreign_pickles import read_state_dict
from genscene.io.rename import Rules, rename
from genscene.systems.graf.generator import GRAFGenerator
from genscene.systems.graf.presets import PRESETS
from genscene.systems.graf.system import GRAFConfig

GENERATOR: Rules = (
    (r"pts_linears\.(\d+)\.(weight|bias)", r"field.layers.\1.\2"),
    (r"alpha_linear\.(weight|bias)", r"field.density.\1"),
    (r"feature_linear\.(weight|bias)", r"field.feature.\1"),
    (r"views_linears\.0\.(weight|bias)", r"field.color_layer.\1"),
    (r"rgb_linear\.(weight|bias)", r"field.color.\1"),
)


def discriminator_rules(names: Iterable[str]) -> Rules:
    """Rules for the convolutions, which are numbered together with what is between them."""
    numbers = sorted({int(match[1]) for name in names if (match := re.fullmatch(r"main\.(\d+)\..*", name))})
    layers = [*(f"layers.{i}" for i in range(len(numbers) - 1)), "last"]
    return tuple(
        (rf"main\.{number}\.{theirs}", f"{layer}.{ours}")
        for number, layer in zip(numbers, layers, strict=True)
        for theirs, ours in (("weight(?:_orig)?", "weight"), ("weight_u", "u"), ("weight_v", "v"))
    )


def convert(path: Path, preset: str) -> tuple[Experiment, GRAFGenerator]:
    """Read a released checkpoint; preset: whose cameras it gets, which the file does not hold.

    Raises BadInput where its tensors do not fit the preset. Nothing in the file is executed.
    """
    found = read_state_dict(path, "generator_test")
    if "views_linears.0.weight" not in found:
        raise BadInput(f"{path} is no checkpoint of GRAF: it has no views_linears.0 in generator_test")
    undirected = found["views_linears.0.weight"].shape[-1] == 256 + 128
    preset = preset or ("graf-cub" if undirected else "graf-carla-128")
    if preset not in PRESETS:
        raise BadInput(f"no preset {preset!r} of GRAF to take cameras from; known: {', '.join(PRESETS)}")
    experiment = PRESETS[preset]
    assert isinstance(experiment.system, GRAFConfig)
    config = replace(experiment.system.generator, pixels="corner", axis_depth=True)
    generator = GRAFGenerator(config)
    generator.load_state_dict(rename(found, GENERATOR, dict(generator.named_parameters())))
    return replace(experiment, system=replace(experiment.system, generator=config)), generator
