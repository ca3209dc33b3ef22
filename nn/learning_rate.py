"""The learning rate over a training: callbacks that set it, and a search for a good one."""

import inspect
import math
from contextlib import contextmanager

import numpy as np

import engine
from engine import random

from .callbacks import Callback
from .callbacks.stopping import Monitor
from .checks import count_of, number_of


def _check_settable(callback, optimizer):
    if callable(optimizer.learning_rate):
        raise ValueError(
            f"{type(callback).__name__}: the optimizer's learning rate is a schedule, which sets "
            "itself; write learning_rate=0.01, a number"
        )


class LearningRateScheduler(Callback):
    """Sets the learning rate at the start of every epoch.

    schedule  a function of the epoch, from 0, or of the epoch and the present rate, that gives a
              number above 0; also one of `nn.schedules`
    verbose   1: print a line. Default 0.

    `learning_rate` is then in the logs of the epoch. ValueError when the optimizer has a schedule.
    """

    def __init__(self, schedule, verbose=0):
        if not callable(schedule):
            raise TypeError(
                f"LearningRateScheduler: expected a function of the epoch, got {schedule!r}"
            )
        self.schedule, self.verbose = schedule, verbose
        self._takes_rate = len(inspect.signature(schedule).parameters) > 1

    def on_epoch_begin(self, epoch, logs=None):
        optimizer = self.model.optimizer
        _check_settable(self, optimizer)
        more = (optimizer.learning_rate,) if self._takes_rate else ()
        optimizer.learning_rate = self.schedule(epoch, *more)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {optimizer.learning_rate:.4g}")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate


class ReduceLROnPlateau(Callback):
    """Lowers the learning rate when what is monitored has stopped to get better, as Keras does.

    monitor    a name in the logs. Default "val_loss".
    factor     what the rate is multiplied by, in (0, 1). Default 0.1.
    patience   after how many epochs without progress. Default 10.
    verbose    1: print a line. Default 0.
    mode       "min": less is better, "max": more is; "auto", the default, knows accuracy and the
               like, and takes "min" for all else
    min_delta  a change has to be greater than this to be progress. Default 0.0001.
    cooldown   for how many epochs after a cut nothing is counted. Default 0.
    min_lr     the rate does not go below this. Default 0.

    The rates that parameter groups have of their own are lowered too. `learning_rate` is in the
    logs of every epoch, as it was in that epoch. ValueError when the optimizer has a schedule, and
    when the logs do not have what is monitored.
    """

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
    ):
        what = type(self).__name__
        self.monitor, self.verbose, self.mode = monitor, verbose, mode
        self.factor = number_of(what, "factor", factor, low=0, high=1, open_low=True)
        self.patience = count_of(what, "patience", patience, 0)
        self.min_delta = number_of(what, "min_delta", min_delta, low=0)
        self.cooldown = count_of(what, "cooldown", cooldown, 0)
        self.min_lr = number_of(what, "min_lr", min_lr, low=0)
        self._monitor = Monitor(what, monitor, mode, self.min_delta)
        self._is_resumed = False
        self._start()

    def _start(self):
        self._best, self._waited, self._cooling = None, 0, 0

    def on_train_begin(self, logs=None):
        _check_settable(self, self.model.optimizer)
        if not self._is_resumed:
            self._start()
        self._is_resumed = False

    def on_train_end(self, logs=None):
        self._is_resumed = False  # what was taken up after the start counted for this training

    def on_epoch_end(self, epoch, logs=None):
        value = self._monitor.value(logs, self.params)
        logs["learning_rate"] = self.model.optimizer.learning_rate
        if value is None:  # an epoch without validation
            return
        if self._cooling:
            self._cooling, self._waited = self._cooling - 1, 0
        if self._monitor.is_better(value, self._best):
            self._best, self._waited = value, 0
        elif not self._cooling:
            self._waited += 1
            if self._waited >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch):
        optimizer = self.model.optimizer
        if optimizer.learning_rate <= self.min_lr:
            return
        for owner in (optimizer, *(optimizer.groups or ())):
            rate = owner.learning_rate
            if rate is not None and not callable(rate) and rate > self.min_lr:
                owner.learning_rate = max(rate * self.factor, self.min_lr)
        self._waited, self._cooling = 0, self.cooldown
        if self.verbose:
            rate = optimizer.learning_rate
            print(f"Epoch {epoch + 1}: {self.monitor} stopped; learning rate {rate:.4g}")

    def state_dict(self):
        return {"best": self._best, "waited": self._waited, "cooling": self._cooling}

    def load_state_dict(self, state):
        self._best = state["best"]
        self._waited, self._cooling = int(state["waited"]), int(state["cooling"])
        self._is_resumed = True


# --------------------------------------------------------------------------------- the search


