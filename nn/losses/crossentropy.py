"""The cross-entropies, for probabilities that a softmax or a sigmoid made."""

import numpy as np

import engine

from ..labels import array_of, integer_labels, is_within
from .base import (
    ROOM,
    bare,
    is_plain,
    logits_of,
    reduce_elements,
    reduce_examples,
    smoothed,
    targets_of,
    weights_of,
)


def binary_crossentropy(
    y_true,
    y_pred,
    sample_weight=None,
    *,
    label_smoothing=0.0,
    class_weight=None,
    reduction="mean",
    strict=True,
):
    """-mean(y log p + (1 - y) log(1 - p)), for a sigmoid.

    y_true           labels 0 or 1 (or probabilities), shape of y_pred, or (n,) for one unit
    y_pred           probabilities (n, units), or (n,)
    sample_weight    a weight per example, (n,); the mean is sum(weight * loss) / n
    label_smoothing  s moves the labels to 0.5 s and 1 - 0.5 s. Default 0.
    class_weight     {0: weight, 1: weight} for labels of one unit
    reduction        "mean", "sum" or "none": one number per example, (n,)
    strict           False: take any numbers as probabilities, cut to [1e-7, 1 - 1e-7]
    """
    name = "binary_crossentropy"
    targets, y_pred = binary_targets(name, y_true, y_pred)
    logits = logits_of(name, y_pred, engine.sigmoid, strict)
    if label_smoothing:
        targets = smoothed(name, targets, label_smoothing, 0.5)
    elements = _binary_elements(targets, y_pred, logits)
    if is_plain(sample_weight, class_weight, reduction):
        return engine.mean(elements)
    weights = weights_of(name, y_true, sample_weight, class_weight)
    return reduce_elements(name, elements, weights, reduction)


def binary_targets(name, y_true, y_pred):
    """`targets_of` for labels from 0 to 1, which they are checked to be."""
    targets, y_pred = targets_of(name, y_true, y_pred)
    check_binary(name, array_of(targets))
    return targets, y_pred


def check_binary(name, labels):
    """Raise ValueError for labels below 0 or above 1, with what to write for those that are met."""
    if not labels.size or (0 <= labels.min() and labels.max() <= 1):
        return
    low, high = labels.min(), labels.max()
    hint = ""
    if is_within(labels, (-1, 1)):
        hint = "; labels -1 and 1 belong to loss='hinge': write (y + 1) / 2"
    elif is_within(labels, (1, 2)):
        hint = "; they start at 1: write y - 1"
    elif is_within(labels, (0, 255)):
        hint = "; write y / 255"
    elif low >= 0 and (labels == np.floor(labels)).all() and labels.size == len(labels):
        hint = (
            f"; for {high + 1:.0f} classes write Dense({high + 1:.0f}, activation='softmax') and "
            "loss='sparse_categorical_crossentropy'"
        )
    raise ValueError(f"{name}: expected labels 0 and 1, got values from {low} to {high}{hint}")


def _binary_elements(targets, y_pred, logits):
    if logits is not None:
        return engine.binary_cross_entropy(logits, targets)
    p = bare(y_pred)
    return -(targets * engine.log(p) + (1 - targets) * engine.log(1 - p))


def binary_focal_crossentropy(
    y_true,
    y_pred,
    sample_weight=None,
    *,
    gamma=2.0,
    alpha=0.25,
    apply_class_balancing=False,
    label_smoothing=0.0,
    class_weight=None,
    reduction="mean",
    strict=True,
):
    """`binary_crossentropy` times (1 - p of the label)^gamma: what is easy counts less.

    gamma                  how much less. Default 2.0; 0 is binary_crossentropy.
    alpha                  with apply_class_balancing the weight of label 1, and 1 - alpha that of
                           label 0. Default 0.25.
    apply_class_balancing  whether to weigh so. Default False.

    Lin et al., Focal Loss for Dense Object Detection (2017), eq. 5; settings and formula as in
    Keras. The other arguments are those of `binary_crossentropy`.
    """
    name = "binary_focal_crossentropy"
    targets, y_pred = binary_targets(name, y_true, y_pred)
    logits = logits_of(name, y_pred, engine.sigmoid, strict)
    if label_smoothing:
        targets = smoothed(name, targets, label_smoothing, 0.5)
    # sigmoid(-x) is 1 - p to the last digit, where 1 - sigmoid(x) rounds to 0.
    p, other = (
        (bare(y_pred), 1 - bare(y_pred))
        if logits is None
        else (
            engine.sigmoid(logits),
            engine.sigmoid(-logits),
        )
    )
    missing = targets * other + (1 - targets) * p
    elements = _binary_elements(targets, y_pred, logits) * _power(missing, gamma)
    if apply_class_balancing:
        elements = elements * (targets * alpha + (1 - targets) * (1 - alpha))
    weights = weights_of(name, y_true, sample_weight, class_weight)
    return reduce_elements(name, elements, weights, reduction)


