"""What belongs together: last activation, loss, form of the labels, rule of decision.

    | last activation | units  | loss                            | labels                | decides |
    |-----------------|--------|---------------------------------|-----------------------|---------|
    | sigmoid         | 1      | binary_crossentropy             | 0/1, (n,) or (n, 1)   | p > 0.5 |
    | sigmoid         | k      | binary_crossentropy             | multi-hot (n, k)      | p > 0.5 |
    | softmax         | k >= 2 | categorical_crossentropy        | one-hot, or           | argmax  |
    |                 |        |                                 | probabilities, (n, k) |         |
    | softmax         | k >= 2 | sparse_categorical_crossentropy | integers (n,), (n, 1) | argmax  |
    | none            | k      | mean_squared_error, huber, ...  | real (n, k)           | value   |
    | none, tanh      | 1      | hinge, squared_hinge            | -1/1, (n,) or (n, 1)  | sign    |

TABLE has these rows, and those of the other losses; compile, fit, evaluate, predict_classes and
the metrics all go by it. A loss with the wrong activation or labels trains without complaint and
learns nothing, or the wrong thing; here it is an error before the first update, or a warning for
a model compiled with strict=False.
"""

import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

import engine

from . import losses
from .activations import ACTIVATIONS
from .labels import SUM_ROOM, array_of, form_of, integer_labels, sums_off
from .losses import name_of
from .losses.base import check_probabilities
from .losses.crossentropy import check_binary
from .losses.regression import check_signs
from .suspicions import trailing

AUTO = "auto"
PACKAGE = str(Path(__file__).parent)


class PairingWarning(UserWarning):
    """Something that is legal, but almost surely a mistake; the text says why, and what to do."""


class Pairing(NamedTuple):
    """A row of the table, by the name of its loss.

    activations  the names of the last activations that it takes; the first is the one to write.
                 Empty: any.
    labels       the forms of the labels that it takes (`nn.labels.form_of`)
    accuracy     the name of the accuracy that belongs to it, None where nothing is decided
    decision     "threshold", "argmax", "sign" or "value"
    """

    activations: tuple
    labels: tuple
    accuracy: str | None
    decision: str


_YES_OR_NO = Pairing(("sigmoid",), ("binary", "multi-hot"), "binary_accuracy", "threshold")
_ONE_OF_K = Pairing(("softmax",), ("one-hot", "probabilities"), "categorical_accuracy", "argmax")
_VALUES = Pairing((), ("real",), None, "value")
_SIGNS = Pairing(("linear", "tanh"), ("signs",), "sign_accuracy", "sign")

TABLE = {
    "binary_crossentropy": _YES_OR_NO,
    "binary_focal_crossentropy": _YES_OR_NO,
    "categorical_crossentropy": _ONE_OF_K,
    "categorical_focal_crossentropy": _ONE_OF_K,
    "kl_divergence": _ONE_OF_K,
    "sparse_categorical_crossentropy": Pairing(
        ("softmax",), ("integers",), "sparse_categorical_accuracy", "argmax"
    ),
    "focal": Pairing(("softmax", "sigmoid"), ("one-hot", "binary"), "accuracy", "argmax"),
    "hinge": _SIGNS,
    "squared_hinge": _SIGNS,
    "categorical_hinge": Pairing(
        ("linear", "tanh"), ("one-hot",), "categorical_accuracy", "argmax"
    ),
    "poisson": Pairing(("softplus", "exp", "exponential", "relu"), ("real",), None, "value"),
    "mean_squared_error": _VALUES,
    "mean_absolute_error": _VALUES,
    "mean_absolute_percentage_error": _VALUES,
    "mean_squared_logarithmic_error": _VALUES,
    "huber": _VALUES,
    "log_cosh": _VALUES,
    "cosine_similarity": _VALUES,
}

# Why an activation does not do where a loss wants probabilities, or scores.
_REASONS = {
    "linear": "its outputs are any numbers, no probabilities",
    "log_softmax": "its outputs are logarithms, and the loss takes the logarithm itself",
    "relu": "its outputs have no upper bound, and where they are 0 nothing can be learnt",
    "tanh": "its outputs go from -1 to 1, and are no probabilities",
    "sigmoid": "its outputs are separate, so that they do not sum to 1",
    "softmax": "its outputs depend on each other, where each is to answer for itself",
}


# ---------------------------------------------------------------- what compile and fit ask


def resolve(loss, activation):
    """The loss, where it is "focal" in the form that fits the last activation."""
    forms = {"softmax": "categorical", "sigmoid": "binary"}
    if loss is losses.focal and activation in forms:
        return losses.get(f"{forms[activation]}_focal_crossentropy")
    return loss


