"""A tiny model of heads in the format of ICT-FaceKit's light model, and faces of 68 points."""

import json

import numpy as np

SIDES = (25, 32)  # rings from pole to pole, and vertices of each


def face_points():
    """A face of 68 points on a ball of radius 9, in centimetres: x to the person's left, y up, z front."""
    around = np.linspace(-1.2, 1.2, 17)
    jaw = np.stack([7.5 * np.sin(around), 2 - 9.0 * np.cos(around) * 0.95], axis=1)
    brows = [[x, 5.2 + 0.5 * np.cos(2 * (abs(x) - 3))] for x in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)]
    nose = [[0, y] for y in (3, 2, 1, 0)] + [[x, -1.2] for x in (-1.3, -0.6, 0, 0.6, 1.3)]
    eye = np.array([[-1.3, 0], [-0.5, 0.5], [0.5, 0.5], [1.3, 0], [0.5, -0.5], [-0.5, -0.5]])
    eyes = np.concatenate([eye + np.array([side, 3.5]) for side in (-3, 3)])
    turn = np.linspace(np.pi, -np.pi, 12, endpoint=False)
    outer = np.stack([2.5 * np.cos(turn), -3.6 + np.sin(turn)], axis=1)
    turn = np.linspace(np.pi, -np.pi, 8, endpoint=False)
    inner = np.stack([1.8 * np.cos(turn), -3.6 + 0.3 * np.sin(turn)], axis=1)
    flat = np.concatenate([jaw, brows, nose, eyes, outer, inner]).astype(float)
    depth = np.sqrt(np.maximum(81 - (flat**2).sum(axis=1), 4))
    depth[27:31] += [0.5, 1, 2, 3]
    depth[31:36] += 1.5
    return np.concatenate([flat, depth[:, None]], axis=1)


def write_model(folder, **changes):
    """Write a head that is a ball with landmarks, two identities and two expressions; changes: arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    rings, count = SIDES
    polar, yaw = np.meshgrid(np.linspace(0.05, np.pi - 0.05, rings), np.arange(count) * 2 * np.pi / count)
    polar, yaw = polar.T, yaw.T
    ball = 9 * np.stack([np.sin(polar) * np.sin(yaw), 1.3 * np.cos(polar), np.sin(polar) * np.cos(yaw)], -1)
    index = np.arange(rings * count).reshape(rings, count)
    right = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], index[1:], right[1:], right[:-1]], axis=-1).reshape(-1, 4)
    vertices = np.concatenate([ball.reshape(-1, 3), face_points()]).astype(np.float32)
    rng = np.random.default_rng(0)
    front = vertices[quads].mean(axis=1)[:, 2] > 0
    arrays = {
        "vertices": vertices,
        "quads": quads.astype(np.int32),
        "quad_material": np.where(front, 0, 1).astype(np.uint8),
        "material_names": np.array(["M_Face", "M_BackHead", "M_EyeLashes"]),
        "identity_modes": rng.normal(0, 0.2, (2, 1, 3)).astype(np.float16) * vertices.astype(np.float16) / 9,
        "expression_modes": rng.normal(0, 0.1, (2, len(vertices), 3)).astype(np.float16),
        "expression_names": np.array(["mouthSmile_L", "jawOpen"]),
    } | changes
    np.savez(folder / "ict_facekit_light.npz", **{k: v for k, v in arrays.items() if v is not None})
    landmarks = list(range(rings * count, len(vertices)))
    (folder / "vertex_indices.json").write_text(json.dumps({"idx_to_landmark_verts": landmarks}))
    return folder
