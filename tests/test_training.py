"""compile, fit, evaluate, predict, and the loop by hand."""

import io
import sys

import numpy as np
import pytest

import engine
import nn
from engine import Tensor


@pytest.fixture
def blobs(rng):
    """Three classes of points around three centres: (x, y)."""
    y = rng.integers(0, 3, 300)
    centres = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 3.0]])
    return (centres[y] + rng.normal(scale=0.5, size=(300, 2))).astype("float32"), y


def classifier(units=3, activation="softmax", loss="sparse_categorical_crossentropy", **settings):
    engine.seed(1)
    model = nn.Sequential(
        [nn.Dense(16, activation="relu", input_shape=(2,)), nn.Dense(units, activation=activation)]
    )
    optimizer = nn.optimizers.Adam(learning_rate=0.01)
    settings = {"optimizer": optimizer, "metrics": ["accuracy"], **settings}
    model.compile(loss=loss, **settings)
    return model


def test_fit_learns_and_history_tells(blobs):
    x, y = blobs
    model = classifier()
    history = model.fit(x, y, epochs=15, verbose=0, validation_data=(x[:50], y[:50]))
    assert history.epoch == list(range(1, 16))
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert history.history["loss"][-1] < 0.2 * history.history["loss"][0]
    loss, accuracy = model.evaluate(x, y)
    assert accuracy > 0.98
    classes = model.predict_classes(x)
    np.testing.assert_array_equal(classes, model.predict(x).argmax(axis=1))
    assert accuracy == (classes == y).mean()
    p = model.predict(x)
    np.testing.assert_allclose(loss, -np.log(p[np.arange(300), y]).mean(), rtol=1e-4)
    assert model.evaluate(x, y, return_dict=True) == {"loss": loss, "accuracy": accuracy}


def test_fit_is_the_loop_by_hand(blobs):
    x, y = blobs
    model = classifier(optimizer=nn.optimizers.SGD(learning_rate=0.05, momentum=0.9))
    engine.seed(9)
    history = model.fit(x, y, batch_size=64, epochs=3, verbose=0)

    by_hand = classifier()
    optimizer = nn.optimizers.SGD(by_hand.parameters(), learning_rate=0.05, momentum=0.9)
    engine.seed(9)
    means = []
    for _ in range(3):
        order = engine.random.generator().permutation(300)
        total = 0.0
        for start in range(0, 300, 64):
            batch = order[start : start + 64]
            loss = nn.losses.sparse_categorical_crossentropy(y[batch], by_hand(x[batch]))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += loss.item() * len(batch)
        means.append(total / 300)
    np.testing.assert_allclose(history.history["loss"], means, rtol=1e-12)
    for p, q in zip(model.parameters(), by_hand.parameters()):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_fit_is_reproducible_and_shuffles(blobs):
    x, y = blobs
    runs = [classifier().fit(x, y, epochs=2, verbose=0).history for _ in range(2)]
    assert runs[0] == runs[1]
    still = classifier().fit(x, y, epochs=2, verbose=0, shuffle=False).history
    assert still != runs[0]


def test_the_three_pairings_decide_as_they_should(blobs):
    x, y = blobs
    binary = classifier(1, "sigmoid", "binary_crossentropy")
    binary.fit(x, y == 2, epochs=20, verbose=0)
    p = binary.predict(x)
    assert p.shape == (300, 1)
    assert binary.predict_classes(x).tolist() == (p[:, 0] > 0.5).astype(int).tolist()
    assert binary.predict_classes(x, threshold=0.9).tolist() == (p[:, 0] > 0.9).astype(int).tolist()
    assert binary.evaluate(x, (y == 2)[:, None])[1] > 0.97

    runs = []
    for loss, labels in (
        ("sparse_categorical_crossentropy", y),
        ("categorical_crossentropy", nn.to_categorical(y)),
    ):
        model = classifier(loss=loss)
        history = model.fit(x, labels, epochs=3, verbose=0)
        runs.append((history.history, [p.numpy().tobytes() for p in model.parameters()]))
    assert runs[0] == runs[1]

    several = classifier(3, "sigmoid", "binary_crossentropy")
    several.fit(x, nn.to_categorical(y), epochs=20, verbose=0)
    assert several.predict_classes(x).shape == (300, 3)
    assert several.evaluate(x, nn.to_categorical(y))[1] > 0.9


def test_train_on_batch_and_evaluate_return_what_keras_returns(blobs):
    x, y = blobs
    model = classifier()
    before = model.evaluate(x, y)
    step = model.train_on_batch(x, y)
    np.testing.assert_allclose(step, before, rtol=1e-6)
    assert model.evaluate(x, y)[0] < before[0]
    assert set(model.train_on_batch(x, y, return_dict=True)) == {"loss", "accuracy"}
    assert isinstance(classifier(metrics=[]).train_on_batch(x, y), float)


