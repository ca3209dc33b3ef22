"""The only place with Numba flags: `kernel` builds a function the way one builds a C extension.

A kernel is declared with its C prototype, in which `T` stands for float32 and for float64:

    @kernel("void(T[::1], T[::1], int64)")
    def double(x, out, threads): ...

Nothing is compiled at import. `setup.py` compiles every registered kernel for both types and ships
Numba's cache files, so that the first call loads machine code from disk; where there is no usable
cache (another CPU, another Numba), Numba compiles at the first call and keeps a cache of its own.
"""

import hashlib
import os
import re
import threading
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import numba
import numpy as np
from llvmlite import binding as llvm
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.sigutils import normalize_signature

# Never `True`: that also sets nnan and ninf, under which LLVM folds isnan(x) to False.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}

# Numba stamps a cached kernel with the text of the one file that holds it, and so would serve
# stale code after an edit of a helper in another file or of the flags above. This stamp, added to
# Numba's own, covers every source of this package but what only calls the compiler.
_SOURCES = sorted(set(Path(__file__).parent.glob("*.py")) - {Path(__file__).with_name("build.py")})
STAMP = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()

TYPES = ("float32", "float64")  # what T stands for
KERNELS = []  # every compiled-on-demand function, with its prototype: what the build walks over


def _njit(function, **options):
    return numba.njit(nogil=True, fastmath=FASTMATH, error_model="numpy", **options)(function)


class _MachineCode(CompileResultCacheImpl):
    """What is kept of a kernel: not its LLVM code, for other functions to link it into them.

    Numba keeps that beside the machine code. It is twice as large, and read whenever a kernel is.
    """

    def reduce(self, compiled):
        (name, kind, (code, _)), *rest = super().reduce(compiled)
        # Numba asks it which functions there are.
        functions = (
            f'define void @"{function.name}"() {{ unreachable }}'
            for function in compiled.library.get_defined_functions()
        )
        names = llvm.parse_assembly("\n".join(functions)).as_bitcode()
        return (name, kind, (code, names)), *rest

    def rebuild(self, target_context, kept):
        compiled = super().rebuild(target_context, kept)
        compiled.library._get_module_for_linking = self._refuse
        return compiled

    def _refuse(self):
        raise TypeError(f"{self.filename_base}: a kernel is called from Python only")


class _Cache(FunctionCache):
    _impl_class = _MachineCode

    def __init__(self, function):
        super().__init__(function)
        self._cache_file._source_stamp = f"{self._cache_file._source_stamp} {STAMP}"


# As an argument, a literal number has a type of its own, for which all that is called would be
# compiled once more; these have the type of other numbers.
ZERO, ONE = np.int64(0), np.int64(1)


def kernel(prototype, parallel=True):
    """Declare a kernel that Python calls. Its last parameter is the number of threads to use.

    `prototype` is a Numba signature with `T` for the float type. The body may hold one `prange`
    over the threads; called with one thread it must not reach it. A kernel that is not parallel
    has neither that parameter nor a `prange`.
    """

    def declare(function):
        dispatcher = _njit(function, parallel=parallel)
        if not numba.config.DISABLE_JIT:
            # Without a place to keep a cache, importing must still work.
            with suppress(RuntimeError):
                dispatcher._cache = _Cache(function)
        KERNELS.append((dispatcher, prototype))
        return dispatcher

    return declare


def arguments_of(prototype, kind):
    """The types of a kernel's arguments, as the tuple that a call compiles for."""
    arguments, _ = normalize_signature(re.sub(r"\bT\b", kind, prototype))
    return tuple(arguments)


def close(dispatcher):
    """Load a kernel for both types, and let it never be compiled for others.

    From then on Numba calls it with what can be converted to the types of its prototype, such as
    an array in any layout, and raises TypeError for all else.
    """
    prototype = next(prototype for kernel, prototype in KERNELS if kernel is dispatcher)
    for kind in TYPES:
        dispatcher.compile(arguments_of(prototype, kind))
    dispatcher.disable_compile()


class _Part(JITCodeLibrary):
    """The code of an inner function: linked into kernels, it is optimized and translated there.

    Numba would do both for it alone as well, which takes longer than all else.
    """

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name):
        return 0  # as Numba's of what there is not

    @property
    def codegen(self):
        return self

    def set_env(self, name, env):
        """Machine code would look up there what Python objects it uses."""


class _PartCompiler(Compiler):
    def define_pipelines(self):
        state = self.state
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()


