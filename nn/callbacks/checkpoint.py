"""ModelCheckpoint: the model, and where its training stands, written while it trains."""

import os

from ..checks import count_of
from .base import Callback
from .stopping import Monitor


class ModelCheckpoint(Callback):
    """Saves the model during the training; `fit(resume=True)` of the loaded one goes on from there.

    filepath           where to; may hold the epoch, from 1, and values of the logs, as
                       "model-{epoch:03d}-{val_loss:.3f}.safetensors". Without them the file is
                       replaced, and holds the newest.
    monitor            the name in the logs for save_best_only. Default "val_loss".
    verbose            1: print a line
    save_best_only     only when what is monitored has become better. Default False.
    save_weights_only  the weights alone, from which no training goes on. Default False: the whole.
    mode               "min", "max" or "auto", as of EarlyStopping
    save_freq          "epoch", the default: after every epoch; or after every so many batches,
                       which are counted through all epochs. {epoch} is then the one under way.
    initial_value_threshold   what the first one has to surpass, for save_best_only. Default None.

    It comes after all other callbacks at the end of an epoch, so that what they remember is in the
    file. A file is complete or not there, whenever the process ends (`nn.files`).
    """

    def __init__(
        self,
        filepath,
        monitor="val_loss",
        verbose=0,
        save_best_only=False,
        save_weights_only=False,
        mode="auto",
        save_freq="epoch",
        initial_value_threshold=None,
    ):
        self.filepath = os.fspath(filepath)
        self.monitor, self.verbose, self.mode = monitor, verbose, mode
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        if save_freq != "epoch":
            save_freq = count_of("ModelCheckpoint", 'save_freq, where not "epoch",', save_freq)
        self.save_freq = save_freq
        self.initial_value_threshold = self.best = initial_value_threshold
        self._monitor = Monitor("ModelCheckpoint", monitor, mode)
        self._batches, self._epoch = 0, 0
        if save_freq == "epoch":
            # That of the base, which is not called: the running means are not computed for it.
            self.on_train_batch_end = Callback.on_train_batch_end.__get__(self)

    def on_train_begin(self, logs=None):
        self._batches, self.best = 0, self.initial_value_threshold

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._batches += 1
        if self._batches % self.save_freq == 0:
            self._save(self._epoch, logs)

    def on_epoch_done(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch, logs)

    def _save(self, epoch, logs):
        if self.save_best_only:
            value = self._monitor.value(logs, self.params)
            if value is None or not self._monitor.is_better(value, self.best):
                return
            self.best = value
        try:
            path = self.filepath.format(epoch=epoch + 1, **logs)
        except KeyError as error:
            raise ValueError(
                f"ModelCheckpoint: {self.filepath!r} names {error}, and the logs have "
                f"{', '.join(logs)}"
            ) from None
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved to {path}")

    def state_dict(self):
        return {"batches": self._batches, "best": self.best, "epoch": self._epoch}

    def load_state_dict(self, state):
        self._batches, self.best, self._epoch = state["batches"], state["best"], state["epoch"]
