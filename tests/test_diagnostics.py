"""Diagnostics: each finding is made where it is due, with the figure that NumPy gives, and only
there."""

import numpy as np
import pytest

import engine
import nn
from nn.callbacks import Callback
from nn.diagnostics import Diagnostics

# The nets here are broken on purpose, some so that a first look says so.
pytestmark = pytest.mark.filterwarnings("ignore::nn.pairing.PairingWarning")


def net(*layers, optimizer=None, loss="mse"):
    model = nn.Sequential(layers)
    model.compile(optimizer=optimizer or nn.optimizers.SGD(learning_rate=0.01), loss=loss)
    return model


def diagnosed(model, x, y, samples=10, **settings):
    diagnostics = Diagnostics(samples=samples, verbose=0)
    history = model.fit(x, y, verbose=0, callbacks=diagnostics, **settings)
    assert history.diagnostics is diagnostics
    return diagnostics


def found(diagnostics):
    return {(finding.kind, finding.layer): finding for finding in diagnostics.findings}


def records_of(diagnostics, layer):
    return [record for record in diagnostics.records if record["layer"] == layer]


@pytest.fixture
def data(rng):
    x = rng.normal(size=(320, 6)).astype("float32")
    return x, x[:, :1].copy()


def test_dead_units_are_counted(data):
    model = net(nn.Dense(8, activation="relu", input_shape=(6,), name="hidden"), nn.Dense(1))
    model.ensure_built()
    model.layers[0].bias.data[:5] = -100
    diagnostics = diagnosed(model, *data)
    finding = found(diagnostics)["dead", "hidden"]
    assert finding.value == 5 / 8
    assert finding.epoch == 1
    assert "62% of the 8 relu units of hidden are dead" in finding.text
    assert "each of the 320 examples" in finding.text
    assert "activation='leaky_relu'" in finding.text
    assert records_of(diagnostics, "dense_1")[0]["dead"] is None


def test_a_unit_that_fires_once_in_an_epoch_is_alive(data):
    x, y = data
    x = np.abs(x)
    x[:, 0] = 0
    x[100, 0] = 1  # the only example for which the first unit fires
    model = net(nn.Dense(2, activation="relu", input_shape=(6,), name="hidden"), nn.Dense(1))
    model.ensure_built()
    model.layers[0].kernel.data[...] = [[1, 0], *[[0, 1]] * 5]
    model.layers[0].trainable = False
    diagnostics = diagnosed(model, x, y, shuffle=False)
    assert [record["dead"] for record in records_of(diagnostics, "hidden")] == [0.5] * 3 + [0] * 7
    assert not any(kind == "dead" for kind, _ in found(diagnostics))


def test_few_examples_prove_no_death(data):
    model = net(nn.Dense(8, activation="relu", input_shape=(6,)), nn.Dense(1))
    model.ensure_built()
    model.layers[0].bias.data[...] = -100
    diagnostics = diagnosed(model, data[0][:32], data[1][:32])
    assert diagnostics.records[0]["dead"] == 1
    assert not any(kind == "dead" for kind, _ in found(diagnostics))


@pytest.mark.parametrize(
    "name, slope", [("sigmoid", lambda y: 4 * y * (1 - y)), ("tanh", lambda y: 1 - y * y)]
)
def test_flat_ends_are_measured(data, name, slope):
    x, y = data
    model = net(nn.Dense(16, input_shape=(6,)), nn.Activation(name, name="bend"), nn.Dense(1))
    model.ensure_built()
    model.layers[0].kernel.data *= 40
    outputs = nn.Sequential(model.layers[:2])(x).numpy()
    diagnostics = diagnosed(model, x, y, batch_size=320)
    (record,) = records_of(diagnostics, "bend")
    assert record["saturated"] == np.mean(slope(outputs) < 0.05) > 0.5
    np.testing.assert_allclose(record["activation_mean"], outputs.mean(), rtol=1e-5)
    np.testing.assert_allclose(record["activation_std"], outputs.std(), rtol=1e-5)
    text = found(diagnostics)["saturated", "bend"].text
    assert f"of the outputs of bend are on a flat end of {name}" in text
    assert "activation='relu'" in text


