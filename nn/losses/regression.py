"""Losses for values, and for scores that have no bounds: errors, hinges, directions, counts.

Each takes y_true and y_pred of one shape, (n, units) or (n, ..., units), or y_true (n,) for one
unit; `sample_weight` (n,), with which the mean is sum(weight * loss) / n; and `reduction`, "mean"
(default), "sum" or "none" for one number per example.
"""

import math

import numpy as np

import engine

from ..labels import array_of, is_within
from .base import ROOM, reduce_elements, reduce_examples, targets_of


def mean_squared_error(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """mean((y_pred - y_true)^2), shapes equal, or y_true (n,) for one unit."""
    name = "mean_squared_error"
    targets, y_pred = targets_of(name, y_true, y_pred)
    return reduce_elements(name, engine.square(y_pred - targets), sample_weight, reduction)


def mean_absolute_error(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """mean(|y_pred - y_true|), shapes equal, or y_true (n,) for one unit."""
    name = "mean_absolute_error"
    targets, y_pred = targets_of(name, y_true, y_pred)
    return reduce_elements(name, engine.abs(y_pred - targets), sample_weight, reduction)


def mean_absolute_percentage_error(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """100 mean(|y_pred - y_true| / max(|y_true|, 1e-7)), the bound as in Keras."""
    name = "mean_absolute_percentage_error"
    targets, y_pred = targets_of(name, y_true, y_pred)
    shares = engine.abs(y_pred - targets) / engine.maximum(engine.abs(targets), ROOM)
    return reduce_elements(name, 100 * shares, sample_weight, reduction)


def mean_squared_logarithmic_error(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """mean((log(1 + y_pred) - log(1 + y_true))^2), both kept above 1e-7, as in Keras."""
    name = "mean_squared_logarithmic_error"
    targets, y_pred = targets_of(name, y_true, y_pred)
    logs = [engine.log1p(engine.maximum(values, ROOM)) for values in (y_pred, targets)]
    return reduce_elements(name, engine.square(logs[0] - logs[1]), sample_weight, reduction)


def huber(y_true, y_pred, sample_weight=None, *, delta=1.0, reduction="mean"):
    """mean of e^2 / 2 where |e| <= delta, of delta |e| - delta^2 / 2 elsewhere; e the error.

    delta  from where on the loss is linear. Default 1.0. Huber (1964).
    """
    if not delta > 0:
        raise ValueError(f"huber: expected delta > 0, got {delta!r}")
    targets, y_pred = targets_of("huber", y_true, y_pred)
    error = y_pred - targets
    near = engine.clip(error, -delta, delta)
    return reduce_elements("huber", near * (error - 0.5 * near), sample_weight, reduction)


def log_cosh(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """mean(log(cosh(y_pred - y_true))): e^2 / 2 near 0, |e| - log 2 far from it."""
    targets, y_pred = targets_of("log_cosh", y_true, y_pred)
    error = y_pred - targets
    values = error + engine.softplus(-2 * error) - math.log(2)
    return reduce_elements("log_cosh", values, sample_weight, reduction)


def poisson(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """mean(y_pred - y_true log(y_pred + 1e-7)): for counts; y_pred is the expected count.

    Raises ValueError for y_pred or y_true below 0.
    """
    targets, y_pred = targets_of("poisson", y_true, y_pred)
    for what, values in (("labels", targets), ("predictions", y_pred)):
        least = array_of(values).min(initial=0)
        if least < 0:
            advice = (
                "counts"
                if what == "labels"
                else ("expected counts: write activation='softplus' in the last layer")
            )
            raise ValueError(
                f"poisson: expected {what} of at least 0, got {least:.6g}; they are {advice}"
            )
    values = y_pred - targets * engine.log(y_pred + ROOM)
    return reduce_elements("poisson", values, sample_weight, reduction)


def cosine_similarity(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """-mean of the cosine of the angle between y_true and y_pred, along the last axis.

    From -1, the same direction, to 1, the opposite one, as in Keras. A vector of 0 gives 0.
    """
    targets, y_pred = targets_of("cosine_similarity", y_true, y_pred)
    if y_pred.ndim < 2:
        raise ValueError(
            f"cosine_similarity: expected rows, of shape (n, units), got {y_pred.shape}"
        )
    cosines = engine.sum(_direction(targets) * _direction(y_pred), axis=-1)
    return reduce_examples("cosine_similarity", -cosines, sample_weight, reduction)


def _direction(x):
    squares = engine.sum(engine.square(x), axis=-1, keepdims=True)
    return x / engine.sqrt(engine.maximum(squares, ROOM**2))


def hinge(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """mean(max(1 - y_true y_pred, 0)), for labels -1 and 1 and scores without bounds.

    Raises ValueError for labels other than -1 and 1, also for 0 and 1.
    """
    margins = _margins("hinge", y_true, y_pred)
    return reduce_elements("hinge", margins, sample_weight, reduction)


def squared_hinge(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """mean(max(1 - y_true y_pred, 0)^2). Labels and errors as in `hinge`."""
    margins = _margins("squared_hinge", y_true, y_pred)
    return reduce_elements("squared_hinge", engine.square(margins), sample_weight, reduction)


def _margins(name, y_true, y_pred):
    targets, y_pred = targets_of(name, y_true, y_pred)
    check_signs(name, array_of(targets))
    return engine.relu(1 - targets * y_pred)


def check_signs(name, labels):
    """Raise ValueError for labels other than -1 and 1, with what to write for 0 and 1."""
    if not is_within(labels, (-1, 1)):
        hint = "; write 2 * y - 1" if is_within(labels, (0, 1)) else ""
        found = np.unique(labels)[:4].tolist()
        raise ValueError(f"{name}: expected labels -1 and 1, got {found}{hint}")


def categorical_hinge(y_true, y_pred, sample_weight=None, *, reduction="mean"):
    """mean over rows of max(1 + max((1 - y) p) - sum(y p), 0), for one-hot labels and scores."""
    targets, y_pred = targets_of("categorical_hinge", y_true, y_pred)
    own = engine.sum(targets * y_pred, axis=-1)
    other = engine.max((1 - targets) * y_pred, axis=-1)
    return reduce_examples(
        "categorical_hinge", engine.relu(other - own + 1), sample_weight, reduction
    )
