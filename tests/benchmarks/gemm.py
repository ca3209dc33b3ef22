"""Matrix products beside NumPy's BLAS: those of dense layers, squares, and skinny ones.

NN is A B, NT is A B^T (the gradient of a layer's input), TN is A^T B (that of its weights), where
the transposed matrix is a view. Each result is compared with the product in float64 first.
"""

import contextlib
import functools

import numpy as np

from engine.kernels import _jit, gemm
from tests import naive

from . import machine
from .report import Row, say
from .timing import PAUSE, best_times

ROWS = (1, 8, 32, 128, 1024)
LAYERS = ((784, 512), (512, 512), (512, 256), (256, 64), (64, 32), (512, 10))
SQUARES = (16, 32, 64, 100, 256, 1000, 1024, 2048)
SKINNY = ((10, 4096, 10), (4096, 3, 4096))
KINDS = ("NN", "NT", "TN")
CHECKED = 64  # rows of a result that are compared


def shapes():
    """(m, k, n) of all cases: a is (m, k) and b (k, n), as they are multiplied."""
    yield from ((m, k, n) for m in ROWS for k, n in LAYERS)
    yield from ((n, n, n) for n in SQUARES)
    yield from SKINNY


def operands(kind, m, k, n, dtype):
    """Random a and b, of which the one that `kind` says is the transpose of what is stored."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(k, m) if kind == "TN" else (m, k)).astype(dtype)
    b = rng.normal(size=(n, k) if kind == "NT" else (k, n)).astype(dtype)
    return (a.T if kind == "TN" else a), (b.T if kind == "NT" else b)


def check(name, got, a, b):
    """Raise ValueError unless our product is exact to a few roundings of its terms."""
    step = max(1, len(a) // CHECKED)
    got, a = got[::step], a[::step]
    exact = naive.matmul(a, b)
    bound = np.sqrt(a.shape[1] + 16) * np.finfo(a.dtype).eps * naive.matmul(np.abs(a), np.abs(b))
    if not (np.abs(got - exact) <= bound).all():
        raise ValueError(f"{name}: our product is wrong")


def limited_blas(threads):
    """A context in which NumPy's BLAS uses that many threads."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        say("gemm: threadpoolctl is not installed, NumPy's BLAS uses as many threads as it likes")
        return contextlib.nullcontext()
    return threadpool_limits(threads, user_api="blas")


def run(options, table):
    """Add a row for each shape and kind, in groups by dtype and number of threads."""
    for dtype in options.dtypes:
        for threads in sorted(set(options.threads or [1, _jit.get_num_threads()])):
            _jit.set_num_threads(threads)
            with limited_blas(threads):
                group = f"matmul {dtype}, {threads} threads"
                for m, k, n in shapes():
                    for kind in KINDS:
                        case = f"{kind} {m} x {k} x {n}"
                        if not options.cases or options.cases in case:
                            a, b = operands(kind, m, k, n, dtype)
                            add_row(table, group, case, (a, b), threads, options.turns)


def add_row(table, group, case, operands, threads, turns):
    """Check and time one product."""
    a, b = operands
    check(case, gemm.matmul(a, b), a, b)
    ours, theirs = np.empty((2, len(a), b.shape[1]), a.dtype)
    calls = (
        functools.partial(gemm.matmul, a, b, out=ours),
        functools.partial(np.matmul, a, b, out=theirs),
    )
    ours, theirs = best_times(calls, turns, pause=PAUSE if threads > 1 else 0.0)
    limit = machine.peak_gflops(a.dtype.name, threads)
    work = 2e-9 * a.size * b.shape[1]
    table.add(Row(group, case, ours, {"NumPy": theirs}, work, "GFLOP/s", limit))
