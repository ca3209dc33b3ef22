"""Element by element: a function is one row, its formula on a vector; the loops are generic.

Every function takes arrays of one dtype (float32 or float64) and one shape, in any layout, and
returns a fresh C-contiguous array. A gradient takes the incoming gradient first, then what its
formula needs: the input, or the output where the slope follows from it. A setting of a function,
such as the alpha of elu, is a number that comes last.
"""

import functools
import inspect
import math

import numpy as np
from numba import prange

from . import exponentials, normal, vmath
from ._jit import inner, kernel, launch, plain
from .memory import OF_TWO, empty_like
from .strips import WIDE
from .vmath import (
    FORMULAS,
    compute,
    is_streamed,
    lanes,
    load_each,
    prefetch,
    settle,
    share,
    store,
    stream,
)

# ---------------------------------------------------------------------------------- loops

AHEAD = 48  # strips of which the memory is asked for ahead of time, where the result is streamed
# Elements from which on threads pay. With two, there, exp takes 0.94 of the time of one, relu, of
# straight lines, 0.85, and tanh_grad, of straight lines in two arrays, 0.83.
PARALLEL, PARALLEL_LINES, PARALLEL_PAIRS = 1 << 15, 3 << 15, 1 << 16


def unary(row, parallel=PARALLEL):
    """From a formula of one vector, and maybe a number, the function of one array and that."""
    name = _with_number(row, 1)

    @kernel("void(T[::1], T[::1], float64, int64)")
    def loop(x, out, number, threads):
        if threads == 1:
            each_block(name, (x,), number, out, 0, out.size)
        else:
            for t in prange(threads):
                low, high = share(out, t, threads)
                each_block(name, (x,), number, out, low, high)

    def function(x, number=0.0):
        x = plain(x)
        if x.size < parallel:
            out = np.empty(x.shape, x.dtype)
            loop(x.ravel(), out.ravel(), number, 1)
        else:
            out = empty_like(x)
            launch(loop, x.ravel(), out.ravel(), number)
        return out

    return functools.update_wrapper(function, row)


def binary(row, parallel=PARALLEL):
    """From a formula of two vectors, and maybe a number, the function of two arrays and that."""
    name = _with_number(row, 2)

    @kernel("void(T[::1], T[::1], T[::1], float64, int64)")
    def loop(x, y, out, number, threads):
        if threads == 1:
            each_block(name, (x, y), number, out, 0, out.size)
        else:
            for t in prange(threads):
                low, high = share(out, t, threads)
                each_block(name, (x, y), number, out, low, high)

    def function(x, y, number=0.0):
        x, y = plain(x), plain(y)
        if x.size < parallel:
            out = np.empty(x.shape, x.dtype)
            loop(x.ravel(), y.ravel(), out.ravel(), number, 1)
        else:
            out = empty_like(x)
            launch(loop, x.ravel(), y.ravel(), out.ravel(), number)
        return out

    return functools.update_wrapper(function, row)


def ternary(row):
    """From a formula of three vectors, the function of three arrays of equal shape."""
    name = _with_number(row, 3)

    @kernel("void(T[::1], T[::1], T[::1], T[::1], int64)")
    def loop(x, y, z, out, threads):
        if threads == 1:
            each_block(name, (x, y, z), 0.0, out, 0, out.size)
        else:
            for t in prange(threads):
                low, high = share(out, t, threads)
                each_block(name, (x, y, z), 0.0, out, low, high)

    def function(x, y, z):
        x, y, z = plain(x), plain(y), plain(z)
        if x.size < PARALLEL:
            out = np.empty(x.shape, x.dtype)
            loop(x.ravel(), y.ravel(), z.ravel(), out.ravel(), 1)
        else:
            out = empty_like(x)
            launch(loop, x.ravel(), y.ravel(), z.ravel(), out.ravel())
        return out

    return functools.update_wrapper(function, row)


lines = functools.partial(unary, parallel=PARALLEL_LINES)
lines_of_two = functools.partial(binary, parallel=PARALLEL_PAIRS)


def _with_number(row, count):
    """Declare `row`, a formula of `count` vectors, as one that takes a number too; its name."""
    name = f"{row.__name__} and a number"
    takes_it = len(inspect.signature(row).parameters) > count
    FORMULAS[name] = row if takes_it else lambda *operands: row(*operands[:-1])
    return name


@inner
def each_block(name, inputs, number, out, low, high):
    """Strips as long as they are whole, then vectors."""
    strip = WIDE * lanes(out)
    rest = high - (high - low) % strip
    streamed = is_streamed(out)
    for at in range(low, rest, strip):
        block = compute(name, load_each(WIDE, inputs, at, strip), number)
        if streamed:
            for x in inputs:
                for i in range(WIDE):
                    prefetch(x, at + (AHEAD * WIDE + i) * lanes(out))
            stream(out, at, block)
        else:
            store(out, at, strip, block)
    for at in range(rest, high, lanes(out)):
        store(out, at, high - at, compute(name, load_each(1, inputs, at, high - at), number))
    if streamed:
        settle()