def _power(p, gamma):
    # At 0 a power below 1 has no slope, and 0 times that is nan: keep away by the least amount.
    if gamma == 0:
        return 1.0
    return engine.pow(engine.maximum(p, float(np.finfo(p.dtype).tiny)), gamma)


def categorical_crossentropy(
    y_true,
    y_pred,
    sample_weight=None,
    *,
    label_smoothing=0.0,
    class_weight=None,
    reduction="mean",
    strict=True,
):
    """-mean over rows of sum(y log p), for a softmax and one-hot labels.

    y_true           (n, k): one-hot rows, or probabilities
    y_pred           (n, k): probabilities; further axes may stand between n and k
    sample_weight    a weight per example, (n,); the mean is sum(weight * loss) / n
    label_smoothing  s moves the labels from 0 and 1 to s / k and 1 - s + s / k. Default 0.
    class_weight     {class: weight}; classes that are not in it weigh 1
    reduction        "mean", "sum" or "none": one number per example, (n,)
    strict           False: take any numbers as probabilities, divided by the sum of their row
    """
    name = "categorical_crossentropy"
    targets, y_pred = targets_of(name, y_true, y_pred)
    logits = logits_of(name, y_pred, engine.softmax, strict)
    if label_smoothing:
        targets = smoothed(name, targets, label_smoothing, 1 / y_pred.shape[-1])
    values = _dense_values(targets, y_pred, logits)
    if is_plain(sample_weight, class_weight, reduction):
        return engine.mean(values)
    weights = weights_of(name, y_true, sample_weight, class_weight)
    return reduce_examples(name, values, weights, reduction)


def _dense_values(targets, y_pred, logits):
    if logits is None:
        return -engine.sum(targets * engine.log(bare(y_pred, normalized=True)), axis=-1)
    if logits.ndim == 2:
        return engine.dense_cross_entropy(logits, targets)
    rows = (-1, logits.shape[-1])
    values = engine.dense_cross_entropy(engine.reshape(logits, rows), engine.reshape(targets, rows))
    return engine.reshape(values, logits.shape[:-1])


def sparse_categorical_crossentropy(
    y_true,
    y_pred,
    sample_weight=None,
    *,
    label_smoothing=0.0,
    ignore_index=None,
    class_weight=None,
    reduction="mean",
    strict=True,
):
    """-mean over rows of log p[label], for a softmax and integer labels.

    y_true        (n,) or (n, 1): integers from 0 to k - 1
    y_pred        (n, k): probabilities; further axes may stand between n and k
    ignore_index  examples with this label count for nothing, neither in the sum nor in the n
                  that the mean divides by. Default None. With no other label the loss is 0.

    The other arguments are those of `categorical_crossentropy`, whose value on one-hot labels this
    is, to the last bit. TypeError for labels that are no integers.
    """
    name = "sparse_categorical_crossentropy"
    y_pred = engine.asarray(y_pred)
    labels = integer_labels(name, y_true, y_pred.shape, ignore_index)
    if ignore_index is not None:
        kept = labels != ignore_index
        labels = np.where(kept, labels, 0)
    logits = logits_of(name, y_pred, engine.softmax, strict)
    if label_smoothing:
        one_hot = engine.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
        targets = smoothed(name, one_hot, label_smoothing, 1 / y_pred.shape[-1])
        values = _dense_values(targets, y_pred, logits)
    else:
        values = _sparse_values(labels, y_pred, logits)
    if ignore_index is None and is_plain(sample_weight, class_weight, reduction):
        return engine.mean(values)
    weights, count = weights_of(name, labels.reshape(-1), None, class_weight), None
    if weights is not None:
        weights = weights.reshape(labels.shape)
    if ignore_index is not None:
        weights = kept if weights is None else kept * weights
        count = int(kept.sum())
    if weights is not None:
        values = values * weights.astype(values.dtype)
    return reduce_examples(name, values, sample_weight, reduction, count)


