"""Optimizers: how parameters move by their gradients, all of them in one kernel, in place.

By hand an optimizer is given its parameters, in `compile` the model gives them:

    optimizer = nn.optimizers.Adam(model.parameters(), learning_rate=1e-3)
    model.compile(optimizer=nn.optimizers.Adam(learning_rate=1e-3), ...)
"""

from ..names import find
from .base import Optimizer
from .rules import SGD, Adadelta, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop

OPTIMIZERS = {
    kind.__name__.lower(): kind
    for kind in (SGD, Adam, AdamW, Nadam, RMSprop, Adagrad, Adadelta, Lion)
}


def get(optimizer):
    """A new optimizer with default settings for a name; an optimizer as it is."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise TypeError(f"expected an optimizer, got the class: write {optimizer.__name__}()")
    return find("optimizer", optimizer, OPTIMIZERS)()
