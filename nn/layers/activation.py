"""Activations as layers of their own."""

import engine

from .. import activations
from ..module import Layer


class Activation(Layer):
    """Applies an activation, given by name or as a function, to every element or row."""

    def __init__(self, activation, input_shape=None, name=None):
        self.activation = activations.get(activation)
        super().__init__(input_shape, name)

    def forward(self, x):
        return self.activation(x)

    def __repr__(self):
        own = type(self) is Activation
        return (
            f"{type(self).__name__}({activations.name_of(self.activation)!r})"
            if own
            else (f"{type(self).__name__}()")
        )


class ReLU(Activation):
    """max(x, 0)"""

    def __init__(self, input_shape=None, name=None):
        super().__init__("relu", input_shape, name)


class Sigmoid(Activation):
    """1 / (1 + exp(-x)): a probability for each element."""

    def __init__(self, input_shape=None, name=None):
        super().__init__("sigmoid", input_shape, name)


class Tanh(Activation):
    """The hyperbolic tangent: from -1 to 1."""

    def __init__(self, input_shape=None, name=None):
        super().__init__("tanh", input_shape, name)


class Softmax(Activation):
    """exp(x) / sum(exp(x)) along `axis`, the last by default: a distribution over classes."""

    def __init__(self, axis=-1, input_shape=None, name=None):
        self.axis = axis
        super().__init__("softmax", input_shape, name)

    def forward(self, x):
        return engine.softmax(x, self.axis)
