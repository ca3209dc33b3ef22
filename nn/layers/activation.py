"""Activations as layers of their own: the name of the function, and its settings.

`Dense(8), ReLU()` is the same as `Dense(8, activation="relu")`.
"""

import math

import engine

from .. import activations, initializers, regularizers
from ..checks import number_of
from ..module import Layer


class Activation(Layer):
    """Applies an activation, given by name or as a function, to every element or row."""

    def __init__(self, activation, input_shape=None, name=None):
        self.activation = activations.get(activation)
        super().__init__(input_shape, name)

    def output_shape(self, input_shape):
        return input_shape

    def flops(self, input_shape):
        return math.prod(input_shape)

    def forward(self, x):
        return self.activation(x)

    def suited_initializer(self):
        """The default initializer for the kernel of the layer before this one."""
        return initializers.suited_to(activations.name_of(self.activation))

    def __repr__(self):
        return f"Activation({activations.name_of(self.activation)!r})"


class _Named(Activation):
    """An activation layer whose class says which; a subclass sets `activation`."""

    def __init__(self, input_shape=None, name=None):
        Layer.__init__(self, input_shape, name)

    def settings(self):
        """What distinguishes this layer from another of its class, as it is written."""
        return ""

    def __repr__(self):
        return f"{type(self).__name__}({self.settings()})"


class Identity(_Named):
    """x as it is."""

    activation = staticmethod(activations.linear)

    def flops(self, input_shape):
        return 0


class ReLU(_Named):
    """max(x, 0)"""

    activation = staticmethod(engine.relu)


class ReLU6(_Named):
    """x moved into [0, 6]."""

    activation = staticmethod(engine.relu6)


class SELU(_Named):
    """elu times a scale, with the constants that keep mean and variance (Klambauer et al. 2017)."""

    activation = staticmethod(engine.selu)


class SiLU(_Named):
    """x * sigmoid(x), also called swish."""

    activation = staticmethod(engine.silu)


class Mish(_Named):
    """x * tanh(softplus(x)) (Misra 2020)"""

    activation = staticmethod(engine.mish)


class Softplus(_Named):
    """log(1 + exp(x))"""

    activation = staticmethod(engine.softplus)


class Softsign(_Named):
    """x / (1 + |x|)"""

    activation = staticmethod(engine.softsign)


class Sigmoid(_Named):
    """1 / (1 + exp(-x)): a probability for each element."""

    activation = staticmethod(engine.sigmoid)


class HardSigmoid(_Named):
    """x / 6 + 1 / 2, moved into [0, 1]."""

    activation = staticmethod(engine.hard_sigmoid)


class LogSigmoid(_Named):
    """log(sigmoid(x))"""

    activation = staticmethod(engine.log_sigmoid)


class Tanh(_Named):
    """The hyperbolic tangent: from -1 to 1."""

    activation = staticmethod(engine.tanh)


class HardTanh(_Named):
    """x moved into [-1, 1]."""

    activation = staticmethod(engine.hard_tanh)


# ---------------------------------------------------------------------------- with settings


class LeakyReLU(_Named):
    """x where it is positive, negative_slope * x elsewhere (Maas et al. 2013).

    negative_slope  default 0.01, that of the paper and of `engine.leaky_relu` (Keras's is 0.3)
    """

    activation = staticmethod(engine.leaky_relu)

    def __init__(self, negative_slope=0.01, input_shape=None, name=None):
        self.negative_slope = number_of("LeakyReLU", "negative_slope", negative_slope)
        super().__init__(input_shape, name)

    def forward(self, x):
        return engine.leaky_relu(x, self.negative_slope)

    def suited_initializer(self):
        return initializers.suited_to("leaky_relu", self.negative_slope)

    def settings(self):
        return f"{self.negative_slope:g}"


class PReLU(_Named):
    """x where it is positive, alpha * x elsewhere, alpha being learnt (He et al. 2015, eq. 1).

    alpha_initializer  a name or function. Default "zeros", as in Keras; the paper starts from 0.25.
    alpha_regularizer  a regularizer (`nn.regularizers`) or None
    shared_axes        axes along which one alpha serves all, 1 being the first after the batch's;
                       None: every element of an example has its own

    Parameter: alpha, of the input's shape without the batch, with 1 for shared axes.
    """

    activation = staticmethod(activations.prelu)

    def __init__(
        self,
        alpha_initializer="zeros",
        alpha_regularizer=None,
        shared_axes=None,
        input_shape=None,
        name=None,
    ):
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.shared_axes = None if shared_axes is None else _axes(shared_axes)
        self.alpha = None
        super().__init__(input_shape, name)

    def build(self, input_shape):
        shape = list(input_shape)
        for axis in self.shared_axes or ():
            if not 1 <= axis <= len(shape):
                raise ValueError(
                    f"{self.label}: expected shared_axes from 1 to {len(shape)}, for input of "
                    f"shape (n, {', '.join(map(str, input_shape))}), got {axis}"
                )
            shape[axis - 1] = 1
        self.add_weight("alpha", tuple(shape), self.alpha_initializer)

    def forward(self, x):
        return activations.prelu(x, self.alpha)


class ELU(_Named):
    """x where it is positive, alpha * (exp(x) - 1) elsewhere (Clevert et al. 2016); alpha = 1."""

    activation = staticmethod(engine.elu)

    def __init__(self, alpha=1.0, input_shape=None, name=None):
        self.alpha = number_of("ELU", "alpha", alpha)
        super().__init__(input_shape, name)

    def forward(self, x):
        return engine.elu(x, self.alpha)

    def settings(self):
        return f"{self.alpha:g}"


class CELU(_Named):
    """x where it is positive, alpha * (exp(x / alpha) - 1) elsewhere (Barron 2017); alpha = 1."""

    activation = staticmethod(engine.celu)

    def __init__(self, alpha=1.0, input_shape=None, name=None):
        self.alpha = number_of("CELU", "alpha", alpha, low=0, open_low=True)
        super().__init__(input_shape, name)

    def forward(self, x):
        return engine.celu(x, self.alpha)

    def settings(self):
        return f"{self.alpha:g}"


class GELU(_Named):
    """x times the area of the standard normal distribution below x (Hendrycks and Gimpel 2016).

    approximate  True: the same by a formula with tanh, from the same paper. Default False.
    """

    activation = staticmethod(engine.gelu)

    def __init__(self, approximate=False, input_shape=None, name=None):
        if not isinstance(approximate, bool):
            raise TypeError(f"GELU: expected approximate to be True or False, got {approximate!r}")
        self.approximate = approximate
        super().__init__(input_shape, name)

    def forward(self, x):
        return engine.gelu(x, "tanh" if self.approximate else "none")

    def settings(self):
        return "approximate=True" if self.approximate else ""


class Softmax(_Named):
    """exp(x) / sum(exp(x)) along `axis`, the last by default: a distribution over classes."""

    activation = staticmethod(engine.softmax)

    def __init__(self, axis=-1, input_shape=None, name=None):
        self.axis = axis
        super().__init__(input_shape, name)

    def forward(self, x):
        return engine.softmax(x, self.axis)

    def settings(self):
        return "" if self.axis == -1 else f"axis={self.axis}"


class LogSoftmax(Softmax):
    """x - log(sum(exp(x))) along `axis`, the last by default."""

    activation = staticmethod(engine.log_softmax)

    def forward(self, x):
        return engine.log_softmax(x, self.axis)


def _axes(axes):
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    if not all(isinstance(axis, int) for axis in axes):
        raise TypeError(f"PReLU: expected shared_axes to be integers, got {axes!r}")
    return axes
