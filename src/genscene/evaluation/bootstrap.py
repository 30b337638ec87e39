"""How far numbers estimated from samples can be trusted: the samples are drawn again from themselves (Efron 1979)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from genscene.errors import BadInput
from genscene.metrics.frechet import Moments, frechet_distance
from genscene.metrics.kernel import polynomial_kernel
from genscene.metrics.precision_recall import neighbor_radii, pairwise_distances
from genscene.randomness import derive_seed

ROWS = 2048  # of features held at once beside the sets themselves
SHARE = 0.95
FEW = 200  # resamples; fewer say more by their spread than by the outermost of them
REALS = 0  # stream of the reals; sets of N fakes have stream N


@dataclass(frozen=True)
class Interval:
    """From where to where a number may lie."""

    low: float
    high: float


@dataclass(frozen=True)
class Resampled:
    """Numbers of G generators, and the same numbers of sets drawn again, all generators against the same reals."""

    estimate: Tensor  # [G], of the sets as they are
    each: Tensor  # [G, resamples]

    def interval(self, one: int, share: float = SHARE) -> Interval:
        """Where the number of one generator lies, as `centred` says."""
        return centred(float(self.estimate[one]), self.each[one], share)

    def limit(self, one: int, share: float = SHARE) -> Interval:
        """Where the number of one generator would lie with pictures without end, as `basic` says."""
        return basic(float(self.estimate[one]), self.each[one], share)

    def difference(self, one: int, other: int, share: float = SHARE) -> Interval:
        """Where one generator's number minus another's lies: paired, so what the reals do to both cancels."""
        apart = self.estimate[one] - self.estimate[other]
        return centred(float(apart), self.each[one] - self.each[other], share)


def basic(estimate: float, each: Tensor, share: float = SHARE) -> Interval:
    """The basic interval, 2 estimate - quantiles of resamples [R] (Davison & Hinkley 1997, eq. 5.6).

    Resampling biases a Frechet distance upwards about as much as N pictures do against pictures without end. This takes
    that bias off once: it is an interval of the distance of the two laws, lies lower than the estimate, and need not
    hold it. It wants N far above the width of the features: the bias of the bias is left.
    """
    low, high = _ends(each, share)
    return Interval(2 * estimate - high, 2 * estimate - low)


def centred(estimate: float, each: Tensor, share: float = SHARE) -> Interval:
    """The basic interval of resamples [R] moved so that their mean lies on the estimate.

    It is an interval of what sets of the same sizes give on average, the bias of N pictures included: what a number
    named after N means, and what may stand beside it. Of means it holds that average about as often as its share says;
    the number of one other set, which strays as well, 0.84 times where the share is 0.95. It says nothing of pictures
    without end, nor of a generator trained again from another seed.
    """
    low, high = _ends(each - each.mean(), share)
    return Interval(estimate - high, estimate - low)


def better(difference: Interval) -> bool:
    """Whether an interval of a paired difference excludes 0: that one is better than the other is more than chance."""
    return difference.low > 0 or difference.high < 0


def bootstrap(statistic: Callable[[Tensor], float], rows: int, resamples: int, seed: int) -> Tensor:
    """A number of how often each of N rows counts (int64 [N], adding up to N) -> it of every resample [resamples]."""
    return torch.tensor([statistic(often) for often in counts(rows, resamples, seed)], dtype=torch.float64)


def counts(rows: int, resamples: int, seed: int) -> Iterator[Tensor]:
    """How often each of N rows is drawn when N are drawn with replacement: int64 [N], so many times."""
    stream = torch.Generator().manual_seed(derive_seed(seed))
    for _ in range(resamples):
        yield torch.bincount(torch.randint(rows, (rows,), generator=stream), minlength=rows)


def frechet_resamples(fakes: Sequence[Tensor], real: Tensor, resamples: int, seed: int) -> Resampled:
    """Features [N, D] of every generator, [M, D] of the reals -> Frechet distances, in float64.

    Sets of equal size are drawn by the same rows, so that fakes of the same latents stay pairs.
    """
    _checked(fakes, real)
    whole = Moments.of(real)
    estimate = [frechet_distance(whole, Moments.of(fake)) for fake in fakes]
    each = []
    for often, drawn in _paired([len(fake) for fake in fakes], len(real), resamples, seed):
        reals = weighted_moments(real, often)
        each.append([frechet_distance(reals, weighted_moments(fake, drawn[len(fake)])) for fake in fakes])
    return Resampled(_wide(estimate), _wide(each).mT)


def weighted_moments(features: Tensor, often: Tensor) -> Moments:
    """Features [N, D], each counted so often (int64 [N]) -> the moments of all, as if they were written out."""
    chosen, total = often.nonzero()[:, 0], int(often.sum())
    origin = features[: min(ROWS, len(features))].double().mean(dim=0)  # near the mean: squares stay small
    sums, scatter = torch.zeros_like(origin), torch.zeros(len(origin), len(origin), dtype=torch.float64)
    for part in chosen.split(ROWS):
        off, weight = features[part].double() - origin, often[part].double()[:, None]
        sums += (off * weight).sum(dim=0)
        off *= weight.sqrt()
        scatter.addmm_(off.mT, off)
    shift = sums / total
    return Moments(origin + shift, (scatter - total * torch.outer(shift, shift)) / (total - 1))


def kernel_resamples(fakes: Sequence[Tensor], real: Tensor, resamples: int, seed: int) -> Resampled:
    """Features [N, D] of every generator, [M, D] of the reals -> squared maximum mean discrepancies of whole sets.

    A row drawn twice would be a pair with itself and bias the discrepancy upwards: such pairs are left out, as the
    estimate without bias leaves out each row's own (Gretton et al. 2012, eq. 3). Every product of features is taken
    once, for all resamples.
    """
    _checked(fakes, real)
    drawn = list(_paired([len(fake) for fake in fakes], len(real), resamples, seed))
    reals = _weights([often for often, _ in drawn], len(real))
    among = _within(real, reals)
    found = []
    for fake in fakes:
        weights = _weights([others[len(fake)] for _, others in drawn], len(fake))
        across = _sums(fake, real, weights, reals) / (len(fake) * len(real))
        found.append(_within(fake, weights) + among - 2 * across)
    every = torch.stack(found)
    return Resampled(every[:, 0], every[:, 1:])


def mean_resamples(values: Sequence[Tensor], resamples: int, seed: int) -> Resampled:
    """Values [N] of every generator, one for each picture -> their means; sets of equal size by the same rows.

    For whatever is a mean over pictures: PSNR of photographs, or 0 and 1 of `inside` and `reached`.
    """
    lengths = [len(each) for each in values]
    if not lengths or min(lengths) < 1:
        raise BadInput(f"means of {lengths} values, wanted at least one generator and one value of each")
    wide = [each.double() for each in values]
    drawn = (others for _, others in _paired(lengths, 1, resamples, seed))
    each = [[float(others[len(x)].double() @ x) / len(x) for x in wide] for others in drawn]
    return Resampled(_wide([float(x.mean()) for x in wide]), _wide(each).mT)


def indicators(fake: Tensor, real: Tensor, neighbours: int = 3) -> tuple[Tensor, Tensor]:
    """Features [N, D], [M, D] -> whether each fake lies in a ball of a real [N], and each real in one of a fake [M].

    Their means are precision and recall (Kynkaanniemi et al. 2019, eq. 2). Resampled, they tell of the pictures that
    are counted; the balls stay, and with them what other sets would do to the balls.
    """
    balls, others = neighbor_radii(real, neighbours), neighbor_radii(fake, neighbours)
    inside, reached = [], torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows, apart in pairwise_distances(fake, real):
        inside.append((apart <= balls).any(dim=1))
        reached |= (apart <= others[rows, None]).any(dim=0)
    return torch.cat(inside), reached


def student(share: float, freedom: int) -> float:
    """How many deviations to both sides hold a share of Student's t (Abramowitz & Stegun 1964, eq. 26.7.5)."""
    z = NormalDist().inv_cdf((1 + share) / 2)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def _ends(each: Tensor, share: float) -> tuple[float, float]:
    """Where a share of R resamples lies: by their spread where they are few, else the (R + 1) a-th from both ends."""
    tail = (1 - share) / 2
    if not 0 < share < 1 or (len(each) + 1) * tail < 1 - 1e-9:
        least = "" if not 0 < share < 1 else f" and at least {round(1 / tail) - 1} resamples for it"
        raise BadInput(
            f"an interval of share {share:g} from {len(each)} resamples, wanted a share in (0, 1){least}"
        )
    if len(each) < FEW:
        middle, half = float(each.double().mean()), student(share, len(each) - 1) * float(each.double().std())
        return middle - half, middle + half
    place = max(0.0, ((len(each) + 1) * tail - 1) / (len(each) - 1))
    low, high = each.double().quantile(each.new_tensor([place, 1 - place], dtype=torch.float64)).tolist()
    return low, high


