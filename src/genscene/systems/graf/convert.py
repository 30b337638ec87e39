"""GRAF's released checkpoints: a dict of state dicts, the moving averages under generator_test."""

import re
from collections.abc import Iterable

from genscene.io.rename import Rules

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
