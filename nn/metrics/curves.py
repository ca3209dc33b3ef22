"""The area under a curve over all thresholds: exact, by the ranks of the scores."""

import numpy as np

from ..labels import integer_labels, weights_of_examples
from .base import OfLabels


class AUC(OfLabels):
    """The area under the ROC or the precision-recall curve.

    curve   "ROC" (default): the probability that a positive has the greater score than a negative,
            ties counting half. "PR": the average precision, sum over thresholds of
            (gain in recall) * precision, which interpolates nothing.
    labels  "auto": the form that belongs to the loss, or without one that of the first labels

    Exact, as in scikit-learn, where Keras counts at 200 thresholds; for that all scores are kept,
    about 9 bytes each. Several classes: the mean of each class against the rest. nan when a class
    or the rest has no example.
    """

    forms = ("binary", "signs", "multi-hot", "one-hot", "probabilities", "integers")

    def __init__(self, curve="ROC", labels="auto", name="auc"):
        if curve not in ("ROC", "PR"):
            raise ValueError(f"auc: expected curve to be 'ROC' or 'PR', got {curve!r}")
        self.curve, self.name = curve, name
        self.set_labels(labels)
        self.reset_state()

    def reset_state(self):
        self._truths, self._scores, self._weights = [], [], []
        self.forget_labels()

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, scores, sample_weight = self.kept(y_true, y_pred, sample_weight)
        scores = scores.reshape(len(scores), -1)
        form = self.form(y_true, scores.shape[1])
        if form == "integers":
            labels = integer_labels(self.name, y_true, scores.shape)
            truth = labels[:, None] == np.arange(scores.shape[1])
        elif y_true.size == scores.size:
            truth = y_true.reshape(scores.shape) > 0.5
        else:
            raise ValueError(
                f"{self.name}: expected labels of shape {scores.shape}, got {y_true.shape}"
            )
        weights = np.ones(len(scores))
        if sample_weight is not None:
            weights = weights_of_examples(self.name, sample_weight, weights.shape).reshape(-1)
        self._truths.append(truth)
        self._scores.append(scores.copy())
        self._weights.append(weights)

    def result(self):
        if not self._scores:
            return float("nan")
        truths, scores = np.concatenate(self._truths), np.concatenate(self._scores)
        weights = np.concatenate(self._weights)
        area = roc_area if self.curve == "ROC" else average_precision
        areas = [area(truth, score, weights) for truth, score in zip(truths.T, scores.T)]
        return float(np.mean(areas))


def _steps(truth, scores, weights):
    """The weight of positives and of negatives at or above each distinct score, falling."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    positives = np.cumsum((weights * truth)[order])[last]
    return positives, np.cumsum((weights * ~truth)[order])[last]


def roc_area(truth, scores, weights):
    """The area under the ROC curve: by trapezoids, so that ties count half."""
    positives, negatives = _steps(truth, scores, weights)
    if not positives[-1] > 0 or not negatives[-1] > 0:
        return float("nan")
    heights = np.append(0.0, positives)
    widths = np.diff(negatives, prepend=0.0)
    return (widths * (heights[1:] + heights[:-1])).sum() / (2 * positives[-1] * negatives[-1])


def average_precision(truth, scores, weights):
    """sum of (gain in recall) * precision over the distinct scores, falling."""
    positives, negatives = _steps(truth, scores, weights)
    if not positives[-1] > 0:
        return float("nan")
    seen = positives + negatives
    precision = np.divide(positives, seen, out=np.zeros_like(seen), where=seen > 0)
    return (np.diff(positives, prepend=0.0) * precision).sum() / positives[-1]
