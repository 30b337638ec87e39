"""Blending and its gradients, tile by tile; compiled by numba at the first use.

Tiles are independent. Gradients are written into one slot for each splat of each tile's list, and the slots
added up in a fixed order, so that results do not depend on the number of threads.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from genscene.kernels.splats._lists import reach, rows
from genscene.kernels.splats.limits import TILE

FAST = {"fastmath": {"contract", "reassoc", "nsz"}, "error_model": "numpy"}  # no checks: loops vectorise
CHECKED = 16  # splats between two looks whether a tile is opaque
CENTER = 0.75  # exp(x) for -1.5 <= x <= 0 by its Taylor series around -CENTER: exact to 1e-8
SERIES = tuple(np.float32(math.exp(-CENTER) / math.factorial(n)) for n in range(10))


def exp_negative(x):
    """exp(-x) for 0 <= x <= 12."""


@overload(exp_negative, inline="always")
def overloaded_exp_negative(x):
    """In float32 a polynomial, which vectorises, of x or x - 6: exp(-x / 4) ** 4."""
    if x == types.float64:
        return lambda x: math.exp(-x)
    c0, c1, c2, c3, c4, c5, c6, c7, c8, c9 = SERIES
    quarter, center, far, most = np.float32(-0.25), np.float32(CENTER), np.float32(6), np.float32(12)
    one, factor, zero = np.float32(1), np.float32(math.exp(-6)), np.float32(0)

    def polynomial(x):
        t = quarter * (min(x, most) - (far if x > far else zero)) + center
        y = c6 + t * (c7 + t * (c8 + t * c9))
        y = c0 + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * (c5 + t * y)))))
        return (y * y) * (y * y) * (factor if x > far else one)

    return polynomial


@njit(nogil=True, cache=True, **FAST)
def forward(first, end, splats, starts, members, cut, image, transmittance, lasts):
    """Tiles from first to end: colors [P, H, W, D], transmittance and the last splat's rank [P, H, W]."""
    means, conics, opacities, colors = splats
    height, width, depth = image.shape[1:]
    for task in range(first, end):
        p, left, top, across, down = tile_at(task, height, width)
        light = np.ones((TILE, TILE), means.dtype)
        total = np.zeros((TILE, depth, TILE), means.dtype)
        gate, last = np.zeros_like(light), np.full((TILE, TILE), -1, np.int32)
        gate[:down, :across] = 1
        near = members[starts[task] : starts[task + 1]]
        of_one = (means[p], conics[p], opacities[p], colors[p])
        blend_tile(of_one, near, left, top, gate, light, total, last, cut)
        for y in range(down):
            for x in range(across):
                transmittance[p, top + y, left + x] = light[y, x]
                lasts[p, top + y, left + x] = last[y, x]
                for k in range(depth):
                    image[p, top + y, left + x, k] = total[y, k, x]


@njit(inline="always")
def tile_at(task, height, width):
    """The picture of a tile, the place of its first pixel (column, row), its width and height."""
    wide, tall = (width - 1) // TILE + 1, (height - 1) // TILE + 1
    tile = task % (wide * tall)
    left, top = tile % wide * TILE, tile // wide * TILE
    return task // (wide * tall), left, top, min(TILE, width - left), min(TILE, height - top)


@njit(**FAST)
def blend_tile(splats, near, left, top, gate, light, total, last, cut):
    """Blend the splats of a tile's list into transmittance [T, T], colors [T, D, T] and last ranks [T, T].

    gate [T, T]: 1 where pixels are to be blended, 0 where there are none; it becomes 0 where they are opaque.
    """
    means, conics, opacities, colors = splats
    real = light.dtype.type
    weight, half = np.empty(TILE, light.dtype), real(0.5)
    for rank in range(len(near)):
        if rank % CHECKED == CHECKED - 1 and not gate.any():
            break
        i = near[rank]
        mx, my, opacity = means[i, 0] - real(left), means[i, 1] - real(top), opacities[i]
        a, b, c, q = conics[i, 0], conics[i, 1], conics[i, 2], reach(opacity, cut)
        y0, y1 = rows(my, a, b, c, q, 0, TILE)
        for y in range(y0, y1):
            dy = real(y) + half - my
            blend_row(
                half * a, b * dy, half * c * dy * dy, half - mx, opacity, np.int32(rank),
                light[y], gate[y], last[y], weight, cut,
            )  # fmt: skip
            for k in range(colors.shape[1]):
                row, color = total[y, k], colors[i, k]
                for x in range(TILE):
                    row[x] += weight[x] * color


