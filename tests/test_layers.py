"""Every layer: values by NumPy, gradients by differences, training and inference, errors."""

import inspect
import json

import numpy as np
import pytest

import engine
import nn
from engine import Tensor
from nn.config import from_config, to_config
from nn.layers import activation as activation_layers


def samples(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def in_float64(layer, *shape):
    layer.ensure_built(shape)
    return layer.astype("float64")


def checked_gradients(layer, x, check=engine.gradcheck):
    """gradcheck in respect of the input and of the layer's parameters."""
    in_float64(layer, *x.shape[1:])
    names = [name for name, tensor in layer.own_tensors() if tensor.requires_grad]
    given = [
        getattr(layer, name).numpy() + 0.1 * samples(*getattr(layer, name).shape, seed=3)
        for name in names
    ]

    def f(x, *parameters):
        for name, parameter in zip(names, parameters):
            setattr(layer, name, parameter)
        return layer(x)

    return check(f, [Tensor(x, requires_grad=True), *given], name=type(layer).__name__)


# One example of each layer, with an input for it; what is checked of all is checked of these.
EXAMPLES = {
    "Activation": (lambda: nn.Activation("tanh"), samples(3, 4)),
    "Add": (lambda: nn.Add(), [samples(3, 4), samples(3, 4, seed=1), samples(3, 1, seed=2)]),
    "Average": (lambda: nn.Average(), [samples(3, 4), samples(3, 4, seed=1)]),
    "BatchNormalization": (lambda: nn.BatchNormalization(), samples(6, 4)),
    "CELU": (lambda: nn.CELU(0.7), samples(3, 4)),
    "Concatenate": (lambda: nn.Concatenate(axis=1), [samples(3, 4), samples(3, 2)]),
    "Dense": (lambda: nn.Dense(5, activation="gelu"), samples(3, 4)),
    "Dropout": (lambda: nn.Dropout(0.4), samples(3, 4)),
    "ELU": (lambda: nn.ELU(0.7), samples(3, 4)),
    "Embedding": (lambda: nn.Embedding(7, 2), np.array([[1, 2, 1], [0, 6, 1]])),
    "Flatten": (lambda: nn.Flatten(), samples(3, 4, 2)),
    "GELU": (lambda: nn.GELU(approximate=True), samples(3, 4)),
    "GaussianDropout": (lambda: nn.GaussianDropout(0.2), samples(3, 4)),
    "GaussianNoise": (lambda: nn.GaussianNoise(0.2), samples(3, 4)),
    "GroupNormalization": (lambda: nn.GroupNormalization(2), samples(3, 5, 4)),
    "HardSigmoid": (lambda: nn.HardSigmoid(), samples(3, 4)),
    "HardTanh": (lambda: nn.HardTanh(), samples(3, 4)),
    "Identity": (lambda: nn.Identity(), samples(3, 4)),
    "Lambda": (lambda: nn.Lambda(scaled, {"by": 3.0}), samples(3, 4)),
    "LayerNormalization": (lambda: nn.LayerNormalization(), samples(3, 4)),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), samples(3, 4)),
    "LogSigmoid": (lambda: nn.LogSigmoid(), samples(3, 4)),
    "LogSoftmax": (lambda: nn.LogSoftmax(), samples(3, 4)),
    "Maximum": (lambda: nn.Maximum(), [samples(3, 4), samples(3, 4, seed=1)]),
    "Minimum": (lambda: nn.Minimum(), [samples(3, 4), samples(3, 4, seed=1)]),
    "Mish": (lambda: nn.Mish(), samples(3, 4)),
    "Multiply": (lambda: nn.Multiply(), [samples(3, 4), samples(3, 4, seed=1)]),
    "Normalization": (lambda: nn.Normalization(mean=[1, 2, 3, 4], variance=2.0), samples(3, 4)),
    "PReLU": (lambda: nn.PReLU(alpha_initializer="uniform", shared_axes=1), samples(3, 4)),
    "Permute": (lambda: nn.Permute((2, 1)), samples(3, 4, 2)),
    "RMSNormalization": (lambda: nn.RMSNormalization(), samples(3, 4)),
    "ReLU": (lambda: nn.ReLU(), samples(3, 4)),
    "ReLU6": (lambda: nn.ReLU6(), samples(3, 4)),
    "Rescaling": (lambda: nn.Rescaling(0.5, 1), samples(3, 4)),
    "Reshape": (lambda: nn.Reshape((2, -1)), samples(3, 4)),
    "SELU": (lambda: nn.SELU(), samples(3, 4)),
    "SiLU": (lambda: nn.SiLU(), samples(3, 4)),
    "Sigmoid": (lambda: nn.Sigmoid(), samples(3, 4)),
    "Softmax": (lambda: nn.Softmax(axis=1), samples(3, 4)),
    "Softplus": (lambda: nn.Softplus(), samples(3, 4)),
    "Softsign": (lambda: nn.Softsign(), samples(3, 4)),
    "Subtract": (lambda: nn.Subtract(), [samples(3, 4), samples(3, 4, seed=1)]),
    "Tanh": (lambda: nn.Tanh(), samples(3, 4)),
}


