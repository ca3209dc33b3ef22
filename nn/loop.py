"""The loop of `fit`: epochs and steps, how Ctrl-C ends it, and how it is taken up again.

Where a training stands is a dict of numbers and arrays (`Training.state`): the place in the epoch,
the random state now and at the epoch's start (from which its order is drawn again), the running
means, the history and what the callbacks remember. With weights and optimizer, that is all a
training needs to go on as if it had never stopped.
"""

import copy
import math
import signal
import threading
import warnings

import numpy as np

from engine import random

from .callbacks import History, Hooks
from .progress import Progress
from .state import is_data

NONE = type(None)
FIELDS = {  # of the state of a training
    "epoch": int,
    "batch": int,
    "began": NONE,  # or dict
    "random": dict,
    "means": dict,
    "history": dict,
    "data": dict,
    "callbacks": list,
    "weights": NONE,  # or dict: those that were trained, where their averages took their place
}
MAY_BE_DICTS = ("began", "weights")


class Interrupt:
    """Notes a first Ctrl-C, so that a step can finish; a second one raises KeyboardInterrupt.

    As a context manager. Only in the main thread, and only where Ctrl-C has Python's own meaning;
    that is put back at the end.
    """

    caught = False

    def __enter__(self):
        in_main = threading.current_thread() is threading.main_thread()
        self._set = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._set:
            signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number, frame):
        if self.caught:
            raise KeyboardInterrupt
        self.caught = True

    def __exit__(self, *exception):
        if self._set:
            signal.signal(signal.SIGINT, signal.default_int_handler)


class Totals:
    """The mean of the loss over examples, and the metrics, over the batches so far.

    The metrics are copies, so that an evaluation between two batches leaves those of the epoch
    alone. They are made at the first batch, by which the loss "auto" tells them what labels are.
    """

    def __init__(self, metrics):
        self._originals, self._metrics = metrics, None
        self._count, self._loss = 0, 0.0

    def _start(self):
        self._metrics = []
        for name, metric in self._originals:
            own = copy.copy(metric)
            own.reset_state()
            self._metrics.append((name, own))

    def add(self, loss, y, outputs):
        """Add a batch: its loss, labels and outputs."""
        if self._metrics is None:
            self._start()
        self._count += len(y)
        self._loss += loss.item() * len(y)
        for _, metric in self._metrics:
            metric.update_state(y, outputs.data)

    def means(self):
        """The values so far, a dict from name to number."""
        results = {"loss": self._loss / self._count}
        for name, metric in self._metrics:
            results[name] = metric.result()
        return results

    def state(self):
        """What `restore` needs to go on from here."""
        metrics = [_remembered(metric) for _, metric in self._metrics or ()]
        return {"count": self._count, "loss": self._loss, "metrics": metrics}

    def restore(self, state):
        """Go on from what `state` gave."""
        self._count, self._loss = state["count"], state["loss"]
        if self._count:
            self._start()
        for (_, metric), values in zip(self._metrics or (), state["metrics"]):
            own = _remembered(metric)  # a function is not, and stays
            vars(metric).update({name: value for name, value in values.items() if name in own})


def _remembered(metric):
    """The attributes of a metric that are data."""
    return {name: value for name, value in vars(metric).items() if is_data(value)}


class Stood:
    """Where a training stood when it ended or was saved; in the place of one under way.

    state  what `Training.state` gave. Raises ValueError for anything else.
    """

    def __init__(self, state):
        kinds = {name: type(value) for name, value in state.items()}
        either = {name: kind for name, kind in kinds.items() if name in MAY_BE_DICTS}
        if kinds != FIELDS | either or not {*either.values()} <= {dict, NONE}:
            raise ValueError(f"expected the state of a training, got {state!s:.200}")
        self._state = state

    def state(self):
        """The state that `Training.state` gave."""
        return self._state


class Validation:
    """What is evaluated after every `freq` epochs; {} after the others, and when interrupted."""

    def __init__(self, model, source, freq):
        self._model, self._source, self.freq = model, source, freq
        self._begun = False

    def __call__(self, epoch, interrupted):
        if not self._begun:
            self._model.begin_test()
            self._begun = True
        return {} if (epoch + 1) % self.freq else self._model.measure(self._source, interrupted)


