"""Colors of points on heads: skin, lips, brows, hair, eyes, as functions of their place on the mean head."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from genscene.data.synthetic.heads.looks import AZIMUTHS, Hair, Look
from genscene.data.synthetic.heads.model import PARTS, HeadModel
from genscene.geometry.face_landmarks import BROWS, OUTER_LIPS

FACE, BACK, GUMS, TEETH, EYES = range(len(PARTS))
HEAD_RADIUS = 0.22  # for slopes of the hairline, in world units
AXIS = -0.04  # z of the vertical line around which azimuths count, in world units
INSIDE = np.array([0.14, -0.28, -0.05])  # of the back: within |x|, above y, before z is mouth or nose
EAR = np.array([[0.207, -0.08, -0.12], [1.0, 0.125, 0.12]])  # a box around an ear, of |x|, y, z
IRIS, PUPIL = 0.0165, 0.0062  # radii, in world units
DEEP = (0.12, 0.21)  # z between which the inside of the mouth becomes lighter
COLLAR = -0.31  # height below which there are clothes
CAVITY, GUM, TOOTH = (np.array(c) for c in ((0.22, 0.08, 0.07), (0.55, 0.25, 0.24), (0.86, 0.83, 0.76)))
LIDS = (slice(36, 40), slice(42, 46))


@dataclass(frozen=True)
class SurfaceColors:
    """Colors of a model's points."""

    model: HeadModel

    @cached_property
    def outside(self) -> np.ndarray:
        """Whether vertices [V] may have hair."""
        triangles, parts, at = self.model.triangles, self.model.parts, self.model.vertices
        found = np.zeros(len(at), bool)
        found[triangles[(parts == BACK) | (parts == FACE)]] = True
        inner = np.zeros_like(found)
        inner[triangles[parts == BACK]] = True
        return found & ~(inner & is_inside(at))

    @cached_property
    def marks(self) -> np.ndarray:
        """Landmarks of the mean head from the front -> [68, 2]."""
        return self.model.mean_landmarks[:, :2].astype(np.float64)

    @cached_property
    def poles(self) -> np.ndarray:
        """The middle of both irises [2, 3]: the foremost point of each eyeball; far away where is none."""
        used = np.unique(self.model.triangles[self.model.parts == EYES])
        found = []
        for side in (-1, 1):
            ball = self.model.vertices[used][self.model.vertices[used, 0] * side > 0]
            ball = ball if len(ball) else np.full((1, 3), 9.0)
            found.append(ball[ball[:, 2].argmax()])
        return np.array(found)

    def colors(self, look: Look, at: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places [M, 3] on the mean head, parts [M] -> sRGB [M, 3] and gloss [M], 0 to 1."""
        color, gloss = np.empty((len(at), 3)), np.full(len(at), 0.12)
        for index, plain in ((GUMS, GUM), (TEETH, TOOTH)):
            here = part == index
            color[here] = plain * ((at[here, 2:] - DEEP[0]) / (DEEP[1] - DEEP[0])).clip(0.2, 0.9)
        for index, colors_of in ((EYES, self._eyes), (FACE, self._skin), (BACK, self._skin)):
            here = part == index
            color[here] = colors_of(look, at[here])
        depth = hair_depth(look.hair, at, look.waves)
        hair = look.hair.cover * edge(depth / 0.01) * np.isin(part, (FACE, BACK))
        strands = (
            1 + 0.2 * noise(look.waves, at * np.array([190, 22, 190])) + 0.15 * noise(look.waves, at * 37)
        )
        color += hair[:, None] * (look.hair.color * strands[:, None] - color)
        color[(at[:, 1] < COLLAR) & (hair < 0.5)] = look.cloth
        color[is_inside(at) & (part == BACK)] = CAVITY
        gloss[part == EYES] = 0.9
        return color.clip(0, 1), gloss

    def _eyes(self, look: Look, at: np.ndarray) -> np.ndarray:
        """White, iris with a dark rim, pupil."""
        far = np.linalg.norm(at[:, None] - self.poles, axis=2).min(axis=1)
        color = np.array([0.90, 0.88, 0.86]) - 0.25 * edge((far - 0.022) / 0.02)[:, None]
        rim = 1 - 0.6 * edge((far - 0.0135) / 0.003)
        iris = edge((IRIS - far) / 0.002)[:, None]
        color = color + iris * (look.iris * rim[:, None] - color)
        return color * (1 - 0.95 * edge((PUPIL - far) / 0.001))[:, None]

    def _skin(self, look: Look, at: np.ndarray) -> np.ndarray:
        """Skin, and on the front blush, lips, brows, lids and beard."""
        base = 1 + 0.05 * noise(look.waves, at * 9) + 0.03 * noise(look.waves, at * 70)
        color = look.skin * base[:, None]
        front = at[:, 2] > 0.1
        color[front] = self._face(look, at[front], color[front])
        return color

    def _face(self, look: Look, at: np.ndarray, color: np.ndarray) -> np.ndarray:
        """What is on the skin [M, 3] of the front."""
        cheeks = np.exp(-((np.abs(at[:, 0]) - 0.11) ** 2 + (at[:, 1] + 0.02) ** 2) / 0.004)
        nose = np.exp(-(at[:, 0] ** 2 + (at[:, 1] + 0.005) ** 2) / 0.001)
        red = (look.blush * (cheeks + 0.7 * nose))[:, None]
        color = color + red * (look.lips - color)
        inside = _inside(self.marks[OUTER_LIPS], at)
        beard = look.beard[0] * self._beard_cover(look, at) * (1 - edge((inside + 0.012) / 0.006))
        color += beard[:, None] * (look.hair.color - color)
        color += 0.9 * edge((inside + 0.001) / 0.004)[:, None] * (look.lips - color)
        half, strength = look.brows
        for line in (self.marks[BROWS][:5], self.marks[BROWS][5:]):
            cover = strength * edge((half - _distance(line, at)) / 0.004)
            color += cover[:, None] * (0.6 * look.hair.color + 0.02 - color)
        for part in LIDS:
            cover = 0.75 * edge((0.0035 - _distance(self.marks[part], at)) / 0.002)
            color *= (1 - cover)[:, None]
        return color

    def _beard_cover(self, look: Look, at: np.ndarray) -> np.ndarray:
        """Where a beard grows [M], 0 to 1: below the nose and along the jaw."""
        nose, chin = self.marks[33, 1], self.marks[8, 1]
        side = np.abs(at[:, 0])
        top = nose - 0.01 + 0.9 * np.maximum(side - 0.10, 0) - 0.25 * np.minimum(side, 0.10)
        rough = 0.012 * noise(look.waves, at * 60)
        low = edge((at[:, 1] - chin + 0.05) / 0.03)
        return edge((top - at[:, 1] + rough) / 0.02) * low * edge((look.beard[1] - side + rough) / 0.02)


def hair_depth(hair: Hair, at: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Places [M, 3] on the mean head -> distance [M] from the hairline, below 0 outside of the hair."""
    side = np.abs(at[:, 0])
    azimuth = np.arctan2(side, at[:, 2] - AXIS)
    line, further = (np.interp(azimuth + step, AZIMUTHS, hair.line) for step in (0, 0.01))
    slope = (further - line) / (0.01 * HEAD_RADIUS)
    depth = (at[:, 1] - line + 0.008 * noise(waves, at * 45)) / np.sqrt(1 + slope**2)
    box = np.stack([side, at[:, 1], at[:, 2]], axis=1)
    ear = ((box > EAR[0]) & (box < EAR[1])).all(axis=1) & (not hair.hang)
    return np.where(ear, -1.0, depth)


def is_inside(at: np.ndarray) -> np.ndarray:
    """Whether places [M, 3] on the back of the mean head are inside of mouth and nose."""
    return (np.abs(at[:, 0]) < INSIDE[0]) & (at[:, 1] > INSIDE[1]) & (at[:, 2] > INSIDE[2]) & (at[:, 1] < 0.1)


def noise(waves: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Smooth numbers between -1 and 1 at places [M, 3] whose unit is about a wave."""
    return np.sin(at @ waves[:, :3].T + waves[:, 3]).mean(axis=1) * 1.5


def edge(x: np.ndarray) -> np.ndarray:
    """0 below -0.5, 1 above 0.5, smooth between."""
    t = (x + 0.5).clip(0, 1)
    return t * t * (3 - 2 * t)


def _distance(line: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The distance [M] of places from the front to a chain of points [K, 2]."""
    best, places = np.full(len(at), np.inf), at[:, :2].T.copy()
    for a, b in pairwise(line):
        along, (x, y) = b - a, places - a[:, None]
        share = ((x * along[0] + y * along[1]) / max(along @ along, 1e-12)).clip(0, 1)
        np.minimum(best, (x - share * along[0]) ** 2 + (y - share * along[1]) ** 2, out=best)
    return np.sqrt(best)


def _inside(polygon: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Depth [M] of places inside a polygon [K, 2] seen from the front; below 0 outside: the distance."""
    closed = np.concatenate([polygon, polygon[:1]])
    crossed = np.zeros(len(at), bool)
    for (x0, y0), (x1, y1) in pairwise(closed):
        between = (at[:, 1] < y0) != (at[:, 1] < y1)
        crossed ^= between & (at[:, 0] < x0 + (at[:, 1] - y0) * (x1 - x0) / (y1 - y0 or 1e-12))
    return np.where(crossed, 1, -1) * _distance(closed, at)