def test_a_regression_and_metrics_of_ones_own(blobs):
    x, _ = blobs

    def off_by(y_true, y_pred):
        return np.abs(y_true - y_pred[:, 0])

    model = classifier(1, None, "mse", metrics=off_by)
    model.fit(x, x[:, 0] - 2 * x[:, 1], epochs=40, verbose=0)
    values = model.evaluate(x, x[:, 0] - 2 * x[:, 1], return_dict=True)
    assert values["loss"] < 0.05
    assert 0 < values["off_by"] < 0.3
    with pytest.raises(ValueError, match="ends with linear gives values, not classes"):
        model.predict_classes(x)


def test_integer_images_are_taken_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    engine.seed(0)
    model = nn.Sequential([nn.Flatten(input_shape=(4, 4)), nn.Dense(2, activation="softmax")])
    p = model.predict(images)
    assert p.dtype == np.float32
    np.testing.assert_array_equal(p, model.predict(images.astype("float32")))


def test_data_of_float64_do_not_make_the_model_float64(blobs):
    x, y = blobs
    runs = []
    for data in (x, x.astype("float64")):
        model = classifier()
        history = model.fit(data, y, epochs=2, verbose=0)
        assert model.predict(data).dtype == np.float32
        runs.append((history.history, model.evaluate(data, y), model.predict(data).tobytes()))
    assert runs[0] == runs[1]
    engine.seed(0)
    wide = nn.Sequential(
        [
            nn.Dense(
                3,
                activation="softmax",
                kernel_initializer=lambda shape: np.ones(shape, "float64"),
                bias_initializer=lambda shape: np.zeros(shape, "float64"),
                input_shape=(2,),
            )
        ]
    )
    assert wide.predict(x.astype("float64")).dtype == np.float64


def test_inference_leaves_the_mode_as_it_was(blobs):
    x, y = blobs
    model = classifier()
    seen = []
    model.layers[0].activation = lambda h: seen.append(model.layers[1].training) or engine.relu(h)
    model.train_on_batch(x, y)
    model.evaluate(x, y)
    assert model.training
    model.eval().predict(x)
    assert not model.training
    model.train_on_batch(x, y)
    assert set(seen[:1]) == {True}
    assert set(seen[1:-1]) == {False}
    assert seen[-1]


def test_inference_leaves_each_layer_the_mode_that_was_set(blobs):
    x, y = blobs
    model = classifier()
    model.train_on_batch(x, y)
    model.layers[0].eval()
    model.evaluate(x, y)
    model.predict(x)
    model.fit(x, y, validation_data=(x, y), verbose=0)
    assert model.training and model.layers[1].training
    assert not model.layers[0].training


def test_a_models_batches_do_not_depend_on_how_many_there_are(blobs):
    x, y = blobs
    model = classifier()
    np.testing.assert_allclose(
        model.predict(x, batch_size=7), model.predict(x, batch_size=300), rtol=1e-6
    )
    np.testing.assert_allclose(
        model.evaluate(x, y, batch_size=7), model.evaluate(x, y, batch_size=300), rtol=1e-5
    )


# ----------------------------------------------------------------------------- what it says


class Terminal(io.StringIO):
    def isatty(self):
        return True


