"""`hotgrad doctor`: what this machine and this installation are, and whether they fit together."""

import importlib.metadata
import os
import platform
import time
from pathlib import Path

import numba
import numpy as np
from llvmlite import binding
from numba.core.registry import cpu_target

import engine
from engine.kernels import build, simd

SIZE = 1024  # of the matrices that are multiplied, large enough to show the peak
SECONDS = 1.0
BITS = {"zmm": 512, "ymm": 256, "xmm": 128}


def add_to(commands, formatted):
    """Add the command to a parser's subparsers; `formatted` gives a parser its examples."""
    parser = formatted(
        commands,
        "doctor",
        "say what this machine and installation are",
        """
        hotgrad doctor
        NUMBA_NUM_THREADS=1 hotgrad doctor
        """,
    )
    parser.set_defaults(run=run)


def run(options, say):
    """Print the report. Returns the exit code: 0, or 1 when something should be mended."""
    pending = build.pending()
    total = len(build.TYPES) * len(build.KERNELS)
    for name, text in _facts(pending, total):
        print(f"{name:<15}{text}")
    if pending:
        print(
            f"\n{len(pending)} kernels are not built for this CPU and this Numba: each is compiled "
            "at its first use. Build them now: python -m engine.kernels.build"
        )
    return 1 if pending else 0


def _facts(pending, total):
    yield "hotgrad", f"{engine.__version__}, in {Path(engine.__file__).parent.parent}"
    yield "Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    yield "libraries", ", ".join(f"{name} {version}" for name, version in _versions())
    yield "CPU", f"{_cpu_name()} (LLVM: {binding.get_host_cpu_name()})"
    register = simd.widest_register(*cpu_target.target_context.codegen().magic_tuple())
    yield "vectors", f"{BITS[register]} bits ({register} registers)"
    yield "cores", f"{os.cpu_count()}, of which this process may use {_usable()}"
    yield "threads", f"{engine.get_num_threads()} (NUMBA_NUM_THREADS, or engine.set_num_threads)"
    yield "kernels", f"{total - len(pending)} of {total} built"
    for dtype in ("float32", "float64"):
        yield (
            f"peak {dtype}",
            f"{_product_speed(dtype):.0f} GFLOP/s, best product of {SIZE} x {SIZE}",
        )
    layer = numba.threading_layer() if engine.get_num_threads() > 1 else "not used by one thread"
    yield "thread layer", layer


def _versions():
    for name in ("numpy", "numba", "llvmlite", "tqdm", "safetensors", "matplotlib"):
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "is not installed"


def _cpu_name():
    if os.path.exists("/proc/cpuinfo"):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _usable():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _product_speed(dtype):
    x = np.ones((SIZE, SIZE), dtype)
    best, end = np.inf, time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        engine.matmul(x, x)
        best = min(best, time.perf_counter() - start)
    return 2e-9 * SIZE**3 / best
