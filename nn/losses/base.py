"""What the losses share: labels of the right shape, the logits behind probabilities, the mean."""

import inspect

import engine
from engine import Tensor

from ..labels import (
    SUM_ROOM,
    checked,
    form_of,
    sums_off,
    weights_of_classes,
    weights_of_examples,
)

ROOM = 1e-7  # bare probabilities are kept this far from 0 and 1, as Keras does (its epsilon)
REDUCTIONS = ("mean", "sum", "none")


def targets_of(name, y_true, y_pred):
    """Labels of the shape and dtype of the predictions, and these as a Tensor or array.

    (n,) and (n, 1) are brought together; nothing else is broadcast: it hides mistakes. A Tensor
    with a gradient stays one. Raises TypeError for no numbers, ValueError for another shape.
    """
    y_pred = engine.asarray(y_pred)
    labels = checked(name, y_true)
    shape = y_pred.shape
    if labels.shape != shape:
        if {labels.shape, shape} != {shape[:1], (*shape[:1], 1)}:
            raise ValueError(f"{name}: {_shape_problem(name, labels, shape)}")
        labels = labels.reshape(shape)
    if type(y_true) is Tensor and y_true.requires_grad:
        return engine.reshape(y_true, shape), y_pred
    return labels.astype(y_pred.dtype, copy=False), y_pred


def _shape_problem(name, labels, shape):
    """What to say of labels that have another shape than predictions of `shape`."""
    said = f"expected labels of shape {shape}, got {labels.shape}"
    form = form_of(labels, shape[-1] if len(shape) > 1 else 1)
    if labels.shape[:1] != shape[:1]:
        return said
    if name.startswith("categorical_") and form == "integers":
        sparse = "sparse_categorical_crossentropy"
        return (
            f"the labels have shape {labels.shape}, which are integers; write loss={sparse!r}, or "
            f"give one-hot labels: nn.to_categorical(y, {shape[-1]})"
        )
    if name.startswith("binary_") and form == "integers":
        return (
            f"{said}; for one class of {shape[-1]} write activation='softmax' in the last layer "
            "and loss='sparse_categorical_crossentropy', for several yes-or-no answers give rows "
            "of 0 and 1"
        )
    if labels.ndim == len(shape) == 2 and labels.shape[1] > 1:
        if shape[1] == 1 and labels.shape[1] == 2 and name.startswith("binary_"):
            return f"{said}; one unit takes labels 0 and 1: write y.argmax(axis=1)"
        return (
            f"{said}: {labels.shape[1]} columns for {shape[1]} units; write "
            f"Dense({labels.shape[1]}, ...) as the last layer"
        )
    return said


def logits_of(name, y_pred, activation, strict=True):
    """The logits behind `y_pred` if `activation` made it; None for bare probabilities.

    Raises ValueError for what another activation made, and for what are no probabilities; not so
    with strict=False, where both count as bare probabilities.
    """
    made_by, arguments = getattr(y_pred, "origin", (None, None))
    if made_by is activation and (
        activation is engine.sigmoid or arguments[1] in (-1, y_pred.ndim - 1)
    ):
        return arguments[0]
    if strict:
        check_probabilities(name, y_pred, activation, made_by)
    return None


def check_probabilities(name, y_pred, activation, made_by):
    wanted = activation.__name__
    if made_by is not None:
        got = (
            "softmax along another axis than the last"
            if made_by is activation
            else (f"that of {made_by.__name__}")
        )
        raise ValueError(
            f"{name}: expected the output of {wanted}, got {got}; write activation={wanted!r} in "
            "the last layer (the table in nn.pairing says which loss belongs to which activation)"
        )
    p = y_pred.data if type(y_pred) is Tensor else y_pred
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise ValueError(
            f"{name}: expected probabilities, the output of {wanted}, got values from "
            f"{p.min():.6g} to {p.max():.6g}; make {wanted} the last activation: write "
            f"activation={wanted!r} in the last layer"
        )
    if activation is engine.softmax and sums_off(p) > SUM_ROOM:
        raise ValueError(
            f"{name}: expected rows that sum to 1, the output of softmax, got sums from "
            f"{p.sum(axis=-1).min():.6g} to {p.sum(axis=-1).max():.6g}; write "
            "activation='softmax' in the last layer"
        )


def bare(y_pred, normalized=False):
    """Probabilities as they are, kept away from 0 and 1; `normalized`: divided by their sum."""
    if normalized:
        y_pred = y_pred / engine.sum(y_pred, axis=-1, keepdims=True)
    return engine.clip(y_pred, ROOM, 1 - ROOM)


