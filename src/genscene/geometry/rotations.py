"""Rotations as matrices and as quaternions."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Interpolate unit quaternions a, b [B, 4] at share [B, 1] along the shorter arc (Shoemake 1985)."""
    b = torch.where((a * b).sum(-1, keepdim=True) < 0, -b, b)  # q and -q are the same rotation
    return normalize(slerp_vectors(a, b, share), dim=-1)


def slerp_vectors(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Interpolate vectors a, b [..., N], like latent codes, at share [..., 1] along their arc."""
    cosine = (normalize(a, dim=-1) * normalize(b, dim=-1)).sum(-1, keepdim=True).clamp(-1, 1)
    angle = torch.acos(cosine)
    straight = angle < 1e-4  # too short an arc to divide by its sine
    sine = torch.where(straight, torch.ones_like(angle), angle.sin())
    arc = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / sine
    return torch.where(straight, torch.lerp(a, b, share), arc)


def multiply_quaternions(a: Tensor, b: Tensor) -> Tensor:
    """Quaternions wxyz a, b [..., 4] -> that of the rotation b followed by a [..., 4]."""
    (w, x, y, z), (p, q, r, s) = a.unbind(-1), b.unbind(-1)
    parts = (
        w * p - x * q - y * r - z * s,
        w * q + x * p + y * s - z * r,
        w * r - x * s + y * p + z * q,
        w * s + x * r - y * q + z * p,
    )
    return torch.stack(parts, dim=-1)


def quaternion(matrix: Tensor) -> Tensor:
    """Rotation matrices [B, 3, 3] -> unit quaternions wxyz [B, 4] (Bar-Itzhack 2000)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in matrix.unbind(-2))
    rows = [
        [xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, xx - yy - zz, xy + yx, xz + zx],
        [xz - zx, xy + yx, yy - xx - zz, yz + zy],
        [yx - xy, xz + zx, yz + zy, zz - xx - yy],
    ]
    stacked = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    return torch.linalg.eigh(stacked).eigenvectors[..., -1]


def rotation(quats: Tensor) -> Tensor:
    """Unit quaternions wxyz [B, 4] -> rotation matrices [B, 3, 3]."""
    w, x, y, z = quats.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def rotation_between(a: Tensor, b: Tensor) -> Tensor:
    """The rotation [3, 3], in float64, by the shortest way that takes direction a [3] to b [3]."""
    a, b = normalize(a.double(), dim=0), normalize(b.double(), dim=0)
    if float(a @ b) < 1e-9 - 1:  # half a turn about any axis across
        across = torch.linalg.cross(a, torch.eye(3, dtype=a.dtype)[a.abs().argmin()])
        quat = torch.cat([a.new_zeros(1), across])
    else:
        quat = torch.cat([(1 + a @ b)[None], torch.linalg.cross(a, b)])
    return rotation(normalize(quat, dim=0)[None])[0]
