"""Priors over cameras and over windows of the image plane."""

import json
import math
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.experiment.validation import validate
from genscene.geometry import camera_files
from genscene.geometry.cameras import Camera, Grid, look_at
from genscene.geometry.priors import (
    CameraPrior,
    PlanePrior,
    camera_angles,
    truncated_normal,
    with_fov,
    wrap_angles,
)
from genscene.geometry.trajectories import trajectory
from genscene.randomness import RandomStreams

ANGULAR = ("gaussian", "truncated", "uniform", "sphere", "hybrid", "fixed")
law = settings(max_examples=30)


def sample_many(distribution):
    return CameraPrior(distribution, (0.5, 0.3), (1.2, 0.2)).sample_angles(RandomStreams(range(4000)))


def test_gaussian_angles_have_the_given_mean_and_deviation():
    yaw, pitch = sample_many("gaussian")
    assert abs(yaw.mean() - 0.5) < 0.02
    assert abs(yaw.std() - 0.3) < 0.02
    assert abs(pitch.std() - 0.2) < 0.02


def test_uniform_angles_fill_their_range():
    yaw, pitch = sample_many("uniform")
    assert 0.2 <= yaw.min() < 0.22
    assert 0.78 < yaw.max() <= 0.8
    assert abs(pitch.std() - 0.2 / math.sqrt(3)) < 0.01


def test_truncated_angles_are_within_two_deviations():
    yaw, _ = sample_many("truncated")
    assert (yaw - 0.5).abs().max() <= 0.6
    assert abs(yaw.std() - 0.3 * 0.88) < 0.02


def test_hybrid_angles_are_half_gaussian_and_half_uniform():
    yaw, _ = sample_many("hybrid")
    expected = math.sqrt(0.5 * 0.3**2 + 0.5 * 0.6**2 / 3)
    assert abs(yaw.std() - expected) < 0.02


def test_fixed_angles_are_the_mean():
    yaw, pitch = sample_many("fixed")
    assert_close(yaw, torch.full_like(yaw, 0.5))
    assert_close(pitch, torch.full_like(pitch, 1.2))


def test_cameras_of_the_sphere_are_uniform_in_area():
    prior = CameraPrior("sphere", (0.0, math.pi), (math.pi / 2, math.pi / 2))
    height = prior.sample(RandomStreams(range(4000)), (1, 1)).pose[:, 1, 3]
    shares = torch.histc(height, bins=4, min=-1, max=1) / len(height)
    assert_close(shares, torch.full((4,), 0.25), atol=0.03, rtol=0)
    yaw, pitch = CameraPrior("sphere", (0.1, 1.0), (0.8, 0.1)).mean_angles()
    assert (yaw, pitch) == (0.1, pytest.approx(math.acos(1 - 1.6 / math.pi)))


@law
@given(
    seed=st.integers(0, 2**31),
    distribution=st.sampled_from(["uniform", "truncated", "fixed", "sphere"]),
    yaw=st.tuples(st.floats(-3, 3), st.floats(0, 3)),
    pitch=st.tuples(st.floats(0.8, 2.2), st.floats(0, 0.39)),
)
def test_samples_lie_in_the_range_of_bounded_distributions(seed, distribution, yaw, pitch):
    prior = CameraPrior(distribution, yaw, pitch, radius=1.7)
    found_yaw, found_pitch = prior.sample_angles(RandomStreams(range(seed, seed + 20)))
    spreads = {"uniform": 1, "sphere": 1, "truncated": 2, "fixed": 0}[distribution]
    assert ((found_yaw - yaw[0]).abs() <= spreads * yaw[1] + 1e-5).all()
    if distribution == "sphere":  # its range is that of the share of the area above the camera
        found_pitch = math.pi * (1 - found_pitch.cos()) / 2
    assert ((found_pitch - pitch[0]).abs() <= spreads * pitch[1] + 1e-5).all()
    cameras = prior.sample(RandomStreams([seed]), (3, 4))
    assert_close(cameras.pose[:, :3, 3].norm(dim=-1), torch.tensor([1.7]))
    assert_close(cameras.pose[:, :3, 3] + 1.7 * cameras.pose[:, :3, 2], torch.zeros(1, 3), atol=1e-5, rtol=0)