def _sparse_values(labels, y_pred, logits):
    if logits is None:
        p = bare(y_pred, normalized=True)
        picked = engine.take_along_axis(p, labels[..., None], axis=-1)
        return engine.reshape(-engine.log(picked), labels.shape)
    if labels.ndim == 1:
        return engine.sparse_cross_entropy(logits, labels)
    rows = engine.reshape(logits, (-1, logits.shape[-1]))
    return engine.reshape(engine.sparse_cross_entropy(rows, labels.reshape(-1)), labels.shape)


def categorical_focal_crossentropy(
    y_true,
    y_pred,
    sample_weight=None,
    *,
    alpha=0.25,
    gamma=2.0,
    label_smoothing=0.0,
    class_weight=None,
    reduction="mean",
    strict=True,
):
    """-mean over rows of sum(alpha (1 - p)^gamma y log p): what is easy counts less.

    alpha  a number, or one per class, (k,). Default 0.25.
    gamma  how much less what is easy counts. Default 2.0.

    Lin et al., Focal Loss for Dense Object Detection (2017), eq. 5; settings and formula as in
    Keras. The other arguments are those of `categorical_crossentropy`.
    """
    name = "categorical_focal_crossentropy"
    targets, y_pred = targets_of(name, y_true, y_pred)
    logits = logits_of(name, y_pred, engine.softmax, strict)
    if label_smoothing:
        targets = smoothed(name, targets, label_smoothing, 1 / y_pred.shape[-1])
    if logits is None:
        p = bare(y_pred, normalized=True)
        logs, other = engine.log(p), 1 - p
    else:
        logs, other = _log_and_rest(y_pred, logits)
    weighted = targets * logs * _power(other, gamma) * np.asarray(alpha, y_pred.dtype)
    weights = weights_of(name, y_true, sample_weight, class_weight)
    return reduce_examples(name, -engine.sum(weighted, axis=-1), weights, reduction)


def _log_and_rest(p, logits):
    """log(p) and 1 - p for p = softmax(logits). For the one p of a row above 0.5 both are made of
    the sum of the others, so that they keep their digits where p rounds to 1."""
    big = array_of(p) > 0.5
    others = engine.sum(engine.where(big, 0.0, p), axis=-1, keepdims=True)
    # Where no p is big, `others` is 1 and its logarithm is not used, but must have a slope.
    near = engine.log1p(-engine.where(big, others, 0.0))
    return engine.where(big, near, engine.log_softmax(logits)), engine.where(big, others, 1 - p)


def focal(y_true, y_pred, sample_weight=None, **settings):
    """The focal loss that fits what made `y_pred`: for a softmax `categorical_focal_crossentropy`,
    for a sigmoid `binary_focal_crossentropy`; the arguments are those of that.

    Raises ValueError for what neither made: which of the two is meant cannot be seen.
    """
    made_by, _ = getattr(y_pred, "origin", (None, None))
    if made_by is engine.softmax:
        return categorical_focal_crossentropy(y_true, y_pred, sample_weight, **settings)
    if made_by is engine.sigmoid:
        return binary_focal_crossentropy(y_true, y_pred, sample_weight, **settings)
    raise ValueError(
        "focal: expected the output of softmax or sigmoid; for other probabilities write "
        "loss='categorical_focal_crossentropy' or loss='binary_focal_crossentropy'"
    )


def kl_divergence(y_true, y_pred, sample_weight=None, *, reduction="mean", strict=True):
    """mean over rows of sum(y log(y / p)), for a softmax and labels that are probabilities.

    y_true, y_pred  (n, k), rows with sum 1

    In the logarithm y is kept above 1e-7, as in Keras. From the logits p needs no such bound. The
    other arguments are those of `categorical_crossentropy`.
    """
    name = "kl_divergence"
    targets, y_pred = targets_of(name, y_true, y_pred)
    logits = logits_of(name, y_pred, engine.softmax, strict)
    if logits is None:
        logs = engine.log(engine.clip(y_pred, ROOM, 1))
    else:
        logs = engine.log_softmax(logits)
    values = engine.sum(targets * (engine.log(engine.clip(targets, ROOM, 1)) - logs), axis=-1)
    return reduce_examples(name, values, sample_weight, reduction)
