"""genscene: generative scene models that anyone can train, look around in and take apart.

    scene = generator.scene(z)
    picture = generator.render(scene, view)
    system.turns() trains it

Names are imported when they are first used, so that the command line answers before torch is loaded.
"""

import importlib
from typing import TYPE_CHECKING, Any

from genscene.version import __version__ as __version__

if TYPE_CHECKING:
    from genscene.apps.inversion.invert import InvertOptions, invert
    from genscene.contract import RenderOptions
    from genscene.errors import BadInput
    from genscene.experiment.schema import Experiment
    from genscene.geometry.cameras import Camera, Grid
    from genscene.geometry.priors import CameraPrior
    from genscene.io.generator_file import load
    from genscene.randomness import RandomStreams
    from genscene.render.as_gsplat import provide_gsplat
    from genscene.render.rasterization import rasterize
    from genscene.scenes import Gaussians
    from genscene.systems import PRESETS
    from genscene.training.run import Run, train

__all__ = [
    "PRESETS",
    "BadInput",
    "Camera",
    "CameraPrior",
    "Experiment",
    "Gaussians",
    "Grid",
    "InvertOptions",
    "RandomStreams",
    "RenderOptions",
    "Run",
    "invert",
    "load",
    "provide_gsplat",
    "rasterize",
    "train",
]

_HOMES = {
    "PRESETS": "genscene.systems",
    "BadInput": "genscene.errors",
    "Camera": "genscene.geometry.cameras",
    "CameraPrior": "genscene.geometry.priors",
    "Experiment": "genscene.experiment.schema",
    "Gaussians": "genscene.scenes",
    "Grid": "genscene.geometry.cameras",
    "InvertOptions": "genscene.apps.inversion.invert",
    "RandomStreams": "genscene.randomness",
    "RenderOptions": "genscene.contract",
    "Run": "genscene.training.run",
    "invert": "genscene.apps.inversion.invert",
    "load": "genscene.io.generator_file",
    "provide_gsplat": "genscene.render.as_gsplat",
    "rasterize": "genscene.render.rasterization",
    "train": "genscene.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genscene' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
