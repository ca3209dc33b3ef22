"""Memory for results: what a large array leaves behind, the next one gets.

The C library maps a large block afresh whenever it is asked for one (engine/heap.py says from
which size on), and the system has to clear every page of it: for relu of 40 MB that takes longer
than relu. So the memory of a large result is kept when the array and all views of it are gone, and
becomes that of the next result of about its size. Where none of what is kept fits, all of it is
given back first, so that it does not add to the most memory that a program ever needs.
"""

import math

import numpy as np

from .vmath import LARGE, VECTOR_BYTES

KEPT = 256 << 20  # bytes that are kept at most
MUCH = 1 << 20  # bytes of an operand, from which on `with_kept` gains more than its call costs
SPARE = 8  # a block may be larger than what is asked for by one part in so many

OF_TWO = {}  # NumPy functions, and what takes their place for two such arrays, in less time

_kept = []  # the memory of arrays that are gone, as arrays of bytes


class Block:
    """What a large array says it is a view of: when nothing refers to it, its memory is kept."""

    def __init__(self, memory, shape, dtype):
        self.memory = memory
        address = memory.__array_interface__["data"][0]
        start = -address % VECTOR_BYTES  # vectors do not straddle cache lines then
        self.__array_interface__ = {
            "shape": shape,
            "typestr": dtype.str,
            "data": (address + start, False),
            "version": 3,
        }

    def __del__(self, kept=_kept):
        # Whenever it runs, and in whatever thread: each of these steps is atomic.
        if sum([memory.size for memory in kept]) + self.memory.size <= KEPT:
            kept.append(self.memory)


def aligned(shape, dtype):
    """A C-contiguous array with any contents, which starts where a vector and a cache line do.

    For what is read and written again and again: NumPy's start 16 bytes further on, so that each
    vector lies in two lines. Steps on one example take 0.9 of the time by that.
    """
    dtype = np.dtype(dtype)
    memory = np.empty(math.prod(shape) * dtype.itemsize + VECTOR_BYTES, np.uint8)
    return np.ndarray(shape, dtype, memory, -memory.ctypes.data % VECTOR_BYTES)


def copied(x):
    """A copy of an array, `aligned` if it is not small; C-contiguous."""
    if x.nbytes < VECTOR_BYTES * VECTOR_BYTES:
        return x.copy()
    out = aligned(x.shape, x.dtype)
    out[...] = x
    return out


def empty_like(x):
    """An array of the shape and dtype of `x`, C-contiguous, with any contents."""
    if x.nbytes < LARGE:
        return np.empty(x.shape, x.dtype)
    size = x.nbytes + VECTOR_BYTES
    return np.asarray(Block(_memory(size), x.shape, x.dtype))


def with_kept(ufunc):
    """The NumPy function, for a first operand of MUCH bytes: its result is `empty_like` that.

    Where there are other operands than numbers and arrays of its shape and dtype, it is NumPy's.
    """

    def into_kept(first, *others):
        is_plain = first.dtype.char in "fd" and first.dtype.isnative and first.flags.c_contiguous
        if not is_plain or not all(_is_alike(x, first) for x in others):
            return ufunc(first, *others)
        if ufunc in OF_TWO and type(others[0]) is np.ndarray:
            return OF_TWO[ufunc](first, *others)
        return ufunc(first, *others, out=empty_like(first))

    return into_kept


def _is_alike(x, first):
    if type(x) is np.ndarray:
        return x.shape == first.shape and x.dtype is first.dtype
    return type(x) in (int, float)


def _memory(size):
    unfit = []
    while True:
        try:
            memory = _kept.pop()
        except IndexError:
            return np.empty(size, np.uint8)  # and what was unfit is given back
        if size <= memory.size <= size + size // SPARE:
            _kept.extend(unfit)
            return memory
        unfit.append(memory)
