"""Exponentials, logarithms and the sigmoid family, as formulas of vectors: within 2 ulp."""

import math

import numpy as np

from .vmath import (
    absolute,
    formula,
    fuses_multiply_add,
    maximum,
    minimum,
    polynomial,
    with_sign_of,
)

# ---------------------------------------------------------------------------- exponentials
#
# exp(x) = 2^n * exp(r) with n = rint(x / ln 2), r = x - n ln 2 (Cody and Waite 1980: ln 2 in two
# parts, of which the first has so few bits that n times it is exact), |r| <= ln 2 / 2, and there
# exp(r) - 1 = r + r^2 q(r). The q are minimax fits: Remez's exchange in 60 digits on
# |r| <= 1.001 ln 2 / 2 for the function ((exp(r) - 1) - r) / r^2; their error, seen from
# exp(r) - 1, is 1.6e-10 relative for float32 and 1.7e-19 for float64.

LN2_PARTS = {  # Cephes, expf.c and exp.c
    np.float32: (0.693359375, -2.12194440e-4),
    np.float64: (6.93145751953125e-1, 1.42860682030941723212e-6),
}
# fmt: off
EXP_COEFFICIENTS = {  # of q, from the highest power down
    np.float32: (
        1.9907706882804632e-4, 1.3933732407167554e-3, 8.33328627049923e-3, 0.041666463017463684,
        0.1666666716337204, 0.5,
    ),
    np.float64: (
        2.0921672175783633e-9, 2.5105313270465117e-8, 2.7557252666766586e-7, 2.7557255168527872e-6,
        2.480158734759457e-5, 1.984126987500362e-4, 1.388888888887429e-3, 8.333333333326082e-3,
        0.041666666666666685, 0.1666666666666667, 0.5,
    ),
}
# For the terms of a sum (`exp_term`) float32 has one less, its error 1.5e-8, and ln 2 in one part:
# it is rounded by 2.8e-9 of itself, and a term that is small enough for that to count is small.
TERM_COEFFICIENTS = {
    np.float32: (
        1.397053711116314e-3, 8.367969654500484e-3, 0.041666172444820404, 0.16666531562805176, 0.5,
    ),
    np.float64: EXP_COEFFICIENTS[np.float64],
}
TERM_LN2_PARTS = {np.float32: (math.log(2), 0.0), np.float64: LN2_PARTS[np.float64]}
# fmt: on
# Below the first, exp rounds to 0; above the second, to infinity. Clamping to them keeps n small.
EXP_RANGE = {np.float32: (-104.0, 89.0), np.float64: (-745.2, 710.0)}
RAISED_LOWEST = {np.float32: -113.0, np.float64: -761.0}  # |x| exp(x) rounds to 0


def _digits(x):
    # Bits of a float's fraction, and the bias of its exponent.
    return {32: (23, 127), 64: (52, 1023)}[x.width]


def _reduced(x, bias):
    """n, r as head + tail, and n + bias in the lowest bits of integers.

    The sum pushes the fraction of x / ln 2 out and leaves the rest in its lowest bits. The head is
    exact: n times the first part of ln 2 is.
    """
    high, low = LN2_PARTS[x.dtype]
    push = 1.5 * 2.0 ** _digits(x)[0] + bias
    pushed = x * (1 / math.log(2)) + push
    n = pushed - push
    return x - n * high, n * -low, pushed.bits()


def _power_of_two(biased):
    """2^n of integers in whose lowest bits is n plus the bias of an exponent."""
    return (biased << _digits(biased)[0]).floats()


def _exp_less_one(r):
    return r * r * polynomial(r, EXP_COEFFICIENTS[r.dtype]) + r


@formula
def exp(x):
    lowest, highest = EXP_RANGE[x.dtype]
    x = minimum(x.like(highest), maximum(x.like(lowest), x))
    head, tail, biased = _reduced(x, 2 * _digits(x)[1])
    half = biased >> 1  # two factors: 2^n alone may be denormal or infinite
    scales = _power_of_two(half), _power_of_two(biased - half)
    return (1.0 + _exp_less_one(head + tail)) * scales[0] * scales[1]