def scaled(x, by):
    return x * by


def is_public_layer(value):
    return (
        isinstance(value, type)
        and issubclass(value, nn.Layer)
        and not issubclass(value, nn.Sequential)
    )


def test_every_layer_has_an_example():
    public = {name for name, value in vars(nn).items() if is_public_layer(value)} - {"Layer"}
    assert public == EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_parameter_of_a_constructor_is_an_attribute(name):
    make, x = EXAMPLES[name]
    layer = make()
    layer(x)
    parameters = inspect.signature(type(layer)).parameters
    assert {"input_shape", "name"} <= parameters.keys()
    assert all(hasattr(layer, parameter) for parameter in parameters)
    again = type(layer)(**{parameter: getattr(layer, parameter) for parameter in parameters})
    again(x)  # so that it is built
    for parameter in parameters:
        assert getattr(again, parameter) == getattr(layer, parameter)
    assert [t.shape for t in again.parameters()] == [t.shape for t in layer.parameters()]
    assert repr(layer).startswith(f"{name}(")


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"Lambda"}))
def test_every_layer_goes_through_json(name):
    make, x = EXAMPLES[name]
    layer = make()
    layer(x)
    layer.eval()
    again = from_config(json.loads(json.dumps(to_config(layer)))).eval()
    again(x)
    again.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(again(x).numpy(), layer(x).numpy())
    assert repr(again) == repr(layer)


@pytest.mark.parametrize("name", EXAMPLES)
def test_output_shape_and_flops_are_known_before_a_call(name):
    make, x = EXAMPLES[name]
    layer, several = make(), isinstance(x, list)
    expected = layer(x).shape[1:]
    assert layer(x).dtype == (np.float32 if name == "Embedding" else np.float64)
    if several:
        assert layer.flops([part.shape[1:] for part in x]) in (0, 4, 8)
        return
    fresh = make()
    assert fresh.output_shape(x.shape[1:]) == expected
    flops = fresh.flops(x.shape[1:])
    assert flops is None if name == "Lambda" else flops >= 0
    if name != "BatchNormalization":  # which takes the mean of a batch
        assert layer(x[:0]).shape == (0, *expected)


CHANCE = {"Dropout", "GaussianDropout", "GaussianNoise"}


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - CHANCE))
def test_gradients_of_every_layer(name):
    make, x = EXAMPLES[name]
    if isinstance(x, list):
        inputs = [Tensor(part, requires_grad=True) for part in x]
        engine.gradgradcheck(lambda *parts: make()(list(parts)), inputs)
    elif name == "Embedding":
        layer = in_float64(make(), 3)
        engine.gradcheck(lambda table: engine.take(table, x, 0), layer.embeddings.numpy())
        engine.sum(layer(x) * 2).backward()
        expected = 2 * np.bincount(x.ravel(), minlength=7)[:, None] * np.ones(2)
        np.testing.assert_array_equal(layer.embeddings.grad.numpy(), expected)
    else:
        checked_gradients(make(), x, engine.gradgradcheck)


# -------------------------------------------------------------------------- activation layers


