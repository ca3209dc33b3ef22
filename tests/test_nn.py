"""Layers, modules, losses, metrics, initializers, optimizers: values and errors."""

import subprocess
import sys

import numpy as np
import pytest

import engine
import nn
from engine import Tensor, no_grad

# --------------------------------------------------------------------------- modules, layers


def spelled_apart():
    return [
        nn.Flatten(input_shape=(4, 3)),
        nn.Dense(16),
        nn.ReLU(),
        nn.Dense(8),
        nn.Tanh(),
        nn.Dense(5),
        nn.Softmax(),
    ]


def spelled_together():
    return [
        nn.Flatten(input_shape=(4, 3)),
        nn.Dense(16, activation="relu"),
        nn.Dense(8, activation="tanh"),
        nn.Dense(5, activation="softmax"),
    ]


def seeded(layers, seed=5):
    engine.seed(seed)
    return nn.Sequential(layers())


def built(layers):
    model = seeded(layers)
    model.ensure_built()
    return model


def test_weights_do_not_depend_on_when_they_are_made():
    early, late = built(spelled_apart), seeded(spelled_apart)
    engine.seed(1000)
    for p, q in zip(early.parameters(), late.parameters()):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    one, other = built(spelled_apart), nn.Sequential(spelled_apart())
    assert (one.parameters()[0].numpy() != other.parameters()[0].numpy()).any()


def test_dense_is_a_weighted_sum(rng):
    layer = nn.Dense(3, activation="tanh", bias_initializer="ones", input_shape=(4,))
    x = rng.normal(size=(6, 4)).astype("float32")
    kernel, bias = (p.numpy() for p in layer.parameters())
    assert (kernel.shape, bias.tolist()) == ((4, 3), [1, 1, 1])
    np.testing.assert_allclose(layer(x).numpy(), np.tanh(x @ kernel + 1), rtol=1e-5)
    bare = nn.Dense(3, use_bias=False)
    np.testing.assert_allclose(bare(x).numpy(), x @ bare.kernel.numpy(), rtol=1e-5)
    assert len(bare.parameters()) == 1


def test_flatten_and_the_activation_layers(rng):
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_array_equal(nn.Flatten()(x).numpy(), x.reshape(2, 12))
    assert nn.Flatten()(x[:0]).shape == (0, 12)
    np.testing.assert_array_equal(nn.ReLU()(x).numpy(), np.maximum(x, 0))
    np.testing.assert_allclose(nn.Sigmoid()(x).numpy(), 1 / (1 + np.exp(-x)), rtol=1e-6)
    np.testing.assert_allclose(nn.Activation("tanh")(x).numpy(), np.tanh(x), rtol=1e-6)
    np.testing.assert_allclose(nn.Softmax(axis=1)(x).numpy().sum(axis=1), 1, rtol=1e-6)


def test_two_spellings_are_one_model(rng):
    x = rng.normal(size=(64, 4, 3)).astype("float32")
    y = rng.integers(0, 5, 64)
    runs = []
    for layers in (spelled_apart, spelled_together):
        model = seeded(layers)
        first = [p.numpy().copy() for p in model.parameters()]
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
        history = model.fit(x, y, batch_size=16, epochs=3, verbose=0)
        last = [p.numpy() for p in model.parameters()]
        runs.append([*first, *last, model.predict(x), np.array(history.history["loss"])])
    for apart, together in zip(*runs):
        assert apart.tobytes() == together.tobytes()


def test_default_initialisation_fits_what_follows():
    for layers in ([nn.Dense(500), nn.ReLU()], [nn.Dense(500, activation="relu")]):
        model = nn.Sequential(layers)
        model(np.zeros((1, 300), "float32"))
        kernel = model.layers[0].kernel.numpy()
        assert 0.99 < np.abs(kernel).max() / np.sqrt(6 / 300) <= 1
    kernel = nn.Dense(500, input_shape=(300,)).parameters()[0].numpy()
    assert 0.99 < np.abs(kernel).max() / np.sqrt(6 / 800) <= 1