class Training:
    """One `fit` under way.

    source    gives the batches, as those of `nn.data`
    validate  a Validation, or None
    stood     the state to go on from, or None
    """

    def __init__(self, model, source, validate, callbacks, epochs, verbose, first=0, stood=None):
        self._model, self._source, self._validate = model, source, validate
        self._epochs, self._verbose, self._stood = epochs, verbose, stood
        self._epoch, self._batch = first, 0
        self._began = None  # the random state when the epoch began; None between epochs
        self._trained = None  # the weights, where their averages have taken their place
        self._totals = Totals(model._metrics)
        self._logs = {}
        self.history = model.history = History()
        params = {"epochs": epochs, "steps": source.steps, "verbose": verbose}
        params |= {"validation_freq": 1 if validate is None else validate.freq}
        self._hooks = Hooks(callbacks, self.history, model, params)
        if stood is not None:
            _check_same("data", stood["data"], source.describe())
            self._hooks.check_state(stood["callbacks"])

    # ------------------------------------------------------------------------------------ the loop

    def run(self):
        """Train to the end, or until something ends it. Returns the history."""
        model, stands = self._model, None
        model.stop_training, model.training_state = False, self
        with Interrupt() as self._interrupt:
            try:
                self._hooks.train_begin()
                if self._stood is not None:
                    self._take_up(self._stood)
                while self._epoch < self._epochs and not self._ends():
                    stands = self._run_epoch()
                self._finish()
            except BaseException:
                self.history.interrupted = True
                raise
            finally:
                self.history.interrupted |= self._interrupt.caught
                model.training_state = Stood(stands or self.state())
                self._hooks.train_end(self._logs)
        return self.history

    def _finish(self):
        # As in Keras, the weights become their averages; those that were trained stay in the state.
        optimizer = self._model.optimizer
        if optimizer.use_ema and optimizer.iterations and not self._interrupt.caught:
            self._trained = self._model.state_dict()
            optimizer.finalize_variable_values()

    def _ends(self):
        return self._model.stop_training or self._interrupt.caught

    def _run_epoch(self):
        """One epoch, or the rest of one. Returns where it stood if Ctrl-C ended it, else None."""
        batches = self._begin_epoch()
        steps, title = self._source.steps, (self._epoch + 1, self._epochs)
        with Progress(*title, steps, self._verbose, self._batch) as progress:
            self._run_steps(batches, progress)
            self._logs = self._totals.means()
            tested = {}
            if self._validate is not None and not self._interrupt.caught:
                tested = self._validate(self._epoch, lambda: self._interrupt.caught)
            if self._interrupt.caught:
                return self._break_off(progress)
            self._logs |= {f"val_{name}": value for name, value in tested.items()}
            self._hooks.epoch_end(self._epoch, self._logs)
            progress.finish(self._logs)
        self._epoch, self._batch, self._began = self._epoch + 1, 0, None
        self._totals = Totals(self._model._metrics)
        self._hooks.epoch_done(self._epoch - 1, self._logs)
        return None

    def _begin_epoch(self):
        if self._began is None:
            self._hooks.epoch_begin(self._epoch)
            self._began = random.state()
            return self._source.epoch(0, self._epoch)
        now = random.state()  # taken up in the middle of an epoch: its order is drawn again
        random.generator().bit_generator.state = self._began
        batches = self._source.epoch(self._batch, self._epoch)
        random.generator().bit_generator.state = now
        return batches

    def _run_steps(self, batches, progress):
        model, hooks, totals = self._model, self._hooks, self._totals
        narrow = not model.is_wide()
        for x, y, weight in batches:
            for call in hooks.on_train_batch_begin:
                call(self._batch, {})
            if narrow and x.dtype == np.float64:
                x = x.astype(np.float32)
            model.current_batch = x, y, weight
            totals.add(*model._train_step(x, y, weight, self._batch, hooks.on_gradients))
            self._batch += 1
            for call in hooks.on_train_batch_end:
                call(self._batch - 1, totals.means())
            progress.advance(totals)
            if model.stop_training or self._interrupt.caught:
                return
        steps = self._source.steps
        if self._batch == 0:
            raise ValueError("fit: the data gave no batch")
        if steps is not None and self._batch < steps:
            self._model.stop_training = True
            warnings.warn(
                f"fit: the data ended after {self._batch} of {steps} batches in epoch "
                f"{self._epoch + 1}, and with it the training",
                stacklevel=4,
            )

    def _break_off(self, progress):
        """Ctrl-C: the epoch so far goes into the history. Returns the state without it."""
        stands = self.state()
        missing = [name for name in self.history.history if name not in self._logs]
        self.history.on_epoch_end(self._epoch, self._logs | dict.fromkeys(missing, math.nan))
        progress.interrupted(self._logs)
        return stands

    # ------------------------------------------------------------------------------ where it stands

    def state(self):
        """Where the training stands now: numbers, strings, lists, dicts and arrays."""
        return {
            "epoch": self._epoch,
            "batch": self._batch,
            "began": self._began,
            "random": random.state(),
            "means": self._totals.state(),
            "history": self.history.state_dict(),
            "data": self._source.describe(),
            "callbacks": self._hooks.state(),
            "weights": self._trained,
        }

    def _take_up(self, state):
        self._epoch, self._batch, self._began = state["epoch"], state["batch"], state["began"]
        try:
            self._totals.restore(state["means"])
            self.history.load_state_dict(state["history"])
            self._hooks.restore(state["callbacks"])
            random.generator().bit_generator.state = state["random"]
            if state["weights"] is not None:
                self._model.load_state_dict(state["weights"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"fit: what the training stood at can not be used: {error}") from error


def _check_same(what, before, now):
    differences = [
        f"{name} was {before.get(name)}, is {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if differences:
        raise ValueError(
            f"fit: resume=True needs the {what} that the training began with: "
            f"{'; '.join(differences)}"
        )
