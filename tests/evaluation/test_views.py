"""Consistency and identity over generators: one that knows the truth, one that cheats, a small pi-GAN."""

import math
from dataclasses import astuple, replace

import pytest
import torch

from conftest import tiny
from genscene.contract import Generator, Photographed, Rendering
from genscene.data.synthetic import SETS
from genscene.data.synthetic.raytrace import trace
from genscene.errors import BadInput
from genscene.evaluation.views import between, consistency, identity, neighbours, turned
from genscene.experiment.serialise import build_seeded
from genscene.geometry.priors import CameraPrior
from genscene.metrics.networks.extractor import Extractor
from genscene.randomness import RandomStreams

TOYS = SETS["cars"]
COLORS = Extractor(
    "mean color", "none", "mean", 3, "none", lambda images: images.float().mean(dim=(2, 3)) - 128
)


class Toys(Generator):
    """Ray-traced cars: a generator that cannot be better. Latent codes are what the cars are drawn from."""

    latent_dim, march, reach = 1, None, (1.0, 1.0, 1.0)

    def __init__(self, orbit=TOYS.orbit, deep=True):
        super().__init__()
        self.orbit, self.deep, self.photographed = orbit, deep, None
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def latents(self, draws):
        return torch.floor(1e6 * draws.uniform(1))

    def style(self, z, psi=1.0):
        return psi * z

    def bind(self, w):
        return TOYS.scenes(RandomStreams([int(x) for x in w[:, 0]]))

    def render(self, scene, view, budget=0):
        seen = trace(scene, view, 1)
        image = seen.color * seen.alpha + 1 - seen.alpha
        return Rendering(image, seen.depth, seen.alpha) if self.deep else Rendering(image)

    def measured(self, view):
        return view.rays().unit()

    def lock_view(self, scene):
        return scene

    def resampled(self, samples):
        return self

    def settle(self):
        pass


class Billboards(Toys):
    """The same pictures, each painted on a board through the origin that faces its camera."""

    def render(self, scene, view, budget=0):
        seen = super().render(scene, view)
        along = self.measured(view).directions @ view.pose[:, :3, 2:3]
        return replace(seen, depth=(self.orbit.radius / along).mT.view_as(seen.depth) * seen.alpha)


def pigan():
    return build_seeded(tiny("pigan-carla")).generator.eval()


def test_the_truth_is_consistent_and_a_billboard_is_not():
    true, flat = (consistency(kind(), count=10, size=(48, 48)) for kind in (Toys, Billboards))
    assert true.pairs == flat.pairs == 10
    assert true.psnr > flat.psnr + 4
    assert true.absolute < 0.6 * flat.absolute
    assert true.depth < 1e-3 < 0.01 < flat.depth
    assert true.visible > flat.visible + 0.04
    assert 5 < true.degrees < 20  # less than the yaw's turn: the cameras look down


def test_a_wider_turn_hides_more():
    near, far = (consistency(Toys(), count=4, size=(32, 32), angle=angle) for angle in (6.0, 40.0))
    assert near.visible > far.visible + 0.1
    assert far.degrees > 4 * near.degrees


@pytest.mark.parametrize("law", ["uniform", "gaussian", "truncated", "sphere", "hybrid"])
def test_the_second_camera_stands_within_the_prior(law):
    draws = RandomStreams(range(200))
    for spread in (0.1, 0.3, math.pi):
        orbit = CameraPrior(law, (1.0, spread), (math.pi / 2, 0.0), radius=2.0)
        first, second = turned(orbit, draws, (8, 8), 15.0)
        steps = between(first, second)
        most = min(20.0, math.degrees(spread))
        assert steps.max() <= most + 1e-3
        assert steps.min() >= min(10.0, most) - 1e-3
        assert (steps.std() > 1) == (spread > 0.2)
        off = [torch.atan2(c.pose[:, 2, 3], c.pose[:, 0, 3]) - 1.0 for c in (first, second)]
        before, after = (torch.atan2(x.sin(), x.cos()).abs().max() for x in off)
        assert after <= max(float(before), spread) + 1e-5
        assert (first.pose[:, 1, 3] == second.pose[:, 1, 3]).all()


def test_a_small_pigan_gives_numbers_that_repeat():
    generator = pigan()
    found = consistency(generator, count=10, size=(12, 16), psi=0.7)
    assert all(math.isfinite(x) for x in astuple(found))
    assert 0 <= found.absolute <= 1
    assert 0 < found.visible <= 1
    assert found == consistency(generator, count=10, size=(12, 16), psi=0.7)
    assert found != consistency(generator, count=10, size=(12, 16), psi=0.7, seed=1)
    assert found != consistency(generator, count=10, size=(12, 16), psi=0.0)
    seen = identity(generator, COLORS, count=9, size=(12, 12))
    assert -1 <= seen.other <= seen.same <= 1 + 1e-9
    assert seen == identity(generator, COLORS, count=9, size=(12, 12))


def test_a_scene_learnt_from_photographs_is_seen_from_where_they_were_taken():
    generator = Toys(replace(TOYS.orbit, law="fixed"))
    generator.latent_dim, generator.photographed = 0, Photographed(12)
    yaw = 0.5 * torch.arange(12)  # 29 degrees apart
    taken = generator.orbit.camera_at(yaw, torch.full((12,), math.pi / 2), (40, 60))
    generator.photographed.remember(taken, torch.eye(4))
    found = consistency(generator, count=6, size=(32, 48))
    assert found.degrees == pytest.approx(math.degrees(0.5), abs=0.01)
    assert found.pairs == 6
    first, second = neighbours(taken, RandomStreams(range(30)), angle=60.0)
    assert between(first, second).mean().item() == pytest.approx(math.degrees(1.0), abs=0.01)
    with pytest.raises(BadInput, match="one scene"):
        identity(generator, COLORS)


def test_who_it_is_stays_and_others_are_others():
    true = identity(Toys(), COLORS, count=12, size=(24, 24))
    assert true.same > 0.99
    assert 1 - true.same < 0.2 * (1 - true.other)
    still = identity(Toys(), COLORS, count=12, size=(24, 24), psi=0.0)  # one latent code only
    assert 1 - still.other < 3 * (1 - still.same)


def test_bad_input_is_one_line():
    with pytest.raises(BadInput, match="no cameras"):
        consistency(Toys(orbit=None))
    with pytest.raises(BadInput, match="no cameras"):
        identity(Toys(orbit=None), COLORS)
    with pytest.raises(BadInput, match="knows no depth"):
        consistency(Toys(deep=False), size=(8, 8))
    with pytest.raises(BadInput, match="no spread in yaw"):
        consistency(Toys(replace(TOYS.orbit, law="fixed")), size=(8, 8))
    with pytest.raises(BadInput, match="count of 1"):
        identity(Toys(), COLORS, count=1)
    with pytest.raises(BadInput, match="0 degrees apart"):
        consistency(Toys(), angle=0.0)
    with pytest.raises(BadInput, match="nothing opaque"):
        consistency(Toys(replace(TOYS.orbit, radius=900.0)), count=2, size=(8, 8))