# ------------------------------------------------------------- arithmetic of two large arrays


@lines_of_two
def plus(x, y):
    return x + y


@lines_of_two
def minus(x, y):
    return x - y


@lines_of_two
def times(x, y):
    return x * y


OF_TWO.update({np.add: plus, np.subtract: minus, np.multiply: times})


# --------------------------------------------------------------------------------- functions

exp = unary(exponentials.exp)
log = unary(exponentials.log)
tanh = unary(exponentials.tanh)
sigmoid = unary(exponentials.sigmoid)
erf = unary(normal.erf)


@lines_of_two
def sigmoid_grad(g, out):
    return g * (out * (1.0 - out))


@lines_of_two
def tanh_grad(g, out):
    return g * (1.0 - out * out)


# ------------------------------------------------------------- activations made of straight lines
#
# Of `where`, `maximum` and `minimum` each is written the way round that lets nan stay nan.


@lines
def relu(x):
    return x.like(0.0).where(x < 0.0, x)


@lines_of_two
def relu_grad(g, out):
    return g.where(out > 0.0, 0.0)


@lines
def leaky_relu(x, slope):
    return x.where(x > 0.0, slope * x)


@lines_of_two
def leaky_relu_grad(g, x, slope):
    return g.where(x > 0.0, slope * g)


def _between(low, x, high):
    return vmath.minimum(x.like(high), vmath.maximum(x.like(low), x))


def _only_between(low, x, high, g):
    return g.where(x > low, 0.0).where(x < high, 0.0)


@lines
def relu6(x):
    return _between(0.0, x, 6.0)


@lines_of_two
def relu6_grad(g, x):
    return _only_between(0.0, x, 6.0, g)


@lines
def hard_tanh(x):
    return _between(-1.0, x, 1.0)


@lines_of_two
def hard_tanh_grad(g, x):
    return _only_between(-1.0, x, 1.0, g)


@lines
def hard_sigmoid(x):
    return _between(0.0, x * (1 / 6) + 0.5, 1.0)


@lines_of_two
def hard_sigmoid_grad(g, x):
    return _only_between(-3.0, x, 3.0, g * (1 / 6))


@lines
def softsign(x):
    size = vmath.minimum(x.like(2.0**60), vmath.absolute(x))  # from there on it rounds to 1
    return vmath.with_sign_of(x, size / (1.0 + size))


@lines_of_two
def softsign_grad(g, x):
    inverse = 1.0 / (1.0 + vmath.absolute(x))
    return g * (inverse * inverse)


# ----------------------------------------------------------- activations made of exponentials
#
# They calculate with e = exp(-|x|), which can not overflow.

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017, eq. 2


@unary
def elu(x, alpha):
    return x.where(x > 0.0, alpha * exponentials.expm1_of_negative(x))


@binary
def elu_grad(g, x, alpha):
    return g.where(x > 0.0, g * (alpha * exponentials.exp_of_negative(x)))


@unary
def selu(x):
    return SELU_SCALE * x.where(x > 0.0, SELU_ALPHA * exponentials.expm1_of_negative(x))


@binary
def selu_grad(g, x):
    return SELU_SCALE * g.where(x > 0.0, g * (SELU_ALPHA * exponentials.exp_of_negative(x)))


@unary
def celu(x, alpha):
    return x.where(x > 0.0, alpha * exponentials.expm1_of_negative(x / alpha))


@binary
def celu_grad(g, x, alpha):
    return g.where(x > 0.0, g * exponentials.exp_of_negative(x / alpha))


def _exp_of_minus_size(x):
    return exponentials.exp_of_negative(-vmath.absolute(x))


@unary
def softplus(x):
    return vmath.maximum(x, x.like(0.0)) + exponentials.log1p_of_unit(_exp_of_minus_size(x))


@binary
def softplus_grad(g, x):
    return g * exponentials.sigmoid(x)


@unary
def log_sigmoid(x):
    return vmath.minimum(x, x.like(0.0)) - exponentials.log1p_of_unit(_exp_of_minus_size(x))


@binary
def log_sigmoid_grad(g, x):
    return g * exponentials.sigmoid(-x)


# Infinity times a gate that is closed, 0, would be nan. From this number on the gate is 0 or 1.
FAR = 1000.0


@unary
def silu(x):
    lowest, highest = exponentials.GATE_RANGE[x.dtype]
    bounded = vmath.maximum(x.like(lowest), x)
    return x.where(x > highest, exponentials.gated(bounded, bounded))


