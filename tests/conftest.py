"""What all tests share: a cache of their own, and presets small enough to run."""

import os
from dataclasses import replace

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch

from genscene.experiment.schema import Experiment, Stage
from genscene.systems import PRESETS


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same numbers, whichever ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Nothing is read from or left in the user's cache."""
    os.environ["GENSCENE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def tiny(name: str, steps: int = 3) -> Experiment:
    """A preset with everything small, on embedded pictures, all its stages within the steps."""
    preset = PRESETS[name]
    count = min(len(preset.stages), steps)
    stages = tuple(
        replace(s, start=i, size=(16, 16), batch=4, accumulation=min(2, s.accumulation))
        for i, s in enumerate(preset.stages[:count])
    )
    small = replace(preset, system=preset.system.shrunk(), stages=stages, steps=steps, data="synthetic:cars")
    return replace(small, images=replace(preset.images, limit=8))


@pytest.fixture
def experiment() -> Experiment:
    """A small pi-GAN on embedded cars."""
    return replace(tiny("pigan-carla"), stages=(Stage(0, (16, 16), 4),))