def _paired(
    lengths: list[int], reals: int, resamples: int, seed: int
) -> Iterator[tuple[Tensor, dict[int, Tensor]]]:
    """Counts of the reals [M], and counts [N] for every size there is of a set of fakes, so many times."""
    streams = {length: counts(length, resamples, derive_seed(seed, length)) for length in set(lengths)}
    for often in counts(reals, resamples, derive_seed(seed, REALS)):
        yield often, {length: next(stream) for length, stream in streams.items()}


def _weights(drawn: list[Tensor], rows: int) -> Tensor:
    """The set as it is, then every resample: counts [N, 1 + R] in float64."""
    return torch.stack([torch.ones(rows, dtype=torch.int64), *drawn], dim=1).double()


def _within(x: Tensor, weights: Tensor) -> Tensor:
    """Mean kernel of features [N, D] among themselves without any row's own, by each of weights [N, R] -> [R]."""
    return _sums(x, x, weights, weights, own=False) / (
        weights.sum(dim=0).square() - weights.square().sum(dim=0)
    )


def _sums(x: Tensor, y: Tensor, left: Tensor, right: Tensor, own: bool = True) -> Tensor:
    """Sums of the kernel of features [N, D], [M, D] by weights [N, R], [M, R] -> [R]; the diagonal only with own."""
    total, columns = torch.zeros(left.shape[1], dtype=torch.float64), y.double()
    for start in range(0, len(x), ROWS):
        products = polynomial_kernel(x[start : start + ROWS].double(), columns)
        if not own:
            products.diagonal(offset=start).zero_()
        total += (left[start : start + ROWS] * (products @ right)).sum(dim=0)
    return total


def _wide(numbers: list[float] | list[list[float]]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def _checked(fakes: Sequence[Tensor], real: Tensor) -> None:
    """Refuse what is no sets of features of one width."""
    shapes = [tuple(x.shape) for x in (*fakes, real)]
    if not fakes or any(len(s) != 2 or s[0] < 2 or s[1] != shapes[-1][-1] for s in shapes):
        raise BadInput(f"sets of features of shapes {shapes}, wanted [N, D] with one D and N at least 2")
