"""Which splats reach which tiles: lists of every tile, front to back; compiled by numba at the first use."""

import math

from numba import njit

from genscene.kernels.splats.limits import TILE

MARGIN = 1e-3  # pixels by which the extent of a splat is enlarged, for rounding


@njit(inline="always", error_model="numpy")
def clip(x, least, most):
    """A float of any size as an integer between two others."""
    return int(min(max(x, float(least)), float(most)))


@njit(inline="always", error_model="numpy")
def rows(my, a, b, c, q, first, end):
    """The rows from first to end where a x^2 + 2 b x y + c y^2 <= q somewhere."""
    half = math.sqrt(max(q * a / (a * c - b * b), 0.0)) + MARGIN
    return clip(math.ceil(my - half - 0.5), first, end), clip(math.floor(my + half + 0.5), first, end)


@njit(inline="always", error_model="numpy")
def reach(opacity, cut):
    """Twice the exponent at which alpha is the least that counts; cut: alpha_min, alpha_max, stop."""
    return 2 * math.log(opacity / cut[0])


@njit(error_model="numpy")
def tiles_of(mean, conic, opacity, height, width, cut):
    """The tiles that a splat reaches: first column and row, and those after the last."""
    a, b, c, q = conic[0], conic[1], conic[2], reach(opacity, cut)
    top, bottom = rows(mean[1], a, b, c, q, 0, height)
    left, right = rows(mean[0], c, b, a, q, 0, width)
    if left >= right or top >= bottom:
        return 0, 0, 0, 0
    return left // TILE, top // TILE, (right - 1) // TILE + 1, (bottom - 1) // TILE + 1


@njit(nogil=True, cache=True, error_model="numpy")
def count_tiles(first, end, means, conics, opacities, order, counts, height, width, cut, numbers, boxes):
    """Splats that reach each tile [P, tiles]; tiles that each splat reaches [P, N, 4], in order of depth."""
    wide = (width - 1) // TILE + 1
    for p in range(first, end):
        for j in range(counts[p]):
            i = order[p, j]
            x0, y0, x1, y1 = tiles_of(means[p, i], conics[p, i], opacities[p, i], height, width, cut)
            boxes[p, j] = x0, y0, x1, y1
            for y in range(y0, y1):
                for x in range(x0, x1):
                    numbers[p, y * wide + x] += 1


@njit(nogil=True, cache=True)
def fill_lists(first, end, order, counts, width, boxes, starts, members):
    """The splats of each tile, front to back, from its place in `members` on; starts [P * tiles + 1]."""
    wide, tiles = (width - 1) // TILE + 1, (len(starts) - 1) // len(order)
    for p in range(first, end):
        place = starts[p * tiles : (p + 1) * tiles].copy()
        for j in range(counts[p]):
            x0, y0, x1, y1 = boxes[p, j]
            for y in range(y0, y1):
                for x in range(x0, x1):
                    members[place[y * wide + x]] = order[p, j]
                    place[y * wide + x] += 1


@njit(nogil=True, cache=True)
def collect(first, end, slots, members, starts, total):
    """The slots of each splat added up, tile by tile, into total [P, N, 6 + D]."""
    tiles = (len(starts) - 1) // len(total)
    for p in range(first, end):
        for j in range(starts[p * tiles], starts[(p + 1) * tiles]):
            for k in range(slots.shape[1]):
                total[p, members[j], k] += slots[j, k]
