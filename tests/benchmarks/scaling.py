"""What a second thread gains: the time with two over that with one.

The ratio of a row is therefore at best 0.5; a speed-up of 1.85 is a ratio of 0.54.
"""

import functools

import numpy as np

from engine.kernels import _jit, gemm

from . import gemm as products
from . import machine
from .contestants import Ours
from .report import Row
from .step import MODELS, work
from .timing import PAUSE, best_times


def run(options, table):
    """Add a row for a large product and one for a step of model B, both at 1024."""
    if machine.cores() < 2:
        return
    case = "matmul 1024 x 1024 x 1024"
    a, b = products.operands("NN", 1024, 1024, 1024, np.float32)
    products.check(case, gemm.matmul(a, b), a, b)
    call = functools.partial(gemm.matmul, a, b, out=np.empty((1024, 1024), "float32"))
    add_row(table, case, call, 2 * 1.024**3, options.turns)
    call = Ours(MODELS["B"], 1024, "sgd")
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
