"""The 68 landmarks of a face (iBUG's order), and the frame in which heads stand, about that of EG3D."""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.errors import BadInput

POINTS = 68
JAW, BROWS = slice(0, 17), slice(17, 27)
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # of the person; the right one is left in the picture
NOSE_TIP, MOUTH = 30, slice(48, 68)
OUTER_LIPS = slice(48, 60)
FARTHEST = 1e9  # coordinate, in any unit
EYES_APART = 0.168  # between the centers of the eyes, in world units: 6.3 cm, so that one is 37 cm
TILT = math.radians(10)  # of the line from the mouth up to the eyes, backwards from +y
EYES = (0.0, 0.08, 0.2)  # the middle between them; the origin is in the middle of the head
RADIUS, FOCAL = 2.7, 4.2647  # of EG3D's cameras: distance from the origin; focal length in image sides


def head_frame(points: Tensor) -> Tensor:
    """Landmarks [68, 3] with any axes and unit -> the similarity [4, 4] to the frame of heads, float64.

    There +x is the person's left, +y up, +z the front. Raises BadInput for mirrored and degenerate points.
    """
    points = points.double()
    if not points.isfinite().all() or points.abs().max() > FARTHEST:
        raise BadInput(f"the 68 points of a face are not finite, or above {FARTHEST:g}, wanted less")
    right, left, mouth = (points[part].mean(dim=0) for part in (RIGHT_EYE, LEFT_EYE, MOUTH))
    middle, across = (left + right) / 2, left - right
    x = normalize(across, dim=0)
    upwards = normalize(middle - mouth - x * ((middle - mouth) @ x), dim=0)
    y = math.cos(TILT) * upwards + math.sin(TILT) * torch.linalg.cross(x, upwards)
    z = torch.linalg.cross(x, y)
    flat = not across.norm() > 1e-9 or not upwards.norm() > 0.5
    if flat or float((points[NOSE_TIP] - middle) @ z) <= 0:
        raise BadInput("the 68 points are no face in iBUG's order: wanted a nose in front of eyes and mouth")
    frame = torch.eye(4, dtype=torch.float64)
    frame[:3, :3] = torch.stack([x, y, z]) * (EYES_APART / across.norm())
    frame[:3, 3] = torch.tensor(EYES, dtype=torch.float64) - frame[:3, :3] @ middle
    return frame
