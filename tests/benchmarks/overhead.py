"""What recording and walking back cost per operation, beside NumPy's own call and PyTorch's."""

import functools
import importlib.util

import numpy as np

import engine
from engine import Tensor

from .report import Row, say
from .timing import best_times, seconds

LENGTH = 100  # of the chain x * b + b
GROUP = "overhead, 8x8 float32"


def run(options, table):
    """Add rows for one recorded operation, and for a chain of them there and back."""
    rng = np.random.default_rng(0)
    x, b = (rng.uniform(0.5, 1, (8, 8)).astype("float32") for _ in range(2))
    tx, tb = Tensor(x, requires_grad=True), Tensor(b, requires_grad=True)
    if not np.array_equal(engine.add(tx, tb).numpy(), x + b):
        raise ValueError("overhead: our sum is wrong")
    calls = functools.partial(engine.add, tx, tb), functools.partial(np.add, x, b)
    ours, theirs = best_times(calls, 5 * options.turns)
    table.add(Row(GROUP, "a recorded add, and np.add", ours, {"numpy": theirs}))
    walk = min(walk_of_engine(tx, tb) for _ in range(5 * options.turns))
    table.add(Row(GROUP, "walk back, per addition in a chain", walk))

    chains = {"ours": chain_of_engine(x, b), **chain_of_torch(x, b, options)}
    gradients = {name: call() for name, call in chains.items()}
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, gradients["ours"], rtol=1e-4, err_msg=name)
    times = dict(zip(chains, best_times(list(chains.values()), 5 * options.turns)))
    case = f"{LENGTH} x (x * b + b), there and back"
    table.add(Row(GROUP, case, times.pop("ours"), times))


def chain_of_engine(x, b):
    x, b = Tensor(x, requires_grad=True), Tensor(b, requires_grad=True)
    ones = np.ones((8, 8), "float32")

    def run():
        x.grad = b.grad = None
        y = x
        for _ in range(LENGTH):
            y = y * b + b
        y.backward(ones)
        return x.grad.numpy()

    return run


def chain_of_torch(x, b, options):
    if options.peers and "torch" not in options.peers:
        return {}
    if importlib.util.find_spec("torch") is None:
        say("overhead: torch is left out, it is not installed")
        return {}
    import torch

    torch.set_num_threads(1)
    x, b = (torch.tensor(value, requires_grad=True) for value in (x, b))
    ones = torch.ones(8, 8)

    def run():
        x.grad = b.grad = None
        y = x
        for _ in range(LENGTH):
            y = y * b + b
        y.backward(ones)
        return x.grad.numpy()

    return {"torch": run}


def walk_of_engine(x, b):
    """Seconds of the walk alone, per node of a chain of additions of a constant."""
    ones = np.ones((8, 8), "float32")
    y = x
    for _ in range(1000):
        y = y + 1.0
    return seconds(lambda: y.backward(ones)) / 1000
