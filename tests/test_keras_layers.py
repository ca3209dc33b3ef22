"""Layers and initializers against Keras, where it is installed: values, gradients, statistics."""

import os
import warnings

import numpy as np
import pytest

import nn
from engine import Tensor

torch = pytest.importorskip("torch", reason="PyTorch, Keras's backend here, is not installed")
os.environ.setdefault("KERAS_BACKEND", "torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its imports, which are not ours
    keras = pytest.importorskip("keras", reason="Keras, the peer of these tests, is not installed")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="these tests take Keras's gradients from PyTorch"
)

TOLERANCES = {"float32": {"rtol": 1e-5, "atol": 1e-5}, "float64": {"rtol": 1e-10, "atol": 1e-10}}
# Of these Keras gives some seven digits in float64 too: they are in test_torch_layers.py.
OF_FEW_DIGITS = {"HardSigmoid", "Maximum", "Minimum", "Dense", "BatchNormalization"}
OF_FEW_DIGITS |= {"GroupNormalization", "LayerNormalization", "RMSNormalization"}
FLAT, CUBE = (6, 8), (5, 3, 4)

# (name, settings, shape of the input): the same class in both.
SAME = [
    ("Activation", {"activation": "gelu"}, FLAT),
    ("BatchNormalization", {}, FLAT),
    ("BatchNormalization", {"axis": 1, "momentum": 0.7, "epsilon": 0.01}, CUBE),
    ("BatchNormalization", {"center": False, "scale": False}, CUBE),
    ("Dense", {"units": 7}, FLAT),
    ("Dense", {"units": 7, "activation": "softmax", "use_bias": False}, FLAT),
    ("Dense", {"units": 7, "activation": "tanh"}, CUBE),
    ("ELU", {"alpha": 0.7}, FLAT),
    ("Flatten", {}, CUBE),
    ("GroupNormalization", {"groups": 2}, CUBE),
    ("GroupNormalization", {"groups": -1}, CUBE),
    ("GroupNormalization", {"groups": 4, "epsilon": 0.1}, FLAT),
    ("LayerNormalization", {}, FLAT),
    ("LayerNormalization", {"axis": (1, 2), "epsilon": 0.1}, CUBE),
    ("LayerNormalization", {"center": False}, CUBE),  # Keras fails for axis=1 on PyTorch
    ("LeakyReLU", {"negative_slope": 0.3}, FLAT),
    ("Normalization", {"mean": 3.0, "variance": 4.0}, FLAT),
    ("PReLU", {}, CUBE),
    ("PReLU", {"shared_axes": [1]}, CUBE),
    ("Permute", {"dims": (2, 1)}, CUBE),
    ("RMSNormalization", {}, FLAT),
    ("RMSNormalization", {"epsilon": 0.1}, CUBE),
    ("ReLU", {}, FLAT),
    ("Rescaling", {"scale": 0.5, "offset": 2.0}, FLAT),
    ("Reshape", {"target_shape": (2, -1)}, FLAT),
    ("Softmax", {"axis": 1}, CUBE),
]
MERGES = ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"]
# Layers of ours whose namesake in Keras is an activation by name only.
BY_NAME = {
    "CELU": "celu",
    "GELU": "gelu",
    "HardSigmoid": "hard_sigmoid",
    "HardTanh": "hard_tanh",
    "LogSigmoid": "log_sigmoid",
    "LogSoftmax": "log_softmax",
    "Mish": "mish",
    "ReLU6": "relu6",
    "SELU": "selu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
}


