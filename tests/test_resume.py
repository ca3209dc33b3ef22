"""A training that was broken off and taken up again ends as if it had never stopped."""

import os
import signal

import numpy as np
import pytest

import engine
import nn
from nn.callbacks import Callback, EarlyStopping, ModelCheckpoint


class Noise(nn.Layer):
    """Drops elements at random while it trains."""

    def forward(self, x):
        if not self.training:
            return x
        return x * engine.random.bernoulli(x.shape, 0.8)


@pytest.fixture
def blobs(rng):
    y = rng.integers(0, 3, 70)
    centres = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 3.0]])
    return (centres[y] + rng.normal(scale=0.7, size=(70, 2))).astype("float32"), y


OPTIMIZERS = {
    "sgd": lambda: nn.optimizers.SGD(learning_rate=0.1),
    "nesterov": lambda: nn.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True),
    "adam": lambda: nn.optimizers.Adam(learning_rate=0.02),
    "lion": lambda: nn.optimizers.Lion(
        learning_rate=nn.schedules.CosineDecay(0.02, 15),
        weight_decay=0.01,
        global_clipnorm=1.0,
        use_ema=True,
        gradient_accumulation_steps=3,
    ),
}


def classifier(optimizer="adam"):
    engine.seed(1)
    model = nn.Sequential(
        [
            nn.Dense(8, activation="relu", input_shape=(2,)),
            nn.BatchNormalization(),
            Noise(),
            nn.Dropout(0.1),
            nn.Dense(3, activation="softmax"),
        ]
    )
    metrics = ["accuracy", nn.metrics.F1Score(), "auc"]
    model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy", metrics)
    return model


class SaveAt(Callback):
    """Saves in the middle of an epoch, and ends the training there with an error."""

    def __init__(self, path, epoch, batch):
        self.path, self.at = path, (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.model.save(self.path)
            raise InterruptedError("pulled the plug")


def weights(model):
    return [p.numpy().tobytes() for p in model.parameters()]


def settings(data, **more):
    return {"batch_size": 16, "epochs": 4, "verbose": 0, "validation_data": data, **more}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("at", [(0, 0), (1, 2), (2, 4), (3, 4)])
def test_in_the_middle_of_an_epoch(blobs, tmp_path, optimizer, at):
    path = tmp_path / "model"
    whole = classifier(optimizer)
    expected = whole.fit(*blobs, **settings(blobs))
    end = engine.random.state()

    model = classifier(optimizer)
    with pytest.raises(InterruptedError):
        model.fit(*blobs, **settings(blobs), callbacks=SaveAt(path, *at))
    engine.seed(99)
    model = nn.load(path, {"Noise": Noise})
    history = model.fit(*blobs, **settings(blobs), resume=True)
    assert history.history == expected.history
    assert history.epoch == expected.epoch
    assert weights(model) == weights(whole)
    assert engine.random.state() == end


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_between_epochs_from_the_files_of_a_checkpoint(blobs, tmp_path, optimizer):
    whole = classifier(optimizer)
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}")
    expected = whole.fit(*blobs, **settings(blobs), callbacks=checkpoint)
    for epoch in range(1, 5):
        model = nn.load(tmp_path / str(epoch), {"Noise": Noise})
        checkpoint = ModelCheckpoint(tmp_path / "again-{epoch}")
        history = model.fit(*blobs, **settings(blobs), callbacks=checkpoint, resume=True)
        assert history.history == expected.history
        assert weights(model) == weights(whole)
        if epoch < 4:
            assert (tmp_path / "again-4").read_bytes() == (tmp_path / "4").read_bytes()


def test_a_longer_training_is_a_shorter_one_and_its_rest(blobs, tmp_path):
    whole, model = classifier(), classifier()
    engine.seed(3)
    expected = whole.fit(*blobs, **settings(blobs))
    engine.seed(3)
    model.fit(*blobs, **settings(blobs, epochs=2))
    engine.random.normal((5,))  # what is drawn between them changes nothing
    history = model.fit(*blobs, **settings(blobs), resume=True)
    assert history.history == expected.history
    assert weights(model) == weights(whole)


def not_biases(parameter):
    return parameter.ndim < 2


def in_groups(model):
    """The last layer first, with a rate of its own; then the first, in which nothing decays."""
    first, *_, last = model.layers
    return [
        {"params": last.parameters()[::-1], "learning_rate": 0.03, "weight_decay": 0.1},
        {"params": [("k", first.kernel), ("b", first.bias)], "weight_decay": 0.0},
        {"params": model.layers[1].parameters(), "learning_rate": nn.schedules.StepDecay(0.1, 4)},
    ]


GROUPS = {
    "groups": (in_groups, {}),
    "some by name": (lambda m: in_groups(m)[1]["params"], {"exclude_from_weight_decay": ["b"]}),
    "in another order": (
        lambda m: m.parameters()[::-1],
        {"exclude_from_weight_decay": not_biases},
    ),
    "the model": (lambda model: model, {"exclude_from_weight_decay": ["bias", "gamma"]}),
}