def test_a_sure_last_layer_is_not_blamed(data):
    x, y = data
    model = net(
        nn.Dense(1, activation="sigmoid", input_shape=(6,)),
        loss="binary_crossentropy",
    )
    model.ensure_built()
    model.layers[0].kernel.data[...] = 100 * (np.arange(6)[:, None] == 0)
    diagnostics = diagnosed(model, x, (y > 0).astype("float32"))
    assert diagnostics.records[0]["saturated"] > 0.8
    assert not any(kind == "saturated" for kind, _ in found(diagnostics))


def test_norms_are_those_of_the_loop_by_hand(data):
    x, y = data
    model = net(nn.Dense(5, activation="tanh", input_shape=(6,)), nn.Dense(1))
    model.ensure_built()
    loss = nn.losses.mean_squared_error(y, model(x))
    kernel, bias = model.parameters()[:2]
    slopes = engine.grad(loss, [kernel, bias])
    squares = sum((g.numpy().astype("float64") ** 2).sum() for g in slopes)
    before = kernel.numpy().copy()
    diagnostics = diagnosed(model, x, y, batch_size=320)
    first = diagnostics.records[0]
    np.testing.assert_allclose(first["gradient_norm"], squares**0.5, rtol=1e-5)
    np.testing.assert_allclose(first["gradient_rms"], (squares / 35) ** 0.5, rtol=1e-5)
    ratio = 0.01 * np.linalg.norm(slopes[0].numpy()) / np.linalg.norm(before)
    np.testing.assert_allclose(first["update_ratio"], ratio, rtol=1e-3)


def test_a_vanishing_gradient_is_found_in_deep_sigmoids_and_not_in_relus(data):
    kinds = {}
    for activation in ("sigmoid", "relu"):
        layers = [nn.Dense(16, activation=activation, input_shape=(6,), name="first")]
        layers += [nn.Dense(16, activation=activation) for _ in range(8)]
        kinds[activation] = found(diagnosed(net(*layers, nn.Dense(1)), *data))
    finding = kinds["sigmoid"]["vanishing", "first"]
    assert finding.value < 1e-3
    assert "that of first is" in finding.text
    assert "activation='relu'" in finding.text
    assert not any(kind in ("vanishing", "exploding") for kind, _ in kinds["relu"])


def test_exploding_gradients_are_found(data):
    layers = [nn.Dense(16, activation="relu", input_shape=(6,)) for _ in range(1)]
    layers += [nn.Dense(16, activation="relu") for _ in range(5)]
    model = net(*layers, nn.Dense(1), optimizer=nn.optimizers.SGD(learning_rate=1e-30))
    model.ensure_built()
    for parameter in model.parameters()[::2]:
        parameter.data *= 10
    kinds = found(diagnosed(model, *data))
    assert any(kind == "exploding" for kind, _ in kinds)
    text = next(f.text for (kind, _), f in kinds.items() if kind == "exploding")
    assert "global_clipnorm=1.0" in text


@pytest.mark.parametrize(
    "learning_rate, kind, text",
    [(30.0, "large update", "lower the learning rate"), (1e-9, "small update", "raise the")],
)
def test_steps_that_do_not_fit_the_weights_are_found(data, learning_rate, kind, text):
    optimizer = nn.optimizers.Adam(learning_rate=learning_rate)
    model = net(nn.Dense(4, activation="tanh", input_shape=(6,)), nn.Dense(1), optimizer=optimizer)
    finding = found(diagnosed(model, *data))[kind, "dense"]
    assert text in finding.text


class Fragile(nn.Model):
    """Works until the sum of an example passes 100."""

    def __init__(self):
        self.first = nn.Dense(3, input_shape=(6,), name="first")
        self.second = nn.Dense(1, input_shape=(3,), name="second")

    def forward(self, x):
        return self.second(engine.sqrt(100 - self.first(x)))


def test_a_nan_is_traced_to_its_operation_and_the_weights_are_kept(data, capsys):
    x, y = data
    x[100] = 1e4
    model = Fragile()
    model.compile(optimizer=nn.optimizers.SGD(learning_rate=1e-6), loss="mse")
    assert model.parameters()
    model.first.kernel.data[...] = 1
    history = model.fit(x, y, shuffle=False, verbose=2, epochs=2, diagnose=True)
    (finding,) = [f for f in history.diagnostics.findings if f.kind == "nan"]
    assert "batch 4 of epoch 1" in finding.text
    assert "sqrt made the first nan" in finding.text
    assert "test_diagnostics.py" in finding.text
    assert "with the weights as they were" in finding.text
    assert all(np.isfinite(p.numpy()).all() for p in model.parameters())
    assert len(history.epoch) == 1
    assert finding.text in capsys.readouterr().out


