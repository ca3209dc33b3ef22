"""What fit calls, when, with what; and the callbacks that are ready to use."""

import numpy as np
import pytest

import engine
import nn
from nn.callbacks import Callback


@pytest.fixture
def line(rng):
    """Points and a linear function of them: (x, y), 40 examples."""
    x = rng.normal(size=(40, 3)).astype("float32")
    return x, (x @ [1.0, -2.0, 0.5])[:, None].astype("float32")


def regressor(**settings):
    engine.seed(1)
    model = nn.Sequential([nn.Dense(1, input_shape=(3,))])
    settings = {"optimizer": nn.optimizers.SGD(learning_rate=0.05), "loss": "mse", **settings}
    model.compile(**settings)
    return model


class Recorder(Callback):
    """Writes down every call of a hook."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("train begin")

    def on_train_end(self, logs=None):
        self.calls.append("train end")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} begin")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} end: {' '.join(sorted(logs))}")

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(f"batch {batch} begin")

    def on_gradients(self, batch):
        there = all(p.grad is not None for p in self.model.parameters())
        self.calls.append(f"gradients {batch}: {there}")

    def on_train_batch_end(self, batch, logs=None):
        gone = all(p.grad is None for p in self.model.parameters())
        self.calls.append(f"batch {batch} end: {' '.join(sorted(logs))}, {gone}")


def test_hooks_are_called_in_order(line):
    x, y = line
    recorder = Recorder()
    model = regressor()
    model.fit(x, y, 20, epochs=2, verbose=0, callbacks=[recorder], validation_data=(x, y))
    batch = "batch {0} begin", "gradients {0}: True", "batch {0} end: loss, True"
    epoch = [
        "epoch {1} begin",
        *(part.format(0) for part in batch),
        *(part.format(1) for part in batch),
        "epoch {1} end: loss val_loss",
    ]
    expected = [part.format(0, index) for index in (0, 1) for part in epoch]
    assert recorder.calls == ["train begin", *expected, "train end"]
    assert recorder.model is model
    assert recorder.params == {"epochs": 2, "steps": 2, "verbose": 0}


def test_a_callback_stops_the_training_after_the_batch(line):
    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    stop = Stop()
    model, recorder = regressor(), Recorder()
    history = model.fit(*line, 10, epochs=5, verbose=0, callbacks=[stop, recorder])
    assert history.epoch == [1]
    assert sum(call.startswith("gradients") for call in recorder.calls) == 2
    assert recorder.calls[-1] == "train end"
    assert len(model.fit(*line, 40, epochs=2, verbose=0, callbacks=stop).epoch) == 2


def test_what_a_callback_adds_to_the_logs_is_in_the_history(line):
    class Norm(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["norm"] = float(np.linalg.norm(self.model.layers[0].kernel.data))

    history = regressor().fit(*line, epochs=3, verbose=0, callbacks=Norm())
    assert len(history.history["norm"]) == 3


def test_errors_of_callbacks_come_through_and_the_training_ends(line):
    class Fails(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("mine")

        def on_train_end(self, logs=None):
            raise OSError("disk")

    recorder = Recorder()
    with pytest.raises(OSError, match="disk") as caught:
        regressor().fit(*line, epochs=3, verbose=0, callbacks=[Fails(), recorder])
    assert "mine" in str(caught.value.__context__)
    assert recorder.calls[-1] == "train end"


@pytest.mark.parametrize(
    "callbacks, message",
    [
        ([Recorder], r"expected callbacks to be Callbacks, got <class .*>; write Recorder\(\)"),
        ([print], "expected callbacks to be Callbacks, got <built-in function print>"),
    ],
)
def test_what_is_no_callback_is_refused(line, callbacks, message):
    with pytest.raises(TypeError, match=message):
        regressor().fit(*line, callbacks=callbacks)
