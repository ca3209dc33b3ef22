"""Element by element: arithmetic, comparison, functions, activations. All of them broadcast.

The bodies of arithmetic and comparison are NumPy's, those of transcendental functions and of
activations are kernels. Where a function has a kink, the comment at its row says which slope of
the many it takes there.
"""

import numpy as np

from ..kernels import elementwise as kernels
from ..recorder import op
from ..tensor import FLOAT32, FLOAT64


def real(x):
    """`x` as a float array for a kernel: anything but float64 becomes float32."""
    if type(x) is np.ndarray and (x.dtype is FLOAT32 or x.dtype is FLOAT64):
        return x
    return np.asarray(x, dtype=FLOAT32)


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


@op(lambda g: negative(g), forward=np.negative)
def negative(x):
    """-x"""


@op(lambda g, x, y: multiply(g, pow_slope(x, y)), lambda g, x, out: multiply(g, pow_log(out, x)))
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


@op(lambda g, out: divide(multiply(g, 0.5), out), forward=np.sqrt)
def sqrt(x):
    """The square root; nan below 0."""


@op(lambda g, x: multiply(g, sign(x)), forward=np.abs)  # slope 0 at the kink at 0
def abs(x):
    """The absolute value."""


@op(lambda g: zeros_like(g), forward=np.sign)
def sign(x):
    """-1, 0 or 1; nan for nan. Its slope is 0 everywhere, at the step as well."""


@op(lambda g: zeros_like(g), forward=np.zeros_like)
def zeros_like(x):
    """Zeros of the shape and dtype of `x`."""


# ------------------------------------------------------------------- comparison and choice


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


@op(
    None,
    lambda g, condition: where(condition, g, zeros_like(g)),
    lambda g, condition: where(condition, zeros_like(g), g),
    forward=np.where,
)
def where(condition, x, y):
    """x where the condition holds, y elsewhere"""


@op(
    lambda g, x, y: where(greater(x, y), g, where(equal(x, y), multiply(0.5, g), zeros_like(g))),
    lambda g, x, y: where(greater(y, x), g, where(equal(x, y), multiply(0.5, g), zeros_like(g))),
    forward=np.maximum,
)
def maximum(x, y):
    """The greater of x and y; nan if either is. Equal elements share the gradient half and half."""


@op(
    lambda g, x, y: where(less(x, y), g, where(equal(x, y), multiply(0.5, g), zeros_like(g))),
    lambda g, x, y: where(less(y, x), g, where(equal(x, y), multiply(0.5, g), zeros_like(g))),
    forward=np.minimum,
)
def minimum(x, y):
    """The lesser of x and y; nan if either is. Equal elements share the gradient half and half."""


@op(lambda g, x, min, max: where(_within(x, min, max), g, zeros_like(g)))  # 1 at the bounds
def clip(x, min=None, max=None):
    """`x` moved into [min, max]; either bound may be None. The gradient passes at the bounds."""
    return np.clip(x, min, max)


def _within(x, low, high):
    x = getattr(x, "data", x) if type(x) is not np.ndarray else x
    inside = np.ones(x.shape, bool)
    if low is not None:
        inside &= x >= low
    if high is not None:
        inside &= x <= high
    return inside


# --------------------------------------------------------------------------------- functions


@op(lambda g, out: multiply(g, out))
def exp(x):
    """e to the power x"""
    return kernels.exp(real(x))


@op(lambda g, x: divide(g, x))
def log(x):
    """The natural logarithm; -inf at 0, nan below."""
    return kernels.log(real(x))


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


@op(lambda g, out: relu_grad(g, out))  # slope 0 at the kink at 0
def relu(x):
    """max(x, 0); nan stays nan."""
    return kernels.relu(real(x))


@op(lambda h, y: relu_grad(h, y), lambda h: zeros_like(h))
def relu_grad(g, y):
    return kernels.relu_grad(g, y)


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
