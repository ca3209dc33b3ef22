"""First values of weights, drawn from `engine.seed`'s generator.

Each is a class with settings, as `VarianceScaling(scale=2.0)`, and most also a function of the
default settings, as `he_normal`, which layers take by name. Names and settings are those of Keras.

For a kernel of shape (..., inputs, outputs), fan_in is the number of inputs of one output: all
lengths but the last, multiplied; fan_out is the last length times those before the last two. So
a Dense kernel (inputs, outputs) has its two lengths, and the kernel of a convolution (height,
width, inputs, outputs) each times the height * width places that it looks at. A shape of one axis
has its length as both, and one of none has 1.
"""

import inspect
import math

import numpy as np

from engine import random

from .checks import number_of
from .names import find

# The standard deviation of the standard normal distribution cut off at -2 and 2, about 0.8796:
# sqrt(1 - 4 density(2) / share), share = erf(sqrt(2)) being what lies within (Johnson, Kotz and
# Balakrishnan, Continuous Univariate Distributions 1, 1994, section 13.10.1). Keras and TensorFlow
# divide by the same number.
TRUNCATED_DEVIATION = math.sqrt(
    1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))
)


def fans(shape):
    """(fan_in, fan_out) of a kernel of `shape`."""
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    receptive = math.prod(shape[:-2])
    return receptive * shape[-2], receptive * shape[-1]


class Initializer:
    """Base: called with a shape (and a dtype, float32 by default) it gives an array.

    seed  of those that draw: None draws from the generator of `engine.seed`; an integer gives the
          same numbers at every call.
    """

    seed = None

    def __call__(self, shape, dtype="float32"):
        return np.asarray(self.values(tuple(shape))).astype(dtype)

    def values(self, shape):
        """The numbers, as float64."""
        raise NotImplementedError(f"{type(self).__name__} does not define values(self, shape)")

    def generator(self):
        return random.generator() if self.seed is None else np.random.default_rng(self.seed)

    def __repr__(self):
        names = inspect.signature(type(self)).parameters
        settings = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({settings})"


class Zeros(Initializer):
    """All 0: the default for biases."""

    def values(self, shape):
        return np.zeros(shape)


class Ones(Initializer):
    """All 1."""

    def values(self, shape):
        return np.ones(shape)


class Constant(Initializer):
    """All `value`, a number. Default 0."""

    def __init__(self, value=0.0):
        self.value = number_of("Constant", "value", value)

    def values(self, shape):
        return np.full(shape, self.value)


class RandomNormal(Initializer):
    """Normal, of mean `mean` (default 0) and standard deviation `stddev` (default 0.05)."""

    def __init__(self, mean=0.0, stddev=0.05, seed=None):
        self.mean = number_of(type(self).__name__, "mean", mean)
        self.stddev = number_of(type(self).__name__, "stddev", stddev, low=0)
        self.seed = _checked_seed(self, seed)

    def values(self, shape):
        return self.generator().normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """`RandomNormal` where what is more than two `stddev` from the mean is drawn again.

    The numbers that are left deviate by 0.88 `stddev`.
    """

    def values(self, shape):
        return self.mean + self.stddev * _truncated(self.generator(), shape)


class RandomUniform(Initializer):
    """Uniform from `minval` (default -0.05) to `maxval` (default 0.05)."""

    def __init__(self, minval=-0.05, maxval=0.05, seed=None):
        self.minval = number_of("RandomUniform", "minval", minval)
        self.maxval = number_of("RandomUniform", "maxval", maxval, low=self.minval)
        self.seed = _checked_seed(self, seed)

    def values(self, shape):
        return self.generator().uniform(self.minval, self.maxval, shape)


class VarianceScaling(Initializer):
    """Numbers of mean 0 and variance scale / n.

    scale         a number above 0. Default 1.
    mode          what n is: "fan_in" (default), "fan_out", or "fan_avg", the mean of the two
    distribution  "truncated_normal" (default: at two deviations, and widened so that the variance
                  is the one above), "untruncated_normal", or "uniform" in +-sqrt(3 scale / n)
    """

    def __init__(self, scale=1.0, mode="fan_in", distribution="truncated_normal", seed=None):
        self.scale = number_of("VarianceScaling", "scale", scale, low=0, open_low=True)
        self.mode, self.distribution = mode, distribution
        find("mode", mode, _MODES), find("distribution", distribution, _DISTRIBUTIONS)
        self.seed = _checked_seed(self, seed)

    def values(self, shape):
        variance = self.scale / max(1, _MODES[self.mode](*fans(shape)))
        draw = _DISTRIBUTIONS[self.distribution]
        return draw(self.generator(), shape) * math.sqrt(variance)


class GlorotUniform(VarianceScaling):
    """Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16).

    Keeps the variance of values and of gradients through layers that are near linear at 0.
    """

    def __init__(self, seed=None):
        super().__init__(1, "fan_avg", "uniform", seed)


class GlorotNormal(VarianceScaling):
    """Truncated normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 12)."""

    def __init__(self, seed=None):
        super().__init__(1, "fan_avg", "truncated_normal", seed)


class HeUniform(VarianceScaling):
    """Uniform in +-sqrt(6 / fan_in): the variance of `he_normal`."""

    def __init__(self, seed=None):
        super().__init__(2, "fan_in", "uniform", seed)


