"""Numbers as the small whole numbers that compressed files of Gaussians hold."""

import numpy as np

ITERATIONS = 50  # of k-means in one dimension
VECTOR_ITERATIONS, SAMPLED, CHUNK = 5, 65_536, 4096  # of vectors; those it is computed from; compared at once


def codebook(values: np.ndarray, size: int = 256) -> np.ndarray:
    """Numbers [...] -> the ascending centers [size] of k-means in one dimension (Lloyd 1982)."""
    ordered = np.sort(values, axis=None).astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    # half of the first centers by rank, half by value, so that a few large numbers have centers of their own
    ranks = np.quantile(ordered, np.linspace(0, 1, size - size // 2))
    centers = np.sort(np.concatenate([ranks, np.linspace(ordered[0], ordered[-1], size // 2)]))
    for _ in range(ITERATIONS):
        ends = np.searchsorted(ordered, (centers[1:] + centers[:-1]) / 2)
        ends = np.concatenate([[0], ends, [len(ordered)]])
        counts = np.diff(ends)
        centers = np.where(counts > 0, np.diff(sums[ends]) / np.maximum(counts, 1), centers)
    return np.sort(centers)


def nearest(values: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Numbers [...] -> the numbers of the nearest of ascending centers [K <= 256], uint8 [...]."""
    return np.searchsorted((centers[1:] + centers[:-1]) / 2, values).astype(np.uint8)


def palette(vectors: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [N, D] -> at most `size` centers [K, D] by k-means, and the number of each one's nearest [N].

    The centers are exact where there are no more vectors. The means are those of at most `SAMPLED` vectors.
    """
    centers = evenly(vectors, size).astype(np.float32)
    if len(vectors) <= size:
        return centers, np.arange(len(vectors))
    chosen = evenly(vectors, SAMPLED)
    for _ in range(VECTOR_ITERATIONS):
        labels = nearest_vectors(chosen, centers)
        counts = np.bincount(labels, minlength=size)
        sums = np.stack([np.bincount(labels, column, size) for column in chosen.T], axis=-1)
        centers = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
        centers = centers.astype(np.float32)
    return centers, nearest_vectors(vectors, centers)


def evenly(vectors: np.ndarray, most: int) -> np.ndarray:
    """At most so many of vectors [N, D], evenly spaced."""
    return vectors[np.linspace(0, len(vectors) - 1, min(most, len(vectors))).astype(int)]


def nearest_vectors(vectors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Vectors [N, D] -> the numbers of the nearest centers [K, D] -> [N]."""
    half = 0.5 * np.square(centers).sum(axis=-1)
    parts = [vectors[start : start + CHUNK] for start in range(0, len(vectors), CHUNK)]
    return np.concatenate([(part @ centers.T - half).argmax(axis=-1) for part in parts])


def smallest_three(quats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit quaternions [N, 4] -> which component is largest [N], and the others, in order [N, 3].

    The sign is that which makes the largest one positive, so the others determine it; they are between
    -1 / sqrt(2) and 1 / sqrt(2).
    """
    largest = np.abs(quats).argmax(axis=-1)
    rows = np.arange(len(quats))
    turned = quats * np.where(quats[rows, largest] < 0, -1, 1)[:, None]
    others = np.arange(4) != largest[:, None]
    return largest, turned[others].reshape(-1, 3)
