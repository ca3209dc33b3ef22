"""Layers that add chance while training, and do nothing in inference.

What they draw comes from `engine.seed`'s generator.
"""

import math

import numpy as np

import engine
from engine import random

from ..checks import number_of
from ..module import Layer


class _Noise(Layer):
    """Base: `noisy(x)` while training, x as it is in inference."""

    def output_shape(self, input_shape):
        return input_shape

    def flops(self, input_shape):
        return 0

    def forward(self, x):
        return self.noisy(x) if self.training else x


class Dropout(_Noise):
    """Sets a share of the elements to 0 and divides the others by what is left (Srivastava 2014).

    rate         the probability with which an element is set to 0, in [0, 1)
    noise_shape  the shape of what is drawn, with the batch; it is broadcast to that of the input.
                 (None, 1, 8) draws once for all steps of an axis; None there means the length of
                 the input. Default: the shape of the input.
    """

    def __init__(self, rate, noise_shape=None, input_shape=None, name=None):
        self.rate = number_of("Dropout", "rate", rate, low=0, high=1)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)
        super().__init__(input_shape, name)

    def noisy(self, x):
        if self.rate == 0:
            return x
        shape = x.shape
        if self.noise_shape is not None:
            shape = self._noise_shape(shape)
        drawn = random.generator().random(shape, dtype=np.float32)
        keep = np.multiply(drawn >= self.rate, 1 / (1 - self.rate), dtype=_float_type(x))
        return engine.multiply(x, keep)

    def _noise_shape(self, shape):
        lengths = self.noise_shape
        if len(lengths) == len(shape):
            lengths = tuple(n if m is None else m for m, n in zip(lengths, shape))
            if all(m in (1, n) for m, n in zip(lengths, shape)):
                return lengths
        raise ValueError(
            f"{self.label}: noise_shape {self.noise_shape} does not broadcast to the input's shape "
            f"{shape}"
        )

    def __repr__(self):
        return f"Dropout({self.rate:g})"


class GaussianNoise(_Noise):
    """Adds normal noise of standard deviation `stddev`, of at least 0."""

    def __init__(self, stddev, input_shape=None, name=None):
        self.stddev = number_of("GaussianNoise", "stddev", stddev, low=0)
        super().__init__(input_shape, name)

    def noisy(self, x):
        return engine.add(x, _normal(x, 0.0, self.stddev))

    def __repr__(self):
        return f"GaussianNoise({self.stddev:g})"


class GaussianDropout(_Noise):
    """Multiplies by normal noise of mean 1 and variance rate / (1 - rate) (Srivastava 2014, 10).

    rate  in [0, 1): the noise has the variance that a Dropout of this rate brings
    """

    def __init__(self, rate, input_shape=None, name=None):
        self.rate = number_of("GaussianDropout", "rate", rate, low=0, high=1)
        super().__init__(input_shape, name)

    def noisy(self, x):
        return engine.multiply(x, _normal(x, 1.0, math.sqrt(self.rate / (1 - self.rate))))

    def __repr__(self):
        return f"GaussianDropout({self.rate:g})"


def _float_type(x):
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)


def _normal(x, mean, deviation):
    drawn = random.generator().standard_normal(x.shape, dtype=_float_type(x))
    drawn *= deviation
    drawn += mean
    return drawn