@njit(**FAST, inline="always")
def blend_row(a, b, c, offset, opacity, rank, light, gate, last, weight, cut):
    """Blend one splat, of exponent (a x + b) x + c, into a row of pixels."""
    real = light.dtype.type
    one, zero = real(1), real(0)
    least, most, stop = real(cut[0]), real(cut[1]), real(cut[2])
    for x in range(TILE):
        dx = real(x) + offset
        alpha = min(most, opacity * exp_negative((a * dx + b) * dx + c))
        after = light[x] * (one - alpha)
        seen = gate[x] if alpha >= least else zero
        kept = seen if after > stop else zero
        weight[x] = kept * alpha * light[x]
        gate[x] += kept - seen
        light[x] = after if kept > zero else light[x]
        last[x] = rank if kept > zero else last[x]


@njit(nogil=True, cache=True, **FAST)
def backward(first, end, splats, starts, members, cut, state, gradients, slots):
    """Tiles from first to end: gradients of each member of their lists, of mean, conic, opacity and color."""
    (means, conics, opacities, colors), (transmittance, lasts), (g_image, g_alpha) = splats, state, gradients
    height, width, depth = g_image.shape[1:]
    for task in range(first, end):
        p, left, top, across, down = tile_at(task, height, width)
        light = np.ones((TILE, TILE), means.dtype)
        last = np.full((TILE, TILE), -1, np.int32)
        given = np.zeros((TILE, depth + 1, TILE), means.dtype)  # of colors, and of alpha
        for y in range(down):
            for x in range(across):
                light[y, x] = transmittance[p, top + y, left + x]
                last[y, x] = lasts[p, top + y, left + x]
                given[y, depth, x] = g_alpha[p, top + y, left + x]
                for k in range(depth):
                    given[y, k, x] = g_image[p, top + y, left + x, k]
        near = members[starts[task] : starts[task + 1]]
        of_one = (means[p], conics[p], opacities[p], colors[p])
        unblend_tile(of_one, near, left, top, light, given, last, slots[starts[task] :], cut)


@njit(**FAST)
def unblend_tile(splats, near, left, top, light, given, last, slots, cut):
    """Go back through the list of a tile, and write the gradients of each of its splats into its slot."""
    means, conics, opacities, colors = splats
    real = light.dtype.type
    half, depth = real(0.5), colors.shape[1]
    behind, along, weight = np.zeros_like(light), np.empty(TILE, light.dtype), np.empty(TILE, light.dtype)
    for rank in range(last.max(), -1, -1):
        i, slot = near[rank], slots[rank]
        mx, my, opacity = means[i, 0] - real(left), means[i, 1] - real(top), opacities[i]
        a, b, c, q = conics[i, 0], conics[i, 1], conics[i, 2], reach(opacity, cut)
        y0, y1 = rows(my, a, b, c, q, 0, TILE)
        for y in range(y0, y1):
            dy = real(y) + half - my
            along[:] = given[y, depth]
            for k in range(depth):
                row, color = given[y, k], colors[i, k]
                for x in range(TILE):
                    along[x] += color * row[x]
            s, sx, sxx = unblend_row(
                half * a, b * dy, half * c * dy * dy, half - mx, opacity, np.int32(rank),
                light[y], behind[y], along, last[y], weight, cut,
            )  # fmt: skip
            slot[0] -= a * sx + b * dy * s
            slot[1] -= c * dy * s + b * sx
            slot[2] += half * sxx
            slot[3] += dy * sx
            slot[4] += half * dy * dy * s
            slot[5] -= s / opacity
            for k in range(depth):
                row, total = given[y, k], real(0)
                for x in range(TILE):
                    total += weight[x] * row[x]
                slot[6 + k] += total


@njit(**FAST, inline="always")
def unblend_row(a, b, c, offset, opacity, rank, light, behind, along, last, weight, cut):
    """Gradients of one splat's exponent in a row of pixels: their sum, and those with dx, dx^2.

    along: gradients of colors and alpha times the splat's; behind: the same of what is behind it.
    """
    real = light.dtype.type
    one, zero, least, most = real(1), real(0), real(cut[0]), real(cut[1])
    s, sx, sxx = zero, zero, zero
    for x in range(TILE):
        dx = real(x) + offset
        raw = opacity * exp_negative((a * dx + b) * dx + c)
        alpha = min(most, raw)
        alpha = alpha if (alpha >= least) & (rank <= last[x]) else zero
        before = light[x] / (one - alpha)
        weight[x] = alpha * before
        slope = -alpha * before * (along[x] - behind[x])
        slope = slope if raw <= most else zero
        behind[x] = alpha * along[x] + (one - alpha) * behind[x]
        light[x] = before
        s += slope
        sx += slope * dx
        sxx += slope * dx * dx
    return s, sx, sxx
