"""Features that need no weights: fixed random convolutions at several scales, and where the colours lie."""

import hashlib

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d, interpolate, pad

from genscene.errors import BadInput
from genscene.metrics.extractor import Extractor

SCALES = 4  # each half as fine as the one before
FILTERS, SECOND = 24, 8  # of the first convolution, 3 x 3, and of the second, 4 x 4 at every other pixel
CELLS = 4  # a side: colours and detail are also averaged in so many cells
SMALLEST, LARGEST = 16, 128  # pixels a side
WIDTH = SCALES * (2 * FILTERS + 2 * SECOND + CELLS**2) + 3 * CELLS**2

# What a picture is taken for where a scale is needed: a Markov field (Jain 1989) of usual contrast
CONTRAST = 0.25  # standard deviation of a channel in [0, 1]
NEAR = 0.95  # correlation of neighbours
COLOR = 0.9  # correlation of red, green and blue
TAME = 0.25  # an answer x counts as log(1 + TAME |x|)
USUAL, SPREAD = (
    0.17445,
    0.12024,
)  # mean and deviation of that for normal x of variance 1: an answer to such a field
FINE = 0.25  # of this power of the inverse covariance: 0 leaves filters as drawn, 1/2 would whiten the field
LOWEST = 1e-4  # added to variances: the root of nothing would tell rounding from rounding

# Rows: brightness, red against green, blue against both; unit vectors, the principal axes of correlated channels
OPPONENT = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, -(2**-0.5), 0.0), (-(6**-0.5), -(6**-0.5), 2 * 6**-0.5))
VARIANCES = (1 + 2 * COLOR, 1 - COLOR, 1 - COLOR)  # along these axes, in units of a channel's


class RandomConvolutions(nn.Module):
    """Two layers of random filters without a mean, so that they answer to detail alone, the same at every scale."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        first, second = drawn(seed)
        gain = np.sqrt(VARIANCES)[:, None] * CONTRAST
        self.register_buffer("colors", torch.from_numpy(np.array(OPPONENT) / gain).float()[:, :, None, None])
        self.register_buffer("first", torch.from_numpy(TAME * sharpened(first)).float())
        second = second - second.mean((1, 2, 3), keepdims=True)
        self.register_buffer("second", torch.from_numpy(TAME * _unit(second) / SPREAD).float())

    def forward(self, images: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in bytes -> features [B, WIDTH]."""
        x = fitted(images.float() / 255 - 0.5)
        x = conv2d(x, self.get_buffer("colors"))
        found = [adaptive_avg_pool2d(x, CELLS).flatten(1)]
        for scale in range(SCALES):
            if scale:
                x = avg_pool2d(x, 2)
            found += self._seen(x)
        return torch.cat(found, dim=1)

    def _seen(self, x: Tensor) -> list[Tensor]:
        """One scale [B, 3, H, W]: mean and deviation of what both layers answer, and where the detail lies."""
        detail = _answer(x, self.get_buffer("first"))
        pattern = _answer(detail, self.get_buffer("second"), stride=2)
        where = adaptive_avg_pool2d(detail.mean(dim=1, keepdim=True), CELLS).flatten(1)
        return [*_pooled(detail), *_pooled(pattern), (where - USUAL) / SPREAD]


def random_features(seed: int = 0) -> Extractor:
    """Features 368 wide by filters of a seed, in numbers about 1; good for comparing one's own sets, by no network.

    The filters are NumPy's uniform stream, which is frozen (torch's is not) and asks no library for logarithms: the
    same on all machines. `weights` has a hash of them and of the constants above.
    """
    return Extractor(
        name="random-convolutions-1",
        weights=f"seed {seed}, {fingerprint(seed)}",
        layer=f"mean and deviation of 2 layers at {SCALES} scales, {CELLS}x{CELLS} cells of colour and detail",
        width=WIDTH,
        resize=f"sides above {LARGEST} averaged over areas down to {LARGEST}, others as they are",
        look=RandomConvolutions(seed).eval(),
        remark="random filters: sees colours, layout, sharpness and texture, knows no things",
    )


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform numbers in [-1, 1), float64: filters [FILTERS, 3, 3, 3] and [SECOND, FILTERS, 4, 4]."""
    stream = np.random.RandomState(seed)
    first, second = (stream.random_sample(shape) for shape in ((FILTERS, 3, 3, 3), (SECOND, FILTERS, 4, 4)))
    return 2 * first - 1, 2 * second - 1


def fingerprint(seed: int) -> str:
    """Twelve hexadecimal digits of SHA-256 over what is drawn and over the constants of the design."""
    sizes, field = (SCALES, FILTERS, SECOND, CELLS, LARGEST), (CONTRAST, NEAR, COLOR)
    constants = (*sizes, *field, TAME, USUAL, SPREAD, FINE, LOWEST)
    digest = hashlib.sha256(repr(constants).encode())
    for filters in drawn(seed):
        digest.update(filters.astype("<f8").tobytes())
    return digest.hexdigest()[:12]


def fitted(images: Tensor) -> Tensor:
    """Pictures [B, 3, H, W], sides above LARGEST averaged over areas down to it; BadInput for sides below SMALLEST."""
    if min(images.shape[-2:]) < SMALLEST:
        size = "x".join(map(str, images.shape[-2:]))
        raise BadInput(f"random features of pictures of {size} pixels, wanted sides of at least {SMALLEST}")
    height, width = (min(side, LARGEST) for side in images.shape[-2:])
    return (
        images if images.shape[-2:] == (height, width) else interpolate(images, (height, width), mode="area")
    )


def sharpened(filters: np.ndarray) -> np.ndarray:
    """Filters [N, 3, 3, 3] of uncorrelated colours -> without a mean, and of variance 1 where they see the field.

    As drawn they answer to what is coarse, of which there is more; half whitened, they see noise and blur, too.
    """
    place = np.arange(3)
    line = NEAR ** np.abs(place[:, None] - place)
    covariance = np.kron(line, line)  # of 3 x 3 pixels, row by row
    values, axes = np.linalg.eigh(covariance)
    flat = filters.reshape(-1, 3, 9) @ (axes * values**-FINE) @ axes.T
    flat = flat - flat.mean(2, keepdims=True)
    variance = np.einsum("nci,ij,ncj->n", flat, covariance, flat)
    return (flat / np.sqrt(variance)[:, None, None]).reshape(filters.shape)


def _unit(filters: np.ndarray) -> np.ndarray:
    """Filters [N, C, K, K] of length 1: of variance 1 where all that they see is uncorrelated, of variance 1."""
    return filters / np.sqrt(np.square(filters).sum((1, 2, 3), keepdims=True))


def _answer(x: Tensor, filters: Tensor, stride: int = 1) -> Tensor:
    """How much is seen of each filter, of either sign, large answers tamed: [B, C, H, W] -> [B, N, H', W']."""
    return conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), filters, stride=stride).abs_().log1p_()


def _pooled(x: Tensor) -> tuple[Tensor, Tensor]:
    """Answers [B, C, H, W] -> mean and deviation over space, [B, C] each, in units of what is usual."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    deviation = ((x - mean).square_().mean(dim=(2, 3)) + LOWEST).sqrt()
    return (mean.flatten(1) - USUAL) / SPREAD, deviation / SPREAD
