"""Fixtures of all tests: fixed seeds, a temporary cache, and presets small enough to run."""

import os
from dataclasses import replace

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch
from hypothesis import settings

from genscene.experiment.schema import Experiment, Stage
from genscene.systems import PRESETS

settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")  # the same examples every time


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts with the same seed of torch's global generator."""
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def temporary_cache(tmp_path_factory):
    """The user's cache is neither read nor written."""
    os.environ["GENSCENE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def tiny(name: str, steps: int = 3) -> Experiment:
    """A preset with a small system and batch, on a synthetic set, all its stages within the steps."""
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
    """A small pi-GAN on synthetic cars."""
    return replace(tiny("pigan-carla"), stages=(Stage(0, (16, 16), 4),))
