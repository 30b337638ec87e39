"""Kernel distance between two sets of features, unbiased and therefore fit for few pictures (Binkowski et al. 2018)."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.feature_sets import matched
from genscene.metrics.spread import Spread


def kid(fake: Tensor, real: Tensor, subsets: int = 100, size: int = 1000, seed: int = 2020) -> Spread:
    """Features [N, D], [M, D] -> squared maximum mean discrepancy on random subsets of equal size.

    Its mean is slightly below 0 at times; tables often print it times 100. Subsets as large as a set are all that set:
    they have no deviation, and where they are as large as both, one is all there is.
    """
    matched("kernel distance", fake, real, 2)
    if subsets < 1 or size < 2:
        raise BadInput(
            f"kernel distance of {subsets} subsets of {size} features, wanted at least 1 of at least 2"
        )
    size, most = min(size, len(fake), len(real)), max(len(fake), len(real))
    drawn = draw(len(fake), len(real), 1 if size == most else subsets, size, seed)
    # numbers, not tensors: small ones kept between large ones that are freed would tear holes into memory
    each = [float(discrepancy(fake[one], real[other])) for one, other in drawn]
    return Spread(torch.tensor(each, dtype=torch.float64), size == min(len(fake), len(real)))


def draw(fakes: int, reals: int, subsets: int, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows [size] of the one and of the other set, each subset without repeats, as torch-fidelity draws them."""
    stream = np.random.RandomState(seed)
    for _ in range(subsets):
        one, other = (stream.choice(count, size, replace=False) for count in (fakes, reals))
        yield torch.from_numpy(one), torch.from_numpy(other)


def discrepancy(x: Tensor, y: Tensor, unbiased: bool = True) -> Tensor:
    """Squared maximum mean discrepancy of features [N, D], [M, D] (Gretton et al. 2012, sec. 2.2)."""
    x, y = x.double(), y.double()
    return _mean_within(x, unbiased) + _mean_within(y, unbiased) - 2 * kernel(x, y).mean()


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x y / D + 1)^3 of features [N, D], [M, D] -> [N, M] (Binkowski et al. 2018, sec. 4)."""
    return (x @ y.mT / x.shape[-1] + 1) ** 3


def _mean_within(x: Tensor, unbiased: bool) -> Tensor:
    """Mean kernel of features [N, D] among themselves, of each with itself only if biased."""
    products = kernel(x, x)
    if not unbiased:
        return products.mean()
    count = len(products)
    return (products.sum() - products.trace()) / (count * (count - 1))