def test_layers_are_named_after_their_type():
    layers = [
        nn.Dense(2),
        nn.BatchNormalization(),
        nn.RMSNormalization(),
        nn.PReLU(),
        nn.LeakyReLU(),
        nn.GELU(),
        nn.Dense(2, name="dense_1"),
        nn.Dense(2),
    ]
    names = [layer.name for layer in nn.Sequential(layers).layers]
    assert names[:4] == ["dense", "batch_normalization", "rms_normalization", "prelu"]
    assert names[4:] == ["leaky_relu", "gelu", "dense_1", "dense_2"]


def test_nested_models_are_written_with_their_indents():
    inner = nn.Sequential([nn.Dense(2), nn.ReLU()])
    text = "Sequential([\n    Sequential([\n        Dense(2),\n        ReLU(),\n    ]),\n])"
    assert repr(nn.Sequential([inner])) == text


def test_modules_find_their_parameters_by_attributes():
    class Block(nn.Module):
        def __init__(self):
            self.scale = Tensor([2.0], requires_grad=True)
            self.offset = Tensor([1.0])
            self.parts = [nn.Dense(3, input_shape=(3,)), {"again": self.scale}]
            self.twin = self.parts[0]

        def forward(self, x):
            return self.parts[0](x) * self.scale + self.offset

    block = Block()
    names = [name for name, _ in block.named_tensors()]
    assert names == ["scale", "offset", "parts.0.kernel", "parts.0.bias"]
    assert [p.shape for p in block.parameters()] == [(1,), (3, 3), (3,)]
    assert block(np.zeros((2, 3), "float32")).numpy().tolist() == [[1, 1, 1]] * 2
    assert not block.eval().parts[0].training
    assert block.train().parts[0].training
    with pytest.raises(NotImplementedError, match="Module does not define forward"):
        nn.Module()(1)


def test_state_goes_out_and_in():
    one, two = seeded(spelled_apart, 1), seeded(spelled_together, 2)
    other = seeded(spelled_together, 3)
    two.load_state_dict(other.state_dict())
    x = np.ones((2, 4, 3), "float32")
    np.testing.assert_array_equal(two.predict(x), other.predict(x))
    before = two.state_dict()
    state = {**other.state_dict(), "layers.1.bias": np.zeros(3), "extra": np.zeros(1)}
    del state["layers.1.kernel"]
    with pytest.raises(
        ValueError,
        match=r"layers.1.bias has shape \(3,\), expected \(16,\); missing layers.1.kernel; "
        "unexpected extra",
    ):
        two.load_state_dict(state)
    for name, value in two.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert set(one.state_dict()) != set(two.state_dict())


def test_nested_models_and_lazy_shapes():
    inner = nn.Sequential([nn.Dense(4), nn.ReLU()])
    model = nn.Sequential([inner, nn.Dense(1, activation="sigmoid")])
    assert model.last_activation() == "sigmoid"
    assert model(np.zeros((5, 7), "float32")).shape == (5, 1)
    assert inner.layers[0].kernel.shape == (7, 4)
    assert nn.Sequential([nn.Dense(1), inner]).last_activation() == "relu"


