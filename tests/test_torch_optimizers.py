"""Optimizers beside PyTorch, where it is installed and its formula is the same.

PyTorch adds epsilon after the correction for the first steps, or outside of the root: with an
epsilon of 0 on both sides the rules are one.
"""

import numpy as np
import pytest

import nn
from engine import Tensor

torch = pytest.importorskip("torch", reason="PyTorch, the peer of these tests, is not installed")

RTOL = {"float32": 1e-5, "float64": 1e-10}
SHAPES = [(7, 5), (5,), (40, 30)]
CASES = [
    ("SGD", {}, "SGD", {}),
    ("SGD", {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    (
        "SGD",
        {"momentum": 0.9, "nesterov": True},
        "SGD",
        {"momentum": 0.9, "nesterov": True},
    ),
    ("Adam", {"epsilon": 0}, "Adam", {"eps": 0}),
    ("Adam", {"epsilon": 0, "amsgrad": True}, "Adam", {"eps": 0, "amsgrad": True}),
    ("AdamW", {"epsilon": 0, "weight_decay": 0.1}, "AdamW", {"eps": 0, "weight_decay": 0.1}),
    ("Nadam", {"epsilon": 0}, "NAdam", {"eps": 0, "momentum_decay": 1.0}),
    ("RMSprop", {"epsilon": 0}, "RMSprop", {"eps": 0, "alpha": 0.9}),
    (
        "RMSprop",
        {"epsilon": 0, "momentum": 0.5, "centered": True},
        "RMSprop",
        {"eps": 0, "alpha": 0.9, "momentum": 0.5, "centered": True},
    ),
    ("Adagrad", {"epsilon": 0}, "Adagrad", {"eps": 0, "initial_accumulator_value": 0.1}),
    ("Adadelta", {"rho": 0.9}, "Adadelta", {"rho": 0.9, "eps": 1e-7}),
]


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("name, settings, peer, theirs", CASES)
def test_five_updates(name, settings, peer, theirs, dtype):
    rng = np.random.default_rng(4)
    starts = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
    parameters = [Tensor(start, requires_grad=True) for start in starts]
    twins = [torch.tensor(start, requires_grad=True) for start in starts]
    ours = getattr(nn.optimizers, name)(parameters, learning_rate=0.05, **settings)
    torchs = getattr(torch.optim, peer)(twins, lr=0.05, **theirs)
    # PyTorch keeps Nadam's product of decays in float32
    rtol = RTOL["float32" if name == "Nadam" else dtype]
    for _ in range(5):
        for parameter, twin in zip(parameters, twins):
            gradient = rng.normal(size=parameter.shape).astype(dtype)
            parameter.grad, twin.grad = Tensor(gradient), torch.from_numpy(gradient)
        ours.step()
        torchs.step()
        for parameter, twin in zip(parameters, twins):
            expected = twin.detach().numpy()
            np.testing.assert_allclose(parameter.numpy(), expected, rtol, rtol)