@pytest.mark.parametrize("name", sorted(nn.activations.ACTIVATIONS))
def test_an_activation_by_name_is_the_layer_of_default_settings(name):
    x = samples(3, 4)
    by_name = nn.Activation(name)(x).numpy()
    layers = [
        layer
        for layer in vars(activation_layers).values()
        if is_public_layer(layer)
        and "activation" in vars(layer)
        and layer.activation is nn.activations.get(name)
    ]
    assert layers
    for layer in layers:
        np.testing.assert_array_equal(layer()(x).numpy(), by_name)
    dense = nn.Dense(3, activation=name, input_shape=(4,))
    assert nn.Sequential([dense]).last_activation() == {"swish": "silu"}.get(name, name)


def test_settings_of_activation_layers_reach_the_function():
    x = samples(50)[:, None]
    for layer, expected in (
        (nn.LeakyReLU(0.3), np.where(x > 0, x, 0.3 * x)),
        (nn.ELU(2), np.where(x > 0, x, 2 * np.expm1(x))),
        (nn.CELU(2), np.where(x > 0, x, 2 * np.expm1(x / 2))),
        (nn.Softmax(axis=0), np.exp(x) / np.exp(x).sum()),
        (nn.LogSoftmax(axis=0), x - np.log(np.exp(x).sum())),
    ):
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12)
    assert (nn.GELU(True)(x).numpy() != nn.GELU()(x).numpy()).any()
    assert repr(nn.LeakyReLU(0.3)) == "LeakyReLU(0.3)"
    assert repr(nn.GELU(True)) == "GELU(approximate=True)"


def test_prelu_learns_its_slope():
    layer = nn.PReLU(alpha_initializer=nn.initializers.Constant(0.25), shared_axes=(1,))
    x = samples(2, 3, 4)
    np.testing.assert_allclose(layer(x).numpy(), np.where(x > 0, x, 0.25 * x), rtol=1e-12)
    assert layer.alpha.shape == (1, 4) and layer.parameters() == [layer.alpha]
    assert nn.Sequential([nn.Dense(2), layer]).last_activation() == "prelu"


# ---------------------------------------------------------------------------- chance


def test_dropout_keeps_the_mean_and_draws_from_the_seed():
    layer, x = nn.Dropout(0.25), np.ones((100, 200), "float32")
    engine.seed(1)
    out = layer(x).numpy()
    assert set(np.unique(out)) == {0, np.float32(1 / 0.75)}
    assert abs((out == 0).mean() - 0.25) < 0.01
    engine.seed(1)
    np.testing.assert_array_equal(layer(x).numpy(), out)
    assert (layer(x).numpy() != out).any()
    assert layer.eval()(x).numpy().base is None or (layer(x).numpy() == x).all()
    leaf = Tensor(x, requires_grad=True)
    engine.seed(1)
    engine.sum(layer.train()(leaf)).backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), out)
    assert nn.Dropout(0)(leaf) is leaf


def test_dropout_broadcasts_its_noise():
    x = np.ones((50, 3, 4), "float32")
    out = nn.Dropout(0.5, noise_shape=(None, 1, 4))(x).numpy()
    assert (out == out[:, :1]).all() and {0, 2} == set(out.ravel().tolist())


@pytest.mark.parametrize(
    "layer, mean, deviation",
    [(nn.GaussianNoise(0.5), 3, 0.5), (nn.GaussianDropout(0.2), 3, 3 * 0.5)],
    ids=["noise", "dropout"],
)
def test_gaussian_layers_have_their_moments(layer, mean, deviation):
    x = np.full((200, 200), 3, "float32")
    out = layer(x).numpy()
    assert out.dtype == np.float32
    np.testing.assert_allclose([out.mean(), out.std()], [mean, deviation], rtol=0.02)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x)


# ---------------------------------------------------------------------------- normalizations