def inner(function):
    """Declare a function that only kernels call; LLVM compiles it into each of them.

    From Python, its `py_func` can be called.
    """

    def refuse(*args, **kwargs):
        raise TypeError(f"{function.__qualname__} is only called by kernels; call its py_func")

    dispatcher = _njit(
        function, no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=_PartCompiler
    )
    # What a call from Python looks for: the machine code for its types, then the compiler
    dispatcher._insert, dispatcher._compile_for_args = (lambda *overload: None), refuse
    return dispatcher


# ---------------------------------------------------------------------------------- threads

_pool = threading.Lock()  # Numba's work queue layer aborts the process when entered twice
_threads = numba.config.NUMBA_NUM_THREADS


def set_num_threads(n):
    """Use `n` threads in kernels from now on; results are the same bits for any `n`."""
    global _threads
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"set_num_threads: expected an integer of at least 1, got {n!r}")
    _threads = int(n)


def get_num_threads():
    """The number of threads that kernels use; by default all that Numba may (NUMBA_NUM_THREADS)."""
    return _threads


class Backoff:
    """Work alone for a while where threads have to wait for a CPU that others use.

    The threads of a kernel wait for the last one. If another process holds its CPU, that is a time
    slice of some milliseconds, in which one thread could have done all of the work many times. So
    a kernel that took longer than SLOW is compared with the same work done by one thread, which is
    measured at the next opportunity. What threads lose by that is gathered, and what they win taken
    off; SHARE of the time that passes is forgiven, so that what is slow now and then, as the first
    kernel after a pause, has no consequence. Where more than MUCH has gathered, all kernels do
    without threads for a while: a short one at first, and twice as long each time that it happens
    again soon.
    """

    SLOW, TRIAL = 2e-3, 0.02  # seconds, as all times
    SHARE, MUCH = 0.25, 0.01
    LEAST, MOST, SOON = 0.005, 0.5, 0.1

    def __init__(self):
        self.until = self.noted = 0.0  # by the clock of time.perf_counter
        self.pause = self.LEAST
        self.lost = 0.0
        self.alone = {}  # seconds, by the kernel and the sizes of its arrays

    def note(self, big_kernel, args, threads, seconds, now):
        """A kernel has taken so long."""
        work = big_kernel, tuple(getattr(arg, "size", 0) for arg in args)
        alone = self.alone.get(work)
        if threads == 1:
            if len(self.alone) > 1000:
                self.alone.clear()
            self.alone[work] = seconds if alone is None else min(seconds, alone)
        elif alone is None:
            self.until = now + self.TRIAL
        else:
            self.lose(seconds - alone, now)

    def lose(self, seconds, now):
        """Threads have lost so much time, or won it if it is negative."""
        left = max(0.0, self.lost - self.SHARE * (now - self.noted))
        self.lost = min(max(0.0, left + seconds), 2 * self.MUCH)
        self.noted = now
        if self.lost > self.MUCH:
            is_soon = now - self.until < self.SOON
            self.pause = min(2 * self.pause, self.MOST) if is_soon else self.LEAST
            self.until = now + self.pause


_backoff = Backoff()


def launch(big_kernel, *args):
    """Call a kernel whose work is worth all threads.

    When another Python thread is inside the pool, this call does all of its work itself: kernels
    give the same bits for any number of threads, so nothing is lost but time.
    """
    if _threads == 1 or not _pool.acquire(blocking=False):
        return big_kernel(*args, 1)
    try:
        start = perf_counter()
        threads = _threads if start >= _backoff.until else 1
        result = big_kernel(*args, threads)
        end = perf_counter()
        if threads == 1 or end - start > Backoff.SLOW:
            _backoff.note(big_kernel, args, threads, end - start, end)
        return result
    finally:
        _pool.release()


def run(some_kernel, is_large, *args):
    """Call a kernel, with all threads if its work is worth them."""
    return launch(some_kernel, *args) if is_large else some_kernel(*args, 1)


def _single_threaded_child():
    # GNU OpenMP's pool does not survive a fork: its first region in the child would hang.
    global _threads, _pool
    _threads, _pool = 1, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_single_threaded_child)


# ----------------------------------------------------------------------------------- layouts


class _Alias:
    """A read-only buffer, presented as writable: Numba gives the two different types."""

    def __init__(self, x):
        address = x.__array_interface__["data"][0]
        self.__array_interface__ = {**x.__array_interface__, "data": (address, False)}
        self.base = x  # keeps the memory alive


def plain(x):
    """`x` in the one layout that kernels are compiled for: C-contiguous, aligned, native.

    Copies only what is not so already. The result may share memory with a read-only array:
    kernels never write to their inputs.
    """
    flags = x.flags
    if flags.carray:
        return x
    if flags.c_contiguous and flags.aligned:
        return np.asarray(_Alias(x))
    return np.array(x, order="C")