def check(loss, activation, units, strict=True):
    """Raise ValueError when a loss can not learn what `activation` puts out.

    loss        a loss, or its name
    activation  the name of the last activation, None when the model can not tell
    units       the number of outputs, None when it is not known yet
    strict      False: give a PairingWarning instead
    """
    name = loss if isinstance(loss, str) else name_of(loss)
    row = TABLE.get(name)
    if activation == "softmax" and units == 1:
        _report(
            "softmax over one unit is always 1, so that nothing can be learnt: use one unit with "
            "activation='sigmoid' and loss='binary_crossentropy', or one unit per class",
            strict,
        )
        return
    if row is None or not row.activations or activation is None or activation in row.activations:
        return
    if activation not in ACTIVATIONS and activation not in _REASONS:
        return  # a function of the user's own: its values are looked at, in the first batch
    wanted = row.activations[0]
    _report(
        f"{name} needs {' or '.join(row.activations)} as the last activation, this model ends with "
        f"{activation}{_reason(activation, row)}: write activation={wanted!r} in the last "
        f"layer{_other_losses(activation, units)}",
        strict,
    )


def _reason(activation, row):
    if row.decision == "sign":
        why = "its outputs cannot be below 0" if activation != "log_softmax" else "those are above"
        return f" ({why})" if activation in ("sigmoid", "softmax", "relu") else ""
    wants_probabilities = row.activations[0] in ("sigmoid", "softmax")
    return f" ({_REASONS[activation]})" if wants_probabilities and activation in _REASONS else ""


def _other_losses(activation, units):
    """The losses to write instead, if the activation is what is meant."""
    if activation == "sigmoid":
        labels = "0 and 1" if units == 1 else "rows of 0 and 1"
        return f", or loss='binary_crossentropy' (labels: {labels})"
    if activation == "softmax":
        return (
            ", or loss='categorical_crossentropy' (one-hot labels) or "
            "loss='sparse_categorical_crossentropy' (integer labels)"
        )
    return ""


def check_batch(loss, activation, y_true, y_pred, strict=True):
    """Check loss, labels and outputs of a first batch against the table, before any update.

    loss        a loss; one that is not in the table is not checked
    activation  the name of the last activation; None: that which made `y_pred`, if it tells
    y_true      labels
    y_pred      outputs, as the model gives them: a Tensor

    Raises ValueError or TypeError; with strict=False gives PairingWarnings, but for labels from
    which the loss cannot be calculated.
    """
    name = name_of(loss)
    row = TABLE.get(name)
    seen = made_by(y_pred)
    units = y_pred.shape[-1] if y_pred.ndim > 1 else 1
    twice = applied_twice(y_pred)
    if twice is not None and (strict or activation is None):  # else compile has said it
        _report(_said_twice(*twice), strict)
    if strict or activation is None:
        check(loss, activation or seen, units, strict)
    if row is None:
        return
    if row.activations[0:1] in (("sigmoid",), ("softmax",)) and name != "focal":
        wanted = getattr(engine, row.activations[0])
        made = getattr(y_pred, "origin", (None, None))[0]
        if made is None and (activation is None or activation == row.activations[0]):
            try:
                check_probabilities(name, y_pred, wanted, None)
            except ValueError as error:
                _report(str(error), strict)
    check_labels(loss, y_true, y_pred.shape, strict)


def check_layers(layers, strict=True):
    """Raise ValueError when a stack of layers ends with two activations that make probabilities."""
    last = trailing(layers)[:2]
    if len(last) == 2 and set(last) <= {"softmax", "sigmoid", "log_softmax"}:
        _report(_said_twice(*last), strict)


def _said_twice(last, first):
    return (
        f"{last} is applied to the output of {first}: what the second puts out hardly differs from "
        "example to example, and learning stalls; leave one of them out, as in "
        f"Dense(units), Activation({last!r})"
    )


def made_by(y_pred):
    """The name of the operation that made a Tensor, as "relu", as far as it knows; else None.

    A softmax or sigmoid is known always, any other only while recording.
    """
    origin = getattr(y_pred, "origin", None)
    if origin is not None:
        return origin[0].__name__
    node = getattr(y_pred, "node", None)
    name = node.step.row.name if hasattr(getattr(node, "step", None), "row") else None
    return name if name in ("relu", "tanh", "log_softmax") else None


def applied_twice(y_pred):
    """The names of a softmax or sigmoid and the one right before it, the latter first; or None."""
    last, arguments = getattr(y_pred, "origin", (None, None))
    first = getattr(arguments[0], "origin", None) if last is not None else None
    return None if first is None else (last.__name__, first[0].__name__)


def check_labels(loss, y_true, shape, strict=True):
    """Raise ValueError or TypeError for labels whose form is not that of the loss.

    y_true  the labels of a batch, or all there are
    shape   that of the outputs, (n, k); only k counts when `y_true` is not a batch of them
    """
    name = name_of(loss)
    if name not in TABLE:
        return
    row, labels = TABLE[name], array_of(y_true)
    shape = (len(labels), *shape[1:]) if labels.ndim else shape
    if row is _YES_OR_NO:
        check_binary(name, labels)
    elif row is _SIGNS:
        check_signs(name, labels)
    elif "integers" in row.labels:
        integer_labels(name, labels, shape, getattr(loss, "ignore_index", None))
    elif row.labels == ("one-hot", "probabilities") and labels.shape == shape:
        form = form_of(labels, shape[-1])
        if form == "multi-hot" and (labels.sum(axis=-1) > 1).any():
            _report(
                f"{name}: the labels have rows with several 1s, which are multi-hot; write "
                "activation='sigmoid' in the last layer and loss='binary_crossentropy', or divide "
                "them: y / y.sum(axis=1, keepdims=True)",
                strict,
            )
        elif form not in row.labels:
            _report(_no_probabilities(name, labels), strict)


