"""Random looks of heads: shape, expression, skin, hair, eyes, light; all of one seed."""

from dataclasses import dataclass

import numpy as np

from genscene.data.synthetic.heads.model import HeadModel

Color = np.ndarray  # [3], sRGB, 0 to 1
SKINS = np.array([  # from light to dark
    [0.97, 0.82, 0.74], [0.92, 0.73, 0.62], [0.82, 0.61, 0.47],
    [0.66, 0.45, 0.32], [0.47, 0.30, 0.21], [0.31, 0.20, 0.15],
])  # fmt: skip
HAIRS = np.array([  # from black to blond; grey, white
    [0.06, 0.05, 0.05], [0.16, 0.10, 0.07], [0.30, 0.19, 0.11], [0.45, 0.22, 0.10],
    [0.68, 0.50, 0.28], [0.86, 0.74, 0.52], [0.55, 0.54, 0.53], [0.85, 0.84, 0.82],
])  # fmt: skip
IRISES = np.array([[0.24, 0.14, 0.07], [0.38, 0.24, 0.10], [0.36, 0.42, 0.22], [0.30, 0.46, 0.60]])
DARK = 0.45  # place among the skins from which on hair and eyes are dark
STRENGTH = 1.2  # deviation of the weights of identity modes, which stay within LARGEST deviations
LARGEST = 2.0
# beginnings of the names of expressions, their chance, and the largest weight
EXPRESSIONS = (
    ("mouthSmile", 0.4, 0.9), ("jawOpen", 0.3, 0.35), ("browInnerUp", 0.2, 0.8),
    ("browOuterUp", 0.2, 0.8), ("browDown", 0.2, 0.8), ("eyeSquint", 0.3, 0.8),
    ("eyeBlink", 0.1, 0.6), ("eyeWide", 0.1, 0.7), ("mouthFrown", 0.1, 0.6),
    ("mouthPucker", 0.1, 0.5), ("mouthUpperUp", 0.1, 0.4), ("mouthLowerDown", 0.1, 0.4),
    ("cheekSquint", 0.3, 0.5), ("mouthStretch", 0.1, 0.5), ("noseSneer", 0.1, 0.5),
)  # fmt: skip
GAZES = (("eyeLookIn_L", "eyeLookOut_R"), ("eyeLookOut_L", "eyeLookIn_R"))
# around the head, in radians from the front: forehead, its corner, temple, sideburn, ear (3), nape
AZIMUTHS = np.array([0.0, 0.55, 0.95, 1.25, 1.42, 1.75, 2.0, np.pi])


@dataclass(frozen=True)
class Hair:
    """Hair on a head, in world units."""

    color: Color
    line: np.ndarray  # [8], lowest height at AZIMUTHS
    volume: float  # thickness
    cover: float  # opacity, 1: full hair
    hang: float  # distance from the axis at which long hair hangs, 0: short


@dataclass(frozen=True)
class Look:
    """Everything that is random of a picture, but its camera."""

    identity: np.ndarray  # [I]
    expression: np.ndarray  # [E]
    skin: Color
    blush: float
    lips: Color
    iris: Color
    hair: Hair
    brows: tuple[float, float]  # half thickness in world units, opacity
    beard: tuple[float, float]  # opacity; half width: all of the lower face, or less
    cloth: Color
    light: np.ndarray  # [3], unit, towards it
    power: tuple[float, float]  # of the surroundings, of the light
    waves: np.ndarray  # [6, 4], random directions and phases of noise


def sample_look(model: HeadModel, rng: np.random.Generator) -> Look:
    """A random look."""
    weights = STRENGTH * rng.standard_normal(len(model.identity)).clip(-LARGEST, LARGEST)
    tone = rng.random()
    skin = _between(SKINS, tone) * (1 + 0.05 * (rng.random(3) - 0.5))
    hair = _sample_hair(rng, tone)
    red = _between(np.array([[0.80, 0.42, 0.40], [0.40, 0.20, 0.18]]), tone)
    beard = rng.choice([0.0, 0.0, 0.0, 0.3, 0.85]) if not hair.hang else 0.0
    light = np.array([rng.uniform(-0.9, 0.9), rng.uniform(0.0, 0.9), rng.uniform(0.4, 1.0)])
    return Look(
        weights.astype(np.float32),
        _sample_expression(model.names, rng),
        skin,
        rng.uniform(0.05, 0.3),
        skin + rng.uniform(0.35, 0.9) * (red - skin),
        IRISES[0] if tone > DARK else _between(IRISES, rng.random()),
        hair,
        (rng.uniform(0.005, 0.011), rng.uniform(0.5, 0.95)),
        (float(beard), float(rng.choice([0.07, 1.0]))),
        rng.random(3) * 0.8 + 0.1,
        light / np.linalg.norm(light),
        (rng.uniform(0.35, 0.6), rng.uniform(0.5, 0.85)),
        np.concatenate([rng.standard_normal((6, 3)), rng.uniform(0, 2 * np.pi, (6, 1))], axis=1),
    )


def _sample_hair(rng: np.random.Generator, tone: float) -> Hair:
    """Bald, cropped, short or long hair; of darker skin mostly dark, sometimes grey or white."""
    place = rng.beta(1, 6) if tone > DARK else rng.random()
    color = _between(HAIRS[6:], rng.random()) if rng.random() < 0.12 else _between(HAIRS[:6], place)
    kind = rng.choice(["bald", "cropped", "short", "long"], p=[0.08, 0.14, 0.43, 0.35])
    front, corner = rng.uniform(0.225, 0.30), rng.uniform(-0.01, 0.05)
    line = [front, front + corner, rng.uniform(0.14, 0.22), rng.uniform(0.0, 0.09), 0.10, 0.10, -0.08, -0.13]
    if kind == "long":
        line[3:] = [rng.uniform(-0.6, 0.1), -0.6, -0.6, -0.6, -0.6]
    volume = {
        "bald": 0.0,
        "cropped": 0.004,
        "short": rng.uniform(0.01, 0.05),
        "long": rng.uniform(0.015, 0.045),
    }
    cover = {"bald": 0.0, "cropped": rng.uniform(0.5, 0.85)}
    hang = rng.uniform(0.19, 0.27) if kind == "long" else 0.0
    return Hair(color, np.array(line), volume[kind], cover.get(kind, 1.0), hang)


def _sample_expression(names: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Weights [E] of expressions; both sides of the face nearly alike, both eyes look the same way."""
    weights = np.zeros(len(names), np.float32)
    for beginning, chance, largest in EXPRESSIONS:
        strength = rng.uniform(0, largest) * (rng.random() < chance)
        for i, name in enumerate(names):
            if name.startswith(beginning):
                weights[i] = strength * rng.uniform(0.85, 1.0)
    side, turn = rng.integers(2), rng.uniform(0, 0.5)
    for name in GAZES[side]:
        if name in names:
            weights[names.index(name)] = turn
    return weights


def _between(table: np.ndarray, place: float) -> np.ndarray:
    """Rows [K, 3] interpolated at 0 to 1 -> [3]."""
    at = place * (len(table) - 1)
    low = min(int(at), len(table) - 2)
    return table[low] + (at - low) * (table[low + 1] - table[low])