def write_labels(path, count=5):
    """A dataset.json of as many cameras -> these cameras."""
    known = CameraPrior("uniform", radius=3.0, fov=50.0).sample(RandomStreams(range(count)), (1, 1))
    labels = [[f"{i}.png", row.tolist()] for i, row in enumerate(known.label())]
    path.write_text(json.dumps({"labels": labels}))
    return known


def test_cameras_of_a_file_are_sampled(tmp_path):
    path = tmp_path / "dataset.json"
    known = write_labels(path)
    sampled = CameraPrior("file", file=str(path)).sample(RandomStreams(range(40)), (6, 6))
    found = (sampled.pose[:, None] - known.pose).abs().amax((2, 3)) < 1e-6
    assert found.any(1).all()
    assert found.any(0).all()  # every camera of the file is sampled
    assert sampled.size == (6, 6)


def test_a_file_is_read_and_checked_once_until_it_changes(tmp_path, monkeypatch):
    path, reads, checks = tmp_path / "dataset.json", [], []
    write_labels(path, 3)
    parse, check = camera_files._parse, camera_files.check_cameras
    monkeypatch.setattr(camera_files, "_parse", lambda p: reads.append(p) or parse(p))
    monkeypatch.setattr(camera_files, "check_cameras", lambda *given: checks.append(1) or check(*given))
    prior = CameraPrior("file", file=str(path))
    for seed in range(5):
        prior.sample(RandomStreams(range(seed, seed + 7)), (6, 6))
    assert (len(reads), len(checks)) == (1, 1)
    known = write_labels(path, 1)
    os.utime(path, ns=(1, 1))  # another modification time, however coarse the file system's clock
    sampled = prior.sample(RandomStreams([0]), (4, 4))
    assert (len(reads), len(checks)) == (2, 2)
    assert_close(sampled.pose, known.pose)


