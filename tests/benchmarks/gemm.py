"""The matrix product beside NumPy's BLAS: `python -m tests.benchmarks gemm`.

Each result is compared with the product in float64 before it is timed. Ours and theirs alternate,
so that what else the machine does hits both, and the best time of each counts.
"""

import argparse
import functools
import platform
import time

import llvmlite
import numba
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from engine.kernels import _jit, gemm
from tests import naive

from . import peak

# Rows, inputs and outputs of a dense layer, forward (NN) and backward (TN, NT).
LAYERS = [(32, 784, 512), (128, 512, 512), (1024, 512, 512)]
MORE_LAYERS = [(1, 784, 512), (1, 512, 512), (8, 512, 256), (32, 64, 32), (128, 512, 10)]
SQUARES = [8, 16, 32, 64, 100, 256, 1000, 1024]
SAMPLE = 3e-4  # seconds that are timed at a time
SAMPLES = 8  # in a turn
PAUSE = 0.15  # seconds before a turn: so long one library's idle threads keep a core busy


def cases(kinds):
    """(name, a, b) in float64, for the kinds of cases."""
    rng = np.random.default_rng(0)
    layers = LAYERS * ("layers" in kinds) + MORE_LAYERS * ("more" in kinds)
    for m, k, n in layers:
        x, w, g = (rng.normal(size=size) for size in ((m, k), (k, n), (m, n)))
        yield f"Y  = X W    {m} x {k} x {n}", x, w
        yield f"dW = X^T G  {m} x {k} x {n}", x.T, g
        yield f"dX = G W^T  {m} x {k} x {n}", g, w.T
    for n in SQUARES * ("squares" in kinds):
        a, b = rng.normal(size=(2, n, n))
        yield f"A B    {n} x {n} x {n}", a, b
        yield f"A^T B  {n} x {n} x {n}", a.T, b
        yield f"A B^T  {n} x {n} x {n}", a, b.T


def as_type(x, dtype):
    """`x` in that type and in its own memory order."""
    return x.astype(dtype, order="K")


def check(name, a, b):
    """Raise ValueError unless our product is exact to a few roundings of its terms."""
    got, exact = gemm.matmul(a, b), naive.matmul(a, b)
    bound = np.sqrt(a.shape[1] + 16) * np.finfo(a.dtype).eps * naive.matmul(np.abs(a), np.abs(b))
    if not (np.abs(got - exact) <= bound).all():
        raise ValueError(f"{name}: our product is wrong")


def best_times(calls, threads, turns):
    """The shortest time of each call in seconds, all of them taking turns."""
    start = time.perf_counter()
    calls[0]()
    repeats = max(1, int(SAMPLE / (time.perf_counter() - start)))
    times = [float("inf")] * len(calls)
    for _ in range(turns):
        for i, call in enumerate(calls):
            if threads > 1:
                time.sleep(PAUSE)
            for _ in range(SAMPLES):
                start = time.perf_counter()
                for _ in range(repeats):
                    call()
                times[i] = min(times[i], (time.perf_counter() - start) / repeats)
    return times


def table(dtype, threads, options):
    """Print the lines of one type and one number of threads."""
    limit = peak.gflops(dtype, threads)
    name = np.dtype(dtype).name
    print(f"\n{name}, {threads} thread(s): FMA peak {limit:.0f} GFLOP/s")
    print(f"{'GFLOP/s':28}{'ours':>9}{'theirs':>9}{'ratio':>8}{'of peak':>9}")
    ratios = []
    for title, a, b in cases(options.cases):
        a, b = as_type(a, dtype), as_type(b, dtype)
        check(title, a, b)
        ours, theirs = np.empty((2, len(a), b.shape[1]), dtype)
        calls = (
            functools.partial(gemm.matmul, a, b, out=ours),
            functools.partial(np.matmul, a, b, out=theirs),
        )
        ours, theirs = best_times(calls, threads, options.turns)
        work = 2e-9 * a.size * b.shape[1]
        ratios.append(theirs / ours)
        print(
            f"{title:28}{work / ours:9.1f}{work / theirs:9.1f}{ratios[-1]:8.2f}"
            f"{work / ours / limit:9.0%}",
            flush=True,
        )
    print(f"geometric mean of our speed over theirs: {np.exp(np.mean(np.log(ratios))):.2f}")


def main(argv):
    """Print the tables: GFLOP/s, our speed over theirs, and how much of the peak ours is."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks gemm", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, _jit.get_num_threads()])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--cases", nargs="+", default=["layers", "more", "squares"])
    parser.add_argument("--turns", type=int, default=8, help="of ours and of theirs")
    options = parser.parse_args(argv)
    blas = next(pool for pool in threadpool_info() if pool["user_api"] == "blas")
    print(
        f"{platform.processor() or platform.machine()}, LLVM's name for it "
        f"{llvmlite.binding.get_host_cpu_name()}; Python {platform.python_version()}, "
        f"Numba {numba.__version__}, NumPy {np.__version__} with {blas['internal_api']} "
        f"{blas['version']}, kernel {blas.get('architecture', 'unknown')}"
    )
    for dtype in options.dtypes:
        for threads in sorted(set(options.threads)):
            _jit.set_num_threads(threads)
            with threadpool_limits(threads, user_api="blas"):
                table(np.dtype(dtype).type, threads, options)
