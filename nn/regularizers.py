"""Regularizers: a Tensor of weights -> what the loss pays for them, a 0-d Tensor."""

from numbers import Real

import engine

from .names import find


class Regularizer:
    """Base: `regularizer(weights)` is a 0-d Tensor, which training adds to the loss."""

    def __call__(self, x):
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(self, x)")

    def __repr__(self):
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


class L1L2(Regularizer):
    """l1 * sum(|x|) + l2 * sum(x^2), the formula of Keras: no half, no mean. Defaults 0.

    Raises ValueError for factors below 0, TypeError for what are no numbers.
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1, self.l2 = _factor(self, "l1", l1), _factor(self, "l2", l2)

    def __call__(self, x):
        if not self.l1:
            return self.l2 * engine.sum(engine.square(x))
        penalty = self.l1 * engine.sum(engine.abs(x))
        return penalty + self.l2 * engine.sum(engine.square(x)) if self.l2 else penalty


class L1(Regularizer):
    """l1 * sum(|x|), which drives weights to exactly 0. Default 0.01, as in Keras."""

    def __init__(self, l1=0.01):
        self.l1 = _factor(self, "l1", l1)

    def __call__(self, x):
        return self.l1 * engine.sum(engine.abs(x))


class L2(Regularizer):
    """l2 * sum(x^2), whose gradient is 2 * l2 * x: no half. Default 0.01, as in Keras."""

    def __init__(self, l2=0.01):
        self.l2 = _factor(self, "l2", l2)

    def __call__(self, x):
        return self.l2 * engine.sum(engine.square(x))


def l1(l1=0.01):
    """`L1`, as a function that makes one."""
    return L1(l1)


def l2(l2=0.01):
    """`L2`, as a function that makes one."""
    return L2(l2)


def l1_l2(l1=0.01, l2=0.01):
    """`L1L2`, as a function that makes one, with factors that do something: 0.01 and 0.01."""
    return L1L2(l1, l2)


REGULARIZERS = {"l1": l1, "l2": l2, "l1_l2": l1_l2}


def get(regularizer):
    """The regularizer for a name ("l1", "l2", "l1_l2"), a callable as it is, None for None.

    Raises ValueError for an unknown name, TypeError for a class that was not called.
    """
    if regularizer is None:
        return None
    if isinstance(regularizer, type):
        raise TypeError(f"regularizer: expected an instance, write {regularizer.__name__}()")
    if callable(regularizer):
        return regularizer
    return find("regularizer", regularizer, REGULARIZERS)()


def _factor(regularizer, name, value):
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"{type(regularizer).__name__}: expected {name} to be a number, got {value!r}"
        )
    if not value >= 0:
        raise ValueError(
            f"{type(regularizer).__name__}: expected {name} to be at least 0, got {value!r}"
        )
    return float(value)