@formula
def exp_of_negative(x):
    """exp(x) for x <= 0 (or nan), where one factor and a constant do."""
    fraction, bias = _digits(x)
    p, scale = _exp_parts(maximum(x.like(EXP_RANGE[x.dtype][0]), x), bias + 2 * fraction)
    return (1.0 + p) * scale * 2.0 ** (-2 * fraction)


def exp_term(x):
    """exp(x) for x <= 0, as the term of a sum that has a term 1: it does not go below 2^-126.

    1 for greater x, and nan for nan.
    """
    fraction, bias = _digits(x)
    high, low = TERM_LN2_PARTS[x.dtype] if fuses_multiply_add() else LN2_PARTS[x.dtype]
    x = maximum(x.like({32: -87.0, 64: -708.0}[x.width]), minimum(x.like(0.0), x))
    push = 1.5 * 2.0**fraction + bias
    pushed = x * (1 / math.log(2)) + push
    n = pushed - push
    r = x - n * high
    if low:
        r = r - n * low
    p = (polynomial(r, TERM_COEFFICIENTS[x.dtype]) * r + 1.0) * r + 1.0
    return p * _power_of_two(pushed.bits())


def raised_exp(x, rest=None):
    """A function that multiplies by exp(x + rest) / unit, and unit, a constant; for x <= 0.

    So a product of a factor and the exponential is rounded once, also where the exponential alone
    would be denormal and have few digits. x is at least RAISED_LOWEST. `rest` is what x has lost in
    rounding.
    """
    fraction, bias = _digits(x)
    p, scale = _exp_parts(x, bias + 2 * fraction, rest)
    return lambda factor: (factor * p + factor) * scale, 2.0 ** (-2 * fraction)


def _exp_parts(x, bias, rest=None):
    # p and a power of two: exp(x + rest) = (1 + p) 2^n, and in the exponent's place of the power is
    # n + bias. Where there is a rest, r is not rounded either.
    head, tail, biased = _reduced(x, bias)
    if rest is None:
        return _exp_less_one(head + tail), _power_of_two(biased)
    tail = tail + rest
    r = head + tail
    p = (r * r * polynomial(r, EXP_COEFFICIENTS[x.dtype]) + tail) + head
    return p, _power_of_two(biased)


@formula
def tanh(x):
    """With y = exp(2 |x|) - 1, which is as accurate as |x| near 0, it is y / (y + 2)."""
    size = absolute(x)
    saturated = {32: 9.1, 64: 19.1}[x.width]  # tanh rounds to 1 from 9.02 and from 19.07 on
    y = _expm1(2.0 * minimum(x.like(saturated), size))
    return with_sign_of(x, quotient(y, 2.0, y))


def _expm1(x):
    # exp(x) - 1 for |x| up to 60, to the last digits of a tiny x
    head, tail, biased = _reduced(x, _digits(x)[1])
    r = head + tail
    tail = r * r * polynomial(r, EXP_COEFFICIENTS[x.dtype]) + tail
    scale = _power_of_two(biased)
    return (scale * head + (scale - 1.0)) + scale * tail


def exp_less_one(x):
    """exp(x) - 1 for x from -60 to 0 (or nan).

    In float32 ln 2 in one part does: n times what it is off by counts for as little as exp(x) does.
    """
    if x.width == 64:
        return _expm1(x)
    push = 1.5 * 2.0 ** _digits(x)[0] + _digits(x)[1]
    pushed = x * (1 / math.log(2)) + push
    r = x - (pushed - push) * math.log(2)
    scale = _power_of_two(pushed.bits())
    return scale * _exp_less_one(r) + (scale - 1.0)


def expm1_of_negative(x):
    """exp(x) - 1 for x <= 0 (or nan)."""
    return _expm1(maximum(x.like(-40.0), x))  # there it rounds to -1


# Of w in w + rest: below the first, the sigmoid is 0 even times |w|; above the second it is 1.
GATE_RANGE = {np.float32: (-113.0, 20.0), np.float64: (-761.0, 40.0)}


