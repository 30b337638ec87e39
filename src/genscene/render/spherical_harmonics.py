"""Colors that depend on the direction, as spherical harmonics up to degree 3, in the order of 3DGS files."""

import torch
from torch import Tensor

from genscene.errors import BadInput

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    -0.4570457994644658,
    1.445305721320277,
    -0.5900435899266435,
)


def basis(directions: Tensor, degree: int) -> Tensor:
    """Unit directions [..., 3] -> the real harmonics up to a degree of 0 to 3 [..., (degree + 1) ** 2]."""
    x, y, z = directions.unbind(-1)
    found = [torch.full_like(x, C0)]
    if degree > 0:
        found += [-C1 * y, C1 * z, -C1 * x]
    xx, yy, zz = x * x, y * y, z * z
    if degree > 1:
        second = x * y, y * z, 2 * zz - xx - yy, x * z, xx - yy
        found += [c * value for c, value in zip(C2, second, strict=True)]
    if degree > 2:
        rim = 4 * zz - xx - yy
        third = (
            y * (3 * xx - yy),
            x * y * z,
            y * rim,
            z * (2 * zz - 3 * xx - 3 * yy),
            x * rim,
            z * (xx - yy),
            x * (xx - 3 * yy),
        )
        found += [c * value for c, value in zip(C3, third, strict=True)]
    return torch.stack(found, dim=-1)


def evaluate(coefficients: Tensor, directions: Tensor, degree: int) -> Tensor:
    """coefficients [..., K, 3], directions [..., 3] of any length -> colors [..., 3], 0 or more."""
    wanted = (degree + 1) ** 2
    if not 0 <= degree <= 3 or coefficients.shape[-2] < wanted:
        raise BadInput(
            f"{coefficients.shape[-2]} coefficients of spherical harmonics for degree {degree}: "
            f"wanted a degree from 0 to 3, and {wanted} coefficients"
        )
    directions = torch.nn.functional.normalize(directions, dim=-1)
    values = basis(directions, degree)[..., None] * coefficients[..., :wanted, :]
    return (values.sum(-2) + 0.5).clamp(min=0)


def rotate(coefficients: Tensor, matrix: Tensor) -> Tensor:
    """Coefficients [..., K, 3] of a rotated function: of direction `matrix @ d`, what it was of d.

    Harmonics of a degree are mixed among themselves; how is solved from directions that determine it.
    """
    count = coefficients.shape[-2]
    degree = round(count**0.5) - 1
    random = torch.Generator().manual_seed(0)
    directions = torch.randn(4 * count, 3, generator=random, dtype=torch.float64)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    turned = basis(directions @ matrix.cpu().double(), degree)  # at matrix^-1 d
    mixing = torch.linalg.lstsq(basis(directions, degree), turned).solution  # [K, K]
    return mixing.to(coefficients) @ coefficients