@pytest.mark.parametrize("name", GROUPS)
def test_what_an_optimizer_was_given_is_taken_up(blobs, tmp_path, name):
    def new():
        model = classifier()
        model.ensure_built()
        given, more = GROUPS[name]
        optimizer = nn.optimizers.AdamW(given(model), learning_rate=0.02, weight_decay=0.3, **more)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        return model

    own = {"Noise": Noise, "not_biases": not_biases}
    whole = new()
    whole.fit(*blobs, **settings(blobs))
    with pytest.raises(InterruptedError):
        new().fit(*blobs, **settings(blobs), callbacks=SaveAt(tmp_path / "m", 1, 2))
    model = nn.load(tmp_path / "m", own)
    model.fit(*blobs, **settings(blobs), resume=True)
    assert weights(model) == weights(whole)
    groups = [each.optimizer.groups for each in (model, whole)]
    for ours, theirs in zip(*groups, strict=True):
        assert (ours.names, ours.decaying) == (theirs.names, theirs.decaying)
        assert ours.weight_decay == theirs.weight_decay
        assert [p.shape for p in ours.params] == [p.shape for p in theirs.params]


def test_groups_of_a_layer_that_was_frozen_since_come_back(blobs, tmp_path):
    model = classifier()
    model.fit(*blobs, **settings(blobs))
    model.layers[0].trainable = False
    model.save(tmp_path / "m")
    other = nn.load(tmp_path / "m", {"Noise": Noise})
    assert not other.layers[0].kernel.requires_grad
    other.fit(*blobs, **settings(blobs))
    assert other.layers[0].kernel.numpy().tobytes() == model.layers[0].kernel.numpy().tobytes()
    assert other.layers[1].gamma.numpy().tobytes() != model.layers[1].gamma.numpy().tobytes()


def test_an_optimizer_of_what_is_not_in_the_model_is_not_saved(blobs, tmp_path):
    model = classifier()
    outside = engine.zeros((2, 3), requires_grad=True)
    optimizer = nn.optimizers.SGD([*model.parameters(), outside], learning_rate=0.1)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    message = r"moves a parameter of shape \(2, 3\) that is not in the model: make it an attribute"
    with pytest.raises(ValueError, match=message):
        model.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_the_end_of_a_training_sets_the_averages_and_it_can_go_on(blobs, tmp_path, ctrl_c):
    class Watch(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.trained = weights(self.model)
            self.averages = [a.tobytes() for a in self.model.optimizer.slot("average")]

    def new():
        model = classifier()
        optimizer = nn.optimizers.Adam(learning_rate=0.02, use_ema=True, ema_momentum=0.9)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        return model

    whole, watch = new(), Watch()
    whole.fit(*blobs, **settings(blobs), callbacks=watch)
    assert watch.trained != watch.averages
    assert weights(whole) == watch.averages

    model, half = new(), Watch()
    model.fit(*blobs, **settings(blobs, epochs=2), callbacks=half)
    assert weights(model) == half.averages
    model.save(tmp_path / "m")
    loaded = nn.load(tmp_path / "m", {"Noise": Noise})
    assert weights(loaded) == half.averages
    for other in (model, loaded):
        again = Watch()
        other.fit(*blobs, **settings(blobs), callbacks=again, resume=True)
        assert again.trained == watch.trained
        assert weights(other) == watch.averages

    class Press(Watch):
        def on_train_batch_end(self, batch, logs=None):
            self.trained = weights(self.model)
            os.kill(os.getpid(), signal.SIGINT)

    stopped, press = new(), Press()
    stopped.fit(*blobs, **settings(blobs), callbacks=press)
    assert weights(stopped) == press.trained
    with pytest.raises(InterruptedError):
        new().fit(*blobs, **settings(blobs), callbacks=SaveAt(tmp_path / "m", 3, 2))
    model = nn.load(tmp_path / "m", {"Noise": Noise})
    model.fit(*blobs, **settings(blobs), resume=True)
    assert weights(model) == watch.averages


def test_after_ctrl_c(blobs, tmp_path, ctrl_c):
    class Press(Callback):
        def on_gradients(self, batch):
            if (len(self.model.history.epoch), batch) == (2, 3):
                os.kill(os.getpid(), signal.SIGINT)

    whole = classifier()
    expected = whole.fit(*blobs, **settings(blobs))
    model = classifier()
    partial = model.fit(*blobs, **settings(blobs), callbacks=Press())
    assert partial.interrupted
    assert partial.epoch == [1, 2, 3]
    model.save(tmp_path / "m")
    for other in (nn.load(tmp_path / "m", {"Noise": Noise}), model):
        history = other.fit(*blobs, **settings(blobs), resume=True)
        assert history.history == expected.history
        assert not history.interrupted
        assert weights(other) == weights(whole)


@pytest.mark.parametrize("last", [False, True])
def test_what_early_stopping_remembers_is_taken_up(blobs, tmp_path, last):
    def run(model, *callbacks, **more):
        stopping = EarlyStopping("val_accuracy", patience=3)
        callbacks = [*callbacks, stopping] if last else [stopping, *callbacks]
        given = settings(blobs, epochs=60, callbacks=callbacks, **more)
        return model.fit(*blobs, **given), stopping

    whole = classifier()
    expected, stopping = run(whole)
    assert stopping.stopped_epoch is not None
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}")
    run(classifier(), checkpoint)
    for epoch in range(1, len(expected.epoch)):
        model = nn.load(tmp_path / str(epoch), {"Noise": Noise})
        history, again = run(model, ModelCheckpoint(tmp_path / "again"), resume=True)
        assert history.history == expected.history
        assert (again.best, again.best_epoch) == (stopping.best, stopping.best_epoch)
        assert again.stopped_epoch == stopping.stopped_epoch
        assert weights(model) == weights(whole)


