"""Cameras from known points: exact for exact places, near for noise and outliers, with estimated focals."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from genscene.geometry.resection import resect

POINTS = np.random.default_rng(0).normal(0, 0.1, (68, 3))


def seen(seed, focal, distance=2.7):
    """A camera at a distance, turned by up to a radian or so -> pose [4, 4], places [68, 2]."""
    rng = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(rng.normal(0, 0.5, 3)).as_matrix()
    shift = np.array([*rng.normal(0, 0.1, 2), distance])
    local = POINTS @ turn.T + shift
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn.T, -turn.T @ shift
    return pose, focal * local[:, :2] / local[:, 2:]


@pytest.mark.parametrize("seed", range(4))
def test_exact_places_give_the_exact_camera(seed):
    pose, places = seen(seed, 4.0)
    found = resect(POINTS, places, 4.0, np.ones(68), tolerance=0.02)
    assert np.abs(found.pose - pose).max() < 1e-4
    assert found.focal == 4.0
    assert found.residuals.max() < 1e-4
    again = resect(POINTS, places, 4.0, np.ones(68), tolerance=0.02, near=found)
    assert np.abs(again.pose - pose).max() < 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_focal_lengths_are_estimated_near_the_camera(seed):
    """From afar perspective is too weak for that, so the camera is near."""
    pose, places = seen(seed, 1.0, distance=0.6)
    found = resect(POINTS, places, 1.6, np.ones(68), free=True, tolerance=0.02)
    assert abs(found.focal - 1) < 0.01
    assert np.abs(found.pose - pose).max() < 0.02


def test_outliers_and_points_without_weight_hardly_matter():
    pose, places = seen(0, 4.0)
    places = places + np.random.default_rng(1).normal(0, 0.001, places.shape)
    places[:5] += 0.3
    found = resect(POINTS, places, 4.0, np.ones(68), tolerance=0.01)
    assert np.abs(found.pose[:3, :3] - pose[:3, :3]).max() < 0.06
    assert found.residuals[:5].min() > 0.2
    weights = np.where(np.arange(68) < 5, 0.0, 1.0)
    without = resect(POINTS, places, 4.0, weights, tolerance=0.01)
    assert np.abs(without.pose[:3, :3] - pose[:3, :3]).max() < 0.01
