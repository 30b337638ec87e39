"""What keeps the points of a scene together: distances to neighbors, and the place of their mean."""

import torch
from torch import Tensor


def neighbor_distances(points: Tensor, count: int) -> Tensor:
    """points [B, N, 3] -> squared distances to the `count` nearest others, mean over them and axes [B, N]."""
    with torch.no_grad():
        apart = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = apart.topk(count + 1, largest=False).indices[..., 1:]  # the first is the point itself
    there = points[torch.arange(len(points), device=points.device)[:, None, None], nearest]
    return (points[:, :, None] - there).square().mean(dim=(2, 3))


def center_offset(points: Tensor) -> Tensor:
    """points [B, N, 3] -> squared distance of their mean from 0, mean over batch and axes []."""
    return points.mean(dim=1).square().mean()
