"""What fit calls, when, with what; and the callbacks that are ready to use."""

import csv
import os
import re
import sys

import numpy as np
import pytest

import engine
import nn
from nn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LivePlot,
    ModelCheckpoint,
)


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
    assert recorder.params == {"epochs": 2, "steps": 2, "verbose": 0, "validation_freq": 1}


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


# ----------------------------------------------------------------------------- those that are ready


def follows(*values, name="val_loss"):
    """A callback that puts the next of `values` into the logs at the end of an epoch."""
    values = iter(values)

    def put(epoch, logs):
        logs[name] = next(values)

    return LambdaCallback(on_epoch_end=put)


@pytest.mark.parametrize(
    "values, settings, epochs, best",
    [
        ((3, 2, 2.5, 1), {}, 3, 1),
        ((3, 2, 2.5, 1, 2, 2, 2), {"patience": 2}, 6, 3),
        ((3, 2.9, 2.8, 2.7), {"min_delta": 0.5, "patience": 2}, 3, 0),
        ((1, 2, 3, 2), {"mode": "max"}, 4, 2),
        ((3, 2.5, 2.4, 2.3, 2.2), {"baseline": 2.0, "patience": 3}, 5, 4),
        ((np.nan, np.nan, 1), {"patience": 2}, 2, None),
        ((5, 6, 7, 3, 4), {"start_from_epoch": 3}, 5, 3),
    ],
)
def test_early_stopping_counts_and_restores_the_best(line, values, settings, epochs, best):
    snapshots = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: snapshots.append(keep_weights(model)))
    model = regressor()
    stopping = EarlyStopping(**settings)
    callbacks = [follows(*values), keep, stopping]
    history = model.fit(*line, epochs=len(values), verbose=0, callbacks=callbacks)
    assert len(history.epoch) == epochs
    assert stopping.best_epoch == best
    assert keep_weights(model) == snapshots[-1 if best is None else best]


def keep_weights(model):
    return [p.numpy().tobytes() for p in model.parameters()]


def test_early_stopping_without_restoring_and_what_it_says(line, capsys):
    model, stopping = regressor(), EarlyStopping(restore_best_weights=False, verbose=1)
    model.fit(*line, epochs=9, verbose=0, callbacks=[follows(1, 2), stopping])
    assert stopping.stopped_epoch == 1
    assert "Epoch 2: val_loss has not become better, stopped" in capsys.readouterr().out
    model.fit(*line, epochs=2, verbose=0, callbacks=[follows(3, 2), stopping])
    assert stopping.stopped_epoch is None  # it began anew
    stopping = EarlyStopping(verbose=1)
    model.fit(*line, epochs=9, verbose=0, callbacks=[follows(1, 2), stopping])
    assert "The weights are those of the best epoch, 1" in capsys.readouterr().out


def test_a_name_that_is_greater_when_better_is_known():
    for name in ("val_accuracy", "acc", "val_auc", "f1_score", "recall"):
        assert nn.callbacks.Monitor("m", name).is_better(2, 1)
    assert nn.callbacks.Monitor("m", "val_loss").is_better(1, 2)


def test_what_is_monitored_may_be_missing_only_where_it_is_not_measured(line):
    x, y = line
    settings = {"validation_data": line, "validation_freq": 2, "verbose": 0}
    regressor().fit(x, y, epochs=4, callbacks=EarlyStopping(), **settings)
    with pytest.raises(
        ValueError,
        match="EarlyStopping: 'val_loss' is not in the logs, which have "
        "loss; give fit validation_data, or validation_split",
    ):
        regressor().fit(x, y, epochs=4, verbose=0, callbacks=EarlyStopping())
    with pytest.raises(ValueError, match="mode to be 'auto', 'min' or 'max', got 'least'"):
        EarlyStopping(mode="least")