@pytest.mark.parametrize("axis, shape", [(-1, (6, 4)), (1, (5, 3, 2)), (-1, (5, 3, 2))])
def test_batch_normalization_by_its_formula(axis, shape):
    layer = in_float64(nn.BatchNormalization(axis=axis, momentum=0.8), *shape[1:])
    others = tuple(a for a in range(len(shape)) if a != axis % len(shape))
    fit = [n if a not in others else 1 for a, n in enumerate(shape)]
    layer.gamma.data[:], layer.beta.data[:] = 2, 1
    moving_mean, moving_variance = 0.0, 1.0
    for seed in range(3):
        x = samples(*shape, seed=seed) * 3 + 5
        mean, variance = x.mean(others), x.var(others)
        expected = 2 * (x - mean.reshape(fit)) / np.sqrt(variance.reshape(fit) + 1e-3) + 1
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-10)
        moving_mean = 0.8 * moving_mean + 0.2 * mean
        moving_variance = 0.8 * moving_variance + 0.2 * variance
        np.testing.assert_allclose(layer.moving_mean.numpy(), moving_mean, rtol=1e-12)
        np.testing.assert_allclose(layer.moving_variance.numpy(), moving_variance, rtol=1e-12)
    state = layer.state_dict()
    assert set(state) == {"gamma", "beta", "moving_mean", "moving_variance"}
    scale = np.sqrt(moving_variance.reshape(fit) + 1e-3)
    expected = 2 * (x - moving_mean.reshape(fit)) / scale + 1
    frozen, evaluating = layer, in_float64(nn.BatchNormalization(axis=axis), *shape[1:]).eval()
    evaluating.load_state_dict(state)
    frozen.trainable = False
    for layer in (frozen, evaluating):
        np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-10)
        np.testing.assert_array_equal(layer.moving_mean.numpy(), state["moving_mean"])
    frozen.trainable = True
    frozen(x)
    assert (frozen.moving_mean.numpy() != state["moving_mean"]).all()
    assert frozen.moving_mean.requires_grad is False


def test_batch_normalization_differentiates_in_inference_too():
    layer = nn.BatchNormalization().eval()
    assert checked_gradients(layer, samples(6, 4))
    assert checked_gradients(nn.BatchNormalization(axis=1), samples(4, 3, 2), engine.gradgradcheck)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("make", [nn.BatchNormalization, nn.LayerNormalization])
def test_centre_and_scale_may_be_left_out(make, center, scale):
    layer = make(center=center, scale=scale)
    x = samples(6, 4)
    layer(x)
    assert len(layer.parameters()) == center + scale
    assert checked_gradients(layer, x)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (1, 3)])
def test_layer_normalizations_by_their_formulas(axis):
    x = samples(2, 3, 4, 5) * 3 + 2
    layer = in_float64(nn.LayerNormalization(axis=axis), 3, 4, 5)
    mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    expected = (x - mean) / np.sqrt(variance + 1e-3)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-10)
    rms = in_float64(nn.RMSNormalization(axis=axis), 3, 4, 5)
    expected = x / np.sqrt(np.square(x).mean(axis, keepdims=True) + 1e-6)
    np.testing.assert_allclose(rms(x).numpy(), expected, rtol=1e-10)
    checked_gradients(layer, x)
    checked_gradients(rms, x)


@pytest.mark.parametrize("offset", [1e3, 1e4])
def test_normalizations_keep_their_digits_beside_a_large_mean(offset):
    x = (samples(64, 32) + offset).astype("float32")
    exact = x.astype("float64")
    for layer, axis in ((nn.LayerNormalization(), 1), (nn.BatchNormalization(), 0)):
        mean, variance = exact.mean(axis, keepdims=True), exact.var(axis, keepdims=True)
        expected = (exact - mean) / np.sqrt(variance + 1e-3)
        np.testing.assert_allclose(layer(x).numpy(), expected, atol=offset * 1e-6)


def test_group_normalization_with_one_group_per_feature():
    x = samples(2, 6, 4)
    layer = in_float64(nn.GroupNormalization(groups=-1), 6, 4)
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-10)
    flat = in_float64(nn.GroupNormalization(2), 4)
    parts = x[0, :, :].reshape(6, 2, 2)
    apart = parts - parts.mean(2, keepdims=True)
    expected = apart / np.sqrt(parts.var(2, keepdims=True) + 1e-3)
    np.testing.assert_allclose(flat(x[0]).numpy(), expected.reshape(6, 4), rtol=1e-9)


# ----------------------------------------------------------------------------- preprocessing


