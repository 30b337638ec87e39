"""Which real picture each generated one is closest to, and whether a generator repeats what it was shown."""

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.manifold import distances

COLUMNS = 8192  # reals whose distances are held at once; manifold.ROWS says of how many fakes
RARE = 0.01  # of unseen pictures, those that happen to lie closest to a real


def nearest(fake: Tensor, real: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Features [M, D], [N, D] -> of each fake the k nearest reals, nearest first: rows int64 [M, k], distances [M, k].

    Distances are float64 and taken from the differences, so that of a copy is 0.
    """
    if fake.dim() != 2 or real.dim() != 2 or fake.shape[1] != real.shape[1] or not len(fake):
        shapes = f"{list(fake.shape)} among {list(real.shape)}"
        raise BadInput(f"neighbours of features {shapes}, wanted [M, D] among [N, D], M at least 1")
    if not 1 <= k <= len(real):
        raise BadInput(f"{k} neighbours among {len(real)} features, wanted 1 to {len(real)}")
    index = torch.empty(len(fake), 0, dtype=torch.int64, device=fake.device)
    apart = torch.empty(len(fake), 0, dtype=torch.float64, device=fake.device)
    for start in range(0, len(real), COLUMNS):
        part = real[start : start + COLUMNS]
        found = [d.topk(min(k, len(part)), largest=False).indices for _, d in distances(fake, part)]
        rows = torch.cat(found)
        index = torch.cat([index, rows + start], dim=1)
        apart = torch.cat([apart, _apart(fake, part, rows)], dim=1)
        apart, order = apart.sort(dim=1, stable=True)
        apart, index = apart[:, :k], index.gather(1, order)[:, :k]
    return index, apart


def memorised(fake: Tensor, real: Tensor, held: Tensor | None = None, rare: float = RARE) -> float:
    """Share of fakes [M, D] as close to their nearest real [N, D] as only 1 % of unseen pictures held [H, D] are.

    About 0.01 is what a generator gives that has learnt the law of the pictures: so much is chance. Many times that is
    copying, of as much of a picture as the features see. Near 0 is no merit: the fakes lie farther from the reals than
    photographs do. Without held pictures the measure is how close reals are to each other, which hides copies where a
    set repeats itself (frames of one film).
    """
    near = nearest(real, real, 2)[1][:, 1] if held is None else nearest(held, real)[1][:, 0]
    if len(near) * rare < 1:
        raise BadInput(
            f"{len(near)} unseen pictures, wanted {round(1 / rare)} to know the closest {rare:g} of them"
        )
    # the measure is one of the distances, and `<=`: copies count even where reals repeat each other exactly
    measure = near.sort().values[int(len(near) * rare) - 1]
    return float((nearest(fake, real)[1][:, 0] <= measure).double().mean())


def _apart(fake: Tensor, real: Tensor, rows: Tensor) -> Tensor:
    """Exact distances of features [M, D] to some rows int64 [M, k] of [N, D] -> [M, k] in float64."""
    columns = [
        torch.linalg.vector_norm(fake.double() - real[column].double(), dim=1) for column in rows.unbind(1)
    ]
    return torch.stack(columns, dim=1)