def test_checkpoints_after_epochs_and_batches(line, tmp_path):
    model = regressor()
    every = ModelCheckpoint(tmp_path / "{epoch:02d}-{loss:.3f}")
    history = model.fit(*line, epochs=3, verbose=0, callbacks=every)
    names = [f"{n:02d}-{loss:.3f}" for n, loss in enumerate(history.history["loss"], 1)]
    assert sorted(os.listdir(tmp_path)) == names
    np.testing.assert_array_equal(
        nn.load(tmp_path / names[2]).predict(line[0]), model.predict(line[0])
    )
    for file in tmp_path.iterdir():
        file.unlink()
    by_batch = ModelCheckpoint(tmp_path / "{epoch}", save_freq=3, save_weights_only=True)
    model.fit(*line, batch_size=10, epochs=2, verbose=0, callbacks=by_batch)
    assert sorted(os.listdir(tmp_path)) == ["1", "2"]  # after batches 3 and 6, of 4 in an epoch
    model.load_weights(tmp_path / "2")


def test_only_the_best_is_kept(line, tmp_path, capsys):
    saved = []
    model = regressor()
    model.save = saved.append
    best = ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True, verbose=1)
    model.fit(*line, epochs=4, verbose=0, callbacks=[best, follows(3, 4, 2, 2)])
    assert [os.path.basename(path) for path in saved] == ["1", "3"]
    assert "Epoch 3: saved to" in capsys.readouterr().out
    with pytest.raises(ValueError, match="names 'val_acc', and the logs have loss"):
        model.fit(*line, verbose=0, callbacks=ModelCheckpoint("{val_acc}"))
    with pytest.raises(ValueError, match='save_freq, where not "epoch", to be an integer of at'):
        ModelCheckpoint("m", save_freq=0)


def test_csv_logger(line, tmp_path):
    path = tmp_path / "log.csv"
    settings = {"validation_data": line, "validation_freq": 2, "verbose": 0}
    first = regressor().fit(*line, epochs=2, callbacks=[follows(5, 6, name="a"), CSVLogger(path)])
    again = regressor().fit(*line, epochs=2, callbacks=CSVLogger(path, append=True), **settings)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["epoch", "loss", "a"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "1", "2"]
    expected = [*first.history["loss"], *again.history["loss"]]
    assert [float(row[1]) for row in rows[1:]] == expected
    assert [row[2] for row in rows[1:]] == ["5", "6", "", ""]
    regressor().fit(*line, verbose=0, callbacks=CSVLogger(path, separator=";"))
    assert path.read_text().splitlines()[0] == "epoch;loss"


def test_terminate_on_nan(line, capsys):
    x, y = line
    model = regressor(optimizer=nn.optimizers.SGD(learning_rate=1e30))
    with np.errstate(all="ignore"), pytest.warns(nn.PairingWarning, match="is too great"):
        history = model.fit(x, y, 10, epochs=5, verbose=0, callbacks=nn.callbacks.TerminateOnNaN())
    assert history.epoch == [1]
    assert re.search(r"Batch \d: the loss is (nan|inf), the training ends", capsys.readouterr().out)


def test_lambda_callbacks(line):
    seen = []
    callback = LambdaCallback(
        on_train_begin=lambda logs: seen.append("begin"),
        on_gradients=lambda batch: seen.append(batch),
        on_epoch_done=lambda epoch, logs: seen.append(sorted(logs)),
    )
    regressor().fit(*line, 20, verbose=0, callbacks=callback)
    assert seen == ["begin", 0, 1, ["loss"]]
    with pytest.raises(TypeError, match="there is no hook 'on_batch_end'; the hooks are on_train"):
        LambdaCallback(on_batch_end=print)
    with pytest.raises(TypeError, match="expected on_train_end to be a function, got 3"):
        LambdaCallback(on_train_end=3)


def test_live_plot_writes_a_picture_after_every_epoch(line, tmp_path):
    matplotlib = pytest.importorskip("matplotlib", reason="draws with matplotlib")
    matplotlib.use("agg")
    seen = []
    look = LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(os.listdir(tmp_path)))
    plot = LivePlot(tmp_path / "live.png")
    regressor().fit(*line, epochs=2, verbose=0, callbacks=[plot, look], validation_data=line)
    assert seen == [[], ["live.png"]]
    assert (tmp_path / "live.png").read_bytes().startswith(b"\x89PNG")
    assert not matplotlib.pyplot.get_fignums()


def test_live_plot_says_how_to_install_what_it_needs(line, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    model = regressor()
    before = keep_weights(model)
    with pytest.raises(ImportError, match=r'pip install "hotgrad\[plot\]"'):
        model.fit(*line, verbose=0, callbacks=LivePlot())
    assert keep_weights(model) == before
