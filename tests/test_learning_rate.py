"""Callbacks that set the learning rate, and the search for one."""

import numpy as np
import pytest

import engine
import nn
from engine import Tensor, random


def data(n=64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype("int64")


def classifier(optimizer="sgd", built=True):
    shape = {"input_shape": (6,)} if built else {}
    layers = [nn.Dense(8, activation="relu", **shape), nn.Dense(2)]
    model = nn.Sequential([*layers, nn.Softmax()])
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    if built:
        model.ensure_built()
    return model


class Metrics(nn.Callback):
    """Puts these numbers into the logs, one per epoch, and remembers the rates."""

    def __init__(self, name, values):
        self.name, self.values, self.rates = name, values, []

    def on_epoch_begin(self, epoch, logs=None):
        self.rates.append(self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


def plateau(values, name="val_loss", start=1.0, **settings):
    """The rates of the epochs when the monitored number takes these values."""
    metrics = Metrics(name, values)
    reduce = nn.ReduceLROnPlateau(monitor=name, **settings)
    model = classifier(nn.optimizers.SGD(learning_rate=start))
    history = model.fit(*data(8), epochs=len(values), verbose=0, callbacks=[metrics, reduce])
    assert history.history["learning_rate"] == metrics.rates
    return metrics.rates


def test_reduce_on_plateau():
    assert plateau([3, 2, 2, 2, 2, 2], patience=2) == pytest.approx([1, 1, 1, 1, 0.1, 0.1])
    assert plateau([3, 2, 2, 2, 2, 2], patience=1, factor=0.5) == [1, 1, 1, 0.5, 0.25, 0.125]
    rates = plateau([3, 3, 3, 3, 3, 3], patience=1, factor=0.5, cooldown=2, min_lr=0.3)
    assert rates == [1, 1, 0.5, 0.5, 0.3, 0.3]
    assert plateau([3, 2.95, 2.9, 2.0], patience=1, factor=0.5, min_delta=0.2) == [1, 1, 0.5, 0.25]
    assert plateau([0.1, 0.2, 0.3], "val_accuracy", patience=1) == [1, 1, 1]
    assert plateau([0.1, 0.2, 0.3], "val_accuracy", patience=1, mode="min", factor=0.5) == [
        1,
        1,
        0.5,
    ]
    assert plateau([3, 2, 1], mode="max", patience=1, factor=0.5) == [1, 1, 0.5]


def test_reduce_on_plateau_also_lowers_the_rates_of_groups():
    model = classifier()
    first, second = model.layers[0].parameters(), model.layers[1].parameters()
    groups = [{"params": first, "learning_rate": 0.5}, {"params": second}]
    optimizer = nn.optimizers.SGD(groups, learning_rate=1.0)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    reduce = nn.ReduceLROnPlateau(patience=1, factor=0.5)
    model.fit(*data(8), epochs=3, verbose=0, callbacks=[Metrics("val_loss", [1, 1, 1]), reduce])
    assert optimizer.learning_rate == 0.25
    assert [group.learning_rate for group in optimizer.groups] == [0.125, None]


def test_a_plateau_goes_on_from_its_state():
    values = [3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    settings = {"patience": 2, "factor": 0.5, "cooldown": 1}
    expected = plateau(values, **settings)
    model = classifier(nn.optimizers.SGD(learning_rate=1.0))
    before, after = nn.ReduceLROnPlateau(**settings), nn.ReduceLROnPlateau(**settings)
    metrics = Metrics("val_loss", values)
    model.fit(*data(8), epochs=3, verbose=0, callbacks=[metrics, before])
    after.load_state_dict(before.state_dict())
    rest = Metrics("val_loss", values[3:])
    model.fit(*data(8), epochs=4, verbose=0, callbacks=[rest, after])
    assert metrics.rates + rest.rates == expected
    assert nn.ReduceLROnPlateau().state_dict()["best"] is None


def test_epochs_without_validation_do_not_count_on_a_plateau():
    class Late(Metrics):
        def on_epoch_end(self, epoch, logs=None):
            if epoch % 2:  # as the validation does
                super().on_epoch_end(epoch, logs)

    x, y = data(8)
    late, reduce = Late("val_gap", [3.0] * 6), nn.ReduceLROnPlateau("val_gap", 0.5, patience=2)
    model = classifier(nn.optimizers.SGD(learning_rate=1.0))
    settings = {"validation_data": (x, y), "validation_freq": 2, "callbacks": [late, reduce]}
    history = model.fit(x, y, epochs=7, verbose=0, **settings)
    assert history.history["learning_rate"] == late.rates == [1, 1, 1, 1, 1, 1, 0.5]


def test_learning_rate_scheduler(capsys):
    model = classifier(nn.optimizers.SGD(learning_rate=1.0))
    seen = []

    def halved(epoch, rate):
        seen.append((epoch, rate))
        return rate / 2

    scheduler = nn.LearningRateScheduler(halved, verbose=1)
    history = model.fit(*data(8), epochs=3, verbose=0, callbacks=scheduler)
    assert seen == [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert history.history["learning_rate"] == [0.5, 0.25, 0.125]
    assert "Epoch 3: learning rate 0.125" in capsys.readouterr().out
    scheduler = nn.LearningRateScheduler(nn.schedules.StepDecay(0.4, 1, 0.5))
    assert model.fit(*data(8), epochs=2, verbose=0, callbacks=scheduler).history[
        "learning_rate"
    ] == [0.4, 0.2]


def test_the_line_of_a_cut(capsys):
    plateau([1, 1], patience=1, verbose=1)
    assert "Epoch 2: val_loss stopped; learning rate 0.1" in capsys.readouterr().out


# -------------------------------------------------------------------------------------- search


def everything_of(model):
    optimizer = model.optimizer
    state = {} if optimizer.parameters is None else optimizer.state_dict()
    parts = [*model.state_dict().values(), *state.values(), random.state()]
    return [p.tobytes() if isinstance(p, np.ndarray) else p for p in parts]


@pytest.mark.parametrize("trained", [False, True])
def test_a_search_leaves_everything_as_it_was(trained):
    settings = {"use_ema": True, "gradient_accumulation_steps": 2, "learning_rate": 0.01}
    model = classifier(nn.optimizers.Adam(**settings))
    x, y = data()
    if trained:
        model.fit(x, y, epochs=1, batch_size=48, verbose=0)
    model.eval()
    model.layers[0].kernel.grad = gradient = Tensor(np.ones((6, 8), "float32"))
    before, optimizer = everything_of(model), model.optimizer
    found = nn.find_learning_rate(model, x, y, steps=30)
    assert everything_of(model) == before
    assert model.optimizer is optimizer and optimizer.learning_rate == 0.01
    assert (optimizer.parameters is not None) == trained
    assert model.layers[0].kernel.grad is gradient and model.layers[0].bias.grad is None
    assert not any(module.training for module in model.modules())
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 30


def test_a_model_that_learns_its_shape_has_the_weights_it_would_have_had():
    x, y = data()
    weights = []
    for searched in (False, True):
        engine.seed(5)
        model = classifier(built=False)
        if searched:
            nn.find_learning_rate(model, x, y, steps=10)
        model.fit(x, y, verbose=0)
        weights.append(model.state_dict())
    for name, array in weights[0].items():
        assert array.tobytes() == weights[1][name].tobytes()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_search_that_is_interrupted(error, monkeypatch):
    model = classifier()
    x, y = data()
    model.fit(x, y, verbose=0)
    before, train = everything_of(model), model.train_on_batch
    calls = []

    def failing(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 5:
            raise error
        return train(*arguments, **keywords)

    monkeypatch.setattr(model, "train_on_batch", failing, raising=False)
    with pytest.raises(error):
        nn.find_learning_rate(model, x, y)
    assert everything_of(model) == before


def test_what_is_found_trains():
    model = classifier()
    x, y = data(256)
    found = nn.find_learning_rate(model, x, y, low=1e-5, high=100.0, steps=120)
    assert np.all(np.diff(found.rates) > 0)
    assert found.rates[0] == pytest.approx(1e-5)
    assert found.rates[0] < found.suggestion < found.rates[np.argmin(found.smoothed)]
    assert "suggestion: " in repr(found)
    start = model.evaluate(x, y)
    model.optimizer.learning_rate = found.suggestion
    model.fit(x, y, epochs=3, verbose=0)
    assert model.evaluate(x, y) < 0.8 * start


def test_a_loss_that_only_rises_suggests_nothing():
    found = nn.LearningRates([0.1, 0.2, 0.4], [1.0, 2.0, np.nan], [1.0, 2.0, np.nan])
    assert found.suggestion is None and "none" in repr(found)
    found = nn.LearningRates([1.0, 2.0, 4.0, 8.0], [4.0, 3.0, 1.0, 9.0], [4.0, 3.0, 1.0, 9.0])
    assert found.suggestion == 4.0


def test_groups_are_searched_together():
    model = classifier()
    groups = [{"params": layer.parameters(), "learning_rate": 1e-9} for layer in model.layers[:2]]
    optimizer = nn.optimizers.SGD(groups)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    found = nn.find_learning_rate(model, *data())
    assert min(found.losses) < 0.8 * found.losses[0]
    assert optimizer.groups[0].learning_rate == 1e-9


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: nn.LearningRateScheduler(0.1), TypeError, "a function of the epoch, got 0.1"),
        (lambda: nn.ReduceLROnPlateau(factor=1.0), ValueError, "factor .* below 1, got 1.0"),
        (lambda: nn.ReduceLROnPlateau(patience=-1), ValueError, "patience .* at least 0, got -1"),
        (lambda: nn.ReduceLROnPlateau(mode="low"), ValueError, "'min' or 'max', got 'low'"),
        (
            lambda: classifier().fit(*data(), verbose=0, callbacks=nn.ReduceLROnPlateau()),
            ValueError,
            "'val_loss' is not in the logs, which have loss; give fit validation_data",
        ),
        (
            lambda: classifier(nn.optimizers.SGD(learning_rate=nn.schedules.Constant(0.1))).fit(
                *data(), verbose=0, callbacks=nn.LearningRateScheduler(lambda epoch: 1.0)
            ),
            ValueError,
            "LearningRateScheduler: the optimizer's learning rate is a schedule",
        ),
        (
            lambda: classifier(nn.optimizers.SGD(learning_rate=nn.schedules.Constant(0.1))).fit(
                *data(), verbose=0, callbacks=nn.ReduceLROnPlateau("loss")
            ),
            ValueError,
            "ReduceLROnPlateau: the optimizer's learning rate is a schedule",
        ),
        (
            lambda: nn.find_learning_rate(nn.Sequential([nn.Dense(1)]), *data()),
            ValueError,
            "find_learning_rate: call compile",
        ),
        (
            lambda: nn.find_learning_rate(classifier(), *data(), low=1.0, high=0.1),
            ValueError,
            "high to be a number above 1, got 0.1",
        ),
        (lambda: nn.find_learning_rate(classifier(), *data(), steps=2), ValueError, "steps .* 3"),
        (
            lambda: nn.find_learning_rate(classifier(), *data(), smoothing=1.0),
            ValueError,
            "smoothing .* below 1, got 1.0",
        ),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
