"""Training: the demo, cut short, is measured against the ground truth of its images."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genscene.evaluation.generator_metrics import pose_accuracy
from genscene.experiment.schema import ImageConfig
from genscene.experiment.serialise import build_seeded
from genscene.geometry.priors import wrap_angles
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.views import mean_resultant_length
from genscene.systems import PRESETS
from genscene.training.run import Run, train

# as `make demo`: bf16 where the CPU computes it
INFO = Path("/proc/cpuinfo")
PRECISION = "bf16" if INFO.exists() and "avx512_bf16" in INFO.read_text() else "fp32"


@pytest.fixture(scope="module")
def reference():
    """A pose regressor, trained for a short time."""
    return pose_accuracy.pose_reference("cars", images=1500, steps=400)


def test_the_regressor_is_accurate_on_real_images(reference):
    assert math.degrees(reference.error) < 15
    assert reference.floor < 1.0


def test_the_regressor_is_cached(reference, monkeypatch):
    monkeypatch.setattr(pose_accuracy, "train_regressor", lambda *_: pytest.fail("trained again"))
    again = pose_accuracy.pose_reference("cars", images=1500, steps=400)
    images = torch.rand(3, 3, 48, 48)
    assert torch.equal(again.regressor.yaw(images), reference.regressor.yaw(images))


def test_the_demo_learns_cars_from_unposed_images(reference, tmp_path):
    experiment = replace(PRESETS["pigan-demo"], steps=400, images=ImageConfig(limit=1500))
    before = build_seeded(experiment).generator.eval()
    after = train(experiment, Run(tmp_path, precision=PRECISION, grid_every=0))
    first, last = (
        pose_accuracy.pose_frechet(generator, reference, count=512) for generator in (before, after)
    )
    assert last < first / 3, f"{first:.2f} -> {last:.2f}"
    turns, still = (pose_accuracy.yaw_resultant(g, reference, latents=8, yaws=8) for g in (after, before))
    assert turns > 0.4, f"pose accuracy {turns:.2f}"
    assert still < 0.2


def test_the_frechet_distance_of_gaussians_is_the_closed_form():
    a = Moments(torch.tensor([1.0, 0.0]).double(), torch.diag(torch.tensor([4.0, 1.0])).double())
    b = Moments(torch.tensor([0.0, 0.0]).double(), torch.diag(torch.tensor([1.0, 9.0])).double())
    assert frechet_distance(a, b) == pytest.approx(1 + (2 - 1) ** 2 + (1 - 3) ** 2)
    features = torch.randn(200, 5)
    assert abs(frechet_distance(Moments.of(features), Moments.of(features))) < 1e-6


def test_the_mean_resultant_length_of_angles():
    assert mean_resultant_length(torch.tensor([0.3, 0.3, 0.3])) == pytest.approx(1.0)
    assert mean_resultant_length(torch.tensor([0.0, math.pi / 2, math.pi, -math.pi / 2])) == pytest.approx(
        0.0, abs=1e-6
    )
    assert wrap_angles(torch.tensor(3 * math.pi / 2)) == pytest.approx(-math.pi / 2)
