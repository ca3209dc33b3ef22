"""Training: compile, fit, evaluate, predict. The loop, and nothing about layers."""

import inspect

import numpy as np

from . import config, data, losses, metrics, optimizers, pairing, weights
from .callbacks import checked
from .chain import Chain
from .checks import count_of
from .diagnostics import Diagnostics
from .first_batch import FirstBatch
from .loop import Totals, Training, Validation
from .module import Module


class Model(Module):
    """A module with a training loop. `forward` takes a batch and gives its outputs."""

    _loss = None  # set by compile, as are _optimizer and _metrics
    _given = None  # to compile
    _chain = None  # the shorter way through a step, where there is one
    _first_batch = None  # looks at the first batch of data, before it is used
    loss_choice = None  # a sentence: which loss was chosen for "auto", and why
    _regularized = None  # whether there is a regularizer; None: to be found out
    notes = None  # of one's own: numbers, texts, arrays, lists and dicts, saved with the model
    stop_training = False  # a callback sets it to end the training after the current batch

    current_batch = None  # (x, y, sample_weight) of the step that `fit` is at, for callbacks
    training_state = None  # of the last training, for `fit(resume=True)`: has a method state()
    history = None  # of the last training

    @property
    def optimizer(self):
        """The optimizer that `compile` set; AttributeError before."""
        return self._optimizer

    @property
    def loss(self):
        """The loss that `compile` set, None before."""
        return self._loss

    def compile_settings(self):
        """The arguments that `compile` was called with, None before."""
        return None if self._given is None else self._given.settings

    def compile(self, optimizer="adam", loss="auto", metrics=(), strict=True):
        """Set how to train.

        optimizer  a name ("adam", "sgd") or an optimizer without parameters
        loss       a name or a function (y_true, y_pred) -> 0-d Tensor. The loss must fit the last
                   activation and the labels: see `nn.pairing`. "auto" (default) or None: the one
                   that fits, chosen at the first batch; `loss_choice` then says why.
        metrics    names or functions (y_true, y_pred) -> one number per example; "accuracy" is
                   the form that belongs to the loss
        strict     False: what by the table is wrong, but can be calculated, is a PairingWarning
                   and no error

        Raises ValueError for unknown names and for a loss that the last activation does not fit.
        """
        given = {"loss": loss, "metrics": metrics, "strict": strict}
        optimizer = optimizers.get(optimizer)
        loss = self._paired(loss, strict)
        if isinstance(metrics, str) or callable(metrics):
            metrics = [metrics]
        self._metrics = _resolve(metrics, loss)
        self._loss, self._optimizer, self._regularized = loss, optimizer, None
        self._given = _Given(optimizer=optimizer, **given)
        self._first_batch, self._chain = FirstBatch(strict), Chain()
        self.loss_choice = None

    def _paired(self, loss, strict):
        """The loss for what was given to compile, checked against the layers; or "auto"."""
        activation = self.last_activation()
        if hasattr(self, "flat_layers"):
            pairing.check_layers(self.flat_layers(), strict)
        if loss is None or loss == pairing.AUTO:
            return pairing.AUTO
        loss = pairing.resolve(losses.get(loss), activation)
        pairing.check(loss, activation, self.last_units(), strict)
        return loss if strict else losses.lenient(loss)

    def choose_loss(self, y, outputs):
        """For loss="auto": set the loss that fits the labels and outputs of a batch.

        Returns the sentence that says which and why, which is kept as `loss_choice`.
        """
        units = outputs.shape[-1] if outputs.ndim > 1 else 1
        activation = self.last_activation() or pairing.made_by(outputs)
        name, self.loss_choice = pairing.choose(activation, units, y)
        self._loss = losses.get(name)
        self._given = _Given(**{**self._given.settings, "loss": name})
        for _, metric in self._metrics:
            metric.fit_labels(metrics.FORM_OF_ACCURACY.get(pairing.accuracy_for(name)))
        return self.loss_choice

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
        y=None,
        batch_size=None,
        epochs=1,
        verbose=1,
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        diagnose=False,
        resume=False,
    ):
        """Train on examples, epoch after epoch.

        x                 the examples, (n, ...): an array, also one that is mapped from a file, of
                          which only the rows of a batch are read at a time. Or batches (x, y) or
                          (x, y, sample_weight), without `y`: an iterable, begun anew every epoch;
                          an iterator; a function without arguments that returns one for each
                          epoch; an object with __len__ and __getitem__, as Keras's PyDataset.
        y                 the labels, one per example, in the form that the loss expects
        batch_size        how many examples per step. Default 32; the last batch may be smaller.
        epochs            the number of the last epoch
        verbose           0: say nothing. 1: on a terminal a progress bar while an epoch lasts, and
                          anywhere a line at its end. 2: the line only.
        callbacks         a list of `nn.callbacks.Callback`, or one
        validation_split  the share of the arrays, from their end, to evaluate on after every epoch
                          and not to train on. Default 0.
        validation_data   (x, y), (x, y, sample_weight) or batches to evaluate on instead
        shuffle           draw the examples in a new order every epoch (from `engine.seed`), or the
                          batches of an object that has an index
        class_weight      a dict from class to what its examples count in the loss; others count 1
        sample_weight     (n,): what each example counts in the loss
        initial_epoch     how many epochs to leave out at the start
        steps_per_epoch   how many batches make an epoch. Default: all there are.
        validation_steps, validation_batch_size   the same for the validation
        validation_freq   evaluate after every so many epochs. Default 1.
        diagnose          look into the layers, and say what goes wrong there: a `nn.Diagnostics`,
                          which the History has as `diagnostics`
        resume            go on where the training stood that ended by Ctrl-C, or that was saved
                          with the model, to the last bit as if it had never stopped, up to
                          `epochs` in all. Data and settings are to be given as before.

        Returns a History. Its loss and metrics are means over the epoch, while the weights moved.
        Ctrl-C lets the step finish, keeps the model and the history and returns; a second one
        raises KeyboardInterrupt at once.

        Raises ValueError for data that are empty, of different lengths, or not finite, and for
        `resume` where nothing stands, or with other data.
        """
        self._require_compiled("fit")
        epochs = count_of("fit", "epochs", epochs)
        if initial_epoch != 0:
            initial_epoch = count_of("fit", "initial_epoch", initial_epoch)
        if validation_split:
            if validation_data is not None:
                raise ValueError("fit: give validation_split or validation_data, not both")
            (x, y, sample_weight), validation_data = data.split(
                "fit", x, y, sample_weight, validation_split
            )
        self._check_weighable("fit", sample_weight, class_weight)
        source = data.source(
            "fit",
            x,
            y,
            sample_weight,
            batch_size=batch_size,
            steps=steps_per_epoch,
            shuffle=shuffle,
            class_weight=class_weight,
        )
        source.check_epochs(epochs)
        validate = self._validation(
            validation_data,
            validation_batch_size or batch_size,
            validation_steps,
            validation_freq,
        )
        stood = self._to_resume() if resume else None
        self._first_batch.begin_training(verbose, getattr(source, "labels", None))
        if diagnose:
            callbacks = [*checked(callbacks), Diagnostics()]
        return Training(
            self, source, validate, callbacks, epochs, verbose, initial_epoch, stood
        ).run()

    def _validation(self, given, batch_size, steps, freq):
        """What evaluates after an epoch; None without validation data."""
        if given is None:
            return None
        if isinstance(given, (tuple, list)) and not data.gives_batches(given):
            if not 2 <= len(given) <= 3:
                raise ValueError(
                    "fit: expected validation_data to be (x, y) or (x, y, sample_weight)"
                )
            source = data.source("fit, validation_data", *given, batch_size=batch_size, steps=steps)
        elif data.gives_batches(given):
            source = data.source("fit, validation_data", given, steps=steps)
        else:
            raise ValueError(
                "fit: expected validation_data to be (x, y), (x, y, sample_weight) or batches, "
                f"got {type(given).__name__}"
            )
        return Validation(self, source, count_of("fit", "validation_freq", freq))

    def _to_resume(self):
        if self.training_state is None:
            raise ValueError(
                "fit: resume=True, but this model has no training to go on with: load one that was "
                "saved while or after it trained, as nn.load(path)"
            )
        return self.training_state.state()

    def train_on_batch(self, x, y, sample_weight=None, class_weight=None, return_dict=False):
        """One step on one batch. Returns the loss before it, or [loss, metric, ...] as Keras does.

        sample_weight, class_weight   as in `fit`
        return_dict                   return {"loss": ..., name: ...} instead
        """
        self._require_compiled("train_on_batch")
        what = "train_on_batch"
        x, y, weight = data.batch(what, x, y, sample_weight, class_weight, looks=False)
        totals, check = Totals(self._metrics), lambda: data.require_finite(what, "x", x)
        totals.add(*self._train_step(x, y, weight, check=check))
        return _as_keras(totals.means(), return_dict)

    def _train_step(self, x, y, weight=None, index=0, on_gradients=(), check=None):
        if not self.training:
            self.train()
        x, first, done = self._as_input(x), self._first_batch, None
        if first.waits:
            self._chain = Chain()
        elif weight is None and not on_gradients:
            done = self._chain.step(self, x, y, check)
        if done is None:
            if check is not None:
                check()
            done = self._step_by_step(x, y, weight, index, on_gradients)
        loss, outputs = done
        if first.watches:
            first.watch(self, loss)
        return loss, y, outputs

    def _step_by_step(self, x, y, weight, index, on_gradients):
        outputs = self(x)
        if self._first_batch.waits:
            self._first_batch.look(self, x, y, outputs)
        if self._optimizer.parameters is None:
            self._optimizer.bind(self)
            self._regularized = None
        loss = self._loss_of(y, outputs, weight)
        loss.backward()
        for call in on_gradients:
            call(index)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss, outputs

    def _loss_of(self, y, outputs, weight):
        if weight is None:
            loss = self._loss(y, outputs)
        else:
            loss = self._loss(y, outputs, sample_weight=weight)
        if self._regularized is None:
            self._regularized = bool(self.regularizers())
        extra = self.regularization() if self._regularized else None
        return loss if extra is None else loss + extra

    # ----------------------------------------------------------------------------- inference

    def evaluate(
        self,
        x,
        y=None,
        batch_size=None,
        verbose=0,
        sample_weight=None,
        steps=None,
        return_dict=False,
    ):
        """The loss and metrics on (x, y), or on batches as `fit` takes them, without training.

        Returns the loss, or [loss, metric, ...]; with return_dict=True {"loss": ..., name: ...}.

        batch_size     of arrays. Default 32.
        verbose        1: print a line
        sample_weight  (n,): what each example counts in the loss
        steps          how many batches to take. Default: all.

        Raises ValueError as `fit` does, and for a model without weights.
        """
        self._require_compiled("evaluate")
        self.ensure_built()
        source = data.source("evaluate", x, y, sample_weight, batch_size=batch_size, steps=steps)
        self.begin_test(verbose)
        values = self.measure(source)
        if verbose:
            print(" - ".join(f"{name}: {value:.4f}" for name, value in values.items()))
        return _as_keras(values, return_dict)

    def test_on_batch(self, x, y, sample_weight=None, return_dict=False):
        """The loss and metrics on one batch, without training; returns as `evaluate` does."""
        self._require_compiled("test_on_batch")
        self.ensure_built()
        totals = Totals(self._metrics)
        with self._inference():
            totals.add(*self._test_step(*data.batch("test_on_batch", x, y, sample_weight)))
        return _as_keras(totals.means(), return_dict)

    def begin_test(self, verbose=0):
        """What is measured next are new data: their first batch is to be checked."""
        self._first_batch.begin_test(verbose)

    def measure(self, source, interrupted=lambda: False):
        """The loss and metrics over a source of `nn.data`; {} when interrupted() is true."""
        totals = Totals(self._metrics)
        with self._inference():
            for batch in source.epoch():
                totals.add(*self._test_step(*batch))
                if interrupted():
                    return {}
        return totals.means()

    def _test_step(self, x, y, weight=None):
        outputs = self(self._as_input(x))
        if self._first_batch.waits:
            self._first_batch.look(self, x, y, outputs)
        return self._loss_of(y, outputs, weight), y, outputs

    def plain_models(self):
        """This model and all within, if calling the layers in turn is all a call does; or None."""
        return

    def is_wide(self):
        """Whether some of the weights are float64."""
        return any(tensor.dtype == np.float64 for _, tensor in self._tensors_so_far())

    def _as_input(self, x):
        # As Keras does: an array of float64, which `x / 255` is, would make all of it float64.
        return x if x.dtype != np.float64 or self.is_wide() else x.astype(np.float32)

    def predict(self, x, batch_size=None, steps=None):
        """The outputs for the examples `x`, as an array.

        x           an array (n, ...), or batches as `fit` takes them; their labels are left out
        batch_size  of an array. Default 32.
        steps       how many batches to take. Default: all.

        Raises ValueError as `evaluate` does.
        """
        self.ensure_built()
        source = data.source("predict", x, batch_size=batch_size, steps=steps, labelled=False)
        with self._inference():
            return np.concatenate([self(self._as_input(x)).data for x, _, _ in source.epoch()])

    def predict_on_batch(self, x):
        """The outputs for one batch, as an array."""
        self.ensure_built()
        with self._inference():
            return self(self._as_input(data.batch("predict_on_batch", x)[0])).data

    def predict_classes(self, x, batch_size=None, threshold=0.5):
        """The classes for the examples `x`, as the last activation decides.

        softmax: the index of the greatest output, (n,). sigmoid: 1 where the output is above
        `threshold`; (n,) for one unit, else (n, units). Any other: by the loss, as -1 or 1 for
        hinge; ValueError where that decides nothing.
        """
        outputs = self.predict(x, batch_size)
        return pairing.decide(self.last_activation(), outputs, threshold, self._loss)

    # -------------------------------------------------------------------------------- files

    def save_weights(self, path):
        """Write the weights to a safetensors file; `nn.weights.save_weights` has the details."""
        weights.save_weights(self, path)

    def load_weights(self, path):
        """Set the weights from a file, all or, where it does not fit, none; ValueError then."""
        weights.load_weights(self, path)

    def save(self, path):
        """Write the whole model, its optimizer and where its training stands, to one file.

        `nn.load(path)` makes it anew, and `fit(..., resume=True)` of that goes on bit for bit.
        """
        weights.save(self, path)

    def to_json(self):
        """The layers and their settings, without weights, as text for `nn.from_json`."""
        return config.to_json(self)

    # ------------------------------------------------------------------------------- checks

    def _check_weighable(self, what, *weights):
        """Raise ValueError where weights are given and the loss has no place for them."""
        given = any(weight is not None for weight in weights)
        if given and self._loss != pairing.AUTO and not _takes(self._loss, "sample_weight"):
            raise ValueError(
                f"{what}: the loss takes no weights; write it as loss(y_true, y_pred, "
                "sample_weight=None)"
            )

    def _require_compiled(self, what):
        if self._loss is None:
            raise ValueError(f"{what}: call compile(optimizer=..., loss=...) first")


class _Given:
    """Settings by name."""

    def __init__(self, **settings):
        self.settings = settings


def _takes(function, name):
    parameters = inspect.signature(function).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _resolve(chosen, loss):
    accuracy = pairing.accuracy_for(loss)
    ignored = getattr(loss, "ignore_index", None)
    return [metrics.get(metric, accuracy, ignored) for metric in chosen]


def _as_keras(values, return_dict):
    if return_dict:
        return values
    numbers = list(values.values())
    return numbers[0] if len(numbers) == 1 else numbers
