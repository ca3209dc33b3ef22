"""What recording and walking back cost per operation, beside NumPy's own call and PyTorch's."""

import argparse
import os
import platform
import time

import numpy as np

import engine
from engine import Tensor

LENGTH = 100  # of the chain x * b + b


def main(argv):
    parser = argparse.ArgumentParser(prog="overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="default: %(default)s")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(0)
    x, b = (rng.uniform(0.5, 1, (8, 8)).astype("float32") for _ in range(2))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, 8x8 float32")
    calls = {"engine": chain_of_engine(x, b), **chain_of_torch(x, b)}
    results = {name: call() for name, call in calls.items()}
    for name, gradient in results.items():
        np.testing.assert_allclose(gradient, results["engine"], rtol=1e-4, err_msg=name)

    tx, tb = Tensor(x, requires_grad=True), Tensor(b, requires_grad=True)
    numpy_add, our_add = (lambda: np.add(x, b)), (lambda: engine.add(tx, tb))
    forward, walk = forward_of_engine(tx, tb), walk_of_engine(tx, tb)
    best = dict.fromkeys(["np.add", "recorded add", "forward", "walk", *calls], float("inf"))
    for _ in range(options.rounds):
        best["np.add"] = min(best["np.add"], seconds(numpy_add, 2000))
        best["recorded add"] = min(best["recorded add"], seconds(our_add, 2000))
        best["forward"] = min(best["forward"], seconds(forward, 5))
        best["walk"] = min(best["walk"], walk())
        for name, call in calls.items():
            best[name] = min(best[name], seconds(call, 5))
    report(best, calls)


def seconds(call, times):
    """Seconds per call."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def forward_of_engine(x, b):
    def run():
        y = x
        for _ in range(LENGTH):
            y = y * b + b
        return y

    return run


def chain_of_engine(x, b):
    x, b = Tensor(x, requires_grad=True), Tensor(b, requires_grad=True)
    ones = np.ones((8, 8), "float32")
    forward = forward_of_engine(x, b)

    def run():
        x.grad = b.grad = None
        forward().backward(ones)
        return x.grad.numpy()

    return run


def chain_of_torch(x, b):
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed and left out")
        return {}
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

    return {f"torch {torch.__version__}": run}


def walk_of_engine(x, b):
    """Seconds of the walk alone, per node of a chain of additions of a constant."""
    ones = np.ones((8, 8), "float32")

    def run():
        y = x
        for _ in range(1000):
            y = y + 1.0
        start = time.perf_counter()
        y.backward(ones)
        return (time.perf_counter() - start) / 1000

    return run


def report(best, calls):
    ours = best["engine"]
    print(f"np.add                                  {1e6 * best['np.add']:8.2f} us")
    ratio = best["recorded add"] / best["np.add"]
    print(
        f"recorded add                            {1e6 * best['recorded add']:8.2f} us"
        f"   {ratio:.2f} of np.add"
    )
    print(f"walk, per node of a chain of additions  {1e6 * best['walk']:8.2f} us")
    print(f"{LENGTH} x (x * b + b), forward              {1e6 * best['forward']:8.1f} us")
    for name in calls:
        print(
            f"{LENGTH} x (x * b + b), there and back, {name:13} {1e6 * best[name]:8.1f} us"
            f"   ratio {ours / best[name]:.2f}"
        )
