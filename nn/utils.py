"""Small helpers for data."""

import numpy as np


def to_categorical(labels, num_classes=None, dtype="float32"):
    """Integer labels (n,) or (n, 1) as one-hot rows (n, num_classes).

    num_classes  default: the greatest label + 1
    dtype        of the result. Default float32.

    Raises TypeError for labels that are no integers, ValueError for labels out of range.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"to_categorical: expected integer labels, got {labels.dtype}")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"to_categorical: expected labels of shape (n,), got {labels.shape}")
    if num_classes is None:
        num_classes = int(labels.max()) + 1 if labels.size else 0
    if labels.size and not (0 <= labels.min() and labels.max() < num_classes):
        raise ValueError(
            f"to_categorical: expected labels from 0 to {num_classes - 1}, "
            f"got {labels.min()} to {labels.max()}"
        )
    rows = np.zeros((len(labels), num_classes), dtype)
    rows[np.arange(len(labels)), labels] = 1
    return rows