class LearningRates:
    """What `find_learning_rate` has seen.

    rates       the learning rates that were tried, rising, an array
    losses      the loss of the batch before the step with that rate, an array
    smoothed    the losses' running mean, in which the first ones do not weigh more, an array
    suggestion  the rate where the smoothed loss falls most steeply (over the logarithm of the
                rate), between its starting level and its minimum; None when it does not fall
    """

    def __init__(self, rates, losses, smoothed):
        self.rates, self.losses = np.array(rates), np.array(losses)
        self.smoothed = np.array(smoothed)
        self.suggestion = self._steepest()

    def _steepest(self):
        lowest = int(np.argmin(np.where(np.isfinite(self.smoothed), self.smoothed, np.inf)))
        # Up to where it was last at its starting level the loss is noise.
        level = np.median(self.smoothed[: lowest // 5 + 1])
        start = int(np.flatnonzero(self.smoothed[: lowest + 1] >= level)[-1])
        if lowest - start < 1:
            return None
        fall = slice(start, lowest + 1)
        slopes = np.gradient(self.smoothed[fall], np.log(self.rates[fall]))
        return float(self.rates[start + np.argmin(slopes)])

    def __repr__(self):
        found = "none" if self.suggestion is None else f"{self.suggestion:.2g}"
        return f"LearningRates({len(self.rates)} rates, suggestion: {found})"


def find_learning_rate(
    model, x, y, *, low=1e-6, high=10.0, steps=100, batch_size=32, smoothing=0.9
):
    """Train for some steps with rising learning rates, to see which one is good; then undo it.

    model       compiled
    x, y        examples and labels, as for `fit`
    low, high   the first and the last rate; from one to the next by a constant factor
    steps       how many rates. Default 100.
    batch_size  how many examples per step. Default 32.
    smoothing   how much of the running mean of the loss is kept per step, in [0, 1). Default 0.9.

    The range test of Smith 2017, section 3.3, with rates that rise exponentially. It ends early
    when the smoothed loss is above four times its minimum, or the loss not finite. The model's
    optimizer is not used but another one with its settings, without accumulation; all parameter
    groups get the rate that is tried. Afterwards, also after an error or Ctrl-C, the weights, the
    optimizer and the state of the random generator are bit for bit what they were.

    Returns LearningRates. ValueError when the model is not compiled, for data that `fit` does not
    take, and for numbers out of range.
    """
    what = "find_learning_rate"
    low = number_of(what, "low", low, 0, open_low=True)
    high = number_of(what, "high", high, low=low, open_low=True)
    steps, batch_size = count_of(what, "steps", steps, 3), count_of(what, "batch_size", batch_size)
    smoothing = number_of(what, "smoothing", smoothing, low=0, high=1)
    if model.loss is None:
        raise ValueError(f"{what}: call compile(optimizer=..., loss=...) first")
    x, y = np.asarray(x), np.asarray(y)
    rates, losses, smoothed, mean = np.geomspace(low, high, steps), [], [], 0.0
    with _undone(model, x), np.errstate(all="ignore"):
        optimizer = model.optimizer
        order = random.generator().permutation(len(x))
        for i, rate in enumerate(rates):
            optimizer.learning_rate = rate
            places = np.arange(i * batch_size, (i + 1) * batch_size) % len(x)
            batch = order[places[: len(x)]]
            losses.append(model.train_on_batch(x[batch], y[batch], return_dict=True)["loss"])
            mean = smoothing * mean + (1 - smoothing) * losses[-1]
            smoothed.append(mean / (1 - smoothing ** (i + 1)))
            best = min(smoothed)
            if not math.isfinite(mean) or smoothed[-1] > best + 3 * abs(best):
                break
    return LearningRates(rates[: len(losses)], losses, smoothed)


@contextmanager
def _undone(model, x):
    """In the `with` block a model may be trained, with another optimizer; then it is as before."""
    generator, modes = random.generator().bit_generator, None
    drawn, optimizer = generator.state, model.optimizer
    weights = gradients = {}
    try:
        modes = [(module, module.training) for module in model.modules()]
        try:
            model.ensure_built()
        except ValueError:  # it learns its shapes from the data
            with engine.no_grad():
                model.eval()(x[:1])
        gradients = {id(p): (p, p.grad) for p in model.parameters()}
        weights = model.state_dict()
        model._optimizer = _another(optimizer)
        yield
    finally:
        model._optimizer = optimizer
        if weights:
            model.load_state_dict(weights)
        for parameter, gradient in gradients.values():
            parameter.grad = gradient
        for module, mode in modes or ():
            module.training = mode
        generator.state = drawn


def _another(optimizer):
    settings = {"gradient_accumulation_steps": None, "use_ema": False}
    other = type(optimizer)(**optimizer.get_config() | settings | {"learning_rate": 1.0})
    if optimizer.groups is not None:
        other.bind(
            [
                {
                    "params": list(zip(group.names, group.params)),
                    "weight_decay": group.weight_decay,
                }
                for group in optimizer.groups
            ]
        )
    return other
