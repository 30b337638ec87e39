"""Sine and cosine in one pass, in float32 or bfloat16; compiled by numba at the first use.

x = n pi + r with |r| <= pi / 2 (Cody and Waite 1980, pi in three parts), then polynomials of r^2 of least
maximal error: exact to 2e-7 in float32. bfloat16 are given as their bits, uint16, and computed in float32.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

FAST = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}  # not reassoc: r would lose its last parts
FAR = np.float32(1e6)  # beyond it the three parts of pi are too few
PI_1, PI_2 = np.float32(3.140625), np.float32(0.0009670257568359375)
PI_3 = np.float32(math.pi - float(PI_1) - float(PI_2))
PER_PI, HALF, ONE, TWO = (np.float32(x) for x in (1 / math.pi, 0.5, 1, 2))
S0, S1, S2, S3 = (np.float32(x) for x in (-1.66666571e-01, 8.33301729e-03, -1.98066150e-04, 2.60005429e-06))
C0, C1, C2 = (np.float32(x) for x in (-4.99999995e-01, 4.16666407e-02, -1.38884035e-03))
C3, C4 = np.float32(2.47618860e-05), np.float32(-2.60771017e-07)
HIGH, LAST, ROUND = np.uint32(16), np.uint32(1), np.uint32(0x7FFF)


@njit(nogil=True, cache=True, **FAST)
def sines(first, end, x, sine):
    """sin(x) of elements from first to end; x and sine do not overlap (else the loop does not vectorise)."""
    x, sine, far = x[first:end], sine[first:end], False
    for i in range(x.size):
        angle = as_float(x[i])
        far |= not abs(angle) < FAR
        sine[i] = as_stored(sine_and_cosine(angle)[0], x[i])
    if far:
        for i in range(x.size):
            sine[i] = as_stored(np.float32(math.sin(np.float64(as_float(x[i])))), x[i])


@njit(nogil=True, cache=True, **FAST)
def sines_and_cosines(first, end, x, sine, cosine):
    """sin(x) and cos(x) of elements from first to end; none of them overlap."""
    x, sine, cosine, far = x[first:end], sine[first:end], cosine[first:end], False
    for i in range(x.size):
        angle = as_float(x[i])
        far |= not abs(angle) < FAR
        both = sine_and_cosine(angle)
        sine[i], cosine[i] = as_stored(both[0], x[i]), as_stored(both[1], x[i])
    if far:
        for i in range(x.size):
            angle = np.float64(as_float(x[i]))
            sine[i] = as_stored(np.float32(math.sin(angle)), x[i])
            cosine[i] = as_stored(np.float32(math.cos(angle)), x[i])


@njit(inline="always", **FAST)
def sine_and_cosine(x):
    """Both for |x| < FAR, as float32."""
    n = np.floor(x * PER_PI + HALF)
    r = ((x - n * PI_1) - n * PI_2) - n * PI_3
    z = r * r
    sign = ONE - TWO * (n - TWO * np.floor(n * HALF))
    sine = r + r * z * (S0 + z * (S1 + z * (S2 + z * S3)))
    cosine = ONE + z * (C0 + z * (C1 + z * (C2 + z * (C3 + z * C4))))
    return sign * sine, sign * cosine


def as_float(x):
    """A stored number, float32 or the bits of a bfloat16 -> float32."""


@overload(as_float, inline="always")
def overloaded_as_float(x):
    """By the type of x."""
    if x == types.float32:
        return lambda x: x
    return lambda x: bits_to_float(np.uint32(x) << HIGH)


def as_stored(x, like):
    """float32 -> float32, or the bits of the nearest bfloat16 (to even where two are; NaN stays NaN)."""


@overload(as_stored, inline="always")
def overloaded_as_stored(x, like):
    """By the type of like."""
    if like == types.float32:
        return lambda x, like: x

    def rounded(x, like):
        bits = float_to_bits(x)
        return np.uint16((bits + ROUND + ((bits >> HIGH) & LAST)) >> HIGH)

    return rounded


@intrinsic
def bits_to_float(typing_context, bits):
    """The float32 that 32 bits stand for."""
    return types.float32(types.uint32), bitcast


@intrinsic
def float_to_bits(typing_context, x):
    """The 32 bits of a float32."""
    return types.uint32(types.float32), bitcast


def bitcast(context, builder, signature, given):
    """The same bits as the type that is returned."""
    return builder.bitcast(given[0], context.get_value_type(signature.return_type))
