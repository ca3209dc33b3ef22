"""What a callback is, and what `fit` does with several."""


class Callback:
    """Base of callbacks: override what you need. What is not overridden costs nothing.

        class Report(nn.callbacks.Callback):
            def on_epoch_end(self, epoch, logs):
                print(epoch, logs["loss"], self.model.optimizer.learning_rate)

        model.fit(x, y, callbacks=[Report()])

    `self.model` is the model in training; `self.params` a dict of the `epochs`, the `steps` of an
    epoch (None when not known) and `verbose`. `self.model.stop_training = True` ends the training
    after the current batch. `epoch` and `batch` count from 0.

    `logs` is a dict from name to number: the running means of loss and metrics over the epoch so
    far, at the end of an epoch with the `val_` ones. What a callback adds to it at the end of an
    epoch, the later ones and the History see.
    """

    model = None
    params = None

    def set_model(self, model):
        """The model that is going to be trained; called before `on_train_begin`."""
        self.model = model

    def set_params(self, params):
        """The settings of the training; called before `on_train_begin`."""
        self.params = params

    def on_train_begin(self, logs=None):
        """Before the first epoch."""

    def on_train_end(self, logs=None):
        """After the last epoch, also when the training ended by an error or by Ctrl-C."""

    def on_epoch_begin(self, epoch, logs=None):
        """Before the first batch of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        """After an epoch and its validation."""

    def on_epoch_done(self, epoch, logs=None):
        """After every callback's `on_epoch_end`: the training stands between two epochs.

        The place to save it: what is saved here goes on with the next epoch.
        """

    def on_train_batch_begin(self, batch, logs=None):
        """Before a step."""

    def on_gradients(self, batch):
        """Between backward and the update: every parameter's `grad` is there."""

    def on_train_batch_end(self, batch, logs=None):
        """After a step."""

    def state_dict(self):
        """What a resumed training needs of this callback: names to numbers, strings or arrays."""
        return {}

    def load_state_dict(self, state):
        """Take up what `state_dict` gave."""


class History(Callback):
    """What `fit` returns: `history["loss"]`, `history["val_loss"]`, ... are lists over epochs.

    epoch        the numbers of the epochs, from 1
    interrupted  whether Ctrl-C, or an error, ended the training. The last epoch is then what was
                 done of it, with nan for what was not measured any more.
    diagnostics  the `nn.Diagnostics` that watched the training, None where none did
    """

    diagnostics = None

    def __init__(self):
        self.epoch = []
        self.history = {}
        self.interrupted = False

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch + 1)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def state_dict(self):
        return {
            "epoch": list(self.epoch),
            "history": {name: list(values) for name, values in self.history.items()},
        }

    def load_state_dict(self, state):
        self.epoch = list(state["epoch"])
        self.history = {name: list(values) for name, values in state["history"].items()}

    def __repr__(self):
        return f"History({len(self.epoch)} epochs: {', '.join(self.history)})"


HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_epoch_done",
    "on_train_batch_begin",
    "on_gradients",
    "on_train_batch_end",
)


class Hooks:
    """The callbacks of one training: for each hook, a list of the methods that override it."""

    def __init__(self, callbacks, history, model, params):
        self.callbacks = [*checked(callbacks), history]  # the history is last, and sees all
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)
        for hook in HOOKS:
            setattr(self, hook, [getattr(c, hook) for c in self.callbacks if _overrides(c, hook)])

    def train_begin(self):
        for call in self.on_train_begin:
            call({})

    def train_end(self, logs):
        """Call every `on_train_end`, also after one has failed; the first error is raised."""
        errors = []
        for call in self.on_train_end:
            try:
                call(logs)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def epoch_begin(self, epoch):
        for call in self.on_epoch_begin:
            call(epoch, {})

    def epoch_end(self, epoch, logs):
        for call in self.on_epoch_end:
            call(epoch, logs)

    def epoch_done(self, epoch, logs):
        for call in self.on_epoch_done:
            call(epoch, logs)

    def state(self):
        """What the callbacks remember, in their order."""
        states = [(type(c).__name__, c.state_dict()) for c in self.callbacks[:-1]]
        return [{"callback": name, "state": state} for name, state in states if state]

    def check_state(self, states):
        """Raise ValueError where `states` hold that of a callback which is not here."""
        self._matched(states)

    def restore(self, states):
        """Give the callbacks what they remembered; `states` as `state` gave it."""
        for callback, state in self._matched(states):
            callback.load_state_dict(state)

    def _matched(self, states):
        left, pairs = self.callbacks[:-1], []
        for entry in states:
            fitting = [c for c in left if type(c).__name__ == entry["callback"]]
            if not fitting:
                raise ValueError(
                    f"fit: resume=True goes on with the {entry['callback']} that the training "
                    "had: give it among the callbacks, constructed as before"
                )
            left.remove(fitting[0])
            pairs.append((fitting[0], entry["state"]))
        return pairs


def checked(callbacks):
    """The callbacks given to `fit`, None, one or several, as a list. TypeError for others."""
    if callbacks is None:
        return []
    if isinstance(callbacks, Callback):
        return [callbacks]
    callbacks = list(callbacks)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            hint = f"; write {callback.__name__}()" if isinstance(callback, type) else ""
            raise TypeError(f"fit: expected callbacks to be Callbacks, got {callback!r}{hint}")
    return callbacks


def _overrides(callback, hook):
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)
