"""Activations: one kernel forward and one backward, which is a row with derivatives of its own.

A kernel calculates the slope from the input, where that has more digits than the output, and both
are right in both tails. Sigmoid and tanh are in `elementwise`, softmax and its like in `fused`.
At a kink the slope is that of the flatter side, unless the comment at the row says otherwise.
"""

import math
from numbers import Real

from ..kernels import elementwise as kernels
from ..recorder import op
from .elementwise import (
    abs,
    add,
    clip,
    divide,
    exp,
    less_equal,
    multiply,
    negative,
    real,
    sigmoid,
    sigmoid_grad,
    sign,
    square,
    subtract,
    tanh,
    zeros_like,
)


def number(name, value):
    """A setting as the number that a kernel takes. TypeError for anything that is none."""
    if not isinstance(value, Real):
        raise TypeError(f"expected a number for {name}")
    return float(value)


# --------------------------------------------------------------------- made of straight lines


@op(lambda g, out: relu_grad(g, out))
def relu(x):
    """max(x, 0); nan stays nan."""
    return kernels.relu(real(x))


@op(lambda h, y: relu_grad(h, y), lambda h: zeros_like(h))
def relu_grad(g, y):
    return kernels.relu_grad(g, y)


@op(lambda g, x, negative_slope: leaky_relu_grad(g, x, negative_slope))  # negative_slope at 0
def leaky_relu(x, negative_slope=0.01):
    """x where it is positive, negative_slope * x elsewhere (Maas et al. 2013)."""
    return kernels.leaky_relu(real(x), number("negative_slope", negative_slope))


@op(lambda h, x, negative_slope: leaky_relu_grad(h, x, negative_slope), lambda h: zeros_like(h))
def leaky_relu_grad(g, x, negative_slope):
    return kernels.leaky_relu_grad(g, x, float(negative_slope))


@op(lambda g, x: relu6_grad(g, x))
def relu6(x):
    """`x` moved into [0, 6]."""
    return kernels.relu6(real(x))


@op(lambda h, x: relu6_grad(h, x), lambda h: zeros_like(h))
def relu6_grad(g, x):
    return kernels.relu6_grad(g, x)


@op(lambda g, x: hard_tanh_grad(g, x))
def hard_tanh(x):
    """`x` moved into [-1, 1]."""
    return kernels.hard_tanh(real(x))


@op(lambda h, x: hard_tanh_grad(h, x), lambda h: zeros_like(h))
def hard_tanh_grad(g, x):
    return kernels.hard_tanh_grad(g, x)


@op(lambda g, x: hard_sigmoid_grad(g, x))
def hard_sigmoid(x):
    """x / 6 + 1 / 2, moved into [0, 1]."""
    return kernels.hard_sigmoid(real(x))


@op(lambda h, x: hard_sigmoid_grad(h, x), lambda h: zeros_like(h))
def hard_sigmoid_grad(g, x):
    return kernels.hard_sigmoid_grad(g, x)


@op(lambda g, x: softsign_grad(g, x))
def softsign(x):
    """x / (1 + |x|)"""
    return kernels.softsign(real(x))


@op(
    lambda h, x: softsign_grad(h, x),
    lambda h, g, x: multiply(
        softsign_grad(multiply(h, g), x), divide(multiply(-2, sign(x)), add(1, abs(x)))
    ),
)
def softsign_grad(g, x):
    return kernels.softsign_grad(g, x)


# ----------------------------------------------------------------------- made of exponentials


