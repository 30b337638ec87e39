"""Sine and cosine inside kernels: range reduction to [-pi/2, pi/2], then a polynomial, in float32.

The accurate sine of CUDA's library costs as much as the matrix product before it; the hardware's alone is
coarse beyond [-pi, pi]. This one has some 12 multiplications and additions, and no branches.
"""

import triton
import triton.language as tl

# pi in three parts, so that whole multiples of the first two are exact in float32
PI_HIGH = tl.constexpr(3.1414794921875)
PI_MIDDLE = tl.constexpr(0.00011315941810607910156)
PI_LOW = tl.constexpr(1.9841872589410058936e-09)
# of the powers of r in its sine; error of the polynomial 5e-9
C3 = tl.constexpr(-0.16666657096495271)
C5 = tl.constexpr(0.0083330172913296183)
C7 = tl.constexpr(-0.00019806615184458009)
C9 = tl.constexpr(2.6000547303332844e-06)
INVERSE_PI = tl.constexpr(0.31830988618379067154)


@triton.jit
def sine(x):
    """The sine of float32; error below 2e-7 for |x| < 1000, and of the rounding of x beyond."""
    count = tl.floor(x * INVERSE_PI + 0.5)
    return _alternate(count) * _polynomial(_reduce(x, count))


@triton.jit
def cosine(x):
    """The cosine of float32, like the sine."""
    count = tl.floor(x * INVERSE_PI)
    return -_alternate(count) * _polynomial(_reduce(x, count + 0.5))


@triton.jit
def _reduce(x, count):
    """x - count * pi."""
    x = tl.fma(-count, tl.full(x.shape, PI_HIGH, tl.float32), x)
    x = tl.fma(-count, tl.full(x.shape, PI_MIDDLE, tl.float32), x)
    return tl.fma(-count, tl.full(x.shape, PI_LOW, tl.float32), x)


@triton.jit
def _alternate(count):
    """1 for even whole numbers, -1 for odd ones."""
    return 1.0 - 2.0 * (count - 2.0 * tl.floor(count * 0.5))


@triton.jit
def _polynomial(r):
    """The sine of r in [-pi/2, pi/2], by an odd polynomial of degree 9 whose largest error is least."""
    square = r * r
    p = tl.fma(square, tl.full(r.shape, C9, tl.float32), tl.full(r.shape, C7, tl.float32))
    p = tl.fma(square, p, tl.full(r.shape, C5, tl.float32))
    p = tl.fma(square, p, tl.full(r.shape, C3, tl.float32))
    return tl.fma(r * square, p, r)