def gated(x, w, rest=None):
    """x sigmoid(w + rest) = x / (1 + exp(-w - rest)), for |x| up to 1000 or so.

    Both terms of the divisor are less by a power of two, so that the exponential can not overflow.
    `rest` is what w has lost in rounding.
    """
    lowest, highest = GATE_RANGE[w.dtype]
    w = minimum(w.like(highest), maximum(w.like(lowest), w))
    shift = {32: 40, 64: 100}[w.width]
    p, scale = _exp_parts(-w, _digits(w)[1] - shift, None if rest is None else -rest)
    one = 2.0**-shift
    value = quotient(x, (1.0 + p) * scale, one) * one
    return with_sign_of(x, value)  # the correction of -0 has made 0 of it


@formula
def sigmoid(x):
    return gated(x.like(1.0), x)


def quotient(x, y, z):
    """x / (y + z), corrected by what rounding has taken from the sum (and the quotient).

    What it has taken is exact unless y is so small beside z that it hardly counts.
    """
    divisor = y + z
    lost = (y - divisor) + z
    q = x / divisor
    if fuses_multiply_add():
        return q + ((x - q * divisor) - q * lost) * _about_inverse(divisor)
    return q - q * (lost * _about_inverse(divisor))


def _about_inverse(x):
    # 1 / x to within 13 %: the negated logarithm, of which the bits are nearly a linear function
    magic = {32: 0x7EF311C3, 64: 0x7FDE623822FC16E6}[x.width]
    return (x.bits().like(magic) - x.bits()).floats()


# ------------------------------------------------------------------------------ logarithms
#
# fdlibm's log (Sun 1993, e_log.c; the float32 coefficients are FreeBSD's e_logf.c): x = 2^k (1 + f)
# with sqrt(1/2) < 1 + f < sqrt(2), s = f / (2 + f), and
# log(1 + f) = f - (f^2/2 - s (f^2/2 + R(s^2))). The error is below 1 ulp.

LOG_LN2_PARTS = {
    np.float32: (6.9313812256e-01, 9.0580006145e-06),
    np.float64: (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
# fmt: off
LOG_COEFFICIENTS = {  # of R(z) / z, from the highest power down
    np.float32: (0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693),
    np.float64: (
        1.479819860511658591e-1, 1.531383769920937332e-1, 1.818357216161805012e-1,
        2.222219843214978396e-1, 2.857142874366239149e-1, 3.999999999940941908e-1,
        6.666666666666735130e-1,
    ),
}
# fmt: on
SQRT_HALF_BITS = {np.float32: 0x3F3504F3, np.float64: 0x3FE6A09E667F3BCD}


def _log_of_product(k, f):
    # log(2^k (1 + f))
    high, low = LOG_LN2_PARTS[f.dtype]
    s = f / (2.0 + f)
    z = s * s
    half_square = 0.5 * f * f
    rest = half_square + z * polynomial(z, LOG_COEFFICIENTS[f.dtype])
    return k * high - ((half_square - (s * rest + k * low)) - f)


@formula
def log(x):
    fraction, bias = _digits(x)
    smallest_normal = 2.0 ** (1 - bias)
    is_denormal = x < smallest_normal
    scaled = (x * 2.0**fraction).where(is_denormal, x)
    # Moved so that the exponent field changes at sqrt(1/2) rather than at 1.
    moved = scaled.bits() + ((bias << fraction) - SQRT_HALF_BITS[x.dtype])
    push = 1.5 * 2.0**fraction
    biased = ((moved >> fraction) + x.like(push).bits()).floats() - push
    k = biased - x.like(bias + fraction).where(is_denormal, bias)
    m = ((moved & ((1 << fraction) - 1)) + SQRT_HALF_BITS[x.dtype]).floats()
    value = _log_of_product(k, m - 1.0)
    value = value.where(x < math.inf, x)  # inf and nan
    return value.where(x > 0.0, x.like(-math.inf).where(x.equals(0.0), math.nan))


@formula
def log1p_of_unit(x):
    """log(1 + x) for x from 0 to 1, to the last digits of a tiny x."""
    is_far = x > math.sqrt(2) - 1  # there 1 + x = 2 (1 + f) with f = (x - 1) / 2
    return _log_of_product(x.like(1.0).where(is_far, 0.0), ((x - 1.0) * 0.5).where(is_far, x))
