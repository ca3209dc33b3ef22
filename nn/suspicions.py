"""What is legal, but almost surely a mistake: looked for once, when a training begins.

Each finding is a sentence with the reason and what to write. A false alarm is worse than silence:
what cannot be seen for sure, as what a layer of the user's own does, is taken to be meant.
"""

from numbers import Real

import numpy as np

from . import activations
from .labels import array_of, form_of
from .losses import name_of

# Layers that keep a stack of Dense layers linear when the model is used.
AFFINE = {
    "BatchNormalization",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Normalization",
    "Permute",
    "Rescaling",
    "Reshape",
}
SHAPING = {"Flatten", "Permute", "Reshape"}
DEEP = 3  # hidden layers from which on a stack counts as deep
PIXELS = 16  # numbers per example from which on whole numbers from 0 to 255 count as a picture
FIRST_STEPS = 10  # of a training, in which a loss can be seen to explode
EXPLODED = 10  # times the first loss
GUESSING = np.log(2.0)  # the least first loss that cross-entropies are compared with
VALUE_LOSSES = ("mean_squared_error", "mean_absolute_error", "huber", "log_cosh")


def suspicions(model, x, y, whole=True):
    """Sentences on what is suspicious in a compiled model and its data, in a list.

    x      a batch of examples, or all
    y      all labels, or those of a batch
    whole  whether they are all
    """
    layers = model.flat_layers() if hasattr(model, "flat_layers") else []
    activation = model.last_activation()
    found = [
        *_stacked(layers),
        _squashing(layers),
        _cut_logits(layers),
        _unscaled(layers, array_of(x)),
        _value_loss(name_of(model.loss), activation, array_of(y)),
    ]
    if whole:
        found += [_constant(array_of(y)), _missing_class(name_of(model.loss), layers, array_of(y))]
    return [sentence for sentence in found if sentence is not None]


def _kind(layer):
    return type(layer).__name__


def _activation(layer):
    """The name of a layer's activation; None for a layer that has none, or not for sure."""
    function = getattr(layer, "activation", None)
    return None if function is None else activations.name_of(function)


def _stacked(layers):
    """Dense layers with nothing between them that is not linear."""
    before, between = None, []
    for layer in layers:
        if _kind(layer) == "Dense":
            if before is not None:
                yield _one_linear_layer(before, between, layer)
            before, between = (layer if _activation(layer) == "linear" else None), []
        elif _kind(layer) in AFFINE or _activation(layer) == "linear":
            between.append(layer)
        else:
            before = None


def _one_linear_layer(first, between, second):
    kinds = [_kind(layer) for layer in between]
    said = f"{first.label} and {second.label} have nothing between them that is not linear"
    if kinds:
        said += f" ({', '.join(kinds)} {'are' if len(kinds) > 1 else 'is'} not enough"
        said += ": BatchNormalization is affine" if "BatchNormalization" in kinds else ""
        said += ")"
    said += ", so that together they are one linear layer"
    inputs = first.input_shape[-1] if first.input_shape else None
    if inputs is not None and not SHAPING & set(kinds):
        widths = inputs, first.units, second.units
        said += f", with a matrix {inputs} x {second.units} of rank at most {min(widths)}"
    return f"{said}; write Dense({first.units}, activation='relu'), or leave one of them out"


def _squashing(layers):
    """sigmoid or tanh in a deep stack with the initialization for relu."""
    names, kinds, initializer = [], set(), None
    for layer, after in zip(layers, [*layers[1:], None]):
        if _kind(layer) != "Dense" or after is None:
            continue
        activation = _activation(layer)
        if activation == "linear" and after is not None:
            activation = _activation(after)
        chosen = getattr(layer, "kernel_initializer", None)
        chosen = chosen and (getattr(chosen, "__name__", None) or _kind(chosen))
        if activation in ("sigmoid", "tanh") and chosen and chosen.lower().startswith("he"):
            names.append(layer.label)
            kinds.add(activation)
            initializer = chosen
    if len(names) < DEEP:
        return None
    return (
        f"{', '.join(names)} have {' and '.join(sorted(kinds))} with {initializer}, whose variance "
        "is made for relu: deep down the values saturate, and gradients vanish; leave "
        "kernel_initializer out (glorot_uniform fits), or write activation='relu'"
    )


