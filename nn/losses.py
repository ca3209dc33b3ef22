"""Losses: (y_true, y_pred) -> the mean over the examples, as a 0-d Tensor.

The cross-entropies take probabilities, as they come out of a softmax or sigmoid. A Tensor knows
the softmax or sigmoid that made it, recorded or not; from there the loss goes back to the logits
and through one fused operation, which is exact where the logarithm of a probability is not. So
there is no `from_logits`, and training and evaluation give the same number.
"""

import numpy as np

import engine
from engine import Tensor

from .labels import integer_labels
from .names import find

_ROOM = 1e-7  # bare probabilities are kept this far from 0 and 1, as Keras does (its epsilon)


def binary_crossentropy(y_true, y_pred):
    """-mean(y log p + (1 - y) log(1 - p)), for a sigmoid.

    y_true  labels 0 or 1 (or probabilities), shape of y_pred, or (n,) for one unit
    y_pred  probabilities (n, units), or (n,)
    """
    targets, y_pred = _targets("binary_crossentropy", y_true, y_pred)
    if targets.size and not (0 <= targets.min() and targets.max() <= 1):
        raise ValueError(
            "binary_crossentropy: expected labels 0 and 1, got values from "
            f"{targets.min()} to {targets.max()}"
        )
    logits = _logits("binary_crossentropy", y_pred, engine.sigmoid)
    if logits is not None:
        return engine.mean(engine.binary_cross_entropy(logits, targets))
    p = engine.clip(y_pred, _ROOM, 1 - _ROOM)
    return -engine.mean(targets * engine.log(p) + (1 - targets) * engine.log(1 - p))


def categorical_crossentropy(y_true, y_pred):
    """-mean over rows of sum(y log p), for a softmax and one-hot labels.

    y_true  (n, k): one-hot rows, or probabilities
    y_pred  (n, k): probabilities
    """
    y_pred = engine.asarray(y_pred)
    labels = _array(y_true)
    if labels.ndim != 2 and y_pred.ndim == 2:
        raise ValueError(
            f"categorical_crossentropy: expected one-hot labels of shape {y_pred.shape}, got "
            f"{labels.shape}; for integer labels use sparse_categorical_crossentropy, or "
            "nn.to_categorical(labels)"
        )
    targets, y_pred = _targets("categorical_crossentropy", labels, y_pred)
    logits = _logits("categorical_crossentropy", y_pred, engine.softmax)
    if logits is not None:
        return engine.mean(engine.dense_cross_entropy(logits, targets))
    p = engine.clip(y_pred, _ROOM, 1 - _ROOM)
    return -engine.mean(engine.sum(targets * engine.log(p), axis=-1))


def sparse_categorical_crossentropy(y_true, y_pred):
    """-mean over rows of log p[label], for a softmax and integer labels.

    y_true  (n,) or (n, 1): integers from 0 to k - 1
    y_pred  (n, k): probabilities
    """
    y_pred = engine.asarray(y_pred)
    labels = integer_labels("sparse_categorical_crossentropy", y_true, y_pred.shape)
    logits = _logits("sparse_categorical_crossentropy", y_pred, engine.softmax)
    if logits is not None:
        return engine.mean(engine.sparse_cross_entropy(logits, labels))
    p = engine.clip(y_pred, _ROOM, 1 - _ROOM)
    return -engine.mean(engine.log(p[np.arange(len(labels)), labels]))


def mean_squared_error(y_true, y_pred):
    """mean((y_pred - y_true)^2), shapes equal, or y_true (n,) for one unit."""
    targets, y_pred = _targets("mean_squared_error", y_true, y_pred)
    return engine.mean(engine.square(y_pred - targets))


def mean_absolute_error(y_true, y_pred):
    """mean(|y_pred - y_true|), shapes equal, or y_true (n,) for one unit."""
    targets, y_pred = _targets("mean_absolute_error", y_true, y_pred)
    return engine.mean(engine.abs(y_pred - targets))


LOSSES = {
    "binary_crossentropy": binary_crossentropy,
    "categorical_crossentropy": categorical_crossentropy,
    "mae": mean_absolute_error,
    "mean_absolute_error": mean_absolute_error,
    "mean_squared_error": mean_squared_error,
    "mse": mean_squared_error,
    "sparse_categorical_crossentropy": sparse_categorical_crossentropy,
}


def get(loss):
    """The loss function for a name; a function as it is."""
    return loss if callable(loss) else find("loss", loss, LOSSES)


def _array(y):
    return y.data if type(y) is Tensor else np.asarray(y)


def _targets(name, y_true, y_pred):
    """Labels of the shape and dtype of the predictions. No broadcasting: it hides mistakes."""
    y_pred = engine.asarray(y_pred)
    targets = _array(y_true)
    if targets.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected numbers as labels, got {targets.dtype}")
    if targets.shape != y_pred.shape:
        if {targets.shape, y_pred.shape} != {y_pred.shape[:1], (*y_pred.shape[:1], 1)}:
            raise ValueError(
                f"{name}: expected labels of shape {y_pred.shape}, got {targets.shape}"
            )
        targets = targets.reshape(y_pred.shape)
    return targets.astype(y_pred.dtype, copy=False), y_pred


def _logits(name, y_pred, activation):
    """The logits behind `y_pred` if `activation` made it; None for bare probabilities.

    Raises ValueError for what another activation made, and for what are no probabilities.
    """
    made_by, arguments = getattr(y_pred, "origin", (None, None))
    if made_by is activation and (activation is engine.sigmoid or arguments[1] in (-1, 1)):
        return arguments[0]
    wanted = activation.__name__
    if made_by is not None:
        raise ValueError(
            f"{name}: expected the output of {wanted}, got that of {made_by.__name__}: see the "
            "table in nn.pairing for which loss belongs to which last activation"
        )
    p = y_pred.data
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(
            f"{name}: expected probabilities, the output of {wanted}, got values from "
            f"{p.min():.6g} to {p.max():.6g}; make {wanted} the last activation"
        )
    if activation is engine.softmax and p.size and np.abs(p.sum(axis=-1) - 1).max() > 1e-3:
        raise ValueError(
            f"{name}: expected rows that sum to 1, the output of softmax, got sums from "
            f"{p.sum(axis=-1).min():.6g} to {p.sum(axis=-1).max():.6g}"
        )
    return None