def said(monkeypatch, blobs, verbose, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(nn.progress, "INTERVAL", 0.0)  # every step is drawn
    x, y = blobs
    classifier().fit(x, y, epochs=2, verbose=verbose, validation_data=(x, y))
    return stream.getvalue()


def test_progress(monkeypatch, blobs):
    assert said(monkeypatch, blobs, 0, Terminal()) == ""
    for verbose, stream in ((1, io.StringIO()), (2, Terminal())):
        lines = said(monkeypatch, blobs, verbose, stream).splitlines()
        assert len(lines) == 2
        assert lines[1].startswith("Epoch 2/2 - ")
        for part in ("ms/step", "loss: ", "accuracy: ", "val_loss: ", "val_accuracy: "):
            assert part in lines[1]
        assert "\r" not in lines[1]
    frames = said(monkeypatch, blobs, 1, Terminal()).split("\r")
    assert any(frame.startswith("Epoch 1/2 0/10 |") for frame in frames)
    assert any(frame.startswith("Epoch 2/2 1/10 |") and "loss: " in frame for frame in frames)
    last = frames[-1].rstrip("\n")
    for part in ("Epoch 2/2 - ", "ms/step", "loss: ", "accuracy: ", "val_accuracy: "):
        assert part in last


# --------------------------------------------------------------------------------- bad input


def with_nan(x):
    x = x.copy()
    x[17, 1] = np.nan
    return x


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda m, x, y: m.fit(x[:0], y[:0]),
            ValueError,
            r"fit: there are no examples, x has shape \(0, 2\)",
        ),
        (
            lambda m, x, y: m.fit(x, y[:10]),
            ValueError,
            "fit: expected one label per example, got 300 examples in x and 10 in y",
        ),
        (lambda m, x, y: m.fit(x, 3), ValueError, "300 examples in x and a single number in y"),
        (
            lambda m, x, y: m.fit(with_nan(x), y),
            ValueError,
            "fit: x holds nan or inf, first in example 17",
        ),
        (
            lambda m, x, y: m.predict(with_nan(x)),
            ValueError,
            "predict: x holds nan or inf, first in example 17",
        ),
        (
            lambda m, x, y: m.fit([[1.0, 2.0], [3.0]], y[:2]),
            ValueError,
            "fit: expected x in equal rows, got a ragged list",
        ),
        (
            lambda m, x, y: m.fit(x, np.where(y == 0, np.nan, y)),
            ValueError,
            "fit: y holds nan or inf",
        ),
        (
            lambda m, x, y: m.fit(x, y, batch_size=0),
            ValueError,
            "batch_size to be an integer of at least 1, got 0",
        ),
        (
            lambda m, x, y: m.fit(x, y, epochs=1.5),
            ValueError,
            "epochs to be an integer of at least 1, got 1.5",
        ),
        (lambda m, x, y: m.predict(x, batch_size=-1), ValueError, "batch_size .* got -1"),
        (lambda m, x, y: m.fit(x, y, verbose=3), ValueError, "verbose to be 0, 1 or 2, got 3"),
        (
            lambda m, x, y: m.fit(x, y, verbose=0, validation_data=x),
            ValueError,
            r"validation_data to be \(x, y\), .* got ndarray",
        ),
        (
            lambda m, x, y: m.fit(x, y, verbose=0, validation_data=(x, y[:2])),
            ValueError,
            "fit, validation_data: expected one label",
        ),
        (
            lambda m, x, y: m.fit(x[0], y),
            ValueError,
            r"expected x to hold examples, of shape \(n, ...\), got shape \(2,\)",
        ),
        (
            lambda m, x, y: m.fit(x[:, :1], y, verbose=0),
            ValueError,
            r"expected input of shape \(n, 2\), got \(32, 1\)",
        ),
        (
            lambda m, x, y: m.fit(x.astype(str), y),
            TypeError,
            "fit: expected x to hold numbers, got <U",
        ),
        (
            lambda m, x, y: m.fit(x, y.astype(float), verbose=0),
            TypeError,
            "expected integer labels, got float64",
        ),
        (
            lambda m, x, y: m.fit(x, y + 1, verbose=0),
            ValueError,
            "labels from 0 to 2, since there are 3 units, got 1 to 3",
        ),
        (
            lambda m, x, y: m.fit(x, nn.to_categorical(y), verbose=0),
            ValueError,
            "which are one-hot rows; write loss=.categorical_crossentropy., or give integer labels",
        ),
        (
            lambda m, x, y: nn.Sequential([nn.Dense(2)]).predict(x),
            ValueError,
            "sequential|Sequential does not know its input shape",
        ),
        (
            lambda m, x, y: nn.Sequential([nn.Dense(2)]).fit(x, y),
            ValueError,
            r"fit: call compile\(",
        ),
        (
            lambda m, x, y: nn.Sequential([nn.Dense(2)]).evaluate(x, y),
            ValueError,
            r"evaluate: call compile\(",
        ),
        (
            lambda m, x, y: m.compile("adam", "sparse_categorical_crossentrpy"),
            ValueError,
            "unknown loss 'sparse_categorical_crossentrpy'; did you mean "
            "'sparse_categorical_crossentropy'",
        ),
        (
            lambda m, x, y: m.compile("sdg", "sparse_categorical_crossentropy"),
            ValueError,
            "unknown optimizer 'sdg'; did you mean 'sgd'",
        ),
        (
            lambda m, x, y: m.compile("sgd", "sparse_categorical_crossentropy", ["acuracy"]),
            ValueError,
            "unknown metric 'acuracy'; did you mean 'accuracy'",
        ),
        (
            lambda m, x, y: m.compile("sgd", "mse", ["accuracy"]),
            ValueError,
            "no 'accuracy' for this loss",
        ),
        (
            lambda m, x, y: m.compile("sgd", "binary_crossentropy"),
            ValueError,
            "binary_crossentropy needs sigmoid as the last activation, this model ends with "
            "softmax.*'categorical_crossentropy'",
        ),
        (
            lambda m, x, y: classifier(3, None, "categorical_crossentropy"),
            ValueError,
            "ends with linear .*: write activation='softmax'",
        ),
        (
            lambda m, x, y: classifier(3, "sigmoid"),
            ValueError,
            "needs softmax .* ends with sigmoid",
        ),
        (lambda m, x, y: classifier(1, "softmax"), ValueError, "softmax over one unit is always 1"),
    ],
)
def test_bad_input_is_an_error_before_anything_is_changed(blobs, call, kind, message):
    x, y = blobs
    model = classifier()
    before = model.state_dict()
    with pytest.raises(kind, match=message):
        call(model, x, y)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_tensors_are_data_too(blobs):
    x, y = blobs
    model = classifier()
    np.testing.assert_array_equal(model.predict(Tensor(x)), model.predict(x))
    model.fit(Tensor(x), Tensor(y), verbose=0)
