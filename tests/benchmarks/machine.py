"""What the figures were measured on, and the most that it can do."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys

import llvmlite
import numpy as np
from numba import njit, prange

from engine.kernels import _jit

from . import peak
from .timing import PAUSE, best_times

PACKAGES = ("numpy", "numba", "torch", "jax", "keras", "tensorflow", "tensorflow-cpu")


def describe():
    """The CPU, its threads, and the versions and kernels of what ran, as a flat dict."""
    found = {
        "cpu": cpu_name(),
        "target": llvmlite.binding.get_host_cpu_name(),
        "cores": cores(),
        "threads": _jit.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["blas"] = blas()
    if "torch" in found:
        found["torch's CPU"] = torch_kernels()
    return found


def as_installed(**variables):
    """An environment for programs that are timed from their start, with these variables besides.

    Python may keep the byte code of a checkout, as pip makes it when it installs: else each of them
    would compile all of our sources, but none of the peers'.
    """
    environment = {**os.environ, **variables}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def cores():
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def cpu_name():
    """The name that the system gives the CPU, or else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def torch_kernels():
    """The instructions that PyTorch chose for this CPU, and the libraries under it."""
    program = (
        "from torch import backends as b\n"
        "names = [name for name in ('mkl', 'mkldnn') if getattr(b, name).is_available()]\n"
        "print(b.cpu.get_cpu_capability(), *names)"
    )
    # In a process of its own: here its threads and its memory would be in the way.
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def blas():
    """NumPy's BLAS with the kernel that it chose for this CPU."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown: threadpoolctl is not installed"
    pool = next((pool for pool in threadpool_info() if pool["user_api"] == "blas"), None)
    if pool is None:
        return "unknown"
    return f"{pool['internal_api']} {pool['version']}, kernel {pool.get('architecture', 'unknown')}"


@functools.cache
def peak_gflops(kind, threads):
    """GFLOP/s of multiply-adds with operands in registers, of the float type with that name."""
    return peak.gflops(np.dtype(kind).type, threads)


@njit(parallel=True, error_model="numpy")
def _triad(a, b, c, threads):
    for t in prange(threads):
        low, high = a.size * t // threads, a.size * (t + 1) // threads
        x, y, z = a[low:high], b[low:high], c[low:high]
        for i in range(x.size):
            x[i] = y[i] + 3.0 * z[i]


@functools.cache
def stream_gbytes(threads, size=10_000_000):
    """GB/s of McCalpin's STREAM triad, a = b + 3 c, each byte read or written counted once."""
    a, b, c = np.ones(size), np.ones(size), np.ones(size)
    best = best_times([lambda: _triad(a, b, c, threads)], pause=PAUSE if threads > 1 else 0.0)[0]
    return 3 * a.nbytes / best / 1e9
