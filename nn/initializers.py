"""First values of weights, drawn from `engine.seed`'s generator.

For a kernel of shape (..., inputs, outputs), fan_in is the number of inputs of one output: all
lengths but the last, multiplied; fan_out is the last length times those before the last two.
"""

import math

import numpy as np

from engine import random

from .names import find


def zeros(shape, dtype="float32"):
    """All 0: the default for biases."""
    return np.zeros(shape, dtype)


def ones(shape, dtype="float32"):
    """All 1."""
    return np.ones(shape, dtype)


def glorot_uniform(shape, dtype="float32"):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16).

    Keeps the variance of values and of gradients through layers that are near linear at 0.
    """
    fan_in, fan_out = fans(shape)
    return _uniform(shape, dtype, math.sqrt(6 / max(1, fan_in + fan_out)))


def glorot_normal(shape, dtype="float32"):
    """Normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 12)."""
    fan_in, fan_out = fans(shape)
    return _normal(shape, dtype, math.sqrt(2 / max(1, fan_in + fan_out)))


def he_uniform(shape, dtype="float32"):
    """Uniform in +-sqrt(6 / fan_in): the variance of `he_normal`."""
    return _uniform(shape, dtype, math.sqrt(6 / max(1, fans(shape)[0])))


def he_normal(shape, dtype="float32"):
    """Normal with variance 2 / fan_in (He et al. 2015, eq. 10).

    Keeps the variance through ReLU, which sets half of its inputs to 0.
    """
    return _normal(shape, dtype, math.sqrt(2 / max(1, fans(shape)[0])))


def fans(shape):
    """(fan_in, fan_out) of a kernel of `shape`."""
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    receptive = math.prod(shape[:-2])
    return receptive * shape[-2], receptive * shape[-1]


def _uniform(shape, dtype, limit):
    return random.generator().uniform(-limit, limit, shape).astype(dtype)


def _normal(shape, dtype, deviation):
    return random.generator().normal(0.0, deviation, shape).astype(dtype)


INITIALIZERS = {
    function.__name__: function
    for function in (glorot_normal, glorot_uniform, he_normal, he_uniform, ones, zeros)
}


def get(initializer):
    """The function (shape, dtype) -> array for a name; a function as it is."""
    return initializer if callable(initializer) else find("initializer", initializer, INITIALIZERS)


def suited_to(activation):
    """The default for the kernel of a layer: He for relu, which halves the variance, else Glorot.

    activation  the name of the activation that follows
    """
    return he_uniform if activation == "relu" else glorot_uniform
