"""Kernel distances of two sets of features: KID (Binkowski et al. 2018), CMMD (Jayasumana et al. 2024)."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.subsets import SubsetEstimate, check_feature_sets

Kernel = Callable[[Tensor, Tensor], Tensor]  # features [N, D], [M, D] -> [N, M]
CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0
ROWS = 2048  # of either set per block of CMMD's kernel matrix


def polynomial_kernel(
    x: Tensor, y: Tensor, degree: float = 3, gamma: float | None = None, coef0: float = 1
) -> Tensor:
    """Features [N, D], [M, D] -> (gamma x y + coef0)^degree [N, M] (KID, sec. 4); gamma None: 1 / D."""
    products = x @ y.mT
    return ((products / x.shape[-1] if gamma is None else gamma * products) + coef0) ** degree


def mmd(x: Tensor, y: Tensor, unbiased: bool = True, kernel: Kernel = polynomial_kernel) -> Tensor:
    """Features [N, D], [M, D] -> squared maximum mean discrepancy [] (Gretton et al. 2012, sec. 2.2)."""
    x, y, within = x.double(), y.double(), []
    for z in (x, y):
        values, pairs = kernel(z, z), len(z) * (len(z) - 1)
        within.append((values.sum() - values.trace()) / pairs if unbiased else values.mean())
    return within[0] + within[1] - 2 * kernel(x, y).mean()


def kernel_distance(
    fake: Tensor,
    real: Tensor,
    subsets: int = 100,
    size: int = 1000,
    seed: int = 2020,
    estimator: Callable[[Tensor, Tensor], Tensor] = mmd,  # features [N, D], [M, D] -> distance []
) -> SubsetEstimate:
    """Features [N, D], [M, D] -> squared MMD of random subsets, or of both sets if these are no larger."""
    check_feature_sets("kernel distance", fake, real, 2)
    if subsets < 1 or size < 2:
        raise BadInput(f"kernel distance of {subsets} subsets of {size}, wanted at least 1 of at least 2")
    smaller, larger = sorted((len(fake), len(real)))
    size = min(size, smaller)
    rows = sample_subsets(len(fake), len(real), 1 if size == larger else subsets, size, seed)
    # floats: small tensors that outlive the large ones between them would fragment the memory
    estimates = [float(estimator(fake[i], real[j])) for i, j in rows]
    return SubsetEstimate(torch.tensor(estimates, dtype=torch.float64), size == smaller)


def sample_subsets(fakes: int, reals: int, subsets: int, size: int, seed: int) -> Iterator[list[Tensor]]:
    """Rows [size] of either set, without repeats in a subset, in torch-fidelity's order of random numbers."""
    stream = np.random.RandomState(seed)
    for _ in range(subsets):
        yield [torch.from_numpy(stream.choice(count, size, replace=False)) for count in (fakes, reals)]


def cmmd(fake: Tensor, real: Tensor) -> float:
    """CLIP embeddings [N, D], [M, D] of length 1 -> biased squared MMD by a Gaussian of sigma 10, x 1000."""
    check_feature_sets("CMMD", fake, real)
    fakes, reals, across = (_gaussian_mean(*pair) for pair in ((fake, fake), (real, real), (fake, real)))
    return CMMD_SCALE * (fakes + reals - 2 * across)


def _gaussian_mean(a: Tensor, b: Tensor) -> float:
    """Mean of exp(-|x - y|^2 / (2 sigma^2)) - 1 of all pairs; the 1, which cancels, would cost digits."""
    total = torch.zeros((), dtype=torch.float64, device=a.device)
    for i, x in enumerate(a.split(ROWS)):
        for j, y in enumerate(b.split(ROWS)):
            if a is b and j < i:
                continue  # symmetric: counted twice below
            x, y = x.double(), y.double()
            squares = (x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * x @ y.mT).clamp_min_(0)
            block = squares.mul_(-1 / (2 * CMMD_SIGMA**2)).expm1_().sum()
            total += 2 * block if a is b and i < j else block
    return float(total) / (len(a) * len(b))
