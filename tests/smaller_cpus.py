"""Kernels compiled for CPUs with smaller vectors than this one has, in processes of their own."""

import os
import platform
import subprocess
import sys

import pytest
from llvmlite import binding

TARGETS = {  # with what sets each of them apart
    "haswell": "+avx2,+fma",
    "x86-64": "+sse2",
    # As on ARM: fused multiply-adds, on vectors of 128 bits.
    "x86-64-v3": "+fma,-avx2,+prefer-128-bit",
}


def has_avx2():
    return platform.machine() == "x86_64" and binding.get_host_cpu_features().get("avx2")


def on_each(*cpus):
    """A decorator: a test for each of these CPUs, as its argument `cpu`; skipped without AVX2."""

    def decorate(test):
        skip = pytest.mark.skipif(not has_avx2(), reason="needs an x86-64 CPU with AVX2")
        return skip(pytest.mark.parametrize("cpu", cpus)(test))

    return decorate


def run(cpu, cache, *arguments):
    """Run Python with these arguments, its kernels compiled for that CPU and kept in `cache`."""
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": TARGETS[cpu],
        "NUMBA_CACHE_DIR": str(cache),
    }
    command = [sys.executable, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
