"""Experiments with one picture: networks of coordinates with and without encodings."""

from dataclasses import replace
from typing import Any

from genscene.experiment.schema import EMA, Experiment, Optim, Stage
from genscene.layers.coordinate_network import CoordinateNetworkConfig
from genscene.layers.hash_grid import GridConfig
from genscene.systems.image.generator import ImageGeneratorConfig
from genscene.systems.image.system import ImageSystemConfig

RELU = CoordinateNetworkConfig(activation="relu")
GRID = replace(RELU, encoding="grid", width=64, depth=2)


def picture(network: CoordinateNetworkConfig, lr: float, batch: int = 8192, **optim: Any) -> Experiment:
    """Adam, its learning rate decaying to a hundredth; as large as the picture is, or as `--size` says."""
    adam = Optim(lr, betas=(0.9, 0.99), final_lr_ratio=0.01, decay="exponential", **optim)
    return Experiment(
        ImageSystemConfig(generator=ImageGeneratorConfig(network)),
        "",
        stages=(Stage(0, (256, 256), batch),),
        steps=600,
        optim={"generator": adam},
        ema=EMA(decay=0.0),
    )


PRESETS: dict[str, Experiment] = {
    "image": picture(GRID, 1e-2, eps=1e-15),
    "image-siren": picture(CoordinateNetworkConfig(), 1e-3),
    "image-relu": picture(RELU, 1e-3),
    "image-positional": picture(replace(RELU, encoding="positional"), 1e-3),
    "image-fourier": picture(replace(RELU, encoding="gaussian"), 1e-3),
    "image-hash": picture(replace(GRID, grid=GridConfig(16, table=1 << 14)), 1e-2, eps=1e-15),
    "image-grid": picture(replace(GRID, grid=GridConfig(8, table=0)), 1e-2, eps=1e-15),
}
