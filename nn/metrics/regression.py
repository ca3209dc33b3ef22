"""Metrics of regressions: how far the values are from the truth."""

import numpy as np

from ..labels import array_of, weights_of_examples
from .base import Mean, Metric


def mean_squared_error(y_true, y_pred):
    """The mean of (y_pred - y_true)^2 over the outputs of each example, (n,)."""
    return _per_example(np.square(_errors("mean_squared_error", y_true, y_pred)))


def mean_absolute_error(y_true, y_pred):
    """The mean of |y_pred - y_true| over the outputs of each example, (n,)."""
    return _per_example(np.abs(_errors("mean_absolute_error", y_true, y_pred)))


def _errors(name, y_true, y_pred):
    y_true, y_pred = array_of(y_true), array_of(y_pred)
    if y_true.shape != y_pred.shape:
        if y_true.size != y_pred.size or y_true.shape[:1] != y_pred.shape[:1]:
            raise ValueError(f"{name}: expected labels of shape {y_pred.shape}, got {y_true.shape}")
        y_true = y_true.reshape(y_pred.shape)
    return np.subtract(y_pred, y_true, dtype=np.result_type(y_pred, np.float32))


def _per_example(values):
    return values.reshape(len(values), -1).mean(axis=1, dtype=np.float64)


class MeanSquaredError(Mean):
    """The mean of (y_pred - y_true)^2."""

    def __init__(self, name="mean_squared_error"):
        super().__init__(mean_squared_error, name)


class MeanAbsoluteError(Mean):
    """The mean of |y_pred - y_true|."""

    def __init__(self, name="mean_absolute_error"):
        super().__init__(mean_absolute_error, name)


class RootMeanSquaredError(Mean):
    """The root of the mean of (y_pred - y_true)^2, in the unit of the labels."""

    def __init__(self, name="root_mean_squared_error"):
        super().__init__(mean_squared_error, name)

    def result(self):
        return super().result() ** 0.5


class R2Score(Metric):
    """1 - sum((y - p)^2) / sum((y - mean(y))^2), the mean over the outputs: 1 is perfect, 0 is as
    good as the mean of the labels.

    The sums go from batch to batch by the update of Chan, Golub and LeVeque (1983), which loses
    no digits where the labels are far from 0. A constant label gives 0, or 1 where it is met
    exactly, as in scikit-learn.
    """

    def __init__(self, name="r2"):
        self.name = name
        self.reset_state()

    def reset_state(self):
        self._weight, self._mean, self._spread, self._error = 0.0, 0.0, 0.0, 0.0

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_pred = array_of(y_pred).astype(np.float64).reshape(len(y_pred), -1)
        errors = _errors(self.name, array_of(y_true).reshape(len(y_true), -1), y_pred)
        truth = y_pred - errors
        weights = np.ones((len(truth), 1))
        if sample_weight is not None:
            weights = weights_of_examples(self.name, sample_weight, (len(truth),)).reshape(-1, 1)
        weight = weights.sum()
        if not weight > 0:
            return
        mean = (weights * truth).sum(axis=0) / weight
        both = self._weight + weight
        apart = mean - self._mean
        self._spread = self._spread + (weights * np.square(truth - mean)).sum(axis=0)
        self._spread = self._spread + np.square(apart) * self._weight * weight / both
        self._error = self._error + (weights * np.square(errors)).sum(axis=0)
        self._mean = self._mean + apart * weight / both
        self._weight = both

    def result(self):
        if not self._weight:
            return float("nan")
        constant = self._spread == 0
        share = np.divide(self._error, self._spread, where=~constant, out=np.ones_like(self._error))
        return float(np.mean(np.where(constant & (self._error == 0), 1.0, 1 - share)))