def compared(ours, theirs, arrays, dtype, training):
    """Value, gradients and weights afterwards of a layer and its twin, given the same numbers."""
    rng = np.random.default_rng(5)
    arrays = [array.astype(dtype) for array in arrays]
    inputs = [Tensor(array, requires_grad=True) for array in arrays]
    twins = [torch.tensor(array, requires_grad=True) for array in arrays]
    several = len(arrays) > 1
    theirs(twins if several else twins[0])  # which builds it
    if not several:
        ours.ensure_built(arrays[0].shape[1:])
        ours.astype(dtype)
    weights = [w for w in theirs.weights if "seed" not in w.name]
    for weight in weights:
        # Keras takes what it is assigned through float32.
        value = rng.uniform(0.5, 1.5, tuple(weight.shape)).astype("float32")
        weight.assign(value)
        getattr(ours, weight.name).data[...] = value
    out = ours.train(training)(inputs if several else inputs[0])
    expected = theirs(twins if several else twins[0], training=training)
    digits = "float32" if type(ours).__name__ in OF_FEW_DIGITS else dtype
    close = {**TOLERANCES[digits], "err_msg": type(ours).__name__}
    assert out.dtype == dtype
    np.testing.assert_allclose(out.numpy(), expected.detach().numpy(), **close)

    cotangent = rng.normal(size=out.shape).astype(dtype)
    out.backward(cotangent)
    expected.backward(torch.tensor(cotangent))
    for got, wanted in zip(inputs, twins):
        np.testing.assert_allclose(got.grad.numpy(), wanted.grad.numpy(), **close)
    for weight in weights:
        got = getattr(ours, weight.name)
        value = weight.value.detach().numpy()
        np.testing.assert_allclose(got.numpy(), value, **close)
        assert got.requires_grad == weight.trainable
        if weight.trainable:
            gradient = weight.value.grad.numpy()
            np.testing.assert_allclose(got.grad.numpy(), gradient, **close)


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name, settings, shape", SAME, ids=lambda value: str(value))
def test_layers(name, settings, shape, dtype, training):
    x = np.random.default_rng(0).normal(size=shape) * 2 + 1
    theirs = getattr(keras.layers, name)(**settings, dtype=dtype)
    compared(getattr(nn, name)(**settings), theirs, [x], dtype, training)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", BY_NAME)
def test_activation_layers_by_name(name, dtype):
    x = np.random.default_rng(0).normal(size=FLAT) * 3
    theirs = keras.layers.Activation(BY_NAME[name], dtype=dtype)
    compared(getattr(nn, name)(), theirs, [x], dtype, training=True)


def test_gelu_by_tanh():
    x = np.random.default_rng(0).normal(size=FLAT)
    theirs = keras.layers.Activation(lambda x: keras.ops.gelu(x, True), dtype="float64")
    compared(nn.GELU(approximate=True), theirs, [x], "float64", training=True)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", MERGES)
def test_merges(name, dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=FLAT) for _ in range(2 if name == "Subtract" else 3)]
    theirs = getattr(keras.layers, name)(dtype=dtype)
    compared(getattr(nn, name)(), theirs, arrays, dtype, training=True)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_embedding(dtype):
    rng = np.random.default_rng(0)
    indices, cotangent = rng.integers(0, 5, (4, 3)), rng.normal(size=(4, 3, 2)).astype(dtype)
    ours, theirs = nn.Embedding(5, 2), keras.layers.Embedding(5, 2, dtype=dtype)
    out, expected = ours(indices), theirs(torch.tensor(indices))
    ours.astype(dtype)
    theirs.embeddings.assign(ours.embeddings.numpy())
    out, expected = ours(indices), theirs(torch.tensor(indices))
    np.testing.assert_array_equal(out.numpy(), expected.detach().numpy())
    out.backward(cotangent)
    expected.backward(torch.tensor(cotangent))
    gradient = theirs.embeddings.value.grad.numpy()
    np.testing.assert_allclose(ours.embeddings.grad.numpy(), gradient, **TOLERANCES[dtype])


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None], ids=str)
def test_adapted_normalization(axis):
    x = (np.random.default_rng(0).normal(size=(50, 3, 4)) * 3 + 100).astype("float32")
    ours, theirs = nn.Normalization(axis=axis), keras.layers.Normalization(axis=axis)
    ours.adapt(x)
    theirs.adapt(x)
    np.testing.assert_allclose(ours(x).numpy(), theirs(x).detach().numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["Dropout", "GaussianDropout", "GaussianNoise"])
def test_chance_has_the_same_moments(name):
    x = np.full((300, 200), 2, "float32")
    ours, theirs = getattr(nn, name)(0.3), getattr(keras.layers, name)(0.3)
    out, expected = ours(x).numpy(), theirs(torch.tensor(x), training=True).numpy()
    np.testing.assert_allclose(out.mean(), expected.mean(), rtol=0.02)
    np.testing.assert_allclose(out.std(), expected.std(), rtol=0.02)
    assert name != "Dropout" or (np.unique(out) == np.unique(expected)).all()
    np.testing.assert_array_equal(ours.eval()(x).numpy(), theirs(torch.tensor(x)).numpy())


