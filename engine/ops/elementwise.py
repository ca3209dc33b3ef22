"""Element by element: arithmetic, comparison, functions. All of them broadcast.

Most of the bodies are NumPy's; those of the functions that models spend their time in are kernels.
Where a function has a kink or a step, the comment at its row says which slope it takes there.

Arithmetic warns where NumPy's does, as in x / 0. A function never warns, of whatever kind its body
is: where it has no finite value it gives inf or nan. So does its slope.
"""

import math

import numpy as np

from ..kernels import elementwise as kernels
from ..recorder import op
from ..tensor import FLOAT32, FLOAT64, Tensor, to_array


def real(x):
    """`x` as a float array for a kernel: integers become float32."""
    if type(x) is np.ndarray and (x.dtype is FLOAT32 or x.dtype is FLOAT64):
        return x
    x = to_array(x)
    return x if x.dtype.kind == "f" else x.astype(FLOAT32)


quiet = np.errstate(all="ignore")  # as a decorator: without NumPy's warnings


# ------------------------------------------------------------------------------- arithmetic


@op(lambda g: g, lambda g: g, forward=np.add)
def add(x, y):
    """x + y"""


@op(lambda g: g, lambda g: negative(g), forward=np.subtract)
def subtract(x, y):
    """x - y"""


@op(lambda g, y: multiply(g, y), lambda g, x: multiply(g, x), forward=np.multiply)
def multiply(x, y):
    """x * y"""


@op(
    lambda g, y: divide(g, y),
    lambda g, y, out: negative(multiply(g, divide(out, y))),
    forward=np.true_divide,
)
def divide(x, y):
    """x / y, of integers too"""


@op(lambda g: zeros_like(g), lambda g: zeros_like(g), forward=np.floor_divide)
def floor_divide(x, y):
    """The greatest integer up to x / y. Its slope is 0 everywhere, at the steps as well."""


@op(
    lambda g: g,  # also at the steps
    lambda g, x, y: negative(multiply(g, floor_divide(x, y))),
    forward=np.remainder,
)
def remainder(x, y):
    """x - y * floor(x / y), which has the sign of y."""


@op(lambda g: negative(g), forward=np.negative)
def negative(x):
    """-x"""


@op(lambda g: g, forward=np.positive)
def positive(x):
    """+x, a copy"""


@op(
    lambda g, x, y: multiply(g, pow_slope(x, y)),
    lambda g, x, out: multiply(g, pow_log(out, x)),
)
def pow(x, y):
    """x to the power y. In respect of y it has a derivative only where x > 0; at x = 0 it is 0."""
    return x**y  # rather than np.power: the operator has fast ways for 2 and 0.5


def pow_slope(x, y):
    # y * x ** (y - 1), but at y = 0, where that would be 0 * inf at x = 0, with x ** 0.
    if type(y) in (int, float):
        return multiply(y, pow(x, y - 1 if y != 0 else 0))
    return multiply(y, pow(x, subtract(y, not_equal(y, 0))))


def pow_log(out, x):
    return multiply(out, log(add(x, equal(x, 0))))


@op(lambda g, x: multiply(g, multiply(2, x)), forward=np.square)
def square(x):
    """x * x"""


@op(lambda g, out: negative(multiply(g, square(out))))
@quiet
def reciprocal(x):
    """1 / x, of integers too"""
    return np.reciprocal(real(x))


@op(lambda g, x: multiply(g, sign(x)), forward=np.abs)  # slope 0 at the kink at 0
def abs(x):
    """The absolute value."""


@op(lambda g: zeros_like(g), forward=np.sign)
def sign(x):
    """-1, 0 or 1; nan for nan. Its slope is 0 everywhere, at the step as well."""


@op(lambda g: zeros_like(g), forward=np.floor)
def floor(x):
    """The greatest integer up to x. Its slope is 0 everywhere, at the steps as well."""


@op(lambda g: zeros_like(g), forward=np.ceil)
def ceil(x):
    """The least integer from x on. Its slope is 0 everywhere, at the steps as well."""


@op(lambda g: zeros_like(g), forward=np.trunc)
def trunc(x):
    """x without its fraction. Its slope is 0 everywhere, at the steps as well."""


@op(lambda g: zeros_like(g), forward=np.round)
def round(x):
    """The nearest integer, the even one of two. Its slope is 0 everywhere, at the steps as well."""


@op(lambda g: zeros_like(g), forward=np.zeros_like)
def zeros_like(x):
    """Zeros of the shape and dtype of `x`."""


