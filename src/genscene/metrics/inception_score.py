"""Inception score (Salimans et al. 2016, sec. 4)."""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.subsets import SubsetEstimate


def inception_score(logits: Tensor, parts: int = 10, seed: int | None = 2020) -> SubsetEstimate:
    """Class logits [N, K], without bias by convention -> exp of the mean KL divergence from the mean.

    Estimated on parts of the images, shuffled by `seed` as in torch-fidelity; None: in their order.
    """
    count = len(logits)
    if not 1 <= parts <= count:
        raise BadInput(f"inception score of {count} images in {parts} parts, wanted 1 to {count} parts")
    order = np.arange(count) if seed is None else np.random.RandomState(seed).permutation(count)
    log_p = logits.double().log_softmax(dim=-1)[torch.from_numpy(order).to(logits.device)]
    ends = [i * count // parts for i in range(parts + 1)]
    return SubsetEstimate(torch.stack([_score(log_p[a:b]) for a, b in pairwise(ends)]))


def _score(log_p: Tensor) -> Tensor:
    """Log-probabilities [N, K] -> score []."""
    log_mean = log_p.logsumexp(dim=0) - math.log(len(log_p))
    return (log_p.exp() * (log_p - log_mean)).sum(dim=-1).mean().exp()