def _no_probabilities(name, labels):
    sums = labels.sum(axis=-1)
    if labels.min() < 0 or sums_off(labels) <= SUM_ROOM:
        return (
            f"{name}: expected labels that are probabilities, got values from {labels.min():.6g} "
            f"to {labels.max():.6g}; for values that are no probabilities write loss='mse' and "
            "activation=None in the last layer"
        )
    return (
        f"{name}: expected labels whose rows sum to 1, got sums from {sums.min():.6g} to "
        f"{sums.max():.6g}; write y / y.sum(axis=1, keepdims=True)"
    )


def choose(activation, units, labels):
    """(name of a loss, a sentence that says why) for loss="auto".

    activation  the name of the last activation, None when nobody can tell
    units       the number of outputs
    labels      the labels of the first batch

    Raises ValueError where nothing fits, with what to write.
    """
    form = form_of(labels, units)
    shape = np.shape(array_of(labels))
    seen = f"labels of shape {shape} that are {form}"
    if activation == "softmax":
        check("categorical_crossentropy", activation, units)
        loss = {
            "integers": "sparse_categorical_crossentropy",
            "one-hot": "categorical_crossentropy",
            "probabilities": "categorical_crossentropy",
        }.get(form)
        advice = {
            "multi-hot": "write activation='sigmoid' in the last layer",
            "real": "write y.astype(int) if they are numbers of classes, or activation=None in the "
            "last layer for values",
        }.get(form, "give integers from 0, or one-hot rows")
    elif activation == "sigmoid":
        loss = "binary_crossentropy" if form in _SIGMOID_FORMS else None
        advice = {
            "integers": "write activation='softmax' in the last layer, with a unit per class",
            "signs": "write (y + 1) / 2",
            "real": "write activation=None in the last layer for values",
        }.get(form, "give rows of 0 and 1")
    else:
        loss, advice = _choose_values(form, units, labels)
    last = f"{activation or 'no known activation'} over {units} unit{'s' if units != 1 else ''}"
    if loss is None:
        raise ValueError(f"loss='auto': no loss fits {last} and {seen}; {advice}")
    return loss, f"loss: {loss}, chosen for {last} and {seen}"


_SIGMOID_FORMS = ("binary", "one-hot", "multi-hot")


def _choose_values(form, units, labels):
    """(loss or None, advice) for a model that ends with neither softmax nor sigmoid."""
    if form == "real" or (form == "integers" and units == 1):
        return "mean_squared_error", ""
    if form in ("binary", "multi-hot"):
        return None, (
            "write activation='sigmoid' in the last layer to tell 0 from 1, or loss='mse' if the "
            "numbers themselves are meant"
        )
    if form == "signs":
        return None, "write loss='hinge', or loss='mse' if the numbers themselves are meant"
    return None, (
        "write activation='softmax' in the last layer to tell classes, or loss='mse' if the "
        "numbers themselves are meant"
    )


def accuracy_for(loss):
    """The name of the accuracy that belongs to a loss, or its name; None for one without classes.

    "accuracy", the form that the labels tell, for a loss that is not in the table.
    """
    name = loss if isinstance(loss, str) or loss is None else name_of(loss)
    return TABLE[name].accuracy if name in TABLE else "accuracy"


def decide(activation, outputs, threshold=0.5, loss=None):
    """The classes for the outputs (n, k) of a model that ends with `activation`.

    softmax: the index of the greatest, (n,) int64. sigmoid: 1 where p > threshold, of the shape
    of the outputs, but (n,) for one unit. After any other the loss tells, if it is one that has
    classes: for hinge -1 or 1, the sign. Raises ValueError where nothing is decided.
    """
    rule = {"softmax": "argmax", "log_softmax": "argmax", "sigmoid": "threshold"}.get(activation)
    if rule is None and name_of(loss) in TABLE:
        rule = TABLE[name_of(loss)].decision
    if rule == "argmax":
        return np.argmax(outputs, axis=-1)
    if rule == "threshold":
        classes = (outputs > threshold).astype(np.int64)
    elif rule == "sign":
        classes = np.where(outputs > 0, 1, -1)
    else:
        raise ValueError(
            f"predict_classes: a model that ends with {activation} gives values, not classes; "
            "it needs sigmoid or softmax as its last activation"
        )
    return classes.reshape(len(classes)) if outputs.shape[1:] == (1,) else classes


# --------------------------------------------------------------------------- how it is said


def _report(message, strict):
    if strict:
        raise ValueError(f"{message} (strict=False in compile makes this a warning)")
    warn(message)


def warn(message):
    """Give a PairingWarning that points at the line outside this package that led to it."""
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, PairingWarning, stacklevel=level)