@op(lambda g, x, alpha: elu_grad(g, x, alpha))  # alpha at 0
def elu(x, alpha=1.0):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere (Clevert et al. 2016)."""
    return kernels.elu(real(x), number("alpha", alpha))


@op(
    lambda h, x, alpha: elu_grad(h, x, alpha),
    lambda h, g, x, alpha: multiply(elu_grad(multiply(h, g), x, alpha), less_equal(x, 0)),
)
def elu_grad(g, x, alpha):
    return kernels.elu_grad(g, x, float(alpha))


@op(lambda g, x: selu_grad(g, x))  # that of the left side at 0, about 1.76
def selu(x):
    """`elu` times a scale, with the two constants that keep mean and variance through layers.

    Klambauer et al., Self-Normalizing Neural Networks (2017).
    """
    return kernels.selu(real(x))


@op(
    lambda h, x: selu_grad(h, x),
    lambda h, g, x: multiply(selu_grad(multiply(h, g), x), less_equal(x, 0)),
)
def selu_grad(g, x):
    return kernels.selu_grad(g, x)


@op(lambda g, x, alpha: celu_grad(g, x, alpha))
def celu(x, alpha=1.0):
    """x where it is positive, alpha * (exp(x / alpha) - 1) elsewhere (Barron 2017); alpha > 0."""
    alpha = number("alpha", alpha)
    if not alpha > 0:
        raise ValueError("expected alpha > 0")
    return kernels.celu(real(x), alpha)


@op(
    lambda h, x, alpha: celu_grad(h, x, alpha),
    lambda h, g, x, alpha: multiply(
        celu_grad(multiply(h, g), x, alpha), divide(less_equal(x, 0), alpha)
    ),
)
def celu_grad(g, x, alpha):
    return kernels.celu_grad(g, x, float(alpha))


@op(lambda g, x: softplus_grad(g, x))
def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return kernels.softplus(real(x))


@op(
    lambda h, x: softplus_grad(h, x),
    lambda h, g, x: sigmoid_grad(multiply(h, g), sigmoid(x)),
)
def softplus_grad(g, x):
    return kernels.softplus_grad(g, x)


@op(lambda g, x: log_sigmoid_grad(g, x))
def log_sigmoid(x):
    """log(sigmoid(x)) = -log(1 + exp(-x)), without overflow."""
    return kernels.log_sigmoid(real(x))


@op(
    lambda h, x: log_sigmoid_grad(h, x),
    lambda h, g, x: negative(sigmoid_grad(multiply(h, g), sigmoid(x))),
)
def log_sigmoid_grad(g, x):
    return kernels.log_sigmoid_grad(g, x)


# ------------------------------------------------------------------------- x times a gate of x


@op(lambda g, x: silu_grad(g, x))
def silu(x):
    """x * sigmoid(x), also called swish."""
    return kernels.silu(real(x))


@op(lambda h, x: silu_grad(h, x), lambda h, g, x: multiply(multiply(h, g), silu_bend(x)))
def silu_grad(g, x):
    return kernels.silu_grad(g, x)


def silu_bend(x):
    # The second derivative: s' (2 + x (1 - 2 s)).
    s = sigmoid(x)
    return sigmoid_grad(add(2, multiply(x, subtract(1, multiply(2, s)))), s)


@op(lambda g, x: mish_grad(g, x))
def mish(x):
    """x * tanh(softplus(x)) (Misra 2020)"""
    return kernels.mish(real(x))


@op(lambda h, x: mish_grad(h, x), lambda h, g, x: multiply(multiply(h, g), mish_bend(x)))
def mish_grad(g, x):
    return kernels.mish_grad(g, x)


def mish_bend(x):
    # The second derivative: (1 - t^2) s (2 + x (1 - s - 2 t s)).
    s, t = sigmoid(x), tanh(softplus(x))
    inner = add(2, multiply(x, subtract(1, multiply(s, add(1, multiply(2, t))))))
    return multiply(multiply(subtract(1, square(t)), s), inner)


@op(lambda g, x, approximate: gelu_grad(g, x, approximate))
def gelu(x, approximate="none"):
    """x times the area of the standard normal distribution below x (Hendrycks and Gimpel 2016).

    approximate  "none", or "tanh": x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, same paper
    """
    if approximate not in ("none", "tanh"):
        raise ValueError('expected "none" or "tanh" for approximate')
    return (kernels.gelu if approximate == "none" else kernels.gelu_tanh)(real(x))


@op(
    lambda h, x, approximate: gelu_grad(h, x, approximate),
    lambda h, g, x, approximate: multiply(multiply(h, g), GELU_BENDS[approximate](x)),
)
def gelu_grad(g, x, approximate):
    return (kernels.gelu_grad if approximate == "none" else kernels.gelu_tanh_grad)(g, x)


def gelu_bend(x):
    # The second derivative: (2 - x^2) times the density. Both tails are 0 long before 40.
    square_x = square(clip(x, -40, 40))
    density = multiply(1 / math.sqrt(2 * math.pi), exp(multiply(-0.5, square_x)))
    return multiply(subtract(2, square_x), density)


def gelu_tanh_bend(x):
    # With s = sigmoid(u), u = a x + b x^3: s' (2 u' + x u'' + x (1 - 2 s) u'^2).
    x = clip(x, -40, 40)
    a, b = kernels.TANH_A, kernels.TANH_B
    square_x = square(x)
    s = sigmoid(multiply(x, add(a, multiply(b, square_x))))
    slope = add(a, multiply(3 * b, square_x))
    bend = multiply(multiply(x, subtract(1, multiply(2, s))), square(slope))
    return sigmoid_grad(add(add(multiply(2, slope), multiply(6 * b, square_x)), bend), s)


GELU_BENDS = {"none": gelu_bend, "tanh": gelu_tanh_bend}
