"""Cameras of heads from their landmarks, and square windows that frame them as EG3D's pictures."""

from dataclasses import dataclass

import numpy as np
import torch

from genscene.errors import BadInput
from genscene.geometry.cameras import Camera, Size
from genscene.geometry.face_landmarks import EYES_APART, FOCAL, JAW, POINTS, RADIUS, head_frame
from genscene.geometry.resection import Resection, resect, weak_perspective

JAW_WEIGHT = 0.5  # of the points of the jaw: in pictures they are on the outline, not on the bone
TOLERANCE = 0.1  # distance of a landmark, in distances of the eyes, from which on it counts less
LARGEST = 2.0  # coordinate of a template, in world units, of which a head has about one
ROUNDS = 4  # of the window and the camera in it
ORIGIN = np.zeros((1, 3))


@dataclass(frozen=True)
class Framed:
    """A camera of a square window of a picture."""

    left: float  # of the window, in pixels of the picture
    top: float
    side: float
    label: np.ndarray  # [25], EG3D's, for the window
    error: float = 0.0  # mean distance of the landmarks from their projections, in distances of the eyes

    def inside(self, size: Size) -> float:
        """The share of the window that lies in a picture of (height, width)."""
        across = min(self.left + self.side, size[1]) - max(self.left, 0)
        down = min(self.top + self.side, size[0]) - max(self.top, 0)
        return max(across, 0) * max(down, 0) / self.side**2


def place_template(points: np.ndarray) -> np.ndarray:
    """A template [68, 3] with any axes and unit -> the same in the frame of heads; BadInput for no face."""
    frame = head_frame(torch.from_numpy(points)).numpy()
    placed: np.ndarray = points @ frame[:3, :3].T + frame[:3, 3]
    if not np.abs(placed).max() < LARGEST:
        raise BadInput(
            f"the template's points are more than {LARGEST:g} heads apart: wanted 68 points of a face"
        )
    return placed


def frame_head(template: np.ndarray, landmarks: np.ndarray) -> Framed:
    """Landmarks [68, 2] in pixels -> the window in which EG3D's camera sees them best.

    It faces the origin from distance 2.7 with the focal length 4.2647, as if the window were the picture.
    """
    unit = weak_perspective(template, landmarks)[1]  # pixels of one world unit
    center, side, found = landmarks.mean(axis=0), unit * RADIUS / FOCAL, None
    for _ in range(ROUNDS):
        if found is not None:
            center = center + side * found.project(ORIGIN)[0]
            side *= RADIUS / float(np.linalg.norm(found.pose[:3, 3]))
        places = (landmarks - center) / side
        found = _resect(template, places, FOCAL, False, FOCAL / RADIUS, found)
    assert found is not None
    found.pose[:3, 3] *= RADIUS / np.linalg.norm(found.pose[:3, 3])  # which it is but for rounding
    return _framed(found, center, side, np.array([0.5, 0.5]), FOCAL)


def frame_photograph(
    template: np.ndarray, landmarks: np.ndarray, size: Size, focal: float, free: bool
) -> Framed:
    """The same for a photograph of known focal length, in longer sides, or (free) of an estimated one.

    The window shows the head as large as EG3D's do; camera and principal point are those of the photograph.
    """
    longer, middle = max(size), np.array([size[1], size[0]]) / 2
    places = (landmarks - middle) / longer
    unit = weak_perspective(template, places)[1]
    found = _resect(template, places, focal, free, unit)
    depth = float(found.pose[:3, 2] @ -found.pose[:3, 3])  # of the origin
    side = found.focal * longer * RADIUS / (depth * FOCAL)
    center = middle + longer * found.project(ORIGIN)[0]
    return _framed(found, center, side, 0.5 + (middle - center) / side, found.focal * longer / side)


def _resect(
    template: np.ndarray,
    places: np.ndarray,
    focal: float,
    free: bool,
    unit: float,
    near: Resection | None = None,
) -> Resection:
    """The camera; unit: of the world, in that of the places. Residuals are in distances of the eyes."""
    weights, eyes = np.ones(POINTS), unit * EYES_APART
    weights[JAW] = JAW_WEIGHT
    found = resect(template, places, focal, weights, free, TOLERANCE * eyes, near)
    return Resection(found.pose, found.focal, found.residuals * weights / eyes)


def _framed(found: Resection, center: np.ndarray, side: float, principal: np.ndarray, focal: float) -> Framed:
    intrinsics = np.array([[focal, 0, principal[0]], [0, focal, principal[1]], [0, 0, 1]])
    label = np.concatenate([found.pose.ravel(), intrinsics.ravel()])
    left, top = center - side / 2
    return Framed(float(left), float(top), float(side), label, float(found.residuals.mean()))


def frame_camera(camera: Camera, size: Size) -> Framed:
    """The camera [1] of a whole picture of (height, width) -> that of the square in its middle."""
    side, sides = min(size), np.array([size[1], size[0], 1.0])
    left, top = (size[1] - side) / 2, (size[0] - side) / 2
    pixels = camera.intrinsics[0].double().numpy() * sides[:, None]
    pixels[:2, 2] -= (left, top)
    label = np.concatenate(
        [camera.pose[0].double().numpy().ravel(), (pixels / [[side], [side], [1]]).ravel()]
    )
    return Framed(left, top, side, label)
