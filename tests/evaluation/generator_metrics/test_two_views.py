"""View consistency and identity of ray-traced scenes, of billboards, and of a small pi-GAN."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conftest import tiny
from genscene.contract import Generator, Rendering
from genscene.data.synthetic import SETS
from genscene.data.synthetic.raytrace import trace
from genscene.errors import BadInput
from genscene.evaluation.generator_metrics.two_views import (
    camera_pair,
    degrees_between,
    identity,
    neighboring_cameras,
    view_consistency,
)
from genscene.evaluation.protocol import Protocol
from genscene.evaluation.session import EvaluatedModel, EvaluationSession
from genscene.experiment.schema import ImageConfig
from genscene.experiment.serialise import build_seeded
from genscene.geometry.priors import CameraPrior, PlanePrior
from genscene.metrics.networks.extractor import Extractor
from genscene.randomness import RandomStreams

PRIOR = CameraPrior(
    "uniform", (math.pi / 2, math.pi), (math.radians(58.5), math.radians(23.5)), radius=2.6, fov=42.0
)
COLORS = Extractor(
    "mean color", "none", "mean", 3, "none", lambda images: images.float().mean(dim=(2, 3)) - 128
)


class RayTraced(Generator):
    """Ray-traced cars, whose geometry is exact; a latent code is the seed of a car."""

    latent_dim, bounds = 1, (1.0, 1.0, 1.0)

    def __init__(self, prior=PRIOR, with_depth=True):
        super().__init__()
        self.prior, self.with_depth = prior, with_depth
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def latents(self, randomness):
        return torch.floor(1e6 * randomness.uniform(1))

    def style(self, z, psi=1.0, camera=None):
        return psi * z

    def bind(self, w):
        return SETS["cars"].scenes(RandomStreams([int(x) for x in w[:, 0]]))

    def render(self, scene, view, options=None):
        traced = trace(scene, view, 1)
        image = traced.color * traced.alpha + 1 - traced.alpha
        depth = {"depth": traced.depth, "alpha": traced.alpha, "rays": view.rays()} if self.with_depth else {}
        return Rendering(image, **depth)


class Billboards(RayTraced):
    """The same images on planes through the origin that face each camera."""

    def render(self, scene, view, options=None):
        found = super().render(scene, view)
        cosine = found.rays.unit().directions @ view.pose[:, :3, 2:3]
        return replace(found, depth=(self.prior.radius / cosine).mT.view_as(found.depth) * found.alpha)


def session(size=(64, 64), **changed):
    protocol = Protocol("a test", (), psi=changed.pop("psi", 1.0))
    embedding = {"face_embedding": COLORS}
    return EvaluationSession(protocol, size, ImageConfig(), {}, **{**embedding, **changed})


def model(generator):
    return EvaluatedModel("a", Path("a"), generator)


def consistency(generator, size=(64, 64), psi=1.0, seed=0, **changed):
    found = view_consistency(session(size, psi=psi, seed=seed), model(generator), **changed)
    values = {score.key.removeprefix("view_consistency_"): score.value for score in found}
    return values | {name: found[0].settings[name] for name in ("pairs_compared", "degrees")}


def similarity(generator, size=(64, 64), latents=12, **changed):
    found = identity(session(size, **changed), model(generator), latents)
    return [score.value for score in found]


def pigan():
    return build_seeded(tiny("pigan-carla")).generator.eval()


def test_exact_geometry_is_consistent_and_billboards_are_not():
    exact, flat = (consistency(kind(), (48, 48), pairs=10) for kind in (RayTraced, Billboards))
    assert exact["pairs_compared"] == flat["pairs_compared"] == 10
    assert exact["psnr"] > flat["psnr"] + 4
    assert exact["absolute"] < 0.6 * flat["absolute"]
    assert exact["depth"] < 1e-3 < 0.01 < flat["depth"]
    assert exact["visible"] > flat["visible"] + 0.04
    assert 5 < exact["degrees"] < 20  # less than the yaw's turn: the cameras are above the horizon


def test_a_wider_angle_occludes_more():
    near, far = (consistency(RayTraced(), (32, 32), pairs=4, angle=angle) for angle in (6.0, 40.0))
    assert near["visible"] > far["visible"] + 0.1
    assert far["degrees"] > 4 * near["degrees"]


@pytest.mark.parametrize("distribution", ["uniform", "gaussian", "truncated", "sphere", "hybrid"])
def test_the_second_camera_is_within_the_prior(distribution):
    streams = RandomStreams(range(200))
    for spread in (0.1, 0.3, math.pi):
        prior = CameraPrior(distribution, (1.0, spread), (math.pi / 2, 0.0), radius=2.0)
        first, second = camera_pair(prior, streams, (8, 8), 15.0)
        steps = degrees_between(first.pose[:, :3, 2], second.pose[:, :3, 2])
        most = min(20.0, math.degrees(spread))
        assert steps.max() <= most + 1e-3
        assert steps.min() >= min(10.0, most) - 1e-3
        assert (steps.std() > 1) == (spread > 0.2)
        offsets = [torch.atan2(c.pose[:, 2, 3], c.pose[:, 0, 3]) - 1.0 for c in (first, second)]
        before, after = (torch.atan2(x.sin(), x.cos()).abs().max() for x in offsets)
        assert after <= max(float(before), spread) + 1e-5
        assert (first.pose[:, 1, 3] == second.pose[:, 1, 3]).all()


def test_scores_of_a_small_pigan_are_reproducible():
    generator, how = pigan(), {"size": (12, 16), "pairs": 10}
    found = consistency(generator, psi=0.7, **how)
    assert all(math.isfinite(x) for x in found.values())
    assert 0 <= found["absolute"] <= 1
    assert 0 < found["visible"] <= 1
    assert found == pytest.approx(consistency(generator, psi=0.7, **how), rel=1e-9)
    assert found != consistency(generator, psi=0.7, seed=1, **how)
    assert found != consistency(generator, psi=0.0, **how)
    same, different = similarity(generator, (12, 12), 9)
    assert -1 <= different <= same <= 1 + 1e-9
    assert [same, different] == similarity(generator, (12, 12), 9)


def test_cameras_of_a_file_are_paired_by_their_angle():
    yaw = 0.5 * torch.arange(12)  # 29 degrees apart
    cameras = PRIOR.camera_at(yaw, torch.full((12,), math.pi / 2), (40, 60))
    for angle, wanted in ((15.0, 0.5), (60.0, 1.0)):
        first, second = neighboring_cameras(cameras, RandomStreams(range(30)), angle)
        degrees = degrees_between(first.pose[:, :3, 2], second.pose[:, :3, 2])
        assert degrees.mean().item() == pytest.approx(math.degrees(wanted), abs=0.01)


def test_views_of_one_latent_code_are_more_similar_than_others():
    same, different = similarity(RayTraced(), (24, 24))
    assert same > 0.99
    assert 1 - same < 0.2 * (1 - different)
    same, different = similarity(RayTraced(), (24, 24), psi=0.0)  # one latent code only
    assert 1 - different < 3 * (1 - same)


def test_bad_input_is_one_line():
    with pytest.raises(BadInput, match="no cameras"):
        consistency(RayTraced(PlanePrior()))
    with pytest.raises(BadInput, match="no cameras"):
        similarity(RayTraced(PlanePrior()))
    with pytest.raises(BadInput, match="renders no depth"):
        consistency(RayTraced(with_depth=False), (8, 8))
    with pytest.raises(BadInput, match="no spread in yaw"):
        consistency(RayTraced(replace(PRIOR, distribution="fixed")), (8, 8))
    with pytest.raises(BadInput, match="--mobilefacenet"):
        similarity(RayTraced(), face_embedding=None)
    with pytest.raises(BadInput, match="no opaque pixel"):
        consistency(RayTraced(replace(PRIOR, radius=900.0)), (8, 8), pairs=2)