def is_plain(sample_weight, class_weight, reduction):
    """Whether the loss is nothing but the mean of its elements."""
    return sample_weight is None and class_weight is None and reduction == "mean"


def reduce_elements(name, elements, sample_weight, reduction):
    """`reduce_examples` of the means over the last axis."""
    if sample_weight is None and reduction == "mean":
        return engine.mean(elements)
    values = engine.mean(elements, axis=-1) if elements.ndim > 1 else elements
    return reduce_examples(name, values, sample_weight, reduction)


def reduce_examples(name, values, sample_weight, reduction, count=None):
    """Weighted values, one per example: their sum / count, their sum, or the values.

    count  what the sum is divided by for "mean". Default: how many values there are, whatever
           they weigh, as in Keras.
    """
    check_reduction(name, reduction)
    if sample_weight is not None:
        dtype = values.dtype
        values = values * weights_of_examples(name, sample_weight, values.shape, dtype)
    if reduction == "none":
        return values
    if reduction == "sum":
        return engine.sum(values)
    return engine.mean(values) if count is None else engine.sum(values) / max(1, count)


def weights_of(name, y_true, sample_weight, class_weight):
    """The weights per example that the two make together, or None."""
    if class_weight is None:
        return sample_weight
    weights = weights_of_classes(class_weight, y_true, f"{name}, class_weight")
    if sample_weight is None:
        return weights
    return weights * weights_of_examples(name, sample_weight, weights.shape)


def smoothed(name, targets, label_smoothing, share):
    """targets * (1 - label_smoothing) + label_smoothing * share (Szegedy et al. 2016, sec. 7)."""
    check_smoothing(name, label_smoothing)
    return targets * (1 - label_smoothing) + label_smoothing * share


def check_reduction(name, reduction):
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"{name}: expected reduction to be 'mean', 'sum' or 'none', got {reduction!r}"
        )


def check_smoothing(name, label_smoothing):
    if not 0 <= label_smoothing < 1:
        raise ValueError(
            f"{name}: expected label_smoothing from 0 to below 1, got {label_smoothing!r}"
        )


class Loss:
    """A loss function with its settings, to be called as (y_true, y_pred, sample_weight=None).

    The settings are the keyword arguments of the function, and attributes. TypeError for others,
    ValueError for a reduction or label_smoothing that there is none of.
    """

    function = name = None
    settings = {}  # noqa: RUF012 (set for each class by `loss_class`, never changed)

    def __init__(self, **settings):
        unknown = sorted(settings.keys() - self.settings.keys())
        if unknown:
            raise TypeError(
                f"{type(self).__name__}: unknown setting {', '.join(unknown)}; "
                f"it takes {', '.join(self.settings)}"
            )
        for key, value in {**self.settings, **settings}.items():
            setattr(self, key, value)
        check_reduction(self.name, self.reduction)
        check_smoothing(self.name, getattr(self, "label_smoothing", 0))
        if isinstance(getattr(self, "class_weight", None), list):  # as get_config gives it
            self.class_weight = {int(key): weight for key, weight in self.class_weight}

    def __call__(self, y_true, y_pred, sample_weight=None):
        settings = {key: getattr(self, key) for key in self.settings}
        return type(self).function(y_true, y_pred, sample_weight, **settings)

    def get_config(self):
        """The settings, as JSON can hold them."""
        config = {key: getattr(self, key) for key in self.settings}
        if config.get("class_weight") is not None:  # JSON has no integers as keys
            config["class_weight"] = [[int(k), float(w)] for k, w in self.class_weight.items()]
        return config

    def __repr__(self):
        changed = [
            f"{key}={getattr(self, key)!r}"
            for key, value in self.settings.items()
            if getattr(self, key) != value
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def loss_class(name, function):
    """The class of a loss function: its keyword-only arguments become those of the constructor."""
    parameters = inspect.signature(function).parameters.values()
    settings = [p for p in parameters if p.kind is p.KEYWORD_ONLY]

    def __init__(self, **given):
        Loss.__init__(self, **given)

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    __init__.__signature__ = inspect.Signature([own, *settings])  # what help() shows
    return type(
        name,
        (Loss,),
        {
            "__doc__": f"`{function.__name__}` with settings.\n\n{inspect.getdoc(function)}",
            "__module__": __package__,
            "__init__": __init__,
            "function": staticmethod(function),
            "name": function.__name__,
            "settings": {p.name: p.default for p in settings},
        },
    )