@binary
def silu_grad(g, x):
    e = _exp_of_minus_size(x)
    inverse = 1.0 / (1.0 + e)
    gate = (e * inverse).where(x < 0.0, inverse)
    return g * (gate + _between(-FAR, x, FAR) * (e * inverse * inverse))


def _mish_gate(x):
    # tanh(log(1 + exp(x))) = p / (p + q); p, q and e
    e = _exp_of_minus_size(x)
    p = (e * e + 2.0 * e).where(x < 0.0, 1.0 + 2.0 * e)
    return p, x.like(2.0).where(x < 0.0, 2.0 * e * e), e


@unary
def mish(x):
    """x times the gate as 1 less a share, so that rounding the share hardly matters."""
    far = -exponentials.RAISED_LOWEST[x.dtype]
    bounded = _between(-far, x, far)
    times_e, unit = exponentials.raised_exp(-vmath.absolute(bounded))
    e = times_e(x.like(1.0)) * unit
    # tanh(log(1 + e)) = e (1 - (e + e^2) / (2 + 2 e + e^2)) where x < 0, with 1 / e for e else
    share = (e * e + e).where(x < 0.0, 2.0 * e * e)
    share = share / (e * e + 2.0 * e + 2.0).where(x < 0.0, 2.0 * e * e + 2.0 * e + 1.0)
    value = bounded * (1.0 - share)
    return x.where(x > far, (times_e(value) * unit).where(x < 0.0, value))


@binary
def mish_grad(g, x):
    p, q, e = _mish_gate(x)
    inverse = 1.0 / (p + q)
    sigmoid = e.where(x < 0.0, 1.0) / (1.0 + e)
    slope = sigmoid * (q * (2.0 * p + q) * inverse * inverse)  # of the gate
    return g * (p * inverse + _between(-FAR, x, FAR) * slope)


gelu = unary(normal.gelu)


@binary
def gelu_grad(g, x):
    area, density = normal.area_and_density(x)
    return g * (area + _between(-FAR, x, FAR) * density)


# Hendrycks and Gimpel 2016: the area below x is about (1 + tanh(u)) / 2 = sigmoid(2 u), where
# 2 u = x (A + B x^2); written as a sigmoid, it keeps its digits where it is small.
TANH_A = 2 * math.sqrt(2 / math.pi)
TANH_B = 0.044715 * TANH_A
CUBIC_PARTS = {  # A rounded and the rest of it, half of the digits of B and the rest of it
    np.float32: (1.5957691669464111, -4.534068042105272e-8, 0.07135009765625, 4.71861635024878e-6),
    np.float64: (
        1.5957691216057308,
        -9.96930880911092e-17,
        0.071354815736413,
        5.36187246762178596e-10,
    ),
}


@unary
def gelu_tanh(x):
    far = {32: 10.99, 64: 21.6}[x.width]  # from there on, the value is x or rounds to -0
    bounded = _between(-far, x, far)
    return x.where(x > far, exponentials.gated(bounded, *_cubic(bounded)))


def _cubic(x):
    # x (A + B x^2) as a sum of two floats: as many digits as its exponential needs. Products are
    # split into those of halves of digits, which are exact (Dekker 1971).
    a, a_rest, b, b_rest = CUBIC_PARTS[x.dtype]
    square, square_rest = vmath.exact_product(x, x)
    high, low = vmath.halves(square)
    term = (high * b).rounded()
    term_rest = low * b + (square * b_rest + square_rest * b)
    total = a + term
    from_a = total - term  # Knuth's TwoSum: what the sum has lost
    total_rest = (a - from_a) + (term - (total - from_a)) + (term_rest + a_rest)
    w, rest = vmath.exact_product(x, total)
    return w, x * total_rest + rest


@binary
def gelu_tanh_grad(g, x):
    x = _between(-FAR, x, FAR)
    square = x * x
    u = x * (square * TANH_B + TANH_A)
    e = _exp_of_minus_size(u)
    inverse = 1.0 / (1.0 + e)
    gate = (e * inverse).where(x < 0.0, inverse)
    return g * (gate + x * (square * (3 * TANH_B) + TANH_A) * (e * inverse * inverse))


# --------------------------------------------------------------------- binary cross-entropy


@binary
def binary_cross_entropy(x, t):
    """max(x, 0) - x t + log(1 + exp(-|x|)): no term overflows, and the last keeps small losses."""
    e = exponentials.exp_of_negative(-vmath.absolute(x))
    return (vmath.maximum(x, x.like(0.0)) - x * t) + exponentials.log1p_of_unit(e)


@ternary
def binary_cross_entropy_grad(g, x, t):
    """g (sigmoid(x) - t), brought to one denominator: where t is 1 nothing cancels."""
    e = exponentials.exp_of_negative(-vmath.absolute(x))
    numerator = ((1.0 - t) - t * e).where(x > 0.0, e * (1.0 - t) - t)
    return g * (numerator / (1.0 + e))