def test_rescaling_takes_bytes():
    out = nn.Rescaling(1 / 255, offset=-0.5)(np.array([[0, 255]], "uint8"))
    np.testing.assert_allclose(out.numpy(), [[-0.5, 0.5]], rtol=1e-6)
    assert out.dtype == np.float32


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None])
def test_normalization_adapts(axis, monkeypatch):
    monkeypatch.setattr(nn.layers.preprocessing, "_CHUNK", 50)
    x = samples(40, 3, 4) * np.arange(1, 5) + 1e6
    kept = () if axis is None else np.atleast_1d(axis) % 3
    others = tuple(a for a in range(3) if a not in kept)
    layer = in_float64(nn.Normalization(axis=axis), 3, 4)
    for data in (x, iter([x[:7], x[7:]])):
        layer.adapt(data)
        mean, variance = x.mean(others, keepdims=True), x.var(others, keepdims=True)
        np.testing.assert_allclose(layer.data_mean.numpy(), mean[0], rtol=1e-14)
        np.testing.assert_allclose(layer.data_variance.numpy(), variance[0], rtol=1e-10)
    expected = (x - mean) / np.sqrt(variance)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-6, atol=1e-9)
    back = in_float64(nn.Normalization(axis=axis, invert=True), 3, 4)
    back.load_state_dict(layer.state_dict())
    np.testing.assert_allclose(back(expected).numpy(), x, rtol=1e-12)


def test_normalization_with_given_statistics_and_without_spread():
    layer = nn.Normalization(mean=[1, 2], variance=[4, 0])
    np.testing.assert_allclose(layer(np.array([[3.0, 2.0]], "float32")).numpy(), [[1, 0]])
    assert layer.parameters() == [] and len(layer.state_dict()) == 3


def test_normalization_reads_a_memory_map_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(nn.layers.preprocessing, "_CHUNK", 1 << 10)
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "uint8", (5000, 3))
    x[:] = np.random.default_rng(0).integers(0, 255, x.shape)
    layer = nn.Normalization()
    layer.adapt(x)
    np.testing.assert_allclose(layer.data_mean.numpy(), np.asarray(x).mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.data_variance.numpy(), np.asarray(x).var(0), rtol=1e-6)


# --------------------------------------------------------------------------- graphs, own layers


def test_own_modules_and_layers_in_a_sequential_model_learn_their_shapes():
    class Residual(nn.Module):
        def __init__(self):
            self.inner = nn.Dense(4, activation="relu")

        def forward(self, x):
            return nn.Concatenate()([x, self.inner(x)])

    class Scaled(nn.Layer):
        def build(self, input_shape):
            self.add_weight("scale", input_shape, nn.initializers.ones)

        scale = None

        def forward(self, x):
            return x * self.scale

    model = nn.Sequential([nn.Dense(4, input_shape=(3,)), Residual(), Scaled(), nn.Dense(2)])
    assert model.output_shape((3,)) == (2,)
    model.ensure_built()
    assert model.layers[1].name == "residual"
    assert [p.shape for p in model.parameters()] == [
        *((3, 4), (4,), (4, 4), (4,), (8,), (8, 2), (2,)),
    ]
    assert model.last_activation() == "linear"
    assert nn.Sequential([nn.Dense(1), Residual()]).last_activation() is None
    assert nn.Sequential([nn.Sigmoid(), nn.Reshape((2, 2))]).last_activation() == "sigmoid"


def test_a_trace_leaves_modes_statistics_and_the_generator_alone():
    class Block(nn.Module):
        def __init__(self):
            self.layers = [nn.Dense(4), nn.BatchNormalization(), nn.Dropout(0.5)]
            self.layers[2].eval()

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    block = Block()
    before = engine.random.state()
    assert block.output_shape((3,)) == (4,)
    assert engine.random.state() == before
    assert [layer.training for layer in block.layers] == [True, True, False]
    assert (block.layers[1].moving_variance.numpy() == 1).all()