def test_what_a_plateau_remembers_is_taken_up(blobs, tmp_path):
    def callbacks(path):
        plateau = nn.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.2)
        return {"callbacks": [ModelCheckpoint(path), plateau], "epochs": 8}

    whole = classifier()
    given = settings(blobs) | callbacks(tmp_path / "{epoch}")
    expected = whole.fit(*blobs, **given).history
    assert len(set(expected["learning_rate"])) > 2
    for epoch in (2, 4, 5, 6):
        model = nn.load(tmp_path / str(epoch), {"Noise": Noise})
        given = settings(blobs) | callbacks(tmp_path / "again")
        assert model.fit(*blobs, **given, resume=True).history == expected
        assert weights(model) == weights(whole)


def test_a_loss_that_was_chosen_is_taken_up(blobs, tmp_path):
    def new():
        model = classifier()
        model.compile("adam", "auto", ["accuracy", nn.metrics.F1Score()])
        return model

    whole = new()
    expected = whole.fit(*blobs, **settings(blobs))
    with pytest.raises(InterruptedError):
        new().fit(*blobs, **settings(blobs), callbacks=SaveAt(tmp_path / "m", 1, 2))
    model = nn.load(tmp_path / "m", {"Noise": Noise})
    assert model.loss is nn.losses.sparse_categorical_crossentropy
    assert model.fit(*blobs, **settings(blobs), resume=True).history == expected.history
    assert weights(model) == weights(whole)


class Indexed(list):
    """Batches by index."""


@pytest.mark.parametrize("kind", ["index", "iterable", "iterator", "function", "mapped", "order"])
def test_every_source_is_taken_up_in_the_middle(blobs, tmp_path, kind):
    x, y = blobs
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 70, 16)]
    np.save(tmp_path / "x.npy", x)

    def source():
        return {
            "index": {"x": Indexed(batches)},
            "iterable": {"x": dict(enumerate(batches)).values()},
            "iterator": {"x": iter(batches * 3), "steps_per_epoch": 5},
            "function": {"x": lambda: iter(batches), "steps_per_epoch": 4},
            "mapped": {"x": np.load(tmp_path / "x.npy", mmap_mode="r"), "y": y, "batch_size": 16},
            "order": {"x": x, "y": y, "batch_size": 16, "shuffle": False},
        }[kind]

    whole = classifier()
    expected = whole.fit(**source(), epochs=3, verbose=0)
    model = classifier()
    with pytest.raises(InterruptedError):
        stop = SaveAt(tmp_path / "m", 1, 2)
        model.fit(**source(), epochs=3, verbose=0, callbacks=stop)
    model = nn.load(tmp_path / "m", {"Noise": Noise})
    history = model.fit(**source(), epochs=3, verbose=0, resume=True)
    assert history.history == expected.history
    assert weights(model) == weights(whole)


def test_other_data_or_callbacks_are_refused(blobs, tmp_path):
    x, y = blobs
    model = classifier()
    model.fit(x, y, 16, verbose=0, callbacks=EarlyStopping("loss"))
    before = weights(model)
    for given, message in (
        ({"x": x[:60], "y": y[:60], "batch_size": 16}, "examples was 70, is 60; steps was 5, is 4"),
        ({"x": x, "y": y}, "batch_size was 16, is 32; steps was 5, is 3"),
        ({"x": x, "y": y, "batch_size": 16, "shuffle": False}, "shuffle was True, is False"),
        ({"x": [(x, y)]}, "batch_size was 16, is None; batches was None, is 1; examples was 70"),
    ):
        with pytest.raises(ValueError, match=f"resume=True needs the data that .*: {message}"):
            model.fit(**given, epochs=2, verbose=0, resume=True)
    with pytest.raises(ValueError, match="goes on with the EarlyStopping that the training had"):
        model.fit(x, y, 16, epochs=2, verbose=0, resume=True)
    assert weights(model) == before
