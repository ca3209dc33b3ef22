"""Labels: what form they have, and the numbers of the classes in them.

The forms, in the terms of `form_of`:

    "binary"         0 or 1, (n,) or (n, 1), where the model has one output
    "signs"          -1 or 1, (n,) or (n, 1)
    "integers"       the number of the class, (n,) or (n, 1)
    "one-hot"        (n, k) of 0 and 1, a single 1 in every row
    "multi-hot"      (n, k) of 0 and 1, any number of 1s
    "probabilities"  (n, k), rows from 0 to 1 with sum 1
    "real"           any other numbers
"""

import numpy as np

from engine import Tensor

FORMS = ("binary", "signs", "integers", "one-hot", "multi-hot", "probabilities", "real")
SUM_ROOM = 1e-3  # how far the sum of a row of probabilities may be from 1, for float16 and rounding


def array_of(y):
    """`y`, a Tensor or array-like, as an array; nothing is copied that is one."""
    return y.data if type(y) is Tensor else np.asarray(y)


def checked(name, y):
    """`y` as an array of numbers; TypeError, in the name of who asks, for anything else."""
    labels = array_of(y)
    if labels.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected numbers as labels, got {labels.dtype}")
    return labels


def form_of(y, units=None):
    """The form of the labels `y`, one of FORMS, as far as they tell.

    units  the number of outputs of the model. With one output 0 and 1 are "binary", with more
           "integers"; None: "binary" when there is nothing but 0 and 1.

    Raises TypeError for labels that are no numbers.
    """
    labels = checked("labels", y)
    if labels.ndim > 1 and labels.shape[-1] > 1 and units != 1:
        return _form_of_rows(labels)
    if not labels.size:
        return "real"
    if is_within(labels, (0, 1)):
        return "binary" if units in (1, None) else "integers"
    if is_within(labels, (-1, 1)) and units in (1, None):
        return "signs"
    return "integers" if labels.dtype.kind in "iu" else "real"


def _form_of_rows(labels):
    if is_within(labels, (0, 1)):
        return "one-hot" if (labels.sum(axis=-1) == 1).all() else "multi-hot"
    if is_within(labels, (-1, 1)):
        return "signs"
    if labels.dtype.kind == "f" and labels.min() >= 0 and sums_off(labels) <= SUM_ROOM:
        return "probabilities"
    return "real"


def is_within(labels, values):
    """Whether every label is one of the two `values`."""
    low, high = values
    return bool(((labels == low) | (labels == high)).all())


def sums_off(rows):
    """How far the sum of a row is from 1 at most."""
    return float(np.abs(rows.sum(axis=-1, dtype=np.float64) - 1).max()) if rows.size else 0.0


def integer_labels(name, y_true, shape, ignored=None):
    """`y_true` as int64 of shape `shape[:-1]`, checked against predictions of `shape` (..., k).

    ignored  a number that is allowed besides 0 to k - 1

    Raises TypeError for floats, ValueError for another shape and for labels out of range.
    """
    labels = array_of(y_true)
    if len(shape) < 2:
        raise ValueError(f"{name}: expected predictions of shape (n, k), got {shape}")
    if labels.shape == shape and shape[-1] > 1:
        raise ValueError(
            f"{name}: the labels have shape {labels.shape}, which are one-hot rows; write "
            f"{_dense_twin(name)}, or give integer labels: y.argmax(axis=1)"
        )
    rows = shape[:-1]
    if labels.shape != rows:
        if labels.shape != (*rows, 1):
            raise ValueError(f"{name}: expected integer labels of shape {rows}, got {labels.shape}")
        labels = labels.reshape(rows)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: expected integer labels, got {labels.dtype}; "
            "write y.astype(int) if they are whole numbers"
        )
    found = labels if ignored is None else labels[labels != ignored]
    if found.size and not (0 <= found.min() and found.max() < shape[-1]):
        raise ValueError(out_of_range(name, found.min(), found.max(), shape[-1]))
    return labels.astype(np.int64, copy=False)


def _dense_twin(name):
    if name.startswith("sparse_") and name.endswith("_crossentropy"):
        return f"loss='{name.removeprefix('sparse_')}'"
    return name.removeprefix("sparse_")


def out_of_range(name, low, high, units):
    """What to say of integer labels from `low` to `high` for `units` outputs, and what to do."""
    said = (
        f"{name}: expected labels from 0 to {units - 1}, since there are {units} units, "
        f"got {low} to {high}"
    )
    if low >= 1 and high == units:
        return f"{said}; they start at 1: write y - 1"
    if low < 0:
        return (
            f"{said}; write y - y.min() if the classes are counted from {low}, or "
            f"ignore_index={low} in nn.losses.SparseCategoricalCrossentropy to leave them out"
        )
    return f"{said}; for {high + 1} classes write Dense({high + 1}, activation='softmax')"


def class_numbers(name, y_true, units=None):
    """The class of each example as an array of integers (n,), from labels of any form.

    Binary labels are 0 and 1, signs -1 and 1, of rows the place of the greatest. Raises
    ValueError, in the name of who asks, for multi-hot and real labels, which name no class.
    """
    labels = checked(name, y_true)
    form = form_of(labels, units)
    if form in ("one-hot", "probabilities"):
        return labels.argmax(axis=-1)
    if form in ("binary", "signs", "integers"):
        return labels.reshape(len(labels), -1)[:, 0].astype(np.int64) if labels.ndim else labels
    raise ValueError(
        f"{name}: labels of shape {labels.shape} and dtype {labels.dtype} are {form}, so that an "
        "example has no single class; expected integers, one-hot rows, or 0 and 1"
    )


def weights_of_classes(class_weight, y_true, name="class_weight"):
    """One weight per example, (n,) float64, from a weight per class.

    class_weight  a dict {class: weight}. Classes that are not in it weigh 1, as in Keras.
    y_true        labels of any form that names a class: integers, one-hot, 0 and 1, -1 and 1

    Raises TypeError for what is no such dict, ValueError for negative weights and for labels that
    name no class.
    """
    if not isinstance(class_weight, dict):
        raise TypeError(f"{name}: expected a dict {{class: weight}}, got {class_weight!r}")
    for key, weight in class_weight.items():
        if not isinstance(key, (int, np.integer)):
            raise TypeError(f"{name}: expected integers as classes, got {key!r}")
        if not weight >= 0:
            raise ValueError(f"{name}: expected weights of at least 0, got {weight!r} for {key}")
    classes, places = np.unique(class_numbers(name, y_true), return_inverse=True)
    weights = np.array([class_weight.get(int(c), 1.0) for c in classes])
    return weights[places.reshape(-1)]


def weights_of_examples(name, sample_weight, shape, dtype=np.float64):
    """`sample_weight` as an array that multiplies values of `shape`, (n,) or (n, ...).

    Raises ValueError when it has neither the shape of the values nor one weight per example, and
    for negative weights.
    """
    weights = array_of(sample_weight)
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected numbers in sample_weight, got {weights.dtype}")
    if weights.ndim and weights.shape != shape:
        spread = (*shape[:1], *(1 for _ in shape[1:]))
        if weights.shape not in (shape[:1], (*shape[:1], 1), (*shape, 1)):
            raise ValueError(
                f"{name}: expected a sample_weight for each example, of shape {shape[:1]}, "
                f"got {weights.shape}"
            )
        weights = weights.reshape(shape if weights.size == np.prod(shape) else spread)
    if weights.size and not weights.min() >= 0:
        raise ValueError(f"{name}: expected weights of at least 0, got {weights.min()}")
    return weights.astype(dtype, copy=False)
