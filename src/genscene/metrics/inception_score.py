"""Inception score: each picture is of one thing, all together are of many (Salimans et al. 2016)."""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.spread import Spread


def inception_score(logits: Tensor, parts: int = 10, seed: int = 2020) -> Spread:
    """Logits [N, K], without bias by custom -> exp of the mean divergence from the mean (sec. 4), in parts of N."""
    count = len(logits)
    if count < parts:
        raise BadInput(f"inception score of {count} pictures in {parts} parts")
    order = torch.from_numpy(np.random.RandomState(seed).permutation(count))
    logs = logits.double().log_softmax(dim=-1)[order.to(logits.device)]
    ends = [i * count // parts for i in range(parts + 1)]
    return Spread(torch.stack([_of(logs[a:b]) for a, b in pairwise(ends)]))


def _of(logs: Tensor) -> Tensor:
    """Logarithms of shares [N, K] -> the score of one part []."""
    together = logs.logsumexp(dim=0) - math.log(len(logs))
    return (logs.exp() * (logs - together)).sum(dim=-1).mean().exp()