def test_activity_regularization():
    x = np.random.default_rng(0).normal(size=FLAT).astype("float32")
    settings = {"units": 3, "kernel_initializer": "ones"}
    ours = nn.Dense(**settings, activity_regularizer="l2", bias_regularizer="l1")
    theirs = keras.layers.Dense(**settings, activity_regularizer="l2", bias_regularizer="l1")
    ours(x), theirs(torch.tensor(x))
    expected = sum(loss.item() for loss in theirs.losses)
    np.testing.assert_allclose(ours.regularization().item(), expected, rtol=1e-5)


# ----------------------------------------------------------------------------- initializers

DRAWN = [
    ("RandomNormal", {"mean": 1.0, "stddev": 0.2}),
    ("TruncatedNormal", {"mean": 1.0, "stddev": 0.2}),
    ("RandomUniform", {"minval": -1.0, "maxval": 3.0}),
    ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "untruncated_normal"}),
    ("VarianceScaling", {"mode": "fan_avg", "distribution": "uniform"}),
    *((kind + form, {}) for kind in ("Glorot", "He", "Lecun") for form in ("Normal", "Uniform")),
]


@pytest.mark.parametrize("shape", [(300, 500), (3, 4, 50, 200), (80000,)], ids=str)
@pytest.mark.parametrize("name, settings", DRAWN, ids=lambda value: str(value))
def test_initializers_have_the_same_distribution(name, settings, shape):
    ours = getattr(nn.initializers, name)(**settings)(shape)
    theirs = getattr(keras.initializers, name)(**settings, seed=1)(shape).numpy()
    deviation = theirs.std()
    np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=0.02 * deviation)
    np.testing.assert_allclose(ours.std(), deviation, rtol=0.02)
    for share in (0, 1, 20, 80, 99, 100):
        # The extremes of an unbounded distribution are chance.
        bounded = share not in (0, 100) or "Normal" not in name or name != "RandomNormal"
        if bounded and settings.get("distribution") != "untruncated_normal":
            got, wanted = np.percentile(ours, share), np.percentile(theirs, share)
            np.testing.assert_allclose(got, wanted, atol=0.05 * deviation)


@pytest.mark.parametrize(
    "name, settings, shape",
    [("Zeros", {}, (3, 4)), ("Ones", {}, (3,)), ("Constant", {"value": 2.5}, (2, 3))]
    + [("Identity", {"gain": 3.0}, (3, 4))],
)
def test_initializers_without_chance_are_equal(name, settings, shape):
    ours = getattr(nn.initializers, name)(**settings)(shape)
    np.testing.assert_array_equal(ours, getattr(keras.initializers, name)(**settings)(shape))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 3, 5)], ids=str)
def test_orthogonal_is_as_orthogonal(shape):
    for initializers in (nn.initializers, keras.initializers):
        values = np.asarray(initializers.Orthogonal(gain=2.0)(shape))
        matrix = values.reshape(-1, shape[-1])
        matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        np.testing.assert_allclose(matrix.T @ matrix, 4 * np.eye(matrix.shape[1]), atol=1e-5)


def test_defaults_of_settings_are_those_of_keras():
    import inspect

    differing = {
        "Dense.kernel_initializer",  # ours fits the activation
        "LeakyReLU.negative_slope",  # ours is that of the paper
    }
    found = set()
    for kind, theirs in ((nn, keras.layers), (nn.initializers, keras.initializers)):
        for name, ours in vars(kind).items():
            if not isinstance(ours, type) or not hasattr(theirs, name) or name == "Layer":
                continue
            peers = inspect.signature(getattr(theirs, name)).parameters
            for parameter, mine in inspect.signature(ours).parameters.items():
                peer = peers.get(parameter)
                if peer is None:
                    assert parameter in ("input_shape", "name"), f"{name}.{parameter}"
                elif str(peer.default).lower() != str(mine.default).lower():
                    found.add(f"{name}.{parameter}")
    assert found == differing
