"""Inception score (Salimans et al. 2016, sec. 4), by default of parts shuffled as in torch-fidelity."""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.subsets import SubsetEstimate


def inception_score(logits: Tensor, parts: int = 10, seed: int | None = 2020) -> SubsetEstimate:
    """Class logits [N, K], by convention without bias -> exp of the mean KL divergence from their mean."""
    count, scores = len(logits), []
    if not 1 <= parts <= count:
        raise BadInput(f"inception score of {count} images in {parts} parts, wanted 1 to {count} parts")
    order = np.arange(count) if seed is None else np.random.RandomState(seed).permutation(count)
    log_p = logits.double().log_softmax(dim=-1)[torch.from_numpy(order).to(logits.device)]
    for start, end in pairwise(i * count // parts for i in range(parts + 1)):
        part = log_p[start:end]
        divergence = part - (part.logsumexp(dim=0) - math.log(len(part)))
        scores.append((part.exp() * divergence).sum(dim=-1).mean().exp())
    return SubsetEstimate(torch.stack(scores))
