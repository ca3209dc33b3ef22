"""Metrics: how good a model is, in numbers that people read.

A metric is a function (y_true, y_pred) -> one number per example, whose mean `fit` reports, or an
object that gathers over batches (`Metric`): precision over an epoch is no mean of batches.
`accuracy` has several forms, one for each way to decide; which is meant follows from the loss
(`nn.pairing`), or from the labels.
"""

from ..labels import integer_labels
from ..names import find
from .accuracy import (
    Accuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sign_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .base import Mean, Metric
from .counts import ConfusionMatrix, F1Score, Precision, Recall, confusion_matrix
from .curves import AUC
from .regression import (
    MeanAbsoluteError,
    MeanSquaredError,
    R2Score,
    RootMeanSquaredError,
    mean_absolute_error,
    mean_squared_error,
)

METRICS = {
    "auc": AUC,
    "binary_accuracy": binary_accuracy,
    "categorical_accuracy": categorical_accuracy,
    "f1": F1Score,
    "f1_score": F1Score,
    "mae": mean_absolute_error,
    "mean_absolute_error": mean_absolute_error,
    "mean_squared_error": mean_squared_error,
    "mse": mean_squared_error,
    "precision": Precision,
    "r2": R2Score,
    "r2_score": R2Score,
    "recall": Recall,
    "rmse": RootMeanSquaredError,
    "root_mean_squared_error": RootMeanSquaredError,
    "sign_accuracy": sign_accuracy,
    "sparse_categorical_accuracy": sparse_categorical_accuracy,
    "sparse_top_k_categorical_accuracy": sparse_top_k_categorical_accuracy,
    "top_k": TopKCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
}

# The form of the labels that each accuracy takes, which the other metrics of a model take too.
FORM_OF_ACCURACY = {
    "binary_accuracy": "binary",
    "sign_accuracy": "signs",
    "categorical_accuracy": "one-hot",
    "sparse_categorical_accuracy": "integers",
}


def get(metric, accuracy, ignored=None):
    """(name, object) of a metric; the object has reset_state, update_state and result.

    metric    a name, a function (y_true, y_pred) -> one number per example, or a Metric.
              "accuracy" (or "acc") means the form that `accuracy` names.
    accuracy  the name of the accuracy that belongs to the loss; "accuracy" when the labels shall
              tell; None where none does
    ignored   the label that the loss leaves out, or None

    Raises ValueError for unknown names, for "accuracy" where there is none, and for a metric
    whose result is a table.
    """
    if metric in ("accuracy", "acc"):
        name, metric = metric, _accuracy(metric, accuracy)
    elif isinstance(metric, str):
        name, metric = metric, find("metric", metric, {**METRICS, "accuracy": None})
        metric = metric() if isinstance(metric, type) else metric
    else:
        name = getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__)
    if isinstance(metric, type):
        raise TypeError(f"metrics: expected a metric, got the class; write {metric.__name__}()")
    if not hasattr(metric, "update_state"):
        if not callable(metric):
            raise TypeError(f"metrics: expected a name, a function or a Metric, got {metric!r}")
        metric = Mean(metric, name)
    if not getattr(metric, "is_number", True):
        raise ValueError(
            f"metrics: {name} gives several numbers, where one is reported; call it on "
            "predictions: metric(y, model.predict(x))"
        )
    if isinstance(metric, Metric):
        metric.fit_labels(FORM_OF_ACCURACY.get(accuracy))
        metric.ignored = ignored
    return name, metric


def _accuracy(name, accuracy):
    if accuracy is None:
        raise ValueError(
            f"metrics: there is no {name!r} for this loss, whose outputs are not classes; "
            f"known metrics: {', '.join(sorted(METRICS))}"
        )
    return Accuracy(name=name) if accuracy == "accuracy" else METRICS[accuracy]