def trailing(layers):
    """The names of the activations that the model ends with, the last first."""
    names = []
    for layer in reversed(layers):
        activation = _activation(layer)
        if activation not in (None, "linear"):
            names.append(activation)
        if _kind(layer) == "Dense" or (activation is None and _kind(layer) not in SHAPING):
            break
    return names


def _cut_logits(layers):
    names = trailing(layers)
    if names[1:2] != ["relu"] or names[0] not in ("softmax", "sigmoid"):
        return None
    least = "0.5" if names[0] == "sigmoid" else "that of a logit of 0"
    return (
        f"relu stands right before {names[0]}: it cuts the logits at 0, so that no probability can "
        f"fall below {least}; leave relu out"
    )


def _unscaled(layers, x):
    """Whole numbers from 0 to 255 that go into a Dense layer as they are."""
    first = next((layer for layer in layers if _kind(layer) not in SHAPING), None)
    if first is None or _kind(first) != "Dense" or x[0].size < PIXELS:
        return None
    low, high = x.min(), x.max()
    if low < 0 or not 128 <= high <= 255 or (x.dtype.kind == "f" and (x != np.floor(x)).any()):
        return None
    return (
        f"the inputs are whole numbers from {low:g} to {high:g}, as pixels are: a net learns best "
        "from numbers about 1; write x / 255, or nn.Rescaling(1 / 255) as the first layer"
    )


def _value_loss(name, activation, y):
    """A loss for values on a model that decides between classes."""
    if name not in VALUE_LOSSES or activation not in ("softmax", "sigmoid"):
        return None
    form = form_of(y)
    if activation == "sigmoid" and form != "binary":
        return None
    better = "categorical_crossentropy" if activation == "softmax" else "binary_crossentropy"
    return (
        f"{name} with {activation} hardly learns where the model is sure and wrong, since the "
        f"slope of {activation} is near 0 there; write loss={better!r}"
    )


def _constant(y, rows=4096):
    if len(y) < 2:
        return None
    for start in range(0, len(y), rows):  # most often it ends with the first part
        if (y[start : start + rows] != y[:1]).any():
            return None
    label = y[0].tolist() if y[0].size < 5 else "the same"
    return f"all {len(y):,} labels are {label}: there is nothing to learn from them"


def _missing_class(name, layers, y):
    """Integer labels that use every class but 0."""
    units = getattr(layers[-1], "units", None) if layers else None
    if name != "sparse_categorical_crossentropy" or not units or y.dtype.kind not in "iu":
        return None
    if units < 3 or y.min() != 1 or y.max() != units - 1 or not np.bincount(y.ravel())[1:].all():
        return None
    return (
        f"the labels are 1 to {units - 1}, and class 0 never occurs; if they start at 1, write "
        f"y - 1 and Dense({units - 1}, activation='softmax')"
    )


def exploded(name, first, later, learning_rate=None):
    """A sentence when a loss exploded in the first steps of a training, else None.

    name           the name of the loss
    first          the loss of the first step
    later          those of the following steps, up to FIRST_STEPS
    learning_rate  a number to name; anything else is not named

    It exploded when a loss is nan or inf, or when the mean of the last three is more than EXPLODED
    times the first; for cross-entropies more than EXPLODED times that of guessing, if the first
    was less.
    """
    bad = [loss for loss in later if not np.isfinite(loss)]
    floor = GUESSING if name and name.endswith("crossentropy") else 0.0
    start = max(first, floor)
    last = bad[0] if bad else float(np.mean(later[-3:]))
    if not bad and (len(later) < FIRST_STEPS - 1 or not last > EXPLODED * start > 0):
        return None
    rate, advice = "the learning rate", "write a smaller one"
    if isinstance(learning_rate, Real) and not isinstance(learning_rate, bool):
        rate = f"the learning rate {learning_rate:g}"
        advice = f"write learning_rate={min(learning_rate / 10, 0.01):g}"
    return (
        f"the loss went from {first:.4g} to {last:.4g} in the first steps: {rate} is too great; "
        f"{advice}, or scale the inputs"
    )
