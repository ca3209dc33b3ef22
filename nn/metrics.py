"""Metrics: (y_true, y_pred) -> one number per example, whose mean `fit` reports.

`accuracy` has three forms, one for each way to decide; which is meant follows from the loss
(`nn.pairing`).
"""

import numpy as np

from .losses import integer_labels
from .names import find


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """Whether (p > threshold) is the label, for probabilities of shape (n, units) or (n,)."""
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    right = (y_pred > threshold) == (y_true.reshape(y_pred.shape) > 0.5)
    return right.reshape(len(right), -1).mean(axis=1)


def categorical_accuracy(y_true, y_pred):
    """Whether the greatest probability is at the 1 of the one-hot label, for (n, k)."""
    return np.argmax(y_true, axis=-1) == np.argmax(y_pred, axis=-1)


def sparse_categorical_accuracy(y_true, y_pred):
    """Whether the greatest probability is at the integer label, for (n, k)."""
    y_pred = np.asarray(y_pred)
    labels = integer_labels("sparse_categorical_accuracy", y_true, y_pred.shape)
    return labels == np.argmax(y_pred, axis=-1)


METRICS = {
    function.__name__: function
    for function in (binary_accuracy, categorical_accuracy, sparse_categorical_accuracy)
}


def get(metric, accuracy):
    """The (name, function) of a metric.

    metric    a name or a function; "accuracy" (or "acc") means the form that `accuracy` names
    accuracy  the name of the accuracy that belongs to the loss, None where none does
    """
    if callable(metric):
        return metric.__name__, metric
    if metric not in ("accuracy", "acc"):
        return metric, find("metric", metric, {**METRICS, "accuracy": None})
    if accuracy is None:
        raise ValueError(
            f"metrics: there is no {metric!r} for this loss, whose outputs are not classes; "
            f"known metrics: {', '.join(sorted(METRICS))}"
        )
    return metric, METRICS[accuracy]
