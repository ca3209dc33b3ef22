"""Standardizing: mean 0 and variance 1 along some axes, in one row, and its gradient in another.

With m and s the mean and 1 / sqrt(variance + epsilon) over the axes, and z = (x - m) s the result,
the gradient of x for an incoming g is

    s (g - mean(g) - z mean(g z))

(Ioffe and Szegedy 2015, section 3, put together). It is linear in g and its own transpose. For its
slope in x, h being the incoming gradient, write G = mean(g z), H = mean(h z), and C for the
covariance mean(g h) - mean(g) mean(h):

    -s^2 (H (g - mean(g)) + G (h - mean(h)) + (C - 3 G H) z)
"""

import math

import numpy as np

from ..recorder import op
from .elementwise import add, multiply, negative, real, sqrt, square, subtract
from .reduce import kept_shape, mean


@op(lambda g, x, axes, epsilon: standardize_grad(g, x, axes, epsilon))
def standardize(x, axes, epsilon):
    """(x - mean) / sqrt(variance + epsilon), the two taken over `axes`, a tuple of axes.

    The variance is that over n, not n - 1. ValueError where there is nothing to take a mean of.
    """
    return _centred(real(x), axes, epsilon)[0]


@op(
    lambda h, x, axes, epsilon: standardize_grad(h, x, axes, epsilon),
    lambda h, g, x, axes, epsilon: _slope(h, g, x, axes, epsilon),
)
def standardize_grad(g, x, axes, epsilon):
    z, scale = _centred(x, axes, epsilon)
    out = g - g.mean(axes, keepdims=True)
    z *= _mean_product(g, z, axes)
    out -= z
    out *= scale
    return out


def _centred(x, axes, epsilon):
    """The standardized x, and what its distance from the mean was multiplied by."""
    if not all(x.shape[axis] for axis in axes):
        raise ValueError(f"expected elements to take the mean of along axes {axes}")
    z = x - x.mean(axes, keepdims=True)
    scale = 1 / np.sqrt(_mean_product(z, z, axes) + x.dtype.type(epsilon))
    z *= scale
    return z, scale


def _mean_product(x, y, axes):
    """mean(x y) over `axes`, which stay as axes of length 1; without the product in memory."""
    labels = list(range(x.ndim))
    kept = [label for label in labels if label not in axes]
    total = np.einsum(x, labels, y, labels, kept)
    count = math.prod(x.shape[axis] for axis in axes)
    return total.reshape(kept_shape(x.shape, axes)) / x.dtype.type(count)


def _slope(h, g, x, axes, epsilon):
    def average(values):
        return mean(values, axis=axes, keepdims=True)

    apart = subtract(x, average(x))
    variance = average(square(apart))
    deviation = sqrt(add(variance, epsilon))
    z = apart / deviation
    g_mean, h_mean = average(g), average(h)
    g_slope, h_slope = average(multiply(g, z)), average(multiply(h, z))
    covariance = subtract(average(multiply(g, h)), multiply(g_mean, h_mean))
    bend = subtract(covariance, multiply(3, multiply(g_slope, h_slope)))
    terms = add(
        add(multiply(h_slope, subtract(g, g_mean)), multiply(g_slope, subtract(h, h_mean))),
        multiply(bend, z),
    )
    return negative(terms / square(deviation))
