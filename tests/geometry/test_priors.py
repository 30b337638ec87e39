"""Priors of cameras."""

import json
import math

import pytest
import torch
from genscene.systems.nerf.fitting import orbit_of
from torch.nn.functional import normalize
from torch.testing import assert_close

from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, look_at
from genscene.geometry.priors import CameraPrior, camera_angles, truncated_normal
from genscene.geometry.trajectories import trajectory
from genscene.randomness import RandomStreams

MANY = RandomStreams(range(4000))


def drawn(law):
    return CameraPrior(law, (0.5, 0.3), (1.2, 0.2)).angles(RandomStreams(range(4000)))


def test_gaussian():
    yaw, pitch = drawn("gaussian")
    assert abs(yaw.mean() - 0.5) < 0.02
    assert abs(yaw.std() - 0.3) < 0.02
    assert abs(pitch.std() - 0.2) < 0.02


def test_uniform_stays_within_its_range_and_fills_it():
    yaw, pitch = drawn("uniform")
    assert 0.2 <= yaw.min() < 0.22
    assert 0.78 < yaw.max() <= 0.8
    assert abs(pitch.std() - 0.2 / math.sqrt(3)) < 0.01


def test_truncated_stays_within_two_deviations():
    yaw, _ = drawn("truncated")
    assert (yaw - 0.5).abs().max() <= 0.6
    assert abs(yaw.std() - 0.3 * 0.88) < 0.02


def test_hybrid_is_half_one_and_half_the_other():
    yaw, _ = drawn("hybrid")
    expected = math.sqrt(0.5 * 0.3**2 + 0.5 * 0.6**2 / 3)
    assert abs(yaw.std() - expected) < 0.02


def test_fixed_is_the_mean():
    yaw, pitch = drawn("fixed")
    assert_close(yaw, torch.full_like(yaw, 0.5))
    assert_close(pitch, torch.full_like(pitch, 1.2))


def test_the_sphere_is_even_in_area():
    orbit = CameraPrior("sphere", (0.0, math.pi), (math.pi / 2, math.pi / 2))
    height = orbit.sample(RandomStreams(range(4000)), (1, 1)).pose[:, 1, 3]
    shares = torch.histc(height, bins=4, min=-1, max=1) / len(height)
    assert_close(shares, torch.full((4,), 0.25), atol=0.03, rtol=0)
    yaw, pitch = CameraPrior("sphere", (0.1, 1.0), (0.8, 0.1)).mean_angles()
    assert (yaw, pitch) == (0.1, pytest.approx(math.acos(1 - 1.6 / math.pi)))


def test_poses_of_a_file(tmp_path):
    known = CameraPrior("uniform", radius=3.0, fov=50.0).sample(RandomStreams(range(5)), (1, 1))
    labels = [[f"{i}.png", row.tolist()] for i, row in enumerate(known.label())]
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"labels": labels}))
    drawn = CameraPrior("file", file=str(path)).sample(RandomStreams(range(40)), (6, 6))
    found = (drawn.pose[:, None] - known.pose).abs().amax((2, 3)) < 1e-6
    assert found.any(1).all()
    assert found.any(0).all()  # all of them turn up
    assert drawn.size == (6, 6)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"none\.json"):
        CameraPrior("file", file=str(tmp_path / "none.json")).sample(RandomStreams([0]), (2, 2))


def test_angles_are_read_back():
    orbit = CameraPrior("uniform", (math.pi / 2, math.pi), (1.3, 0.4), radius=2.5)
    yaw, pitch = orbit.sample_angles(RandomStreams(range(50)))
    again = camera_angles(orbit.camera_at(yaw, pitch, (2, 2)), math.pi / 2)
    assert_close(torch.stack(again), torch.stack([yaw, pitch]), atol=1e-5, rtol=0)


def looking(yaw, pitch):
    """Photographs taken around z of what stands at the origin; angles in degrees, yaw from x towards y."""
    yaw, pitch = torch.tensor(yaw).deg2rad(), torch.tensor(pitch).deg2rad()
    eye = torch.stack([pitch.sin() * yaw.cos(), pitch.sin() * yaw.sin(), pitch.cos()], dim=-1)
    return Camera(look_at(2 * eye, (0.0, 0.0, 1.0)), torch.eye(3).repeat(len(eye), 1, 1), (4, 6))


@pytest.mark.parametrize("middle", [0.0, 137.0, 180.0, -90.0])
def test_photographs_from_one_side_have_an_orbit_with_that_middle(middle):
    photographs = looking([middle - 40.0, middle, middle + 40.0], [70.0, 61.0, 70.0])
    orbit, wanted = orbit_of(photographs), photographs.pose[1, :2, 3]
    for path in ("front", "zoom", "dolly"):
        seen = trajectory(path, orbit, 4, (4, 6)).pose[:, :2, 3].mean(dim=0)
        assert_close(normalize(seen, dim=0), normalize(wanted, dim=0), atol=1e-3, rtol=0)
    for path, frame in (("orbit", 0), ("steep", 2)):
        seen = trajectory(path, orbit, 5, (4, 6)).pose[frame, :2, 3]
        assert_close(normalize(seen, dim=0), normalize(wanted, dim=0), atol=1e-3, rtol=0)
    assert orbit.yaw[1] == pytest.approx(math.radians(40), abs=1e-3)
    assert orbit.mean_angles()[1] == pytest.approx(math.radians(67), abs=1e-3)


def test_photographs_from_all_around_have_an_orbit_that_goes_around():
    orbit = orbit_of(looking([0.0, 90.0, 180.0, 270.0], [60.0, 60.0, 60.0, 60.0]))
    assert orbit.yaw[0] == pytest.approx(math.pi / 2, abs=1e-3)
    assert orbit.yaw[1] == pytest.approx(math.pi, abs=1e-3)


def test_within_takes_the_first_try_inside():
    tries = torch.tensor([[3.0, -1.0, 0.5], [0.1, 9.0, 9.0], [5.0, 4.0, 3.0]])
    assert_close(truncated_normal(tries, 2.0), torch.tensor([-1.0, 0.1, 2.0]))


def test_a_camera_does_not_depend_on_its_neighbours():
    orbit = CameraPrior()
    alone, among = orbit.sample(RandomStreams([7]), (4, 4)), orbit.sample(RandomStreams([3, 7, 9]), (4, 4))
    assert torch.equal(alone.pose[0], among.pose[1])
