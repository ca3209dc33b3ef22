"""What fit, evaluate and predict take as data, and what Ctrl-C does to a training."""

import os
import signal
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

import engine
import nn


@pytest.fixture
def line(rng):
    """Points and a linear function of them: (x, y), 50 examples."""
    x = rng.normal(size=(50, 3)).astype("float32")
    return x, (x @ [1.0, -2.0, 0.5])[:, None].astype("float32")


def regressor(loss="mse", **settings):
    engine.seed(1)
    model = nn.Sequential([nn.Dense(1, input_shape=(3,))])
    model.compile(nn.optimizers.SGD(learning_rate=0.05), loss, **settings)
    return model


def weights(model):
    return [p.numpy().tobytes() for p in model.parameters()]


class Indexed:
    """What Keras calls a PyDataset."""

    def __init__(self, batches):
        self.batches, self.epochs = batches, 0

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        assert isinstance(index, int)
        return self.batches[index]

    def on_epoch_end(self):
        self.epochs += 1


def cut(x, y, *more, size=16):
    return [
        tuple(part[start : start + size] for part in (x, y, *more))
        for start in range(0, len(x), size)
    ]


def test_every_source_trains_as_the_arrays_do(line):
    x, y = line
    model = regressor(metrics=["mae"])
    expected = model.fit(x, y, 16, epochs=3, verbose=0, shuffle=False).history
    batches = cut(x, y)
    endless = (batches[i % 4] for i in range(1000))
    indexed = Indexed(batches)
    for source, settings in (
        (batches, {"shuffle": False}),
        (tuple(batches), {"shuffle": False}),
        (lambda: iter(batches), {}),
        (lambda: (batch for batch in batches), {"steps_per_epoch": 4}),
        (endless, {"steps_per_epoch": 4}),
        (indexed, {"shuffle": False}),
        (map(list, batches * 3), {"steps_per_epoch": 4}),
    ):
        other = regressor(metrics=["mae"])
        history = other.fit(source, epochs=3, verbose=0, **settings)
        assert history.history == expected
        assert weights(other) == weights(model)
    assert indexed.epochs == 3
    assert next(endless) is batches[0]  # an epoch took no more than its steps


def test_an_index_is_shuffled_and_each_batch_comes_once(line):
    x, y = line
    seen = []

    class Watched(Indexed):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    regressor().fit(Watched(cut(x, y, size=5)), epochs=2, verbose=0)
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]
    del seen[:]
    regressor().fit(Watched(cut(x, y, size=5)), steps_per_epoch=4, verbose=0)
    assert len(seen) == 4


def test_evaluate_and_predict_take_batches_too(line):
    x, y = line
    model = regressor(metrics=["mae"])
    assert model.evaluate(cut(x, y)) == model.evaluate(x, y, 16)
    assert model.evaluate(iter(cut(x, y)), steps=2) == model.evaluate(x[:32], y[:32], 16)
    np.testing.assert_array_equal(model.predict(cut(x, y)), model.predict(x, 16))
    tens = (x[start : start + 10] for start in (0, 10))
    np.testing.assert_array_equal(model.predict(tens), model.predict(x[:20], 10))
    assert model.predict(x, 16, steps=1).shape == (16, 1)
    np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x, 50))
    np.testing.assert_allclose(model.test_on_batch(x, y), model.evaluate(x, y), rtol=1e-6)


def test_validation_split_is_the_last_part_and_is_not_trained_on(line):
    x, y = line
    histories, models = [], []
    for settings in (
        {"x": x, "y": y, "validation_split": 0.3},
        {"x": x[:35], "y": y[:35], "validation_data": (x[35:], y[35:])},
    ):
        models.append(regressor())
        histories.append(models[-1].fit(**settings, epochs=2, verbose=0).history)
    assert histories[0] == histories[1]
    assert len(histories[0]["val_loss"]) == 2
    assert weights(models[0]) == weights(models[1])


