"""Procedural landscapes, pictures without cameras: sky, sun, clouds, mountains, a meadow or a lake, firs."""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from genscene.data.synthetic.solids import to_range
from genscene.geometry.cameras import Grid, Size
from genscene.randomness import Randomness

# Colors at several times of the day: of the sky at the top and at the horizon, of the sun, of the light.
#     top                 horizon             sun                 light
SKIES = torch.tensor([
    [[0.20, 0.45, 0.85], [0.75, 0.88, 0.97], [1.00, 0.97, 0.80], [1.00, 1.00, 0.96]],  # noon
    [[0.32, 0.55, 0.80], [0.98, 0.86, 0.62], [1.00, 0.90, 0.55], [1.00, 0.92, 0.78]],  # afternoon
    [[0.25, 0.22, 0.48], [0.99, 0.55, 0.30], [1.00, 0.75, 0.30], [0.85, 0.62, 0.55]],  # sunset
    [[0.42, 0.38, 0.62], [0.97, 0.70, 0.72], [1.00, 0.88, 0.72], [0.88, 0.75, 0.82]],  # dawn
    [[0.03, 0.05, 0.17], [0.16, 0.22, 0.42], [0.95, 0.95, 0.86], [0.30, 0.36, 0.55]],  # night
])  # fmt: skip
ROCKS = torch.tensor([[0.42, 0.40, 0.44], [0.50, 0.40, 0.34], [0.34, 0.42, 0.50]])
GRASS = torch.tensor([[0.30, 0.52, 0.16], [0.52, 0.58, 0.20], [0.70, 0.56, 0.24], [0.20, 0.42, 0.22]])
SNOW, FIR, TRUNK, WATER = torch.tensor(
    [[0.95, 0.97, 1.00], [0.07, 0.22, 0.12], [0.25, 0.16, 0.10], [0.12, 0.19, 0.26]]
)[:, :, None, None]
RIDGES, CLOUDS, PUFFS, FIRS, WAVES = 3, 3, 4, 6, 4  # numbers of them; puffs of a cloud, waves of a ridge


def landscapes(randomness: Randomness, size: Size, supersampling: int = 2) -> Tensor:
    """One landscape for each random stream -> [B, 3, H, W] in [0, 1]."""
    height, width = size
    x, y = Grid.whole(1, (height * supersampling, width * supersampling)).coords().split(1, dim=1)
    x, y = x * width / height / 2, (y + 1) / 2  # from the middle, and from the top, in heights of the image
    u = _numbers(randomness.uniform(8))
    top, horizon_color, sun_color, light = (
        each[..., None, None] for each in _choice(SKIES, u[:, 0]).unbind(1)
    )
    horizon = to_range(u[:, 2:3], 0.50, 0.66)
    sun = _numbers(randomness.uniform(3))
    image = torch.lerp(top, horizon_color, (y / 0.6).clamp(0, 1).sqrt())
    image = _sun(x, y, image, sun, sun_color)
    image = _clouds(_numbers(randomness.uniform(CLOUDS, 3 + 2 * PUFFS)), x, y, image, light)
    ridges = _numbers(randomness.uniform(RIDGES, 3 + 2 * WAVES))
    rock = _choice(ROCKS, u[:, 3])[..., None, None]
    image = _ridges(ridges, x, y, horizon, image, light, rock)
    image = _ground(u[:, 4:7], x, y, horizon, image, light, sun[:, :1], sun_color)
    image = _firs(_numbers(randomness.uniform(FIRS, 3)), x, y, horizon, image, light, u[:, 7:])
    return avg_pool2d(image.clamp(0, 1), supersampling)


def _numbers(u: Tensor) -> Tensor:
    """Random numbers [B, ...] -> [B, ..., 1, 1], the same for every pixel."""
    return u[..., None, None]


def _choice(table: Tensor, u: Tensor) -> Tensor:
    """Rows of a table by numbers [B, 1, 1] in [0, 1) -> [B, ...]."""
    return table[(u.flatten() * len(table)).long()]


def _over(image: Tensor, color: Tensor, alpha: Tensor) -> Tensor:
    """A color over an image [B, 3, H, W], of opacity [B, 1, H, W]."""
    return torch.lerp(image, color, alpha.to(image))


def _sun(x: Tensor, y: Tensor, image: Tensor, u: Tensor, color: Tensor) -> Tensor:
    """A sun, or moon, and the sky's glow around it."""
    at_x, at_y = to_range(u[:, :1], -0.4, 0.4), to_range(u[:, 1:2], 0.10, 0.45)
    distance = torch.hypot(x - at_x, y - at_y)
    image = _over(image, color, 0.6 * (-(distance / 0.2).square()).exp())
    return _over(image, color, distance < to_range(u[:, 2:], 0.04, 0.09))


