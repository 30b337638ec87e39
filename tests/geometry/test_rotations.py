"""Rotations as matrices and quaternions."""

import math

import torch
from torch.testing import assert_close

from genscene.geometry.rotations import quaternion, rotation, slerp
from genscene.randomness import RandomStreams


def test_quaternions_of_rotations_of_quaternions_are_the_same():
    quats = torch.nn.functional.normalize(RandomStreams([0]).normal(20, 4)[0], dim=-1)
    matrices = rotation(quats)
    assert_close(matrices @ matrices.mT, torch.eye(3).expand(20, 3, 3), atol=1e-5, rtol=0)
    again = quaternion(matrices)
    assert_close((again * quats).sum(-1).abs(), torch.ones(20), atol=1e-5, rtol=0)


def test_slerp_is_linear_in_the_angle():
    a, b = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[math.cos(0.6), math.sin(0.6), 0, 0]])
    for share in (0.0, 0.5, 1.0):
        expected = torch.tensor([[math.cos(0.6 * share), math.sin(0.6 * share), 0, 0]])
        assert_close(slerp(a, b, torch.tensor([[share]])), expected)
        assert_close(slerp(a, -b, torch.tensor([[share]])), expected)