def test_a_nan_of_a_layer_names_the_layer(data):
    x, y = data
    model = net(
        nn.Dense(4, input_shape=(6,)),
        nn.Activation(engine.log, name="logs"),
        nn.Dense(1),
    )
    (finding,) = [f for f in diagnosed(model, x, y).findings if f.kind == "nan"]
    assert finding.layer == "logs"
    assert "in logs, log made the first nan" in finding.text


class Dice(nn.Layer):
    """Puts out nan when the number that it draws is below 0.5."""

    def forward(self, x):
        return x * engine.sqrt(engine.random.generator().random() - 0.5)


def test_the_step_is_made_again_with_the_same_random_numbers(data):
    model = net(nn.Dense(4, input_shape=(6,)), Dice(), nn.Dense(1))
    diagnostics = diagnosed(model, *data, epochs=20)
    (finding,) = [f for f in diagnostics.findings if f.kind == "nan"]
    assert "in dice, sqrt made the first nan" in finding.text


def test_what_was_broken_before_is_said_to_be(data):
    x, y = data
    model = net(nn.Dense(4, input_shape=(6,), name="first"), nn.Dense(1))
    model.ensure_built()
    model.layers[0].kernel.data[0, 0] = np.inf
    (finding,) = [f for f in diagnosed(model, x, y).findings if f.kind == "nan"]
    assert "layers.0.kernel holds nan or inf since an earlier step" in finding.text


def test_without_stopping_the_broken_batch_is_left_out(data):
    x, y = data
    x[100] = 1e4
    model = Fragile()
    model.compile(optimizer=nn.optimizers.SGD(learning_rate=1e-6), loss="mse")
    assert model.parameters()
    model.first.kernel.data[...] = 1
    diagnostics = Diagnostics(verbose=0, stop_on_nan=False)
    steps = []

    class Count(Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(batch)

    model.fit(x, y, shuffle=False, verbose=0, callbacks=[diagnostics, Count()])
    assert len(steps) == 10
    assert all(np.isfinite(p.numpy()).all() for p in model.parameters())


def test_a_healthy_training_has_no_findings(capsys):
    (x, y), _ = nn.datasets.mnist_subset()
    model = nn.Sequential(
        [
            nn.Flatten(input_shape=(28, 28)),
            nn.Dense(64),
            nn.ReLU(),
            nn.Dense(32, activation="tanh"),
            nn.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy")
    history = model.fit(x / 255, y, epochs=2, verbose=2, diagnose=True)
    assert history.diagnostics.findings == []
    assert "Diagnostics: nothing to report" in capsys.readouterr().out
    epochs = {record["epoch"] for record in history.diagnostics.records}
    assert epochs == {1, 2}
    assert {record["layer"] for record in history.diagnostics.records} == {
        "flatten",
        "dense",
        "relu",
        "dense_1",
        "dense_2",
    }


def test_looking_changes_nothing(data):
    runs = []
    for diagnose in (False, True):
        engine.seed(4)
        layers = nn.Dense(8, activation="relu", input_shape=(6,)), nn.Dropout(0.5), nn.Dense(1)
        model = net(*layers)
        model.fit(*data, epochs=2, verbose=0, diagnose=diagnose)
        runs.append(b"".join(p.numpy().tobytes() for p in model.parameters()))
        assert all(module._forward_hooks is None for module in model.modules())
    assert runs[0] == runs[1]


def test_errors():
    with pytest.raises(ValueError, match="Diagnostics: expected samples to be an integer"):
        Diagnostics(samples=0)


def test_what_was_seen_is_kept_with_a_checkpoint(data, tmp_path):
    model = net(nn.Dense(8, activation="relu", input_shape=(6,)), nn.Dense(1))
    model.ensure_built()
    model.layers[0].bias.data[...] = -100
    first = diagnosed(model, *data, epochs=1)
    model.save(tmp_path / "model")
    rest = Diagnostics(verbose=0)
    model = nn.load(tmp_path / "model")
    model.fit(*data, verbose=0, epochs=2, callbacks=rest, resume=True)
    assert rest.records[: len(first.records)] == first.records
    assert {record["epoch"] for record in rest.records} == {1, 2}
    assert [f for f in rest.findings if f.kind == "dead"] == [
        f for f in first.findings if f.kind == "dead"
    ]
