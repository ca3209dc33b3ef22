"""Callbacks that end a training, and what it means that a value has become better."""

import math

from .base import Callback

INCREASING = ("acc", "auc", "f1", "precision", "r2", "recall", "top_k")  # better when greater
BEST = "best."  # before the paths of the best weights, in the state of EarlyStopping


class Monitor:
    """Tells whether a value in the logs has become better.

    what       the name for messages
    name       of the value, as "val_loss"
    mode       "min": less is better, "max": more is; "auto" knows accuracy and the like, and takes
               "min" for all else
    min_delta  a change has to be greater than this

    Raises ValueError for another mode.
    """

    def __init__(self, what, name, mode="auto", min_delta=0.0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{what}: expected mode to be 'auto', 'min' or 'max', got {mode!r}")
        grows = mode == "max" or (mode == "auto" and any(part in name for part in INCREASING))
        self._what, self._name, self._sign = what, name, 1 if grows else -1
        self._min_delta = abs(min_delta)

    def value(self, logs, params):
        """The value in the logs; None in an epoch without validation. ValueError for a name that
        is not in the logs.
        """
        if logs is not None and self._name in logs:
            return logs[self._name]
        is_of_validation = self._name.startswith("val_")
        if is_of_validation and (params or {}).get("validation_freq", 1) > 1:
            return None
        raise ValueError(
            f"{self._what}: {self._name!r} is not in the logs, which have "
            f"{', '.join(logs or ()) or 'nothing'}"
            + ("; give fit validation_data, or validation_split" if is_of_validation else "")
        )

    def is_better(self, value, best):
        """Whether `value` is better than `best`, which is None when there was none."""
        if math.isnan(value):
            return False
        return best is None or self._sign * (value - best) > self._min_delta


class EarlyStopping(Callback):
    """Ends the training when what is monitored has stopped to get better; restores the best.

    monitor               a name in the logs. Default "val_loss".
    min_delta             a change has to be greater than this to be progress. Default 0.
    patience              after how many epochs without progress. Default 0: after the first.
    verbose               1: print a line
    mode                  "min": less is better, "max": more is; "auto", the default, knows
                          accuracy and the like, and takes "min" for all else
    baseline              what has to be surpassed, or there is no progress. Default None.
    restore_best_weights  give the model the weights of the best epoch when the training has ended.
                          Default True, unlike Keras. Not when Ctrl-C or an error ended it: then it
                          can be resumed.
    start_from_epoch      for how many epochs nothing is counted. Default 0.

    `best` is the best value, `best_epoch` its epoch, from 0; `stopped_epoch` the epoch after which
    the training was ended, None when it was not. ValueError when the logs do not have the name.
    """

    def __init__(
        self,
        monitor="val_loss",
        min_delta=0.0,
        patience=0,
        verbose=0,
        mode="auto",
        baseline=None,
        restore_best_weights=True,
        start_from_epoch=0,
    ):
        self.monitor, self.min_delta, self.patience = monitor, min_delta, patience
        self.verbose, self.mode, self.baseline = verbose, mode, baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self._start()

    def _start(self):
        self.best = self.best_epoch = self.stopped_epoch = None
        self._waited, self._weights = 0, {}

    def on_train_begin(self, logs=None):
        self._start()

    def on_epoch_end(self, epoch, logs=None):
        value = self._monitor.value(logs, self.params)
        if value is None or epoch < self.start_from_epoch:
            return
        self._waited += 1
        if self._monitor.is_better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self._weights = self.model.state_dict()
            if self.baseline is None or self._monitor.is_better(value, self.baseline):
                self._waited = 0
        elif self._waited >= max(1, self.patience):
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.verbose and self.stopped_epoch is not None:
            print(f"Epoch {self.stopped_epoch + 1}: {self.monitor} has not become better, stopped")
        if self._weights and not self.model.history.interrupted:
            self.model.load_state_dict(self._weights)
            if self.verbose:
                print(f"The weights are those of the best epoch, {self.best_epoch + 1}")

    def state_dict(self):
        weights = {f"{BEST}{path}": array for path, array in self._weights.items()}
        return {
            "value": self.best,
            "epoch": self.best_epoch,
            "waited": self._waited,
            **weights,
        }

    def load_state_dict(self, state):
        self.best, self.best_epoch = state["value"], state["epoch"]
        self._waited = state["waited"]
        self._weights = {
            name[len(BEST) :]: array for name, array in state.items() if name.startswith(BEST)
        }


class TerminateOnNaN(Callback):
    """Ends the training after a batch that made the loss nan or infinite."""

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs["loss"]):
            print(f"Batch {batch + 1}: the loss is {logs['loss']}, the training ends")
            self.model.stop_training = True
