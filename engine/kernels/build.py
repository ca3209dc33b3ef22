"""Compiles every kernel for float32 and float64: `python -m engine.kernels.build`.

What is already compiled, for this CPU and from these sources, is left as it is.
"""

import importlib
import pkgutil
import re
import time

from numba.core.sigutils import normalize_signature

from .. import kernels
from ._jit import KERNELS

TYPES = ("float32", "float64")


def build(say=print):
    """Compile what is not compiled yet, and tell `say`, a function of a line, what was done."""
    load_all()
    start, built = time.perf_counter(), 0
    for dispatcher, prototype in KERNELS:
        for kind in TYPES:
            begin = time.perf_counter()
            before = compilations()
            # Of a tuple, which is what a call compiles for: Numba's cache keeps what it is given.
            dispatcher.compile(arguments_of(prototype, kind))
            if compilations() > before:
                built += 1
                name = f"{dispatcher.__module__}.{dispatcher.__qualname__}"
                say(f"{name} {kind}: {time.perf_counter() - begin:.2f} s")
    total = len(TYPES) * len(KERNELS)
    say(
        f"{built} of {total} kernels compiled in {time.perf_counter() - start:.1f} s, "
        f"{total - built} were up to date"
    )


def pending():
    """The (name, type) pairs of which the cache has no machine code for this CPU and Numba."""
    load_all()
    missing = []
    for dispatcher, prototype in KERNELS:
        for kind in TYPES:
            context = dispatcher.targetdescr.target_context
            if dispatcher._cache.load_overload(arguments_of(prototype, kind), context) is None:
                missing.append((dispatcher.__qualname__, kind))
    return missing


def arguments_of(prototype, kind):
    """The types of a kernel's arguments, as the tuple that a call compiles for."""
    arguments, _ = normalize_signature(re.sub(r"\bT\b", kind, prototype))
    return tuple(arguments)


def load_all():
    """Import every module of kernels, so that all of them are registered."""
    for module in pkgutil.iter_modules(kernels.__path__):
        if module.name != "build":
            importlib.import_module(f"{kernels.__name__}.{module.name}")


def compilations():
    """How many kernels this process has compiled, rather than loaded from the cache."""
    return _count("cache_misses")


def cache_hits():
    """How many kernels this process has loaded from the cache."""
    return _count("cache_hits")


def _count(statistic):
    return sum(sum(getattr(kernel.stats, statistic).values()) for kernel, _ in KERNELS)


if __name__ == "__main__":
    build()
