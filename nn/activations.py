"""Activation functions by name, for `Dense(..., activation="relu")`.

By name a function has its default settings, those of the engine; for others there are the layers,
as `LeakyReLU(negative_slope=0.2)`.
"""

import engine

from .names import find


def linear(x):
    """x as it is: the identity, for a layer without an activation."""
    return x


ACTIVATIONS = {
    "celu": engine.celu,
    "elu": engine.elu,
    "gelu": engine.gelu,
    "hard_sigmoid": engine.hard_sigmoid,
    "hard_tanh": engine.hard_tanh,
    "leaky_relu": engine.leaky_relu,
    "linear": linear,
    "log_sigmoid": engine.log_sigmoid,
    "log_softmax": engine.log_softmax,
    "mish": engine.mish,
    "relu": engine.relu,
    "relu6": engine.relu6,
    "selu": engine.selu,
    "sigmoid": engine.sigmoid,
    "silu": engine.silu,
    "softmax": engine.softmax,
    "softplus": engine.softplus,
    "softsign": engine.softsign,
    "swish": engine.silu,
    "tanh": engine.tanh,
}


def get(activation):
    """The function for a name, a function as it is, `linear` for None."""
    if activation is None:
        return linear
    if isinstance(activation, type):
        raise TypeError(f"expected an activation, got the class: write {activation.__name__}()")
    return activation if callable(activation) else find("activation", activation, ACTIVATIONS)


def prelu(x, alpha):
    """x where it is positive, alpha * x elsewhere, for a Tensor alpha (He et al. 2015, eq. 1)."""
    return engine.relu(x) - alpha * engine.relu(-x)


def name_of(activation):
    """The name under which the tables know a function, as "relu"."""
    return getattr(activation, "__name__", type(activation).__name__)
