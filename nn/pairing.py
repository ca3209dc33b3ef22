"""What belongs together: last activation, loss, form of the labels, rule of decision.

    | last activation | loss                            | labels             | decision    |
    |-----------------|---------------------------------|--------------------|-------------|
    | sigmoid         | binary_crossentropy             | 0/1, (n,) or (n,k) | p > 0.5     |
    | softmax         | categorical_crossentropy        | one-hot (n, k)     | argmax      |
    | softmax         | sparse_categorical_crossentropy | integers (n,)      | argmax      |
    | none            | mean_squared_error, ...         | real (n, k)        | the value   |

A loss with the wrong activation trains without complaint and learns nothing, or the wrong thing;
here it is an error.
"""

from typing import NamedTuple

import numpy as np


class Pairing(NamedTuple):
    """A row of the table, by the name of its loss."""

    activation: str
    accuracy: str


PAIRINGS = {
    "binary_crossentropy": Pairing("sigmoid", "binary_accuracy"),
    "categorical_crossentropy": Pairing("softmax", "categorical_accuracy"),
    "sparse_categorical_crossentropy": Pairing("softmax", "sparse_categorical_accuracy"),
}


def check(loss, activation, units):
    """Raise ValueError when a loss (by name) can not learn what `activation` puts out.

    activation  the name of the last activation, None when the model can not tell
    units       the number of outputs, None when it is not known yet
    """
    pairing = PAIRINGS.get(loss)
    if pairing is None or activation is None:
        return
    if activation != pairing.activation:
        fitting = [name for name, row in PAIRINGS.items() if row.activation == activation]
        other = f", or the loss {' or '.join(map(repr, fitting))}" if fitting else ""
        raise ValueError(
            f"{loss} needs {pairing.activation} as the last activation, this model ends with "
            f"{activation}: write activation={pairing.activation!r} in the last layer{other}"
        )
    if activation == "softmax" and units == 1:
        raise ValueError(
            "softmax over one unit is always 1, so that nothing can be learnt: use one unit with "
            "activation='sigmoid' and loss='binary_crossentropy', or one unit per class"
        )


def accuracy_for(loss):
    """The name of the accuracy that belongs to a loss, None for one without classes."""
    return PAIRINGS[loss].accuracy if loss in PAIRINGS else None


def decide(activation, outputs, threshold=0.5):
    """The classes for the outputs (n, k) of a model that ends with `activation`.

    softmax: the index of the greatest, (n,) int64. sigmoid: 1 where p > threshold, of the shape
    of the outputs, but (n,) for one unit. Raises ValueError for others: they decide nothing.
    """
    if activation == "softmax":
        return np.argmax(outputs, axis=-1)
    if activation == "sigmoid":
        classes = (outputs > threshold).astype(np.int64)
        return classes.reshape(len(classes)) if outputs.shape[1:] == (1,) else classes
    raise ValueError(
        f"predict_classes: a model that ends with {activation} gives values, not classes; "
        "it needs sigmoid or softmax as its last activation"
    )