# ----------------------------------------------------------- comparison, logic and choice


@op(None, None, forward=np.equal)
def equal(x, y):
    """x == y, as booleans"""


@op(None, None, forward=np.not_equal)
def not_equal(x, y):
    """x != y, as booleans"""


@op(None, None, forward=np.less)
def less(x, y):
    """x < y, as booleans"""


@op(None, None, forward=np.less_equal)
def less_equal(x, y):
    """x <= y, as booleans"""


@op(None, None, forward=np.greater)
def greater(x, y):
    """x > y, as booleans"""


@op(None, None, forward=np.greater_equal)
def greater_equal(x, y):
    """x >= y, as booleans"""


@op(None, forward=np.isnan)
def isnan(x):
    """Which elements are nan."""


@op(None, forward=np.isinf)
def isinf(x):
    """Which elements are infinite, of either sign."""


@op(None, forward=np.isfinite)
def isfinite(x):
    """Which elements are neither nan nor infinite."""


@op(None, None, forward=np.logical_and)
def logical_and(x, y):
    """Where x and y are both true (not zero)."""


@op(None, None, forward=np.logical_or)
def logical_or(x, y):
    """Where x or y is true (not zero)."""


@op(None, None, forward=np.logical_xor)
def logical_xor(x, y):
    """Where one of x and y is true (not zero) but not the other."""


@op(None, forward=np.logical_not)
def logical_not(x):
    """Where x is false (zero)."""


@op(None, None, forward=np.bitwise_and)
def bitwise_and(x, y):
    """x & y, of integers bit by bit, of booleans"""


@op(None, None, forward=np.bitwise_or)
def bitwise_or(x, y):
    """x | y, of integers bit by bit, of booleans"""


@op(None, None, forward=np.bitwise_xor)
def bitwise_xor(x, y):
    """x ^ y, of integers bit by bit, of booleans"""


@op(None, forward=np.invert)
def bitwise_invert(x):
    """~x, of integers bit by bit, of booleans"""


@op(
    None,
    lambda g, condition: where(condition, g, zeros_like(g)),
    lambda g, condition: where(condition, zeros_like(g), g),
    forward=np.where,
)
def where(condition, x, y):
    """x where the condition holds, y elsewhere"""


@op(
    lambda g, x, y: _to_the_winner(g, greater(x, y), equal(x, y)),
    lambda g, x, y: _to_the_winner(g, greater(y, x), equal(x, y)),
    forward=np.maximum,
)
def maximum(x, y):
    """The greater of x and y; nan if either is. Equal elements share the gradient half and half."""


@op(
    lambda g, x, y: _to_the_winner(g, less(x, y), equal(x, y)),
    lambda g, x, y: _to_the_winner(g, less(y, x), equal(x, y)),
    forward=np.minimum,
)
def minimum(x, y):
    """The lesser of x and y; nan if either is. Equal elements share the gradient half and half."""


def _to_the_winner(g, wins, ties):
    return where(wins, g, where(ties, multiply(0.5, g), zeros_like(g)))


@op(lambda g, x, min, max: where(_within(x, min, max), g, zeros_like(g)))  # 1 at the bounds
def clip(x, min=None, max=None):
    """`x` moved into [min, max]; either bound may be None. The gradient passes at the bounds."""
    return np.clip(x, min, max)


def _within(x, low, high):
    x = x.data if type(x) is Tensor else x
    inside = np.ones(x.shape, bool)
    if low is not None:
        inside &= x >= low
    if high is not None:
        inside &= x <= high
    return inside


# ------------------------------------------------------------------ exponentials and logarithms


@op(lambda g, out: divide(multiply(g, 0.5), out), forward=quiet(np.sqrt))
def sqrt(x):
    """The square root; nan below 0."""


@op(lambda g, out: multiply(g, out))
def exp(x):
    """e to the power x"""
    return kernels.exp(real(x))


@op(lambda g, x: multiply(g, exp(x)), forward=quiet(np.expm1))
def expm1(x):
    """exp(x) - 1, to the last digits of a small x."""


@op(lambda g, x: divide(g, x))
def log(x):
    """The natural logarithm; -inf at 0, nan below."""
    return kernels.log(real(x))


@op(lambda g, x: divide(g, add(x, 1)), forward=quiet(np.log1p))
def log1p(x):
    """log(1 + x), to the last digits of a small x; -inf at -1, nan below."""