class HeNormal(VarianceScaling):
    """Truncated normal with variance 2 / fan_in (He et al. 2015, eq. 10).

    Keeps the variance through ReLU, which sets half of its inputs to 0.
    """

    def __init__(self, seed=None):
        super().__init__(2, "fan_in", "truncated_normal", seed)


class LecunUniform(VarianceScaling):
    """Uniform in +-sqrt(3 / fan_in): the variance of `lecun_normal`."""

    def __init__(self, seed=None):
        super().__init__(1, "fan_in", "uniform", seed)


class LecunNormal(VarianceScaling):
    """Truncated normal with variance 1 / fan_in (LeCun et al. 1998, section 4.6).

    What selu's fixed point of mean 0 and variance 1 needs (Klambauer et al. 2017, section 2).
    """

    def __init__(self, seed=None):
        super().__init__(1, "fan_in", "truncated_normal", seed)


class Orthogonal(Initializer):
    """A random matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014).

    gain  what it is multiplied by. Default 1.

    Of more than two axes, those before the last are taken as one. The matrix is evenly spread over
    all such: the signs of R's diagonal are taken out of Q (Mezzadri 2007, section 5).
    """

    def __init__(self, gain=1.0, seed=None):
        self.gain = number_of("Orthogonal", "gain", gain)
        self.seed = _checked_seed(self, seed)

    def values(self, shape):
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: expected a shape of at least two axes, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        drawn = self.generator().normal(size=(max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(drawn)
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


class Identity(Initializer):
    """`gain` (default 1) on the main diagonal of a matrix, 0 elsewhere."""

    def __init__(self, gain=1.0):
        self.gain = number_of("Identity", "gain", gain)

    def values(self, shape):
        if len(shape) != 2:
            raise ValueError(f"Identity: expected a shape of two axes, got {shape}")
        return self.gain * np.eye(*shape)


def _uniform(generator, shape):
    return generator.uniform(-math.sqrt(3), math.sqrt(3), shape)


def _normal(generator, shape):
    return generator.normal(size=shape)


def _truncated_to_unit(generator, shape):
    return _truncated(generator, shape) / TRUNCATED_DEVIATION


def _truncated(generator, shape):
    """Standard normal numbers from -2 to 2: what is outside is drawn again."""
    drawn = generator.normal(size=math.prod(shape))
    outside = np.flatnonzero(np.abs(drawn) > 2)
    while outside.size:
        drawn[outside] = generator.normal(size=outside.size)
        outside = outside[np.abs(drawn[outside]) > 2]
    return drawn.reshape(shape)


_MODES = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
}
_DISTRIBUTIONS = {
    "truncated_normal": _truncated_to_unit,
    "untruncated_normal": _normal,
    "uniform": _uniform,
}


def _checked_seed(initializer, seed):
    if seed is None or (isinstance(seed, (int, np.integer)) and seed >= 0):
        return seed
    raise ValueError(
        f"{type(initializer).__name__}: expected seed to be an integer of at least 0 or None, "
        f"got {seed!r}"
    )


# ----------------------------------------------------------------------------------- by name


def _function(name, initializer_class):
    def initializer(shape, dtype="float32"):
        return initializer_class()(shape, dtype)

    initializer.__name__ = initializer.__qualname__ = name
    initializer.__doc__ = initializer_class.__doc__
    return initializer


zeros = _function("zeros", Zeros)
ones = _function("ones", Ones)
constant = _function("constant", Constant)
normal = _function("normal", RandomNormal)
truncated_normal = _function("truncated_normal", TruncatedNormal)
uniform = _function("uniform", RandomUniform)
variance_scaling = _function("variance_scaling", VarianceScaling)
glorot_uniform = _function("glorot_uniform", GlorotUniform)
glorot_normal = _function("glorot_normal", GlorotNormal)
he_uniform = _function("he_uniform", HeUniform)
he_normal = _function("he_normal", HeNormal)
lecun_uniform = _function("lecun_uniform", LecunUniform)
lecun_normal = _function("lecun_normal", LecunNormal)
orthogonal = _function("orthogonal", Orthogonal)
identity = _function("identity", Identity)

INITIALIZERS = {
    function.__name__: function
    for function in (
        *(zeros, ones, constant, normal, truncated_normal, uniform, variance_scaling),
        *(glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal),
        *(orthogonal, identity),
    )
}


def get(initializer):
    """The function (shape, dtype) -> array for a name; a function or Initializer as it is."""
    if isinstance(initializer, type) and issubclass(initializer, Initializer):
        raise TypeError(f"expected an initializer, got the class: write {initializer.__name__}()")
    return initializer if callable(initializer) else find("initializer", initializer, INITIALIZERS)


# Half of what goes into these comes out near 0, or less of it.
_HALVING = {"celu", "elu", "gelu", "mish", "prelu", "relu", "relu6", "silu", "softplus"}


def suited_to(activation, negative_slope=0.01):
    """The default for the kernel of a layer that `activation` (a name) follows.

    relu and its like, which halve the variance    he_uniform
    leaky_relu                                     the same for its slope: uniform with variance
                                                   2 / ((1 + slope^2) fan_in) (He 2015, eq. 15)
    selu                                           lecun_normal
    any other, near linear at 0 or unknown         glorot_uniform
    """
    if activation == "leaky_relu":
        return VarianceScaling(2 / (1 + negative_slope**2), "fan_in", "uniform")
    if activation == "selu":
        return lecun_normal
    return he_uniform if activation in _HALVING else glorot_uniform
