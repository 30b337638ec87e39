"""The camera that sees known points at given places: weak perspective, then least squares, robust."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

FOCALS = (0.4, 40.0)  # range of focal lengths that are estimated, in picture sides


@dataclass(frozen=True)
class Resection:
    """A camera and how well it fits."""

    pose: np.ndarray  # [4, 4], camera to world, OpenCV axes
    focal: float  # in the unit of the places
    residuals: np.ndarray  # [P], distances of the projected points from the places

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [N, 3] -> places [N, 2] from the principal point."""
        local = (points - self.pose[:3, 3]) @ self.pose[:3, :3]
        return self.focal * local[:, :2] / np.maximum(local[:, 2:], 1e-3)


def resect(
    points: np.ndarray,
    places: np.ndarray,
    focal: float,
    weights: np.ndarray,
    free: bool = False,
    tolerance: float = 0.1,
    near: Resection | None = None,
) -> Resection:
    """World points [P, 3] seen at places [P, 2] from the principal point, y down -> the camera.

    focal: in the unit of the places, like tolerance, beyond which residuals count linearly (Huber); free: it
    is only a first guess, and a prior that weighs as much as one point. weights [P]: of the points.
    near: a camera whose rotation is the first guess.
    """
    turn, scale = weak_perspective(points, places)
    turn = turn if near is None else near.pose[:3, :3].T
    shift = np.array([*places.mean(axis=0) / scale, focal / scale]) - turn @ points.mean(axis=0)
    guess = np.log(focal).clip(*np.log(FOCALS)) if free else np.log(focal)

    def pose_of(x: np.ndarray) -> Resection:
        whole, pose = Rotation.from_rotvec(x[:3]).as_matrix() @ turn, np.eye(4)
        pose[:3, :3], pose[:3, 3] = whole.T, -whole.T @ x[3:6]
        return Resection(pose, float(np.exp(x[6] if free else guess)), np.zeros(0))

    def residuals(x: np.ndarray) -> np.ndarray:
        off = weights[:, None] * (pose_of(x).project(points) - places)
        return np.append(off.ravel(), tolerance * (x[6:] - guess))

    start = np.array([0.0, 0.0, 0.0, *shift, guess][: 7 if free else 6])
    low, high = np.full((2, len(start)), np.inf) * [[-1], [1]]
    low[6:], high[6:] = np.log(FOCALS)
    how: dict[str, Any] = {"loss": "huber", "f_scale": tolerance, "x_scale": "jac", "xtol": 1e-6}
    fit = least_squares(residuals, start, bounds=(low, high), ftol=1e-6, **how)
    found = pose_of(fit.x)
    return replace(found, residuals=np.linalg.norm(found.project(points) - places, axis=1))


def weak_perspective(points: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, float]:
    """Points [P, 3], places [P, 2] -> rotation [3, 3] from the world to the camera; the scale.

    The affine map of least squares; its rows are made orthogonal and of one length (Procrustes).
    """
    middle, center = points.mean(axis=0), places.mean(axis=0)
    rows = np.linalg.lstsq(points - middle, places - center, rcond=None)[0].T  # [2, 3]
    u, lengths, v = np.linalg.svd(rows, full_matrices=False)
    across = u @ v
    turn = np.stack([*across, np.cross(*across)])
    return turn, max(float(lengths.mean()), 1e-9)