def test_repr():
    model = seeded(spelled_together)
    assert repr(model).splitlines()[2] == "    Dense(16, activation='relu'),"
    assert repr(nn.Softmax()) == "Softmax()"


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: nn.Dense(0), ValueError, "Dense: expected units .* at least 1, got 0"),
        (lambda: nn.Dense(2.5), ValueError, "got 2.5"),
        (
            lambda: nn.Dense(2, activation="rleu"),
            ValueError,
            "unknown activation 'rleu'; did you mean 'relu'.*softmax",
        ),
        (lambda: nn.Dense(2, activation=3), TypeError, "activation: expected a name"),
        (
            lambda: nn.Dense(2, kernel_initializer="he"),
            ValueError,
            "unknown initializer 'he'.*he_normal",
        ),
        (lambda: nn.Flatten(input_shape=(28, 0)), ValueError, r"input_shape .* got \(28, 0\)"),
        (lambda: nn.Flatten(input_shape="28"), ValueError, "input_shape .* got '28'"),
        (lambda: nn.Sequential([nn.ReLU]), TypeError, r"expected a layer, got .*; write ReLU\(\)"),
        (lambda: nn.Sequential([3]), TypeError, "expected a layer, got 3"),
        (
            lambda: nn.Sequential([nn.Dense(2)]).parameters(),
            ValueError,
            "does not know its input shape",
        ),
        (
            lambda: nn.Sequential([nn.Dense(2)]).summary(),
            ValueError,
            "does not know its input shape",
        ),
        (lambda: nn.Dense(2).parameters(), ValueError, "Dense does not know its input shape"),
        (lambda: nn.Sequential()(np.zeros((2, 3))), ValueError, "the model has no layers"),
        (
            lambda: seeded(spelled_apart)(np.zeros((2, 4, 4))),
            ValueError,
            r"expected input of shape \(n, 4, 3\), got \(2, 4, 4\)",
        ),
        (
            lambda: seeded(spelled_apart)(np.zeros((4, 3))),
            ValueError,
            r"for a single example write x\[None\]",
        ),
        (
            lambda: nn.Dense(2, input_shape=(3,), name="top")(np.zeros((2, 4))),
            ValueError,
            r"top: expected input of shape \(n, ..., 3\), got \(2, 4\)",
        ),
        (lambda: built(spelled_apart).add(nn.Dense(1)), ValueError, "before the model is built"),
    ],
)
def test_errors_of_layers(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


# -------------------------------------------------------------------------------- losses


def test_crossentropies_against_their_definitions(rng):
    logits = rng.normal(size=(7, 5))
    p = engine.softmax(Tensor(logits))
    labels = rng.integers(0, 5, 7)
    expected = -np.log(p.numpy()[np.arange(7), labels]).mean()
    one_hot = nn.to_categorical(labels)
    for bare in (False, True):
        given = Tensor(p.numpy()) if bare else p
        sparse = nn.losses.sparse_categorical_crossentropy(labels, given)
        dense = nn.losses.categorical_crossentropy(one_hot, given)
        assert sparse.shape == ()
        np.testing.assert_allclose([sparse.item(), dense.item()], expected, rtol=1e-12)
        np.testing.assert_allclose(
            nn.losses.sparse_categorical_crossentropy(labels[:, None], given).item(), expected
        )
    q = engine.sigmoid(Tensor(logits))
    bits = rng.integers(0, 2, (7, 5))
    expected = -np.where(bits, np.log(q.numpy()), np.log(1 - q.numpy())).mean()
    for given in (q, Tensor(q.numpy())):
        np.testing.assert_allclose(
            nn.losses.binary_crossentropy(bits, given).item(), expected, rtol=1e-10
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_hot_and_integer_labels_give_the_same_bits(rng, dtype):
    for rows, classes in ((7, 5), (33, 10), (4, 1000)):
        logits = (10 * rng.normal(size=(rows, classes))).astype(dtype)
        labels = rng.integers(0, classes, rows)
        results = []
        for loss, y in (
            (nn.losses.sparse_categorical_crossentropy, labels),
            (nn.losses.categorical_crossentropy, nn.to_categorical(labels, classes)),
        ):
            x = Tensor(logits, requires_grad=True)
            value = loss(y, engine.softmax(x))
            value.backward()
            results.append((value.numpy().tobytes(), x.grad.numpy().tobytes()))
        assert results[0] == results[1]


def test_the_loss_is_the_same_number_recorded_or_not():
    logits = Tensor([[1e4, 0.0], [0.0, 1e4]], requires_grad=True)
    recorded = nn.losses.sparse_categorical_crossentropy([1, 1], engine.softmax(logits))
    with no_grad():
        silent = nn.losses.sparse_categorical_crossentropy([1, 1], engine.softmax(logits))
    assert recorded.item() == silent.item() == 5e3
    recorded.backward()
    np.testing.assert_allclose(logits.grad.numpy(), [[0.5, -0.5], [0, 0]])


def test_regression_losses():
    y, p = np.array([[1.0], [2.0]]), Tensor([[0.0], [4.0]])
    assert nn.losses.mean_squared_error(y, p).item() == 2.5
    assert nn.losses.get("mae")(y[:, 0], p).item() == 1.5


P = np.full((2, 3), 1 / 3)


@pytest.mark.parametrize(
    "loss, y, p, kind, message",
    [
        (
            "sparse_categorical_crossentropy",
            [0, 3],
            P,
            ValueError,
            "labels from 0 to 2, since there are 3 units, got 0 to 3",
        ),
        ("sparse_categorical_crossentropy", [-1, 0], P, ValueError, "got -1 to 0"),
        (
            "sparse_categorical_crossentropy",
            [0.0, 1.0],
            P,
            TypeError,
            "integer labels, got float64",
        ),
        (
            "sparse_categorical_crossentropy",
            np.eye(3)[:2],
            P,
            ValueError,
            "which are one-hot rows; write loss=.categorical_crossentropy., or give integer labels",
        ),
        ("sparse_categorical_crossentropy", [0, 1, 2], P, ValueError, r"shape \(2,\), got \(3,\)"),
        (
            "categorical_crossentropy",
            [0, 1],
            P,
            ValueError,
            "integers; write loss=.sparse_categorical_crossentropy., or give one-hot labels",
        ),
        (
            "categorical_crossentropy",
            np.eye(2),
            P,
            ValueError,
            r"expected labels of shape \(2, 3\), got \(2, 2\)",
        ),
        (
            "categorical_crossentropy",
            np.eye(3)[:2],
            P * 2,
            ValueError,
            "rows that sum to 1.*got sums from 2 to 2",
        ),
        (
            "categorical_crossentropy",
            np.eye(3)[:2],
            P * 9,
            ValueError,
            "expected probabilities, the output of softmax, got values from 3 to 3",
        ),
        (
            "categorical_crossentropy",
            np.eye(3)[:2],
            engine.sigmoid(Tensor(P)),
            ValueError,
            "expected the output of softmax, got that of sigmoid",
        ),
        (
            "binary_crossentropy",
            [0, 1],
            P,
            ValueError,
            r"expected labels of shape \(2, 3\), got \(2,\)",
        ),
        (
            "binary_crossentropy",
            [[0], [2]],
            P[:, :1],
            ValueError,
            "expected labels 0 and 1, got values from 0.0 to 2.0",
        ),
        (
            "binary_crossentropy",
            [[0], [1]],
            P[:, :1] - 1,
            ValueError,
            "expected probabilities, the output of sigmoid",
        ),
        ("mse", [1.0, 2.0], P, ValueError, r"expected labels of shape \(2, 3\), got \(2,\)"),
        ("mse", ["a", "b"], P[:, :1], TypeError, "expected numbers as labels, got <U1"),
    ],
)
def test_errors_of_losses(loss, y, p, kind, message):
    with pytest.raises(kind, match=message):
        nn.losses.get(loss)(np.array(y), p)


def test_to_categorical():
    assert nn.to_categorical([[2], [0]]).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert nn.to_categorical([1], 4).shape == (1, 4)
    with pytest.raises(ValueError, match="labels from 0 to 1, got 2 to 2"):
        nn.to_categorical([2], 2)
    with pytest.raises(TypeError, match="integer labels, got float64"):
        nn.to_categorical([1.0])
    with pytest.raises(ValueError, match=r"shape \(n,\), got \(2, 2\)"):
        nn.to_categorical([[1, 2], [3, 4]])


def test_the_forms_of_accuracy():
    p = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert nn.metrics.sparse_categorical_accuracy([1, 1], p).tolist() == [True, False]
    assert nn.metrics.categorical_accuracy(np.eye(2), p).tolist() == [False, False]
    assert nn.metrics.binary_accuracy(np.array([[0, 1], [0, 1]]), p).tolist() == [1, 0]
    assert nn.metrics.binary_accuracy([1, 0], p[:, :1]).tolist() == [0, 0]
    assert nn.metrics.binary_accuracy([0, 1], np.array([0.5, 0.51])).tolist() == [1, 1]


# ----------------------------------------------------------------------------- optimizers


def by_the_book(name, p, gradients, **s):
    """The published formulas, in float64."""
    p = p.astype(float)
    v = m = np.zeros_like(p)
    for t, g in enumerate(gradients, 1):
        if name == "adam":
            m = 0.8 * m + 0.2 * g
            v = 0.9 * v + 0.1 * g * g
            corrected = s["learning_rate"] * np.sqrt(1 - 0.9**t) / (1 - 0.8**t)
            p = p - corrected * m / (np.sqrt(v) + 1e-3)
        else:
            mu, lr = s.get("momentum", 0), s["learning_rate"]
            v = mu * v - lr * g
            p = p + (mu * v - lr * g if s.get("nesterov") else v)
    return p


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name, optimizer, settings",
    [
        ("sgd", nn.optimizers.SGD, {"learning_rate": 0.1}),
        ("sgd", nn.optimizers.SGD, {"learning_rate": 0.1, "momentum": 0.9}),
        ("sgd", nn.optimizers.SGD, {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
        ("adam", nn.optimizers.Adam, {"learning_rate": 0.1}),
    ],
)
def test_updates_follow_the_published_formulas(rng, name, optimizer, settings, dtype):
    start = rng.normal(size=(7, 5)).astype(dtype)
    gradients = [rng.normal(size=(7, 5)).astype(dtype) for _ in range(5)]
    p, idle = Tensor(start, requires_grad=True), Tensor([1.0], requires_grad=True)
    extra = {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3} if name == "adam" else {}
    moved = optimizer([p, idle], **settings, **extra)
    for g in gradients:
        p.grad = Tensor(g)
        moved.step()
        moved.zero_grad()
        assert p.grad is None
    expected = by_the_book(name, start, gradients, **settings)
    np.testing.assert_allclose(p.numpy(), expected, rtol={"float32": 1e-5, "float64": 1e-12}[dtype])
    assert idle.numpy().tolist() == [1]


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: nn.optimizers.SGD(0.1), TypeError, r"write SGD\(learning_rate=0.1\)"),
        (
            lambda: nn.optimizers.SGD(learning_rate=0),
            ValueError,
            "learning_rate to be a number above 0, got 0",
        ),
        (lambda: nn.optimizers.SGD(learning_rate="fast"), ValueError, "got 'fast'"),
        (lambda: nn.optimizers.SGD(momentum=1.0), ValueError, "momentum .* below 1, got 1.0"),
        (lambda: nn.optimizers.SGD(nesterov=True), ValueError, "nesterov needs a momentum"),
        (lambda: nn.optimizers.Adam(beta_1=-1), ValueError, "beta_1 .* got -1"),
        (lambda: nn.optimizers.Adam([]), ValueError, "no parameters to move"),
        (lambda: nn.optimizers.Adam([Tensor([1.0])]), TypeError, "requires_grad=True"),
        (lambda: nn.optimizers.Adam().step(), ValueError, r"write Adam\(model.parameters\(\)"),
        (
            lambda: nn.optimizers.get("adma"),
            ValueError,
            "unknown optimizer 'adma'; did you mean 'adam'.*sgd",
        ),
        (lambda: nn.optimizers.get(nn.optimizers.Adam), TypeError, r"write Adam\(\)"),
    ],
)
def test_errors_of_optimizers(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_importing_nn_does_not_import_what_is_rarely_needed():
    code = (
        "import numba, tqdm, sys\n"
        "before = {*sys.modules}\n"
        "import nn\n"
        "rare = {'csv', 'difflib', 'email', 'matplotlib', 'scipy', 'ssl', 'urllib.request'}\n"
        "print(rare & {*sys.modules} - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
