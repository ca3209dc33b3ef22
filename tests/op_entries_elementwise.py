"""The entries of the operation table for the elementwise functions and the activations."""

import math

import numpy as np

from engine.ops import activations, elementwise

from .op_table import (
    BINARY,
    BINARY_APART,
    UNARY,
    UNARY_APART,
    UNARY_POSITIVE,
    Entry,
    apart,
    logistic,
    real,
)

a, e = activations, elementwise
LARGE = (np.array([-30.0, -9.0, -3.5, -1.2, 1.7, 2.4, 8.0, 25.0]),)  # both tails of a function
UNARY_UNIT = [(np.tanh(x),) for (x,) in UNARY]
UNARY_TAILS = [*UNARY_APART, LARGE]
MASKS = (np.array([True, True, False, False]), np.array([True, False, True, False]))
BITS = (np.array([1, 2, 7]), np.array([3, 6, 5]))
GRADS = [(real(3, 4), apart(3, 4)), (real(), np.array(-0.4)), (real(8), *LARGE)]


def erf(x):
    return np.vectorize(math.erf, otypes=[float])(x)


def normal_area(x):
    """That below x; where it is small by erfc, which has its digits."""
    return np.vectorize(lambda t: math.erfc(-t / math.sqrt(2)) / 2, otypes=[float])(x)


