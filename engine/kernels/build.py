"""Compiles every kernel for float32 and float64: `python -m engine.kernels.build`.

What is already compiled, for this CPU and from these sources, is left as it is.
"""

import argparse
import importlib
import pkgutil
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from .. import kernels
from ._jit import KERNELS, TYPES, arguments_of, get_num_threads

MOST = 4  # processes: each takes up to 1 GB of memory
LONG = "chain_step", "product"  # so long that, begun last, one process would work on them alone


def build(say=print, claims=None):
    """Compile what is not compiled yet, and tell `say`, a function of a line, about each kernel.

    claims  a folder, where processes that build together note what they have taken on; default:
            there are no others

    Returns how many were compiled. Raises RuntimeError, with its name, for one that cannot be.
    """
    load_all()
    built = 0
    for place, group in enumerate(groups_of(KERNELS)):
        if claims is None or claim(claims, place):
            built += _build_group(group, say)
    return built


def _build_group(group, say):
    built = 0
    for dispatcher, prototype in group:
        name = f"{dispatcher.__module__}.{dispatcher.__qualname__}"
        for kind in TYPES:
            begin = time.perf_counter()
            before = compilations()
            try:
                # Of a tuple, as a call compiles for: the cache keeps the types as they are given.
                dispatcher.compile(arguments_of(prototype, kind))
            except Exception as error:
                raise RuntimeError(f"{name} {kind} cannot be compiled: {error}") from error
            if compilations() > before:
                built += 1
                say(f"{name} {kind}: {time.perf_counter() - begin:.2f} s")
    return built


def groups_of(registered):
    """Kernels in lists, the most work first: those of one file of Numba's cache together.

    Kernels that one factory makes share that file, its index. Two processes that write to it at a
    time could give two kernels the same number, and so lose one.
    """
    by_index = defaultdict(list)
    for pair in registered:
        code = pair[0].py_func.__code__
        by_index[code.co_filename, code.co_firstlineno].append(pair)
    groups = sorted(by_index.values(), key=len, reverse=True)
    return sorted(groups, key=lambda group: group[0][0].__name__ not in LONG)


def claim(folder, place):
    """Whether this process is the first to take on what has that number."""
    try:
        with open(Path(folder) / str(place), "x"):
            return True
    except FileExistsError:
        return False


def build_together(processes, say=print):
    """As `build`, in so many processes. Raises RuntimeError when one of them fails."""

    line_by_line = Lock()

    def one(claims):
        command = [sys.executable, "-m", __spec__.name, "--claims", claims]
        count = 0
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                with line_by_line:
                    say(line.rstrip())
                count += 1
        return count, process.returncode

    with ThreadPoolExecutor(processes) as pool, TemporaryDirectory() as claims:
        results = list(pool.map(one, [claims] * processes))
    for number, (_, code) in enumerate(results, start=1):
        if code != 0:
            why = f"was ended by signal {-code}, maybe for want of memory" if code < 0 else "failed"
            raise RuntimeError(
                f"building kernels: process {number} of {processes} {why}; "
                "python -m engine.kernels.build --processes 1 goes on with what is missing"
            )
    return sum(count for count, _ in results)


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


def main():
    """Build all kernels, or a share of them, and say what was done."""
    parser = argparse.ArgumentParser(prog="python -m engine.kernels.build", description=__doc__)
    parser.add_argument(
        "--processes",
        type=int,
        default=min(get_num_threads(), MOST),
        help="default: one for each CPU that may be used, %(default)s here",
    )
    parser.add_argument("--claims", help=argparse.SUPPRESS)  # of build_together
    options = parser.parse_args()
    if options.claims is not None:
        build(lambda line: print(line, flush=True), options.claims)
        return
    start = time.perf_counter()
    one = options.processes <= 1
    built = build() if one else build_together(options.processes)
    load_all()
    total = len(TYPES) * len(KERNELS)
    print(
        f"{built} of {total} kernels compiled in {time.perf_counter() - start:.1f} s, "
        f"{total - built} were up to date"
    )


if __name__ == "__main__":
    main()