@op(lambda g, x: divide(g, multiply(x, math.log(2))), forward=quiet(np.log2))
def log2(x):
    """The logarithm to base 2; -inf at 0, nan below."""


@op(lambda g, x: divide(g, multiply(x, math.log(10))), forward=quiet(np.log10))
def log10(x):
    """The logarithm to base 10; -inf at 0, nan below."""


@op(
    lambda g, x, y: multiply(g, sigmoid(subtract(x, y))),
    lambda g, x, y: multiply(g, sigmoid(subtract(y, x))),
    forward=quiet(np.logaddexp),
)
def logaddexp(x, y):
    """log(exp(x) + exp(y)), for x and y of any magnitude."""


@op(lambda g, x: multiply(g, bell(x)))
def erf(x):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""
    return kernels.erf(real(x))


def bell(x):
    return multiply(2 / math.sqrt(math.pi), exp(negative(square(x))))


@op(lambda g, out: tanh_grad(g, out))
def tanh(x):
    """The hyperbolic tangent: from -1 to 1, slope 1 at 0."""
    return kernels.tanh(real(x))


@op(
    lambda h, y: tanh_grad(h, y),
    lambda h, g, y: multiply(-2, multiply(h, multiply(g, y))),
)
def tanh_grad(g, y):
    return kernels.tanh_grad(g, y)


@op(lambda g, out: sigmoid_grad(g, out), origin=True)
def sigmoid(x):
    """1 / (1 + exp(-x)): between 0 and 1 for any x, without overflow."""
    return kernels.sigmoid(real(x))


@op(
    lambda h, y: sigmoid_grad(h, y),
    lambda h, g, y: multiply(h, multiply(g, subtract(1, multiply(2, y)))),
)
def sigmoid_grad(g, y):
    return kernels.sigmoid_grad(g, y)


# -------------------------------------------------------------- angles, circular and hyperbolic


@op(lambda g, x: multiply(g, cos(x)), forward=quiet(np.sin))
def sin(x):
    """The sine of an angle in radians."""


@op(lambda g, x: negative(multiply(g, sin(x))), forward=quiet(np.cos))
def cos(x):
    """The cosine of an angle in radians."""


@op(lambda g, out: multiply(g, add(1, square(out))), forward=quiet(np.tan))
def tan(x):
    """The tangent of an angle in radians."""


@op(lambda g, x: divide(g, sqrt(one_minus_square(x))), forward=quiet(np.arcsin))
def asin(x):
    """The angle from -pi/2 to pi/2 whose sine is x; nan where |x| > 1."""


@op(lambda g, x: negative(divide(g, sqrt(one_minus_square(x)))), forward=quiet(np.arccos))
def acos(x):
    """The angle from 0 to pi whose cosine is x; nan where |x| > 1."""


def one_minus_square(x):
    return multiply(subtract(1, x), add(1, x))  # as a product it has its digits near 1


@op(lambda g, x: divide(g, add(1, square(x))), forward=np.arctan)
def atan(x):
    """The angle from -pi/2 to pi/2 whose tangent is x."""


@op(
    lambda g, x, y: multiply(g, divide(y, squared_distance(x, y))),
    lambda g, x, y: negative(multiply(g, divide(x, squared_distance(x, y)))),
    forward=np.arctan2,
)
def atan2(x, y):
    """The angle from -pi to pi of the point whose abscissa is y and whose ordinate is x."""


def squared_distance(x, y):
    # At the origin, where there is no slope: 1, so that 0 comes of it.
    square_sum = add(square(x), square(y))
    return add(square_sum, equal(square_sum, 0))


@op(lambda g, x: multiply(g, cosh(x)), forward=quiet(np.sinh))
def sinh(x):
    """The hyperbolic sine."""


@op(lambda g, x: multiply(g, sinh(x)), forward=quiet(np.cosh))
def cosh(x):
    """The hyperbolic cosine."""


@op(lambda g, x: divide(g, sqrt(add(square(x), 1))), forward=np.arcsinh)
def asinh(x):
    """The number whose hyperbolic sine is x."""


@op(
    lambda g, x: divide(g, sqrt(multiply(subtract(x, 1), add(x, 1)))),
    forward=quiet(np.arccosh),
)
def acosh(x):
    """The number from 0 on whose hyperbolic cosine is x; nan below 1."""


@op(lambda g, x: divide(g, one_minus_square(x)), forward=quiet(np.arctanh))
def atanh(x):
    """The number whose hyperbolic tangent is x; infinite at -1 and 1, nan beyond."""
