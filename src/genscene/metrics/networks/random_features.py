"""Features without trained weights: fixed random convolutions at several scales, and colors of cells."""

import hashlib

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d, interpolate, pad

from genscene.errors import BadInput
from genscene.metrics.networks.extractor import Extractor

SCALES = 4  # each of half the resolution of the one before
FILTERS, SECOND = 24, 8  # of the first convolution, 3 x 3, and of the second, 4 x 4 with stride 2
CELLS = 4  # a side: colors and responses are also averaged in so many cells
SMALLEST, LARGEST = 16, 128  # pixels a side
WIDTH = SCALES * (2 * FILTERS + 2 * SECOND + CELLS**2) + 3 * CELLS**2

# The model of an image that sets the scales: a Markov field (Jain 1989) of usual contrast
CONTRAST = 0.25  # standard deviation of a channel in [0, 1]
NEAR = 0.95  # correlation of adjacent pixels
COLOR = 0.9  # correlation of red, green and blue
TAME = 0.25  # a response x is compressed to log(1 + TAME |x|)
USUAL, SPREAD = 0.17445, 0.12024  # mean and deviation of that for normal x of variance 1, as of the model
FINE = 0.25  # power of the inverse covariance: 0 leaves filters as sampled, 1/2 would whiten the model
LOWEST = 1e-4  # added to variances: the root of a variance near 0 would amplify rounding

# Rows: brightness, red against green, blue against both; the principal axes of correlated channels
OPPONENT = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, -(2**-0.5), 0.0), (-(6**-0.5), -(6**-0.5), 2 * 6**-0.5))
VARIANCES = (1 + 2 * COLOR, 1 - COLOR, 1 - COLOR)  # along these axes, in units of a channel's


class RandomConvolutions(nn.Module):
    """Two layers of random filters of mean 0, applied at every scale."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        first, second = sample_filters(seed)
        gain = np.sqrt(VARIANCES)[:, None] * CONTRAST
        second = second - second.mean((1, 2, 3), keepdims=True)
        second = second / np.sqrt(np.square(second).sum((1, 2, 3), keepdims=True))  # responses of variance 1
        self.register_buffer("colors", torch.from_numpy(np.array(OPPONENT) / gain).float()[:, :, None, None])
        self.register_buffer("first", torch.from_numpy(TAME * whiten_filters(first)).float())
        self.register_buffer("second", torch.from_numpy(TAME * second / SPREAD).float())

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 [B, 3, H, W] -> features [B, WIDTH]; sides above LARGEST are averaged first."""
        size = [min(side, LARGEST) for side in images.shape[-2:]]
        if min(size) < SMALLEST:
            got = "x".join(map(str, images.shape[-2:]))
            raise BadInput(f"random features: images of {got} pixels, wanted sides of at least {SMALLEST}")
        x = images.float() / 255 - 0.5
        x = x if list(x.shape[-2:]) == size else interpolate(x, size, mode="area")
        x = conv2d(x, self.get_buffer("colors"))
        features = [adaptive_avg_pool2d(x, CELLS).flatten(1)]
        for scale in range(SCALES):
            x = avg_pool2d(x, 2) if scale else x
            first = _respond(x, self.get_buffer("first"))
            second = _respond(first, self.get_buffer("second"), stride=2)
            cells = adaptive_avg_pool2d(first.mean(dim=1, keepdim=True), CELLS).flatten(1)
            features += [*_statistics(first), *_statistics(second), (cells - USUAL) / SPREAD]
        return torch.cat(features, dim=1)


def random_features(seed: int = 0) -> Extractor:
    """Extractor of 368 numbers near 1 by random filters, for comparing sets without a trained network."""
    layer = f"mean and deviation of 2 layers at {SCALES} scales, {CELLS}x{CELLS} cells of colour and detail"
    resize = f"sides above {LARGEST} averaged over areas down to {LARGEST}, others as they are"
    remark = "random filters: respond to colors, layout, sharpness and texture, not to objects"
    weights, network = f"seed {seed}, {fingerprint(seed)}", RandomConvolutions(seed).eval()
    return Extractor("random-convolutions-1", weights, layer, WIDTH, resize, network, remark=remark)


def sample_filters(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform numbers in [-1, 1), float64: filters [FILTERS, 3, 3, 3] and [SECOND, FILTERS, 4, 4]."""
    stream = np.random.RandomState(seed)  # frozen, unlike torch's: the same numbers on all machines
    first, second = (stream.random_sample(shape) for shape in ((FILTERS, 3, 3, 3), (SECOND, FILTERS, 4, 4)))
    return 2 * first - 1, 2 * second - 1


def fingerprint(seed: int) -> str:
    """Twelve hexadecimal digits of SHA-256 over the filters and the constants."""
    sizes, field = (SCALES, FILTERS, SECOND, CELLS, LARGEST), (CONTRAST, NEAR, COLOR)
    digest = hashlib.sha256(repr((*sizes, *field, TAME, USUAL, SPREAD, FINE, LOWEST)).encode())
    for filters in sample_filters(seed):
        digest.update(filters.astype("<f8").tobytes())
    return digest.hexdigest()[:12]


def whiten_filters(filters: np.ndarray) -> np.ndarray:
    """Filters [N, 3, 3, 3] -> of mean 0, responses to the model of variance 1, to fine detail as well."""
    place = np.arange(3)
    line = NEAR ** np.abs(place[:, None] - place)
    covariance = np.kron(line, line)  # of 3 x 3 pixels, row by row
    values, axes = np.linalg.eigh(covariance)
    flat = filters.reshape(-1, 3, 9) @ (axes * values**-FINE) @ axes.T
    flat = flat - flat.mean(2, keepdims=True)
    variance = np.einsum("nci,ij,ncj->n", flat, covariance, flat)
    return (flat / np.sqrt(variance)[:, None, None]).reshape(filters.shape)


def _respond(x: Tensor, filters: Tensor, stride: int = 1) -> Tensor:
    """Compressed magnitudes of a convolution: [B, C, H, W] -> [B, N, H', W']."""
    return conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), filters, stride=stride).abs_().log1p_()


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Responses [B, C, H, W] -> mean and deviation over space [B, C], in units of the model's."""
    mean = x.mean(dim=(2, 3), keepdim=True)
    deviation = ((x - mean).square_().mean(dim=(2, 3)) + LOWEST).sqrt()
    return (mean.flatten(1) - USUAL) / SPREAD, deviation / SPREAD