def test_default_kernels_suit_the_activation():
    def spread(activation, *layers):
        dense = nn.Dense(400, activation=activation, input_shape=(300,))
        nn.Sequential([dense, *layers]).ensure_built()
        return dense.kernel.numpy().var() * 300

    for name in ("relu", "relu6", "elu", "gelu", "silu", "mish", "celu"):
        np.testing.assert_allclose(spread(name), 2, rtol=0.02)
    np.testing.assert_allclose(spread(None, nn.PReLU()), 2, rtol=0.02)
    np.testing.assert_allclose(spread("selu"), 1, rtol=0.02)
    np.testing.assert_allclose(spread(None, nn.SELU()), 1, rtol=0.02)
    np.testing.assert_allclose(spread("leaky_relu"), 2 / 1.0001, rtol=0.02)
    np.testing.assert_allclose(spread(None, nn.LeakyReLU(1.0)), 1, rtol=0.02)
    for name in ("tanh", "sigmoid", "softmax", None):
        np.testing.assert_allclose(spread(name), 2 * 300 / 700, rtol=0.02)


# -------------------------------------------------------------------------------------- errors


def normalized(*arguments, shape=(4,), **keywords):
    return nn.Normalization(*arguments, **keywords, input_shape=shape)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: nn.Dense(2, activation=nn.ReLU), TypeError, r"the class: write ReLU\(\)"),
        (
            lambda: nn.Dense(2, kernel_initializer=nn.initializers.HeNormal),
            TypeError,
            r"HeNormal\(",
        ),
        (lambda: nn.Dense(2)(np.zeros(3)), ValueError, "Dense: expected examples with at least"),
        (lambda: nn.LeakyReLU("x"), ValueError, "LeakyReLU: expected negative_slope .* got 'x'"),
        (lambda: nn.CELU(0), ValueError, "CELU: expected alpha to be a number above 0, got 0"),
        (lambda: nn.GELU("tanh"), TypeError, "GELU: expected approximate to be True or False"),
        (lambda: nn.Softmax(axis=4)(np.zeros((2, 3))), ValueError, "softmax: axis 4 is out of"),
        (
            lambda: nn.PReLU(shared_axes=[2])(np.zeros((2, 3))),
            ValueError,
            r"PReLU: expected shared_axes from 1 to 1, for input of shape \(n, 3\), got 2",
        ),
        (lambda: nn.PReLU(shared_axes=["a"]), TypeError, "shared_axes to be integers, got"),
        (lambda: nn.Dropout(1), ValueError, "Dropout: expected rate .* at least 0 and below 1"),
        (lambda: nn.Dropout(-0.1), ValueError, "Dropout: expected rate .* got -0.1"),
        (
            lambda: nn.Dropout(0.5, noise_shape=(2, 2))(np.zeros((2, 3))),
            ValueError,
            r"Dropout: noise_shape \(2, 2\) does not broadcast to the input's shape \(2, 3\)",
        ),
        (lambda: nn.GaussianNoise(-1), ValueError, "GaussianNoise: expected stddev"),
        (lambda: nn.GaussianDropout(True), ValueError, "GaussianDropout: expected rate"),
        (lambda: nn.Embedding(0, 2), ValueError, "Embedding: expected input_dim"),
        (
            lambda: nn.Embedding(3, 2, name="words")(np.array([[0, 3]])),
            ValueError,
            "words: expected integers from 0 to 2, got 0 to 3",
        ),
        (
            lambda: nn.Embedding(3, 2)(np.array([[0, -1]])),
            ValueError,
            "Embedding: expected integers from 0 to 2, got -1 to 0",
        ),
        (
            lambda: nn.Embedding(3, 2)(np.zeros((1, 2))),
            TypeError,
            r"expected integers from 0 to 2, got float64; write x.astype\(int\)",
        ),
        (lambda: nn.Lambda(3), TypeError, "Lambda: expected a function, got 3"),
        (lambda: nn.Reshape((0, 2)), ValueError, r"Reshape: expected target_shape .* \(0, 2\)"),
        (lambda: nn.Reshape((-1, -1)), ValueError, "one may be -1"),
        (
            lambda: nn.Reshape((4, 2))(np.zeros((2, 3, 2))),
            ValueError,
            r"Reshape: an example of shape \(3, 2\) has 6 elements, .* fit into \(4, 2\)",
        ),
        (lambda: nn.Permute((0, 1)), ValueError, r"Permute: expected dims .* got \(0, 1\)"),
        (
            lambda: nn.Permute((2, 1))(np.zeros((2, 3))),
            ValueError,
            r"Permute: expected examples with 2 axes, got shape \(3,\)",
        ),
        (lambda: nn.Add()(np.zeros(3)), TypeError, r"Add\(\)\(\[x, y\]\), got ndarray"),
        (lambda: nn.Add()([1.0]), TypeError, "Add: expected a list of at least two inputs"),
        (lambda: nn.Subtract()([1.0, 2.0, 3.0]), ValueError, "Subtract: expected exactly two"),
        (lambda: nn.BatchNormalization(momentum=1), ValueError, "momentum .* below 1, got 1"),
        (lambda: nn.BatchNormalization(epsilon=-1), ValueError, "BatchNormalization: .*epsilon"),
        (
            lambda: nn.BatchNormalization(axis=2)(np.zeros((2, 3))),
            ValueError,
            "expected axis from 1 to 1, or negative, for input with 2 axes, got 2",
        ),
        (
            lambda: nn.BatchNormalization(input_shape=(3,))(np.zeros((2, 4))),
            ValueError,
            r"BatchNormalization: expected 3 features along axis 1, got input of shape \(2, 4\)",
        ),
        (lambda: nn.LayerNormalization(axis=0)(np.zeros((2, 3))), ValueError, "axis from 1 to 1"),
        (
            lambda: nn.LayerNormalization(input_shape=(3,))(np.zeros((2, 4))),
            ValueError,
            r"LayerNormalization: expected lengths \(3,\) along axis -1, got .* \(2, 4\)",
        ),
        (
            lambda: nn.RMSNormalization(input_shape=(3,))(np.zeros((2, 4))),
            ValueError,
            r"RMSNormalization: expected lengths \(3,\) along axis -1, got .* \(2, 4\)",
        ),
        (
            lambda: nn.GroupNormalization(3)(np.zeros((2, 4))),
            ValueError,
            "GroupNormalization: expected a number of features that 3 groups can share",
        ),
        (lambda: normalized(mean=[1]), ValueError, "expected both mean and variance, or neither"),
        (lambda: normalized()(np.zeros((2, 4))), ValueError, r"call adapt\(x\) with the training"),
        (
            lambda: normalized(mean=[1, 2], variance=[1, 2])(np.zeros((2, 4))),
            ValueError,
            r"Normalization: expected mean for 4 features, got shape \(2,\)",
        ),
        (lambda: normalized(axis=3).adapt(np.zeros((2, 4))), ValueError, "axis from 1 to 1, or"),
        (lambda: normalized().adapt(np.zeros((0, 4))), ValueError, "there are no data to adapt"),
        (lambda: normalized().adapt(np.zeros(4)), ValueError, r"data of shape \(n, ...\)"),
        (
            lambda: normalized().adapt(np.zeros((2, 3))),
            ValueError,
            r"expected examples of shape \(4,\) to adapt to, got \(3,\)",
        ),
        (
            lambda: normalized().adapt(np.full((2, 4), np.nan)),
            ValueError,
            "the data to adapt to hold nan or inf",
        ),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    "layer, expected",
    [
        (nn.Dense(3), 3 * (2 * 5 + 1)),
        (nn.Dense(3, use_bias=False), 3 * 2 * 5),
        (nn.BatchNormalization(), 5 * 4),
        (nn.BatchNormalization(scale=False), 5 * 3),
        (nn.LayerNormalization(), 5 * 7),
        (nn.LayerNormalization(scale=False, center=False), 5 * 5),
        (nn.RMSNormalization(), 5 * 4),
    ],
)
def test_flops_of_an_example_of_five_numbers(layer, expected):
    assert layer.flops((5,)) == expected


def test_the_order_of_axes_does_not_matter(rng):
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    for kind in (nn.LayerNormalization, nn.RMSNormalization):
        layer, turned = kind(axis=(1, 2)), kind(axis=(2, 1))
        np.testing.assert_array_equal(layer(x).numpy(), turned(x).numpy())
        assert [p.shape for p in turned.parameters()] == [p.shape for p in layer.parameters()]