def test_validation_data_in_three_parts_as_batches_and_not_every_epoch(line):
    x, y = line
    w = np.linspace(0, 1, 50).astype("float32")
    model = regressor(weighted_square)
    for given in ((x, y, w), cut(x, y, w, size=32), lambda: iter(cut(x, y, w, size=32))):
        history = model.fit(x, y, verbose=0, validation_data=given)
        expected = model.evaluate(x, y, sample_weight=w)
        assert history.history["val_loss"] == [pytest.approx(expected, rel=1e-6)]
    history = model.fit(x, y, epochs=5, verbose=0, validation_data=(x, y), validation_freq=2)
    assert len(history.history["val_loss"]) == 2
    settings = {"validation_batch_size": 10, "validation_steps": 2}
    few = model.fit(x, y, verbose=0, validation_data=(x, y), **settings)
    assert few.history["val_loss"] == [pytest.approx(model.evaluate(x[:20], y[:20]), rel=1e-6)]


def weighted_square(y_true, y_pred, sample_weight=None):
    errors = engine.square(y_pred - y_true)
    return engine.mean(errors if sample_weight is None else errors * sample_weight[:, None])


def test_weights_of_examples_and_classes_count_in_the_loss(line):
    x, y = line
    w = np.linspace(0, 2, 50).astype("float32")
    plain, weighted, twice = (regressor(weighted_square) for _ in range(3))
    plain.fit(x, y, verbose=0)
    weighted.fit(x, y, verbose=0, sample_weight=w)
    twice.fit(cut(x, y, w), verbose=0)
    assert weights(plain) != weights(weighted)
    square = float(((weighted.predict(x) - y) ** 2 * w[:, None]).mean())
    np.testing.assert_allclose(weighted.evaluate(x, y, sample_weight=w), square, rtol=1e-5)

    labels = (x[:, :1] > 0).astype("int64")
    by_class, by_example = regressor(weighted_square), regressor(weighted_square)
    settings = {"shuffle": False, "verbose": 0}
    by_class.fit(x, labels, class_weight={1: 3.0}, sample_weight=w, **settings)
    of_classes = np.where(labels[:, 0] == 1, 3, 1)
    by_example.fit(x, labels, sample_weight=w * of_classes, **settings)
    for p, q in zip(by_class.parameters(), by_example.parameters()):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5)


def test_initial_epoch_counts_from_there(line):
    history = regressor().fit(*line, epochs=5, initial_epoch=3, verbose=0)
    assert history.epoch == [4, 5]


# ------------------------------------------------------------------------------------- mapped files


