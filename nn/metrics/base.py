"""What a metric is: three methods, so that it can be the mean of nothing but whole data.

`reset_state` forgets, `update_state` takes a batch in, `result` gives the number for all that came
in since. A function (y_true, y_pred) -> one number per example becomes one by `Mean`.
"""

import numpy as np

from ..labels import array_of, form_of, weights_of_examples


class Metric:
    """Base of the metrics.

    A subclass defines `reset_state`, `update_state` and `result`, keeps each parameter of its
    constructor as an attribute of the same name, and has a `name`.
    """

    name = None
    is_number = True  # whether `result` is one number, which `compile` asks for
    ignored = None  # the label that the loss leaves out, its ignore_index: it counts here neither

    def reset_state(self):
        """Forget everything."""
        raise NotImplementedError

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take in a batch: labels, outputs of the model, and a weight per example or None."""
        raise NotImplementedError

    def result(self):
        """The number for everything that came in. nan when nothing did."""
        raise NotImplementedError

    def fit_labels(self, form):
        """Told by `compile` or `fit`: the form of the labels that the loss takes."""

    def kept(self, y_true, y_pred, sample_weight):
        """The three as arrays, without the examples whose label is to be ignored."""
        y_true, y_pred = array_of(y_true), array_of(y_pred)
        if self.ignored is None:
            return y_true, y_pred, sample_weight
        rows = y_true.reshape(y_pred.shape[:-1]) != self.ignored
        if sample_weight is not None:
            weights = weights_of_examples(self.name, sample_weight, rows.shape)
            sample_weight = np.broadcast_to(weights, rows.shape)[rows]
        return y_true.reshape(rows.shape)[rows], y_pred[rows], sample_weight

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The number for these data alone; what came in before is forgotten."""
        self.reset_state()
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def __repr__(self):
        return f"{type(self).__name__}()"


class OfLabels(Metric):
    """A metric that goes by the form of the labels: `labels`, or with "auto" the form that the
    loss told, or else that of the first labels that come.
    """

    forms = ()  # those that it knows

    def set_labels(self, labels):
        """Keep the parameter `labels`; ValueError for a form that the metric does not know."""
        if labels not in ("auto", *self.forms):
            known = ", ".join(map(repr, ("auto", *self.forms)))
            raise ValueError(f"{self.name}: expected labels to be one of {known}, got {labels!r}")
        self.labels = labels
        # Shared by shallow copies: a training works on copies that are made before its first
        # labels are seen, which may be what tells.
        self._told = {}
        self._seen = None

    def fit_labels(self, form):
        if form in self.forms:
            self._told["form"] = form

    def form(self, y_true, units):
        """The form to go by, for labels of a batch and the number of outputs."""
        if self.labels != "auto":
            return self.labels
        if "form" in self._told:
            return self._told["form"]
        if self._seen is None:
            form = form_of(y_true, units)
            if form not in self.forms:
                raise ValueError(
                    f"{self.name}: labels of shape {np.shape(y_true)} are {form} numbers, which "
                    f"name no class; expected {', '.join(self.forms)}"
                )
            self._seen = form
        return self._seen

    def forget_labels(self):
        """Go by the first labels that come from now on."""
        self._seen = None


class Mean(Metric):
    """The mean over the examples of a function (y_true, y_pred) -> one number per example.

    With weights it is sum(w * value) / sum(w), as in Keras. A function that gives one number for
    the batch counts as that number for each example.
    """

    def __init__(self, function, name=None):
        self.function = function
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.reset_state()

    def values(self, y_true, y_pred):
        """The numbers of a batch, one per example."""
        return self.function(y_true, y_pred)

    def reset_state(self):
        self.total, self.weight = 0.0, 0.0

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred, sample_weight = self.kept(y_true, y_pred, sample_weight)
        values = np.asarray(self.values(y_true, y_pred))
        if sample_weight is None:
            count = len(y_true)
            if values.dtype == bool and values.shape == (count,):  # right or wrong: exact, and fast
                self.total += np.count_nonzero(values)
            elif count:
                self.total += float(values.mean()) * count
            self.weight += count
            return
        values = np.broadcast_to(values, (len(y_true), *values.shape[1:]))
        weights = weights_of_examples(self.name, sample_weight, values.shape)
        self.total += float((weights * values).sum())
        self.weight += float(np.broadcast_to(weights, values.shape).sum())

    def result(self):
        return self.total / self.weight if self.weight else float("nan")