def tanh_area(x):
    return (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2


def gelu(x, approximate="none"):
    if approximate == "none":
        return x * normal_area(x)
    return x * tanh_area(x)


def gelu_grad(g, x, approximate):
    if approximate == "none":
        return g * (normal_area(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))
    s = tanh_area(x)
    slope = 2 * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    return g * (s + x * s * (1 - s) * slope)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_grad(g, x, alpha=1.0):
    return g * np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def softplus(x):
    return np.logaddexp(0, x)


def mish_grad(g, x):
    t = np.tanh(softplus(x))
    return g * (t + x * (1 - t * t) * logistic(x))


def between(low, x, high):
    return (x > low) & (x < high)


FUNCTIONS = [
    ("positive", np.positive, UNARY),
    ("reciprocal", np.reciprocal, UNARY_POSITIVE),
    ("floor", np.floor, UNARY_APART),
    ("ceil", np.ceil, UNARY_APART),
    ("trunc", np.trunc, UNARY_APART),
    ("round", np.round, UNARY_APART),
    ("expm1", np.expm1, UNARY),
    ("log1p", np.log1p, UNARY_POSITIVE),
    ("log2", np.log2, UNARY_POSITIVE),
    ("log10", np.log10, UNARY_POSITIVE),
    ("erf", erf, UNARY),
    ("sin", np.sin, UNARY),
    ("cos", np.cos, UNARY),
    ("tan", np.tan, UNARY_UNIT),
    ("asin", np.arcsin, UNARY_UNIT),
    ("acos", np.arccos, UNARY_UNIT),
    ("atan", np.arctan, UNARY),
    ("sinh", np.sinh, UNARY),
    ("cosh", np.cosh, UNARY),
    ("asinh", np.arcsinh, UNARY),
    ("acosh", np.arccosh, [(1 + x,) for (x,) in UNARY_POSITIVE]),
    ("atanh", np.arctanh, UNARY_UNIT),
]

ENTRIES = [
    *(Entry(getattr(e, name), oracle, samples) for name, oracle, samples in FUNCTIONS),
    Entry(e.floor_divide, np.floor_divide, BINARY_APART),
    Entry(e.remainder, np.remainder, BINARY_APART),
    Entry(e.logaddexp, np.logaddexp, BINARY),
    Entry(e.atan2, np.arctan2, BINARY),
    # logic
    *(
        Entry(getattr(e, name), getattr(np, name), [MASKS, *BINARY], smooth=False)
        for name in ("logical_and", "logical_or", "logical_xor")
    ),
    Entry(e.logical_not, np.logical_not, [MASKS[:1], (real(3),)], smooth=False),
    *(
        Entry(getattr(e, name), getattr(np, name), [MASKS, BITS], smooth=False)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    ),
    Entry(e.bitwise_invert, np.invert, [MASKS[:1], BITS[:1]], smooth=False),
    *(
        Entry(
            getattr(e, name),
            getattr(np, name),
            [(np.array([1.0, np.nan, np.inf, -np.inf]),), (real(),), (BITS[0],)],
            smooth=False,
        )
        for name in ("isnan", "isinf", "isfinite")
    ),
    # activations
    Entry(a.relu, lambda x: np.maximum(x, 0), UNARY_APART),
    Entry(a.relu_grad, lambda g, y: g * (y > 0), GRADS),
    *(
        Entry(
            a.leaky_relu,
            lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
            UNARY_APART,
            s,
        )
        for s in ({}, {"negative_slope": 0.2})
    ),
    Entry(
        a.leaky_relu_grad,
        lambda g, x, negative_slope: np.where(x > 0, g, negative_slope * g),
        GRADS,
        {"negative_slope": 0.3},
    ),
    Entry(a.relu6, lambda x: np.clip(x, 0, 6), UNARY_TAILS),
    Entry(a.relu6_grad, lambda g, x: g * between(0, x, 6), GRADS),
    Entry(a.hard_tanh, lambda x: np.clip(x, -1, 1), UNARY_TAILS),
    Entry(a.hard_tanh_grad, lambda g, x: g * between(-1, x, 1), GRADS),
    Entry(a.hard_sigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1), UNARY_TAILS),
    Entry(a.hard_sigmoid_grad, lambda g, x: g / 6 * between(-3, x, 3), GRADS),
    Entry(a.softsign, lambda x: x / (1 + np.abs(x)), UNARY_TAILS),
    Entry(a.softsign_grad, lambda g, x: g / (1 + np.abs(x)) ** 2, GRADS),
    Entry(a.elu, elu, UNARY_TAILS),
    Entry(a.elu, elu, UNARY_APART, {"alpha": 1.5}),
    Entry(a.elu_grad, elu_grad, GRADS, {"alpha": 0.7}),
    Entry(a.selu, lambda x: SELU_SCALE * elu(x, SELU_ALPHA), UNARY_TAILS),
    Entry(a.selu_grad, lambda g, x: SELU_SCALE * elu_grad(g, x, SELU_ALPHA), GRADS),
    Entry(a.celu, elu, UNARY_TAILS),
    Entry(a.celu, lambda x, alpha: alpha * elu(x / alpha), UNARY_APART, {"alpha": 0.6}),
    Entry(a.celu_grad, lambda g, x, alpha: elu_grad(g, x / alpha), GRADS, {"alpha": 2}),
    Entry(a.softplus, softplus, [*UNARY, LARGE]),
    Entry(a.softplus_grad, lambda g, x: g * logistic(x), GRADS),
    Entry(a.log_sigmoid, lambda x: -softplus(-x), [*UNARY, LARGE]),
    Entry(a.log_sigmoid_grad, lambda g, x: g * logistic(-x), GRADS),
    Entry(a.silu, lambda x: x * logistic(x), [*UNARY, LARGE]),
    Entry(
        a.silu_grad,
        lambda g, x: g * (logistic(x) + x * logistic(x) * logistic(-x)),
        GRADS,
    ),
    Entry(a.mish, lambda x: x * np.tanh(softplus(x)), [*UNARY, LARGE]),
    Entry(a.mish_grad, mish_grad, GRADS),
    *(Entry(a.gelu, gelu, [*UNARY, LARGE], s) for s in ({}, {"approximate": "tanh"})),
    *(
        Entry(a.gelu_grad, gelu_grad, GRADS, {"approximate": approximate})
        for approximate in ("none", "tanh")
    ),
]
