"""Layers that normalize, there and back with their weights' gradients, beside PyTorch's."""

import functools
import importlib.util

import numpy as np

import nn
from engine import Tensor
from engine.kernels import _jit

from .report import Row, say
from .timing import PAUSE, best_times

SHAPES = [(32, 784), (128, 512), (1024, 1024)]
LAYERS = {
    "BatchNormalization": (nn.BatchNormalization, ("gamma", "beta"), "BatchNorm1d"),
    "LayerNormalization": (nn.LayerNormalization, ("gamma", "beta"), "LayerNorm"),
    "RMSNormalization": (nn.RMSNormalization, ("scale",), "RMSNorm"),
}
EPSILON = 1e-3


def run(options, table):
    """Add a row for each layer, shape, dtype and number of threads."""
    torch = None
    if options.peers and "torch" not in options.peers:
        say("normalization: torch, its only peer, is not wanted")
    elif importlib.util.find_spec("torch") is None:
        say("normalization: torch is left out, it is not installed")
    else:
        torch = importlib.import_module("torch")
    for dtype in options.dtypes:
        for threads in sorted(set(options.threads or [_jit.get_num_threads()])):
            _jit.set_num_threads(threads)
            if torch:
                torch.set_num_threads(threads)
            group = f"normalizations {dtype}, {threads} threads"
            for name, shape in ((name, shape) for name in LAYERS for shape in SHAPES):
                case = f"{name} {shape[0]}x{shape[1]}"
                if not options.cases or options.cases in case:
                    times = timed(name, shape, dtype, torch, options, threads)
                    table.add(Row(group, case, times.pop("ours"), times))


def timed(name, shape, dtype, torch, options, threads):
    """Seconds by contestant, after a comparison of the gradients with the formula's."""
    x, g = np.random.default_rng(0).normal(size=(2, *shape)).astype(dtype)
    calls = {"ours": ours(name, x, g)}
    if torch:
        calls["torch"] = theirs(torch, name, x, g)
    expected = slope(name, x.astype(float), g.astype(float))
    for contestant, call in calls.items():
        np.testing.assert_allclose(call(), expected, atol=1e-4, err_msg=f"{contestant}: {name}")
    pause = PAUSE if threads > 1 else 0.0
    return dict(zip(calls, best_times(list(calls.values()), 3 * options.turns, pause=pause)))


def slope(name, x, g):
    """The gradient of x in float64, scale and offset being 1 and 0."""
    axis = 0 if name == "BatchNormalization" else 1
    mean = functools.partial(np.mean, axis=axis, keepdims=True)
    if name == "RMSNormalization":
        s = 1 / np.sqrt(mean(x * x) + EPSILON)
        return s * (g - x * s * mean(g * x * s))
    s = 1 / np.sqrt(x.var(axis, keepdims=True) + EPSILON)
    z = (x - mean(x)) * s
    return s * (g - mean(g) - z * mean(g * z))


def ours(name, x, g):
    make, weights, _ = LAYERS[name]
    layer = make(epsilon=EPSILON)
    layer(x)  # which makes its weights
    for weight in weights:
        tensor = getattr(layer, weight)
        tensor.data = tensor.data.astype(x.dtype)
    x = Tensor(x, requires_grad=True)
    tensors = [x, *(getattr(layer, weight) for weight in weights)]

    def call():
        for tensor in tensors:
            tensor.grad = None
        layer(x).backward(g)
        return x.grad.numpy()

    return call


def theirs(torch, name, x, g):
    layer = getattr(torch.nn, LAYERS[name][2])(x.shape[1], eps=EPSILON)
    layer = layer.to(getattr(torch, x.dtype.name))
    x, g = torch.tensor(x, requires_grad=True), torch.tensor(g)

    def call():
        x.grad = None
        layer.zero_grad()
        layer(x).backward(g)
        return x.grad.numpy()

    return call
