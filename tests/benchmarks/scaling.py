"""What a second thread gains, and whether the size of the data set costs anything.

The first rows have the time with two threads over that with one: the ratio is at best 0.5, and a
speed-up of 1.85 is one of 0.54. The last have what `fit` costs per example on ten times the data:
time, which should be the same, and memory beyond the data, of which shuffling takes 8 bytes for an
example's place in the order.
"""

import functools
import tracemalloc

import numpy as np

import engine
import nn
from engine.kernels import _jit, gemm

from . import gemm as products
from . import machine
from .contestants import Ours
from .report import Row
from .step import CHECKED as STEPS_CHECKED
from .step import MODELS, exact_losses, work
from .timing import PAUSE, best_times

MANY, FEW, FEATURES = 200_000, 20_000, 64  # examples, and the numbers that each has


def run(options, table):
    """Add rows for a large product and a step of model B, both at 1024, and rows for `fit`."""
    if machine.cores() >= 2:
        add_threads(options, table)
    add_examples(options, table)


def add_threads(options, table):
    case = "matmul 1024 x 1024 x 1024"
    a, b = products.operands("NN", 1024, 1024, 1024, np.float32)
    products.check(case, gemm.matmul(a, b), a, b)
    call = functools.partial(gemm.matmul, a, b, out=np.empty((1024, 1024), "float32"))
    add_row(table, case, call, 2 * 1.024**3, options.turns)
    setting = {"sizes": MODELS["B"], "batch": 1024, "optimizer": "sgd"}
    call = Ours(**setting)
    losses = [call() for _ in range(STEPS_CHECKED)]
    np.testing.assert_allclose(losses, exact_losses(**setting, steps=STEPS_CHECKED), rtol=2e-3)
    case = "step of model B, batch 1024"
    add_row(table, case, call, work(MODELS["B"], 1024), options.turns)


def add_row(table, case, call, billions, turns):
    def with_threads(threads):
        def run():
            _jit.set_num_threads(threads)
            call()

        return run

    calls = [with_threads(2), with_threads(1)]
    ours, single = best_times(calls, turns, samples=3, pause=PAUSE)
    limit = machine.peak_gflops("float32", 2)
    peers = {"one thread": single}
    table.add(Row("two threads over one", case, ours, peers, billions, "GFLOP/s", limit))


def add_examples(options, table):
    rng = np.random.default_rng(0)
    x, y = rng.random((MANY, FEATURES), "float32"), rng.integers(0, 10, MANY)
    calls = [fit_of(x[:count], y[:count]) for count in (MANY, FEW)]
    many, few = best_times(calls, options.turns, samples=1, pause=PAUSE)
    group = "ten times the examples in fit"
    table.add(Row(group, "time per example", many / MANY, {"a tenth": few / FEW}))
    many, few = (bytes_of(call) for call in calls)
    each = (many - few) / (MANY - FEW)
    table.add(Row(group, "memory per further example", each, unit="bytes"))


def fit_of(x, y):
    engine.seed(0)
    hidden = nn.Dense(32, activation="relu", input_shape=(FEATURES,))
    model = nn.Sequential([hidden, nn.Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return lambda: model.fit(x, y, batch_size=128, verbose=0)


def bytes_of(call):
    """The most memory that a call held at a time, of what Python and NumPy allocate."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
