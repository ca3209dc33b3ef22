"""What is looked at once: the first batch of data before it is used, and the first losses."""

import numpy as np

from . import pairing
from .suspicions import FIRST_STEPS, exploded, suspicions


class FirstBatch:
    """Checks loss, labels and outputs at the first batch of every source of data.

    strict   whether what does not belong together is an error; False: a warning
    waits    whether the next batch is the first of its source: then `look` is to be called
    watches  whether the losses of the next steps are to be told to `watch`
    """

    def __init__(self, strict=True):
        self._strict = strict
        self._verbose, self._labels = 1, None
        self._trains = self.waits = True
        self.watches = False
        self._losses = []

    def begin_training(self, verbose, labels=None):
        """A training begins.

        verbose  0: do not print which loss was chosen
        labels   all labels, where they are at hand
        """
        self._verbose, self._labels = verbose, labels
        self._trains = self.waits = True

    def begin_test(self, verbose=0):
        """An evaluation begins."""
        self._verbose, self._labels = verbose, None
        self._trains, self.waits = False, True

    def look(self, model, x, y, outputs):
        """Choose the loss if it is "auto"; raise or warn about what does not belong together.

        Called before the loss is calculated and anything is updated.
        """
        if isinstance(model.loss, str):
            sentence = model.choose_loss(y, outputs)
            if self._verbose:
                print(sentence, flush=True)
        loss, activation = model.loss, model.last_activation()
        whole = self._labels is not None
        labels = self._labels if whole else y
        pairing.check_batch(loss, activation, labels, outputs, self._strict)
        self.waits, self._labels = False, None
        if not self._trains:
            return
        for sentence in suspicions(model, x, labels, whole):
            pairing.warn(sentence)
        self.watches = model.optimizer.parameters is None  # it has made no step yet
        self._losses = []

    def watch(self, model, loss):
        """Take in the loss of a step; warn when the first losses explode."""
        self._losses.append(loss.item())
        if len(self._losses) < FIRST_STEPS and np.isfinite(self._losses[-1]):
            return
        self.watches = False
        name, rate = pairing.name_of(model.loss), model.optimizer.learning_rate
        sentence = exploded(name, self._losses[0], self._losses[1:] or self._losses, rate)
        if sentence is not None:
            pairing.warn(sentence)
