"""It learns, it does not only run: the demo, cut short, against the ground truth of its pictures."""

import math
from dataclasses import replace

import pytest
import torch

from genscene.evaluation import reader
from genscene.experiment.schema import ImageConfig
from genscene.experiment.serialise import build_seeded
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.views import mean_resultant_length, wrap_angles
from genscene.systems import PRESETS
from genscene.training.run import Run, train


@pytest.fixture(scope="module")
def stick():
    """A reader of poses, taught quickly."""
    return reader.yardstick("cars", photos=1500, steps=400)


def test_the_reader_reads_photographs(stick):
    assert math.degrees(stick.error) < 15
    assert stick.floor < 1.0


def test_the_reader_is_kept(stick, monkeypatch):
    monkeypatch.setattr(reader, "taught", lambda *_: pytest.fail("taught again"))
    again = reader.yardstick("cars", photos=1500, steps=400)
    images = torch.rand(3, 3, 48, 48)
    assert torch.equal(again.reader.yaw(images), stick.reader.yaw(images))


def test_the_demo_learns_cars_from_unposed_pictures(stick, tmp_path):
    experiment = replace(PRESETS["pigan-demo"], steps=400, images=ImageConfig(limit=1500))
    before = build_seeded(experiment).generator.eval()
    after = train(experiment, Run(tmp_path, precision="bf16", grid_every=0))
    first, last = (reader.distance(generator, stick, count=512) for generator in (before, after))
    assert last < first / 3, f"{first:.2f} -> {last:.2f}"
    turns, still = (reader.steadiness(g, stick, latents=8, yaws=8) for g in (after, before))
    assert turns > 0.4, f"steadiness {turns:.2f}"
    assert still < 0.2


def test_the_frechet_distance_of_gaussians_is_the_closed_form():
    a = Moments(torch.tensor([1.0, 0.0]).double(), torch.diag(torch.tensor([4.0, 1.0])).double())
    b = Moments(torch.tensor([0.0, 0.0]).double(), torch.diag(torch.tensor([1.0, 9.0])).double())
    assert frechet_distance(a, b) == pytest.approx(1 + (2 - 1) ** 2 + (1 - 3) ** 2)
    features = torch.randn(200, 5)
    assert abs(frechet_distance(Moments.of(features), Moments.of(features))) < 1e-6


def test_the_resultant_of_angles():
    assert mean_resultant_length(torch.tensor([0.3, 0.3, 0.3])) == pytest.approx(1.0)
    assert mean_resultant_length(torch.tensor([0.0, math.pi / 2, math.pi, -math.pi / 2])) == pytest.approx(0.0, abs=1e-6)
    assert wrap_angles(torch.tensor(3 * math.pi / 2)) == pytest.approx(-math.pi / 2)
