"""Similarity transforms of the world: points, poses and matrices agree."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize
from torch.testing import assert_close

from genscene.geometry.cameras import look_along
from genscene.geometry.rotations import rotation
from genscene.geometry.transforms import WorldTransform
from genscene.randomness import RandomStreams

law = settings(max_examples=30)
SEEDS, SCALES = st.integers(0, 2**31), st.floats(1e-3, 1e3)


def transform(seed, scale):
    random = RandomStreams([seed])
    turn = rotation(normalize(random.normal(4).double(), dim=-1))[0]
    return WorldTransform(scale, turn, 5 * random.normal(3)[0].double())


def points(seed):
    return RandomStreams([seed]).normal(20, 3)[0].double()


def poses(seed):
    eye, forward = (RandomStreams([seed + i]).normal(6, 3)[0].double() for i in (1, 2))
    return look_along(eye, forward, torch.tensor([0.1, 0.2, 1.0]).double())


@law
@given(seed=SEEDS, scale=SCALES)
def test_the_matrix_maps_points_like_the_transform(seed, scale):
    world, x = transform(seed, scale), points(seed + 5)
    homogeneous = torch.cat([x, torch.ones(20, 1).double()], dim=1) @ world.matrix().mT
    assert_close(homogeneous[:, :3], world.points(x))
    assert torch.equal(homogeneous[:, 3], torch.ones(20).double())


@law
@given(seed=SEEDS, scale=SCALES)
def test_the_inverse_undoes_the_transform(seed, scale):
    world, x, pose = transform(seed, scale), points(seed + 5), poses(seed + 6)
    back = world.inverse()
    assert_close(back.points(world.points(x)), x, atol=1e-9, rtol=1e-9)
    assert_close(back.poses(world.poses(pose)), pose, atol=1e-9, rtol=1e-9)
    assert_close(back.matrix() @ world.matrix(), torch.eye(4).double(), atol=1e-9, rtol=0)
    assert_close(back.inverse().matrix(), world.matrix(), atol=1e-9, rtol=1e-9)


@law
@given(seed=SEEDS, scale=SCALES)
def test_poses_stay_rigid_and_their_positions_are_transformed_points(seed, scale):
    world, pose = transform(seed, scale), poses(seed + 5)
    moved = world.poses(pose)
    turns = moved[:, :3, :3]
    assert_close(turns @ turns.mT, torch.eye(3).double().expand(6, 3, 3))
    assert_close(moved[:, :3, 3], world.points(pose[:, :3, 3]))
    ahead = pose[:, :3, 3] + pose[:, :3, 2]  # a point on the optical axis stays on it, at a scaled distance
    assert_close(world.points(ahead), moved[:, :3, 3] + scale * moved[:, :3, 2])
    assert torch.equal(moved[:, 3], pose[:, 3])


def test_the_default_is_the_identity():
    x, pose = points(0), poses(1)
    assert torch.equal(WorldTransform().points(x), x)
    assert torch.equal(WorldTransform().poses(pose), pose)
    assert torch.equal(WorldTransform().matrix(), torch.eye(4).double())


def test_points_keep_their_dtype():
    assert transform(0, 2.0).points(torch.ones(3)).dtype == torch.float32