@pytest.fixture
def mapped(tmp_path, line):
    x, y = line
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    return tuple(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")


def test_a_mapped_file_trains_as_the_array_does(line, mapped):
    models = regressor(), regressor()
    for model, (x, y) in zip(models, (line, mapped)):
        engine.seed(3)
        model.fit(x, y, epochs=2, verbose=0, validation_split=0.2)
    assert weights(models[0]) == weights(models[1])


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_mapped_file_is_checked_batch_by_batch(tmp_path, line, shuffle):
    x, y = line
    x = x.copy()
    x[41, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    bad = np.load(tmp_path / "x.npy", mmap_mode="r")
    model = regressor()
    with pytest.raises(ValueError, match="fit: x holds nan or inf, in example 41"):
        model.fit(np.asarray(bad), y, 10, verbose=0, shuffle=shuffle)  # a view is mapped as well
    with pytest.raises(ValueError, match="train_on_batch: x holds nan or inf, first in example 1"):
        model.train_on_batch(bad[40:44], y[40:44])
    assert all(np.isfinite(p.numpy()).all() for p in model.parameters())


MAPPED = """
import resource, sys
import numpy as np
import nn
size = {rows} * 1024
x = np.memmap({path!r}, "float32", "r", shape=({rows}, 256))
y = np.memmap({path!r}, "float32", "r", shape=({rows} * 256,))[:{rows}]
model = nn.Sequential([nn.Dense(1, input_shape=(256,))])
model.compile("sgd", "mse")
model.fit(x[:64], y[:64], verbose=0)
# The pages of the file that were read may stay in memory: of what is allocated there is a limit.
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + size // 4,) * 2)
model.fit(x, y, 256, steps_per_epoch=20, verbose=0, validation_split=0.1, validation_steps=3)
model.fit(x, y, 4096, verbose=0, shuffle=False)
model.evaluate(x, y, 4096)
print(model.predict(x, 4096).shape)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="it reads /proc")
def test_a_file_larger_than_memory_is_never_copied_whole(tmp_path):
    rows, path = 2**18, tmp_path / "x.bin"  # 256 MiB, without a block on the disk
    with open(path, "wb") as file:
        file.truncate(rows * 1024)
    code = MAPPED.format(rows=rows, path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == f"({rows}, 1)", done.stderr


# ------------------------------------------------------------------------------------------ Ctrl-C


class Press(nn.callbacks.Callback):
    """Presses Ctrl-C in the middle of a step."""

    def __init__(self, epoch, batch, times=1):
        self.at, self.times, self.ended, self.done = (epoch, batch), times, 0, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_gradients(self, batch):
        if (self.epoch, batch) == self.at:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1

    def on_train_end(self, logs=None):
        self.ended += 1


def test_ctrl_c_finishes_the_step_and_keeps_history_and_model(line, capsys, ctrl_c):
    x, y = line
    model, press = regressor(), Press(1, 2)
    history = model.fit(x, y, 10, epochs=9, validation_data=(x, y), callbacks=press)
    assert press.done == 5 + 3
    assert press.ended == 1
    assert history.interrupted
    assert history.epoch == [1, 2]
    assert len(history.history["loss"]) == len(history.history["val_loss"]) == 2
    assert np.isnan(history.history["val_loss"][1])
    assert np.isfinite(history.history["loss"][1])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Epoch 2/9 - interrupted after 3 of 5 steps; the model and the history")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    by_hand = regressor()
    by_hand.fit(x, y, 10, verbose=0, validation_data=(x, y))
    by_hand.fit(x, y, 10, steps_per_epoch=3, verbose=0)
    assert weights(model) == weights(by_hand)
    assert not model.fit(x, y, verbose=0).interrupted


def test_a_second_ctrl_c_raises_at_once(line, ctrl_c):
    model, press = regressor(), Press(0, 1, times=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*line, 10, epochs=3, verbose=0, callbacks=press)
    assert (press.done, press.ended) == (1, 1)
    assert model.history.interrupted
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_during_the_validation(line, ctrl_c):
    x, y = line

    class PressThere(nn.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            model.layers[0].register_forward_hook(press)

    class Hook:
        taken = 0

        def __call__(self, module, inputs, output):
            if not module.training:
                self.taken += 1
                os.kill(os.getpid(), signal.SIGINT)

    model, press = regressor(), Hook()
    given = {"validation_data": (x, y), "validation_batch_size": 10, "callbacks": PressThere()}
    history = model.fit(x, y, 10, epochs=3, verbose=0, **given)
    assert history.interrupted
    assert history.epoch == [1]
    assert press.taken == 1


def test_ctrl_c_is_left_alone_where_it_means_something_else(line):
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(True))
    try:
        history = regressor().fit(*line, 10, epochs=2, verbose=0, callbacks=Press(0, 0))
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [True]
    assert not history.interrupted
    results = []
    thread = threading.Thread(target=lambda: results.append(regressor().fit(*line, verbose=0)))
    thread.start()
    thread.join()
    assert len(results) == 1


# --------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m, x, y: m.fit(x), r"fit: expected labels, write fit\(x, y\)"),
        (lambda m, x, y: m.fit([(x, y)], y), "fit: y goes with arrays, but x is of the type list"),
        (lambda m, x, y: m.fit([(x, y)], batch_size=3), "fit: batch_size goes with arrays"),
        (
            lambda m, x, y: m.fit(iter([(x, y)]), epochs=2),
            "fit: the list_iterator can be run through only once: give steps_per_epoch, or a func",
        ),
        (lambda m, x, y: m.fit(iter([])), "fit: the data gave no batch"),
        (lambda m, x, y: m.fit(iter([x])), r"expected batches \(x, y\) or .*, got ndarray of 1"),
        (lambda m, x, y: m.fit(iter([(x, y[:3])])), "fit, batch 0: expected one label per example"),
        (
            lambda m, x, y: m.fit(iter([(x, y), (x * np.nan, y)])),
            "fit, batch 1: x holds nan or inf, first in example 0",
        ),
        (
            lambda m, x, y: m.fit(Indexed([(x, y)]), steps_per_epoch=2),
            "expected from 1 to 1 steps, which is the length of the Indexed, got 2",
        ),
        (
            lambda m, x, y: m.fit(x, y, steps_per_epoch=3),
            "expected at most 2 steps, since there are 50 examples in batches of 32, got 3",
        ),
        (lambda m, x, y: m.fit(x, y, steps_per_epoch=0), "number of steps to be an integer of at"),
        (lambda m, x, y: m.fit(x, y, validation_split=1.5), "validation_split above 0 and below 1"),
        (lambda m, x, y: m.fit(x[:2], y[:2], validation_split=0.9), "leaves no examples to train"),
        (
            lambda m, x, y: m.fit([(x, y)], validation_split=0.5),
            "validation_split cuts arrays, and x gives batches: use validation_data",
        ),
        (
            lambda m, x, y: m.fit(x, y, validation_split=0.5, validation_data=(x, y)),
            "give validation_split or validation_data, not both",
        ),
        (
            lambda m, x, y: m.fit(x, y, validation_data=(x,)),
            r"expected validation_data to be \(x, y\) or \(x, y, sample_weight\)",
        ),
        (
            lambda m, x, y: m.fit(x, y, validation_data=3),
            r"validation_data to be \(x, y\), \(x, y, sample_weight\) or batches, got int",
        ),
        (
            lambda m, x, y: m.fit(x, y, sample_weight=y),
            r"expected sample_weight of shape \(50,\), one per example, got \(50, 1\)",
        ),
        (
            lambda m, x, y: m.fit(x, y > 0, class_weight={1: -2}, verbose=0),
            "class_weight: expected weights of at least 0, got -2 for 1",
        ),
        (lambda m, x, y: m.fit(x, y, initial_epoch=-1), "initial_epoch to be an integer"),
        (
            lambda m, x, y: m.fit(x, y, resume=True),
            r"resume=True, but this model has no training to go on with: .* nn.load\(path\)",
        ),
    ],
)
def test_bad_data_are_refused(line, call, message):
    model = regressor(weighted_square)
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        call(model, *line)
    assert weights(model) == before or "batch 1" in message


def test_a_loss_without_a_place_for_weights_says_so(line):
    x, y = line
    model = regressor(lambda y_true, y_pred: engine.mean(engine.square(y_pred - y_true)))
    with pytest.raises(ValueError, match=r"the loss takes no weights; write it as loss\(y_true"):
        model.fit(x, y, sample_weight=y[:, 0])


def test_data_that_end_too_early_end_the_training(line):
    x, y = line
    batches = iter(cut(x, y, size=10))
    with pytest.warns(UserWarning, match="the data ended after 2 of 3 batches in epoch 2"):
        history = regressor().fit(batches, epochs=5, steps_per_epoch=3, verbose=0)
    assert history.epoch == [1, 2]


def test_the_memory_of_fit_is_an_order_of_the_examples():
    def fit(count):
        model = nn.Sequential([nn.Dense(10, activation="softmax", input_shape=(4,))])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        x, y = np.ones((count, 4), "float32"), np.arange(count) % 10
        tracemalloc.start()
        try:
            model.fit(x, y, batch_size=100, steps_per_epoch=5, verbose=0)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    fit(1000)
    few, many = fit(1000), fit(201_000)
    assert many - few < 8.5 * 200_000
