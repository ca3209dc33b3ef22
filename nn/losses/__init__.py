"""Losses: (y_true, y_pred, sample_weight=None) -> the mean over the examples, as a 0-d Tensor.

The cross-entropies take probabilities, as they come out of a softmax or sigmoid. A Tensor knows
the softmax or sigmoid that made it, recorded or not; from there the loss goes back to the logits
and through one fused operation, which is exact where the logarithm of a probability is not. So
there is no `from_logits`, and training and evaluation give the same number.

Each loss is a function, and a class that keeps its settings: `Huber(delta=2.0)`.
"""

from ..labels import integer_labels
from ..names import find
from .base import Loss, loss_class
from .crossentropy import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    focal,
    kl_divergence,
    sparse_categorical_crossentropy,
)
from .regression import (
    categorical_hinge,
    cosine_similarity,
    hinge,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    squared_hinge,
)

BinaryCrossentropy = loss_class("BinaryCrossentropy", binary_crossentropy)
BinaryFocalCrossentropy = loss_class("BinaryFocalCrossentropy", binary_focal_crossentropy)
CategoricalCrossentropy = loss_class("CategoricalCrossentropy", categorical_crossentropy)
CategoricalFocalCrossentropy = loss_class(
    "CategoricalFocalCrossentropy", categorical_focal_crossentropy
)
CategoricalHinge = loss_class("CategoricalHinge", categorical_hinge)
CosineSimilarity = loss_class("CosineSimilarity", cosine_similarity)
Hinge = loss_class("Hinge", hinge)
Huber = loss_class("Huber", huber)
KLDivergence = loss_class("KLDivergence", kl_divergence)
LogCosh = loss_class("LogCosh", log_cosh)
MeanAbsoluteError = loss_class("MeanAbsoluteError", mean_absolute_error)
MeanAbsolutePercentageError = loss_class(
    "MeanAbsolutePercentageError", mean_absolute_percentage_error
)
MeanSquaredError = loss_class("MeanSquaredError", mean_squared_error)
MeanSquaredLogarithmicError = loss_class(
    "MeanSquaredLogarithmicError", mean_squared_logarithmic_error
)
Poisson = loss_class("Poisson", poisson)
SparseCategoricalCrossentropy = loss_class(
    "SparseCategoricalCrossentropy", sparse_categorical_crossentropy
)
SquaredHinge = loss_class("SquaredHinge", squared_hinge)

CLASSES = {
    kind.function: kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Loss) and kind is not Loss
}
LOSSES = {
    **{function.__name__: function for function in CLASSES},
    "bce": binary_crossentropy,
    "focal": focal,
    "kld": kl_divergence,
    "kullback_leibler_divergence": kl_divergence,
    "logcosh": log_cosh,
    "mae": mean_absolute_error,
    "mape": mean_absolute_percentage_error,
    "mse": mean_squared_error,
    "msle": mean_squared_logarithmic_error,
}


def get(loss):
    """The loss function for a name; a function or an instance of a loss class as it is.

    Raises ValueError for an unknown name, TypeError for a class that was not called.
    """
    if isinstance(loss, type):
        raise TypeError(f"loss: expected a loss, got the class; write {loss.__name__}()")
    return loss if callable(loss) else find("loss", loss, LOSSES)


def name_of(loss):
    """The name of a loss in the tables, as "huber": that of a class is that of its function."""
    return getattr(loss, "name", None) or getattr(loss, "__name__", None)


def lenient(loss):
    """The loss with strict=False, where it has that setting."""
    if isinstance(loss, Loss) and "strict" in loss.settings:
        return type(loss)(**{**loss.get_config(), "strict": False})
    kind = CLASSES.get(loss) if not isinstance(loss, Loss) else None
    return kind(strict=False) if kind is not None and "strict" in kind.settings else loss
