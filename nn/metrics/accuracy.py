"""Accuracy: the share of right decisions, in one form for each way to decide.

Which form is meant by "accuracy" follows from the loss (`nn.pairing`), or from the labels.
"""

import numpy as np

from ..checks import count_of
from ..labels import array_of, integer_labels
from .base import Mean, OfLabels


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """Whether (p > threshold) is the label, for probabilities of shape (n, units) or (n,)."""
    y_true, y_pred = _paired("binary_accuracy", y_true, y_pred)
    return _per_example((y_pred > threshold) == (y_true > 0.5))


def sign_accuracy(y_true, y_pred):
    """Whether the score has the sign of the label -1 or 1, for scores (n, units) or (n,)."""
    y_true, y_pred = _paired("sign_accuracy", y_true, y_pred)
    return _per_example((y_pred > 0) == (y_true > 0))


def categorical_accuracy(y_true, y_pred):
    """Whether the greatest probability is at the 1 of the one-hot label, for (n, k)."""
    y_true, y_pred = array_of(y_true), array_of(y_pred)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"categorical_accuracy: expected one-hot labels of shape {y_pred.shape}, got "
            f"{y_true.shape}; for integer labels use sparse_categorical_accuracy"
        )
    return np.argmax(y_true, axis=-1) == np.argmax(y_pred, axis=-1)


def sparse_categorical_accuracy(y_true, y_pred):
    """Whether the greatest probability is at the integer label, for (n, k)."""
    y_pred = array_of(y_pred)
    labels = integer_labels("sparse_categorical_accuracy", y_true, y_pred.shape)
    return labels == y_pred.argmax(-1)


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """Whether the 1 of the one-hot label is among the k greatest probabilities, for (n, classes).

    Of equal probabilities that at the smaller index counts as the greater.
    """
    return _in_top(np.argmax(array_of(y_true), axis=-1), array_of(y_pred), k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5):
    """Whether the integer label is among the k greatest probabilities, for (n, classes)."""
    y_pred = array_of(y_pred)
    name = "sparse_top_k_categorical_accuracy"
    return _in_top(integer_labels(name, y_true, y_pred.shape), y_pred, k)


def _in_top(labels, y_pred, k):
    own = np.take_along_axis(y_pred, labels[..., None], axis=-1)
    before = np.arange(y_pred.shape[-1]) < labels[..., None]
    return ((y_pred > own) | ((y_pred == own) & before)).sum(axis=-1) < k


def _paired(name, y_true, y_pred):
    y_true, y_pred = array_of(y_true), array_of(y_pred)
    if y_true.size != y_pred.size or y_true.shape[:1] != y_pred.shape[:1]:
        raise ValueError(f"{name}: expected labels of shape {y_pred.shape}, got {y_true.shape}")
    return y_true.reshape(y_pred.shape), y_pred


def _per_example(right):
    return right.reshape(len(right), -1).mean(axis=1)


BY_FORM = {
    "binary": binary_accuracy,
    "multi-hot": binary_accuracy,
    "signs": sign_accuracy,
    "one-hot": categorical_accuracy,
    "probabilities": categorical_accuracy,
    "integers": sparse_categorical_accuracy,
}
TOP_BY_FORM = {
    "one-hot": top_k_categorical_accuracy,
    "probabilities": top_k_categorical_accuracy,
    "integers": sparse_top_k_categorical_accuracy,
}


class _ByLabels(Mean, OfLabels):
    """A mean whose function depends on the form of the labels."""

    def __init__(self, labels, name):
        self.name = name
        self.set_labels(labels)
        super().__init__(None, name)

    def reset_state(self):
        self.forget_labels()
        super().reset_state()

    def values(self, y_true, y_pred):
        units = y_pred.shape[-1] if y_pred.ndim > 1 else 1
        return self.decided(self.forms[self.form(y_true, units)], y_true, y_pred)


class Accuracy(_ByLabels):
    """The share of right decisions.

    labels     "auto": the form that belongs to the loss, or without one that of the first labels;
               or one of "binary", "multi-hot", "signs", "integers", "one-hot", "probabilities"
    threshold  from where on a probability decides for 1, where labels are 0 and 1. Default 0.5.
    """

    forms = BY_FORM

    def __init__(self, labels="auto", threshold=0.5, name="accuracy"):
        self.threshold = threshold
        super().__init__(labels, name)

    def decided(self, function, y_true, y_pred):
        """The numbers of a batch by the function that fits the labels."""
        if function is binary_accuracy:
            return function(y_true, y_pred, self.threshold)
        return function(y_true, y_pred)


class TopKCategoricalAccuracy(_ByLabels):
    """The share of examples whose class is among the `k` greatest outputs. Default k 5.

    labels  "auto", "integers", "one-hot" or "probabilities"
    """

    forms = TOP_BY_FORM

    def __init__(self, k=5, labels="auto", name="top_k_categorical_accuracy"):
        self.k = count_of("TopKCategoricalAccuracy", "k", k)
        super().__init__(labels, name)

    def decided(self, function, y_true, y_pred):
        """The numbers of a batch by the function that fits the labels."""
        return function(y_true, y_pred, self.k)
