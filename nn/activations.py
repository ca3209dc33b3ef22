"""Activation functions by name, for `Dense(..., activation="relu")`."""

import engine

from .names import find


def linear(x):
    """x as it is: the identity, for a layer without an activation."""
    return x


ACTIVATIONS = {
    "linear": linear,
    "log_softmax": engine.log_softmax,
    "relu": engine.relu,
    "sigmoid": engine.sigmoid,
    "softmax": engine.softmax,
    "tanh": engine.tanh,
}


def get(activation):
    """The function for a name, a function as it is, `linear` for None."""
    if activation is None:
        return linear
    return activation if callable(activation) else find("activation", activation, ACTIVATIONS)


def name_of(activation):
    """The name under which the tables know a function, as "relu"."""
    return getattr(activation, "__name__", type(activation).__name__)
