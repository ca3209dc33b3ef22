"""Layers against their namesakes in PyTorch, where it is installed, in float32 and float64."""

import numpy as np
import pytest

import nn
from engine import Tensor

torch = pytest.importorskip("torch", reason="PyTorch, the peer of these tests, is not installed")

TOLERANCES = {"float32": {"rtol": 1e-5, "atol": 1e-5}, "float64": {"rtol": 1e-10, "atol": 1e-10}}
FLAT, CUBE = (6, 8), (5, 3, 4)
AFFINE = {"gamma": "weight", "beta": "bias"}
MOVING = {"moving_mean": "running_mean", "moving_variance": "running_var"}


def linear():
    return torch.nn.Linear(8, 7)


def batch_norm(features):
    # There `momentum` is the share of the new.
    return torch.nn.BatchNorm1d(features, eps=1e-3, momentum=0.01)


def features_first(layer):
    """A layer of PyTorch whose features lie along axis 1, for input where they come last."""
    return lambda x: layer(x.movedim(-1, 1)).movedim(1, -1)


# (ours, theirs, how theirs is called, {our weight: theirs}, shape of the input)
CASES = {
    "Dense": (nn.Dense(7), linear(), None, {"kernel": "weight", "bias": "bias"}, FLAT),
    "BatchNormalization": (
        nn.BatchNormalization(),
        batch_norm(8),
        None,
        {**AFFINE, **MOVING},
        FLAT,
    ),
    "BatchNormalization, axis 1": (
        nn.BatchNormalization(axis=1),
        batch_norm(3),
        None,
        {**AFFINE, **MOVING},
        CUBE,
    ),
    "LayerNormalization": (
        nn.LayerNormalization(),
        torch.nn.LayerNorm(8, eps=1e-3),
        None,
        AFFINE,
        FLAT,
    ),
    "LayerNormalization, two axes": (
        nn.LayerNormalization(axis=(1, 2)),
        torch.nn.LayerNorm((3, 4), eps=1e-3),
        None,
        AFFINE,
        CUBE,
    ),
    "GroupNormalization": (
        nn.GroupNormalization(2),
        torch.nn.GroupNorm(2, 4, eps=1e-3),
        features_first,
        AFFINE,
        CUBE,
    ),
    "RMSNormalization": (
        nn.RMSNormalization(),
        torch.nn.RMSNorm(8, eps=1e-6),
        None,
        {"scale": "weight"},
        FLAT,
    ),
    "PReLU": (nn.PReLU(shared_axes=2), torch.nn.PReLU(3), None, {"alpha": "weight"}, CUBE),
    "GELU": (nn.GELU(), torch.nn.GELU(), None, {}, FLAT),
    "GELU, tanh": (nn.GELU(approximate=True), torch.nn.GELU("tanh"), None, {}, FLAT),
    "LeakyReLU": (nn.LeakyReLU(), torch.nn.LeakyReLU(), None, {}, FLAT),
    "ELU": (nn.ELU(0.7), torch.nn.ELU(0.7), None, {}, FLAT),
    # PyTorch holds 1 / alpha in float32, exact for 0.5 only.
    "CELU": (nn.CELU(0.5), torch.nn.CELU(0.5), None, {}, FLAT),
    "HardTanh": (nn.HardTanh(), torch.nn.Hardtanh(), None, {}, FLAT),
    "Mish": (nn.Mish(), torch.nn.Mish(), None, {}, FLAT),
    "SELU": (nn.SELU(), torch.nn.SELU(), None, {}, FLAT),
    "SiLU": (nn.SiLU(), torch.nn.SiLU(), None, {}, FLAT),
    "Softplus": (nn.Softplus(), torch.nn.Softplus(threshold=1e9), None, {}, FLAT),
    "LogSoftmax": (nn.LogSoftmax(), torch.nn.LogSoftmax(-1), None, {}, FLAT),
}


def copied(ours, theirs, weights, dtype):
    """Random weights in both; the pairs (our Tensor, theirs, whether it is transposed there)."""
    rng = np.random.default_rng(5)
    pairs = []
    for mine, other in weights.items():
        tensor, twin = getattr(ours, mine), getattr(theirs, other)
        value = rng.uniform(0.5, 1.5, tensor.shape).astype(dtype)
        tensor.data[...] = value
        with torch.no_grad():
            twin.copy_(torch.tensor(value.T if mine == "kernel" else value.reshape(twin.shape)))
        pairs.append((tensor, twin, mine))
    return pairs


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", CASES)
def test_layers(name, dtype, training):
    ours, theirs, called, weights, shape = CASES[name]
    rng, close = np.random.default_rng(0), TOLERANCES[dtype]
    array = (rng.normal(size=shape) * 2 + 1).astype(dtype)
    ours.ensure_built(shape[1:])
    ours.astype(dtype).train(training)
    theirs = theirs.to(getattr(torch, dtype)).train(training)
    theirs.zero_grad()
    pairs = copied(ours, theirs, weights, dtype)
    x, twin_x = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    out, expected = ours(x), (called(theirs) if called else theirs)(twin_x)
    np.testing.assert_allclose(out.numpy(), expected.detach().numpy(), **close)

    cotangent = rng.normal(size=out.shape).astype(dtype)
    for parameter in ours.parameters():
        parameter.grad = None
    out.backward(cotangent)
    expected.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(x.grad.numpy(), twin_x.grad.numpy(), **close)
    for tensor, twin, mine in pairs:
        if tensor.requires_grad:
            gradient = twin.grad.T if mine == "kernel" else twin.grad.reshape(tensor.shape)
            np.testing.assert_allclose(tensor.grad.numpy(), gradient.numpy(), **close)
        elif mine == "moving_mean":
            np.testing.assert_allclose(tensor.numpy(), twin.numpy(), **close)
        elif not training:
            # In training PyTorch lets the variance over n - 1 in.
            np.testing.assert_array_equal(tensor.numpy(), twin.numpy())
