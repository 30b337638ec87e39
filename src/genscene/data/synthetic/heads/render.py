"""Pictures of heads: a look and a camera to antialiased colors, mask and landmarks."""

import math
from dataclasses import dataclass

import numpy as np

from genscene.data.synthetic.heads.looks import Hair, Look, sample_look
from genscene.data.synthetic.heads.raster import rasterize, vertex_normals
from genscene.data.synthetic.heads.surface_colors import AXIS, SurfaceColors, edge, hair_depth, noise
from genscene.geometry.cameras import Camera
from genscene.geometry.face_landmarks import FOCAL, RADIUS
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams, derive_seed

FINE, FINE_SIDE = 3, 256  # samples along each side of a pixel; 2 in pictures that are larger
WRAP, SHARPNESS = 0.2, 24.0  # of the light around the edge of its side; of highlights
ROUND = 0.05  # distance from its line at which hair has its volume
HANG_TOP = 0.06  # height from which on long hair hangs
# of EG3D's labels of FFHQ: distance 2.7, focal length 4.2647; angles of faces that look about, +-52 degrees
PRIOR = CameraPrior(
    "truncated", (np.pi / 2, 0.45), (np.pi / 2, 0.15), RADIUS, fov=math.degrees(2 * math.atan(0.5 / FOCAL))
)


@dataclass(frozen=True)
class HeadPicture:
    """A picture of a head and what is known of it."""

    pixels: np.ndarray  # [H, W, 4], uint8, straight alpha: the mask
    landmarks: np.ndarray  # [68, 2], in pixels, centers at + 0.5
    look: Look


def sample_camera(seed: int, index: int, side: int) -> Camera:
    """The camera of a picture [1]."""
    return PRIOR.sample(RandomStreams([derive_seed(seed, index)]), (side, side))


def render_head(surface: SurfaceColors, camera: Camera, seed: int, index: int) -> HeadPicture:
    """The head of a seed and index from one camera [1]."""
    model = surface.model
    look = sample_look(model, np.random.default_rng(derive_seed(seed, index, 1)))
    vertices = model.deform(look.identity, look.expression)
    landmarks = _project(vertices[model.landmarks], camera)[0]
    with_hair = vertices + _hair(look.hair, surface, vertices, look.waves)
    fine = FINE if max(camera.size) <= FINE_SIDE else FINE - 1
    size = (camera.size[0] * fine, camera.size[1] * fine)
    points, depth = _project(with_hair, camera.resized(size))
    seen = rasterize(points, depth, model.triangles, size)
    place = seen.interpolate(model.triangles, model.vertices)
    normal = seen.interpolate(model.triangles, vertex_normals(with_hair, model.triangles))
    color, gloss = surface.colors(look, place, model.parts[seen.triangles])
    shaded = _shade(look, color, gloss, normal, camera.pose[0, :3, 2].double().numpy())
    samples = np.zeros((size[0] * size[1], 4))
    samples[seen.pixels] = np.concatenate([shaded, np.ones((len(shaded), 1))], axis=1)
    grid = samples.reshape(camera.size[0], fine, camera.size[1], fine, 4).mean(axis=(1, 3))
    straight = np.concatenate([grid[..., :3] / np.maximum(grid[..., 3:], 1e-6), grid[..., 3:]], axis=-1)
    return HeadPicture((straight.clip(0, 1) * 255).round().astype(np.uint8), landmarks, look)


def _project(points: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3] -> places [N, 2] in pixels, depths [N]."""
    pose, intrinsics = (x[0].double().numpy() for x in (camera.pose, camera.intrinsics))
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    sides = (local @ intrinsics.T)[:, :2] / np.maximum(local[:, 2:], 1e-9)
    return sides * np.array([camera.size[1], camera.size[0]]), local[:, 2]


def _hair(hair: Hair, surface: SurfaceColors, vertices: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Displacements [V, 3] of hair: outwards by its volume; long hair hangs at a distance from the axis."""
    at = surface.model.vertices
    cover = surface.outside * edge(hair_depth(hair, at, waves) / ROUND - 0.5)
    out = vertex_normals(vertices, surface.model.triangles)
    thick = hair.volume * cover * (1 + 0.6 * noise(waves, at * 14) + 0.25 * noise(waves, at * 50))
    moved = out * thick[:, None]
    if not hair.hang:
        return moved
    flat = (vertices + moved - np.array([0.0, 0.0, AXIS])) * np.array([1.0, 0.0, 1.0])
    radius = np.linalg.norm(flat, axis=1)
    low = cover * ((HANG_TOP - at[:, 1]) / 0.1).clip(0, 1)
    wanted = hair.hang * (1 + 0.12 * noise(waves, at * np.array([40.0, 6.0, 40.0])))
    grow = low * np.maximum(wanted - radius, 0)
    return moved + flat / np.maximum(radius, 1e-6)[:, None] * grow[:, None]


def _shade(
    look: Look, color: np.ndarray, gloss: np.ndarray, normal: np.ndarray, forward: np.ndarray
) -> np.ndarray:
    """sRGB [M, 3] lit by surroundings, brighter above, and one light, with highlights -> sRGB [M, 3]."""
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    around = look.power[0] * (0.75 + 0.25 * normal[:, 1])
    facing = ((normal @ look.light + WRAP) / (1 + WRAP)).clip(0, None)
    half = look.light - forward
    shine = (normal @ (half / np.linalg.norm(half))).clip(0, None) ** SHARPNESS
    linear = color**2.2 * (around + look.power[1] * facing)[:, None] + (0.35 * gloss * shine)[:, None]
    return linear.clip(0, 1) ** (1 / 2.2)