def _clouds(u: Tensor, x: Tensor, y: Tensor, image: Tensor, light: Tensor) -> Tensor:
    """Clouds of round puffs with flat bottoms, each of which is there or not."""
    color = torch.lerp(light, torch.ones(()), 0.6)
    for cloud in u.unbind(1):
        at_x, at_y = to_range(cloud[:, 1:2], -0.6, 0.6), to_range(cloud[:, 2:3], 0.06, 0.34)
        nearest = torch.full_like(x, math.inf)
        for i in range(PUFFS):
            shift = 0.07 * (i - (PUFFS - 1) / 2) * to_range(cloud[:, 3 + i : 4 + i], 0.8, 1.2)
            radius = to_range(cloud[:, 3 + PUFFS + i : 4 + PUFFS + i], 0.05, 0.10)
            nearest = nearest.minimum(torch.hypot(x - at_x - shift, 1.4 * (y - at_y)) - radius)
        inside = (nearest < 0) & (y < at_y + 0.03) & (cloud[:, :1] < 0.45)
        image = _over(image, color, 0.9 * inside)
    return image


def _outline(u: Tensor, x: Tensor, peaked: bool) -> Tensor:
    """Random waves u [B, 2 WAVES, 1, 1], with peaks or round -> heights [B, 1, 1, W] in [-1, 1]."""
    total = torch.zeros(())
    for i in range(WAVES):
        frequency, start = (
            2 ** (0.9 * i) * to_range(u[:, 2 * i : 2 * i + 1], 0.9, 1.6),
            u[:, 2 * i + 1 :][:, :1],
        )
        wave = (2 * math.pi * (frequency * x[:, :, :1] + start)).sin()
        total = total + 0.5**i * (2 / math.pi * wave.asin() if peaked else wave)
    return total / (2 - 0.5 ** (WAVES - 1))


def _ridges(
    u: Tensor, x: Tensor, y: Tensor, horizon: Tensor, image: Tensor, light: Tensor, rock: Tensor
) -> Tensor:
    """Mountains with snow, mountains before them, and hills, the farther the more of the sky's color."""
    haze = image[:, :, -1:, :1]
    for i, ridge in enumerate(u.unbind(1)):
        near, peaked = (i + 1) / RIDGES, i + 1 < RIDGES
        base = horizon - to_range(ridge[:, :1], 0.14, 0.24) * (1 - near) - 0.02
        tall = to_range(ridge[:, 1:2], 0.10, 0.17) * (1.25 - near)
        outline = _outline(ridge[:, 3:], x, peaked)
        crest = base - tall * outline
        falls = outline.diff(dim=-1, append=outline[..., -1:]) < 0
        shade = 1 - 0.25 * (falls & peaked).float()  # of slopes that face away from the light
        green = 0.7 * _choice(GRASS, ridge[:, 2])[..., None, None]
        color = light * torch.lerp(rock, green, near if i else 0.0)
        color = torch.lerp(haze, color, 0.35 + 0.65 * near) * shade
        image = _over(image, color, y > crest)
        if i == 0:
            line = base - 0.25 * tall - 0.01 * (50 * x + 9 * outline).sin()
            image = _over(image, torch.lerp(haze, light * SNOW, 0.8) * shade, (y > crest) & (y < line))
    return image


def _ground(
    u: Tensor,
    x: Tensor,
    y: Tensor,
    horizon: Tensor,
    image: Tensor,
    light: Tensor,
    sun_x: Tensor,
    sun_color: Tensor,
) -> Tensor:
    """A meadow with rows that meet at the horizon, or a lake with the reflection of sky and sun."""
    near = ((y - horizon) / (1 - horizon)).clamp(1e-3, 1)
    rows = ((x - to_range(u[:, 2:], -0.3, 0.3)) / near * 3.5).remainder(1) < 0.5
    meadow = light * _choice(GRASS, u[:, 1])[..., None, None] * (0.72 + 0.28 * near)
    meadow = meadow * (1 - 0.16 * rows * near)
    waves = (9 / (near + 0.12) + 4 * x).sin() > 0.55
    lake = (0.55 * image[:, :, :1, :1] + light * WATER) * (1 + 0.22 * waves * near)
    path = waves & ((x - to_range(sun_x, -0.4, 0.4)).abs() < 0.02 + 0.10 * near)
    lake = _over(lake, sun_color, 0.75 * path)
    return _over(image, torch.where(u[:, :1] < 0.45, lake, meadow), y > horizon)


def _firs(
    u: Tensor, x: Tensor, y: Tensor, horizon: Tensor, image: Tensor, light: Tensor, many: Tensor
) -> Tensor:
    """Firs of three tiers on the ground, the nearer the taller; in two of three landscapes."""
    for i, fir in enumerate(u.unbind(1)):
        near = (i + fir[:, :1]) / FIRS
        foot, tall = horizon + (1 - horizon) * (0.05 + 0.6 * near), 0.10 + 0.28 * near
        at = to_range(fir[:, 1:2], -0.55, 0.55)
        down, side = (y - foot) / tall + 1, (x - at) / tall  # down: 0 at the top, 1 at the foot
        there = i < 1.5 * FIRS * many - FIRS / 2
        crown = there & (down > 0) & (down < 0.9) & (side.abs() < 0.15 * (3 * down).frac() + 0.16 * down)
        trunk = there & (down >= 0.9) & (down < 1) & (side.abs() < 0.035)
        dark = light * FIR * (1 + 1.2 * fir[:, 2:])
        image = _over(image, torch.where(side < 0, dark, 0.7 * dark), crown)
        image = _over(image, light * TRUNK, trunk)
    return image
