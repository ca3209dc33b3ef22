"""Training: compile, fit, evaluate, predict. The loop, and nothing about layers."""

from contextlib import contextmanager

import numpy as np

import engine
from engine import random

from . import losses, metrics, optimizers, pairing
from .callbacks import History, Hooks
from .checks import count_of
from .module import Module
from .progress import Progress


class Model(Module):
    """A module with a training loop. `forward` takes a batch and gives its outputs."""

    _loss = None  # set by compile, as are _optimizer and _metrics
    stop_training = False  # a callback sets it to end the training after the current batch

    @property
    def optimizer(self):
        """The optimizer that `compile` set; AttributeError before."""
        return self._optimizer

    @property
    def loss(self):
        """The loss that `compile` set, None before."""
        return self._loss

    def compile(self, optimizer="adam", loss=None, metrics=()):
        """Set how to train.

        optimizer  a name ("adam", "sgd") or an optimizer without parameters
        loss       a name or a function (y_true, y_pred) -> 0-d Tensor. The loss must fit the last
                   activation: see `nn.pairing`.
        metrics    names or functions (y_true, y_pred) -> one number per example; "accuracy" is
                   the form that belongs to the loss

        Raises ValueError for unknown names and for a loss that the last activation does not fit.
        """
        if loss is None:
            raise ValueError(f"compile: expected a loss, one of {', '.join(losses.LOSSES)}")
        loss = losses.get(loss)
        optimizer = optimizers.get(optimizer)
        self._check_pairing(loss, self.last_units())
        if isinstance(metrics, str) or callable(metrics):
            metrics = [metrics]
        self._metrics = _resolve(metrics, loss)
        self._loss, self._optimizer = loss, optimizer

    def _check_pairing(self, loss, units):
        pairing.check(getattr(loss, "__name__", None), self.last_activation(), units)

    def last_activation(self):
        """The name of the last activation, None when the model can not tell."""
        return

    def last_units(self):
        """The number of outputs per example, None when the model can not tell yet."""
        return

    # ------------------------------------------------------------------------------ training

    def fit(
        self,
        x,
        y,
        batch_size=32,
        epochs=1,
        verbose=1,
        callbacks=None,
        validation_data=None,
        shuffle=True,
    ):
        """Train on arrays, `epochs` times over.

        x                the examples, (n, ...)
        y                the labels, one per example, in the form that the loss expects
        batch_size       how many examples per step. Default 32; the last batch may be smaller.
        verbose          0: say nothing. 1: on a terminal a progress bar while an epoch lasts, and
                         anywhere a line at its end. 2: the line only.
        callbacks        a list of `nn.callbacks.Callback`, or one
        validation_data  (x, y) to evaluate on after every epoch
        shuffle          draw the examples in a new order every epoch (from `engine.seed`)

        Returns a History. Its loss and metrics are means over the epoch, while the weights moved.
        Raises ValueError for data that are empty, of different lengths, or not finite.
        """
        self._require_compiled("fit")
        x, y = _examples("fit", x, y)
        batch_size = count_of("fit", "batch_size", batch_size)
        epochs = count_of("fit", "epochs", epochs)
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError("fit: expected validation_data to be a pair (x, y)")
            validation_data = _examples("fit, validation_data", *validation_data)
        history = History()
        steps = -(-len(x) // batch_size)
        params = {"epochs": epochs, "steps": steps, "verbose": verbose}
        hooks = Hooks(callbacks, history, self, params)
        self.stop_training = False
        logs = {}
        try:
            hooks.train_begin()
            for epoch in range(epochs):
                hooks.epoch_begin(epoch)
                order = random.generator().permutation(len(x)) if shuffle else None
                with Progress(epoch + 1, epochs, steps, verbose) as progress:
                    logs = self._train_epoch(x, y, batch_size, order, hooks, progress)
                    if validation_data is not None:
                        tested = self._evaluate(*validation_data, batch_size)
                        logs |= {f"val_{name}": value for name, value in tested.items()}
                    hooks.epoch_end(epoch, logs)
                    progress.finish(logs)
                if self.stop_training:
                    break
        finally:
            hooks.train_end(logs)
        return history

    def _train_epoch(self, x, y, batch_size, order, hooks, progress):
        totals = _Totals(self._metrics)
        for index, batch in enumerate(_batches(len(x), batch_size, order)):
            for call in hooks.on_train_batch_begin:
                call(index, {})
            totals.add(*self._train_step(x[batch], y[batch], index, hooks.on_gradients))
            for call in hooks.on_train_batch_end:
                call(index, totals.means())
            progress.advance(totals)
            if self.stop_training:
                break
        return totals.means()

    def train_on_batch(self, x, y, return_dict=False):
        """One step on one batch. Returns the loss before it, or [loss, metric, ...] as Keras does.

        return_dict  return {"loss": ..., name: ...} instead
        """
        self._require_compiled("train_on_batch")
        x, y = _examples("train_on_batch", x, y)
        totals = _Totals(self._metrics)
        totals.add(*self._train_step(x, y))
        return _as_keras(totals.means(), return_dict)

    def _train_step(self, x, y, index=0, on_gradients=()):
        if not self.training:
            self.train()
        outputs = self(self._as_input(x))
        if self._optimizer.parameters is None:
            self._check_pairing(self._loss, outputs.shape[-1])
            self._optimizer.bind(self.parameters())
        loss = self._loss(y, outputs)
        loss.backward()
        for call in on_gradients:
            call(index)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss, y, outputs

    # ----------------------------------------------------------------------------- inference

    def evaluate(self, x, y, batch_size=32, verbose=0, return_dict=False):
        """The loss and metrics on (x, y), without training.

        Returns the loss, or [loss, metric, ...]; with return_dict=True {"loss": ..., name: ...}.
        verbose  1: print a line. Raises ValueError as `fit`, and for a model without weights.
        """
        self._require_compiled("evaluate")
        self.ensure_built()
        x, y = _examples("evaluate", x, y)
        values = self._evaluate(x, y, count_of("evaluate", "batch_size", batch_size))
        if verbose:
            print(" - ".join(f"{name}: {value:.4f}" for name, value in values.items()))
        return _as_keras(values, return_dict)

    def _evaluate(self, x, y, batch_size):
        totals = _Totals(self._metrics)
        with self._inference():
            for batch in _batches(len(x), batch_size):
                outputs = self(self._as_input(x[batch]))
                totals.add(self._loss(y[batch], outputs), y[batch], outputs)
        return totals.means()

    @contextmanager
    def _inference(self):
        was_training = self.training
        self.eval()
        try:
            with engine.no_grad():
                yield
        finally:
            self.train(was_training)

    def _as_input(self, x):
        # As Keras does: an array of float64, which `x / 255` is, would make all of it float64.
        if x.dtype != np.float64 or any(t.dtype == np.float64 for _, t in self._tensors_so_far()):
            return x
        return x.astype(np.float32)

    def predict(self, x, batch_size=32):
        """The outputs for the examples `x`, as an array. Raises ValueError as `evaluate` does."""
        self.ensure_built()
        x = _examples("predict", x)
        batch_size = count_of("predict", "batch_size", batch_size)
        with self._inference():
            parts = [self(self._as_input(x[b])).data for b in _batches(len(x), batch_size)]
        return np.concatenate(parts)

    def predict_classes(self, x, batch_size=32, threshold=0.5):
        """The classes for the examples `x`, as the last activation decides.

        softmax: the index of the greatest output, (n,). sigmoid: 1 where the output is above
        `threshold`; (n,) for one unit, else (n, units). ValueError for any other.
        """
        outputs = self.predict(x, batch_size)
        return pairing.decide(self.last_activation(), outputs, threshold)

    def _require_compiled(self, what):
        if self._loss is None:
            raise ValueError(f"{what}: call compile(optimizer=..., loss=...) first")


class _Totals:
    """The mean of the loss over examples, and the metrics, over the batches so far."""

    def __init__(self, metrics):
        self.metrics = metrics
        self.count, self.loss = 0, 0.0
        for _, metric in metrics:
            metric.reset_state()

    def add(self, loss, y, outputs):
        self.count += len(y)
        self.loss += loss.item() * len(y)
        for _, metric in self.metrics:
            metric.update_state(y, outputs.data)

    def means(self):
        results = {name: metric.result() for name, metric in self.metrics}
        return {"loss": self.loss / self.count, **results}


def _resolve(chosen, loss):
    accuracy = pairing.accuracy_for(getattr(loss, "__name__", None))
    return [metrics.get(metric, accuracy) for metric in chosen]


def _batches(count, size, order=None):
    """Slices over `count` examples, or parts of `order`."""
    for start in range(0, count, size):
        yield slice(start, start + size) if order is None else order[start : start + size]


def _as_keras(values, return_dict):
    if return_dict:
        return values
    numbers = list(values.values())
    return numbers[0] if len(numbers) == 1 else numbers


def _examples(what, x, y=None):
    """Examples, and labels, as arrays that a model can be trained on."""
    x = _finite(what, "x", x)
    if x.ndim < 2:
        raise ValueError(
            f"{what}: expected x to hold examples, of shape (n, ...), got shape {x.shape}"
        )
    if len(x) == 0:
        raise ValueError(f"{what}: there are no examples, x has shape {x.shape}")
    if y is None:
        return x
    y = _finite(what, "y", y)
    if y.ndim == 0 or len(y) != len(x):
        raise ValueError(
            f"{what}: expected one label per example, got {len(x)} examples in x and "
            f"{len(y) if y.ndim else 'a single number'} in y"
        )
    return x, y


def _finite(what, name, values, rows=4096):
    array = values.data if type(values) is engine.Tensor else np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what}: expected {name} to hold numbers, got {array.dtype}")
    if array.dtype.kind == "f" and array.ndim:
        for start in range(0, len(array), rows):  # in parts, for arrays larger than memory
            part = array[start : start + rows]
            if not np.isfinite(part).all():
                row = start + np.argwhere(~np.isfinite(part))[0][0]
                raise ValueError(f"{what}: {name} holds nan or inf, first in example {row}")
    return array
