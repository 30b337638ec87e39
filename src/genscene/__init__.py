"""genscene: generative scene models that anyone can train, look around in and take apart.

    scene = generator.scene(z)
    picture = generator.render(scene, view)
    system.turns() trains it

Names are imported when they are first used, so that the command line answers before torch is loaded.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genscene.draws import Draws
    from genscene.errors import BadInput
    from genscene.experiment import Experiment
    from genscene.orbit import Orbit
    from genscene.scenes import Gaussians
    from genscene.systems import PRESETS
    from genscene.training.published import load
    from genscene.training.run import Run, train
    from genscene.views import Camera, Grid

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "BadInput",
    "Camera",
    "Draws",
    "Experiment",
    "Gaussians",
    "Grid",
    "Orbit",
    "Run",
    "load",
    "train",
]

_HOMES = {
    "PRESETS": "genscene.systems",
    "BadInput": "genscene.errors",
    "Camera": "genscene.views",
    "Draws": "genscene.draws",
    "Experiment": "genscene.experiment",
    "Gaussians": "genscene.scenes",
    "Grid": "genscene.views",
    "Orbit": "genscene.orbit",
    "Run": "genscene.training.run",
    "load": "genscene.training.published",
    "train": "genscene.training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genscene' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
