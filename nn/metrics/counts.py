"""Precision, recall, F1 and the confusion matrix: counts of decisions, right and wrong."""

import numpy as np

from ..labels import array_of, class_numbers, form_of, integer_labels, weights_of_examples
from .base import Metric, OfLabels

AVERAGES = ("macro", "micro", "weighted", None)


class _Counts(OfLabels):
    """True positives, false positives and false negatives, for each class.

    threshold  from where on a probability decides for 1, where labels are 0 and 1. Default 0.5.
    average    how the numbers of several classes become one: "macro" their mean; "weighted" their
               mean, weighted by how often a class occurs; "micro" the number of the counts of
               all classes together; None: an array, one number for each. As in scikit-learn,
               classes that neither occur nor are decided for are left out of the first two.
    class_id   the number of this class alone
    labels     "auto": the form that belongs to the loss, or without one that of the first labels

    Labels 0 and 1 for one output count the class 1. Rows of 0 and 1 for a sigmoid ("multi-hot")
    are decided each by the threshold; integers and one-hot rows by the greatest output. Where
    there is nothing to divide by, the number is 0, as in Keras.
    """

    forms = ("binary", "signs", "multi-hot", "one-hot", "probabilities", "integers")

    def __init__(self, threshold=0.5, average="macro", class_id=None, labels="auto", name=None):
        self.name = name or self.name
        if average not in AVERAGES:
            raise ValueError(
                f"{self.name}: expected average to be one of {AVERAGES}, got {average!r}"
            )
        self.threshold, self.average, self.class_id = threshold, average, class_id
        self.set_labels(labels)
        self.reset_state()

    @property
    def is_number(self):
        return self.average is not None or self.class_id is not None

    def reset_state(self):
        self._counts = None
        self.forget_labels()

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred, sample_weight = self.kept(y_true, y_pred, sample_weight)
        truth, decided = self._decisions(y_true, y_pred)
        weights = np.ones(len(truth))
        if sample_weight is not None:
            weights = weights_of_examples(self.name, sample_weight, weights.shape)
        counts = np.stack(
            [
                weights @ (truth & decided),
                weights @ (~truth & decided),
                weights @ (truth & ~decided),
            ]
        )
        self._counts = counts if self._counts is None else self._counts + counts

    def _decisions(self, y_true, y_pred):
        """Two arrays of bool, (n, classes): what is so, and what is decided."""
        y_pred = y_pred.reshape(len(y_pred), -1) if y_pred.ndim < 2 else y_pred
        units = y_pred.shape[-1]
        form = self.form(y_true, units)
        now = form_of(y_true, units)
        if (form, now) in (("one-hot", "multi-hot"), ("binary", "signs")):
            raise ValueError(
                f"{self.name}: the labels looked {form} so far, but now they are {now}; "
                f"write {type(self).__name__}(labels={now!r})"
            )
        if form in ("binary", "multi-hot", "signs"):
            cut = 0.0 if form == "signs" else self.threshold
            return y_true.reshape(y_pred.shape) > 0.5, y_pred > cut
        if form == "integers":
            numbers = integer_labels(self.name, y_true, y_pred.shape)
        else:
            numbers = y_true.argmax(axis=-1)
        classes = np.arange(units)
        return numbers[:, None] == classes, y_pred.argmax(axis=-1)[:, None] == classes

    def result(self):
        if self._counts is None:
            return float("nan")
        right, wrong, missed = self._counts
        if self.class_id is not None:
            return float(self.ratio(right, wrong, missed)[self.class_id])
        if self.average == "micro":
            return float(self.ratio(*self._counts.sum(axis=1, keepdims=True))[0])
        ratios = self.ratio(right, wrong, missed)
        if self.average is None:
            return ratios
        weights = right + missed if self.average == "weighted" else self._counts.sum(axis=0) > 0
        return float(_share(ratios @ weights, weights.sum()))


def _share(part, whole):
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)


class Precision(_Counts):
    """Of those decided for, the share that is right."""

    name = "precision"

    def ratio(self, right, wrong, missed):
        """The number of each class from its counts."""
        return _share(right, right + wrong)


class Recall(_Counts):
    """Of those that are so, the share that is decided for."""

    name = "recall"

    def ratio(self, right, wrong, missed):
        """The number of each class from its counts."""
        return _share(right, right + missed)


class F1Score(_Counts):
    """The harmonic mean of precision and recall: 2 right / (2 right + wrong + missed)."""

    name = "f1"

    def ratio(self, right, wrong, missed):
        """The number of each class from its counts."""
        return _share(2 * right, 2 * right + wrong + missed)


for _metric in (Precision, Recall, F1Score):
    _metric.__doc__ += f"\n\n{_Counts.__doc__.split(chr(10), 2)[2]}"


def confusion_matrix(y_true, y_pred, num_classes=None, sample_weight=None, threshold=0.5):
    """How often each class (row) was taken for each (column), as an array (k, k).

    y_true       labels: integers, one-hot, or 0 and 1 for one output
    y_pred       classes as `predict_classes` gives them, (n,) integers; or outputs: (n, k), decided
                 by the greatest, or (n, 1) and floats (n,), decided by `threshold`
    num_classes  k. Default: that of the outputs, or the greatest class + 1.

    int64, or float64 with weights. Raises ValueError for labels out of range or of another form.
    """
    y_pred = array_of(y_pred)
    decided, k = _decided(y_pred, threshold)
    truth = class_numbers("confusion_matrix", y_true, k if k is None or k > 2 else None)
    if truth.shape != decided.shape:
        raise ValueError(
            f"confusion_matrix: expected as many labels as predictions, got {truth.shape} and "
            f"{decided.shape}"
        )
    k = num_classes or k or int(max(truth.max(initial=1), decided.max(initial=1))) + 1
    for what, classes in (("labels", truth), ("predictions", decided)):
        if classes.size and not (0 <= classes.min() and classes.max() < k):
            raise ValueError(
                f"confusion_matrix: expected {what} from 0 to {k - 1}, got {classes.min()} to "
                f"{classes.max()}"
            )
    weights = None
    if sample_weight is not None:
        weights = weights_of_examples("confusion_matrix", sample_weight, truth.shape)
    return np.bincount(truth * k + decided, weights, k * k).reshape(k, k)


def _decided(y_pred, threshold):
    if y_pred.ndim == 2 and y_pred.shape[1] > 1:
        return y_pred.argmax(axis=1), y_pred.shape[1]
    y_pred = y_pred.reshape(len(y_pred))
    if y_pred.dtype.kind == "f":
        return (y_pred > threshold).astype(np.int64), 2
    return y_pred.astype(np.int64), None


class ConfusionMatrix(Metric):
    """`confusion_matrix` over batches; `result` is an array (num_classes, num_classes)."""

    is_number = False

    def __init__(self, num_classes, threshold=0.5, name="confusion_matrix"):
        self.num_classes, self.threshold, self.name = num_classes, threshold, name
        self.reset_state()

    def reset_state(self):
        self._matrix = np.zeros((self.num_classes, self.num_classes), np.int64)

    def update_state(self, y_true, y_pred, sample_weight=None):
        self._matrix = self._matrix + confusion_matrix(
            y_true, y_pred, self.num_classes, sample_weight, self.threshold
        )

    def result(self):
        return self._matrix