class Uniform:
    """As many uniform numbers as are wanted, of a single stream."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def uniform(self, *shape):
        return torch.rand(self.count, *shape)


def test_a_hundred_thousand_cameras_of_a_file_are_sampled_from_one_read(tmp_path, monkeypatch):
    path, reads = tmp_path / "dataset.json", []
    write_labels(path)
    parse = camera_files._parse
    monkeypatch.setattr(camera_files, "_parse", lambda p: reads.append(p) or parse(p))
    prior = CameraPrior("file", file=str(path))
    for _ in range(2):
        assert len(prior.sample(Uniform(100_000), (8, 8))) == 100_000
    assert len(reads) == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"none\.json"):
        CameraPrior("file", file=str(tmp_path / "none.json")).sample(RandomStreams([0]), (2, 2))


def test_the_cameras_of_a_file_have_no_angles():
    with pytest.raises(BadInput, match="has no angles"):
        CameraPrior("file", file="a.json").sample_angles(RandomStreams([0]))


def test_angles_are_computed_back_from_cameras():
    prior = CameraPrior("uniform", (math.pi / 2, math.pi), (1.3, 0.4), radius=2.5)
    yaw, pitch = prior.sample_angles(RandomStreams(range(50)))
    again = camera_angles(prior.camera_at(yaw, pitch, (2, 2)), math.pi / 2)
    assert_close(torch.stack(again), torch.stack([yaw, pitch]), atol=1e-5, rtol=0)


def photographs_at(yaw, pitch):
    """Cameras that face the origin, z up; angles in degrees, yaw from x towards y."""
    yaw, pitch = torch.tensor(yaw).deg2rad(), torch.tensor(pitch).deg2rad()
    eye = torch.stack([pitch.sin() * yaw.cos(), pitch.sin() * yaw.sin(), pitch.cos()], dim=-1)
    return Camera(look_at(2 * eye, (0.0, 0.0, 1.0)), torch.eye(3).repeat(len(eye), 1, 1), (4, 6))


@pytest.mark.parametrize("middle", [0.0, 137.0, 180.0, -90.0])
def test_the_prior_of_photographs_from_one_side_has_their_middle(middle):
    photographs = photographs_at([middle - 40.0, middle, middle + 40.0], [70.0, 61.0, 70.0])
    prior, wanted = CameraPrior.fit(photographs), photographs.pose[1, :2, 3]
    for path in ("front", "zoom", "dolly"):
        mean = trajectory(path, prior, 4, (4, 6)).pose[:, :2, 3].mean(dim=0)
        assert_close(normalize(mean, dim=0), normalize(wanted, dim=0), atol=1e-3, rtol=0)
    for path, frame in (("orbit", 0), ("steep", 2)):
        eye = trajectory(path, prior, 5, (4, 6)).pose[frame, :2, 3]
        assert_close(normalize(eye, dim=0), normalize(wanted, dim=0), atol=1e-3, rtol=0)
    assert prior.yaw[1] == pytest.approx(math.radians(40), abs=1e-3)
    assert prior.mean_angles()[1] == pytest.approx(math.radians(67), abs=1e-3)


def test_the_prior_of_photographs_from_all_sides_covers_all_yaws():
    prior = CameraPrior.fit(photographs_at([0.0, 90.0, 180.0, 270.0], [60.0, 60.0, 60.0, 60.0]))
    assert prior.yaw[0] == pytest.approx(math.pi / 2, abs=1e-3)
    assert prior.yaw[1] == pytest.approx(math.pi, abs=1e-3)


def test_truncation_takes_the_first_number_within_the_limit():
    numbers = torch.tensor([[3.0, -1.0, 0.5], [0.1, 9.0, 9.0], [5.0, 4.0, 3.0]])
    assert_close(truncated_normal(numbers, 2.0), torch.tensor([-1.0, 0.1, 2.0]))


@pytest.mark.parametrize("distribution", ANGULAR)
def test_a_camera_does_not_depend_on_its_neighbors(distribution):
    prior = CameraPrior(distribution)
    alone, among = prior.sample(RandomStreams([7]), (4, 4)), prior.sample(RandomStreams([3, 7, 9]), (4, 4))
    assert torch.equal(alone.pose[0], among.pose[1])


def test_a_camera_of_a_file_does_not_depend_on_its_neighbors(tmp_path):
    write_labels(tmp_path / "dataset.json")
    prior = CameraPrior("file", file=str(tmp_path / "dataset.json"))
    alone, among = prior.sample(RandomStreams([7]), (4, 4)), prior.sample(RandomStreams([3, 7, 9]), (4, 4))
    assert torch.equal(alone.pose[0], among.pose[1])


def test_a_sweep_is_even_around_a_full_prior():
    full = CameraPrior("uniform", (0.0, math.pi), (1.2, 0.1))
    yaw, _ = camera_angles(full.sweep(5, (2, 2)), 0.0)
    steps = torch.remainder(yaw.diff(), 2 * math.pi)
    assert_close(steps, torch.full((4,), 2 * math.pi / 5), atol=1e-5, rtol=0)


def test_with_fov_changes_only_the_lens():
    cameras = CameraPrior().sample(RandomStreams(range(3)), (4, 8))
    wide = with_fov(cameras, torch.full((3,), 90.0))
    assert wide.pose is cameras.pose
    assert_close(wide.intrinsics[:, 1, 1], torch.full((3,), 0.5))


BAD = {
    "radius": ({"radius": 0.0}, "--prior.radius 0.0: wanted a number from 1e-06 to 1e+09"),
    "no radius": ({"radius": math.nan}, "--prior.radius nan"),
    "fov": ({"fov": 180.0}, "--prior.fov 180.0: wanted"),
    "spread": ({"yaw": (0.0, -0.1)}, "--prior.yaw -0.1: wanted a number from 0 to 100"),
    "no angle": ({"distribution": "sphere", "pitch": (-1.0, 0.1)}, "--prior.pitch -1.0: wanted 0 to pi"),
    "no file": ({"distribution": "file"}, "wanted with the distribution 'file', and only with it"),
    "a file": ({"file": "a.json"}, "wanted with the distribution 'file', and only with it"),
}


@pytest.mark.parametrize(("changed", "expected"), BAD.values(), ids=BAD)
def test_a_prior_without_cameras_is_refused(changed, expected):
    with pytest.raises(BadInput) as error:
        validate(CameraPrior(**changed), "prior")
    assert expected in str(error.value)


def test_the_prior_of_the_plane_is_the_whole_plane():
    prior = PlanePrior()
    for grid in (prior.sample(RandomStreams([3, 4]), (5, 6)), prior.sweep(2, (5, 6))):
        assert isinstance(grid, Grid)
        assert grid.size == (5, 6)
        assert torch.equal(grid.window, torch.tensor([[1.0, 0.0, 0.0]]).repeat(2, 1))


def test_angles_are_wrapped_to_half_a_turn():
    angles = torch.tensor([3 * math.pi / 2, 0.5, -5 * math.pi / 2])
    assert_close(wrap_angles(angles), torch.tensor([-math.pi / 2, 0.5, -math.pi / 2]))
