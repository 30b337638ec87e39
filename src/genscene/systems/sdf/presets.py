"""Experiments with the signed distance to one mesh."""

from dataclasses import replace

from genscene.experiment.schema import EMA, Experiment, Optim, Stage
from genscene.layers.coordinate_network import CoordinateNetworkConfig
from genscene.systems.sdf.generator import SDFGeneratorConfig
from genscene.systems.sdf.system import SDFConfig


def mesh(network: CoordinateNetworkConfig, lr: float, points: int, steps: int, final: float) -> Experiment:
    """Adam; so many points on the surface and as many others in each step, whose distance is not known."""
    adam = Optim(lr, betas=(0.9, 0.999), final_lr_ratio=final, decay="exponential")
    return Experiment(
        SDFConfig(SDFGeneratorConfig(network)),
        "",
        stages=(Stage(0, (128, 128), points),),
        steps=steps,
        optim={"generator": adam},
        ema=EMA(decay=0.0),
    )


def regression(preset: Experiment) -> Experiment:
    """The distances of the mesh in place of the term that keeps those of random points away from 0."""
    assert isinstance(preset.system, SDFConfig)
    return replace(preset, system=replace(preset.system, distance=1e3, off_surface=0.0))


PRESETS: dict[str, Experiment] = {
    "sdf": regression(mesh(CoordinateNetworkConfig(width=128, depth=3), 1e-3, 2000, 1000, 0.01)),
    "sdf-siren": mesh(CoordinateNetworkConfig(), 1e-4, 8000, 20_000, 1.0),
}
