"""Sums down the columns: the gradient of a bias, and in the same pass that of the relu after it."""

import numpy as np
from numba import prange

from ._jit import inner, kernel, plain, run
from .cuts import cut
from .memory import empty_like
from .vmath import compute, formula, lanes, load, store

PARALLEL = 1 << 16  # elements from which on threads pay


@formula
def passed(g, out):
    """g where out is positive, else 0: the gradient of relu."""
    return g.where(out > 0.0, 0.0)


@kernel("void(T[:, ::1], T[:, ::1], T[:, ::1], T[::1], int64)")
def column_sums(g, out, slope, sums, threads):
    """sums (n,) = the sums of the columns of g (m, n), row after row.

    Unless `out` is empty, an element of g counts only where that of `out` is positive; then `slope`
    becomes what is counted.
    """
    n = sums.size
    if threads == 1:
        sum_columns(g, out, slope, sums, 0, n)
    else:
        for t in prange(threads):
            left, right = cut(n, lanes(sums), t, threads)
            sum_columns(g, out, slope, sums, left, right)


@inner
def sum_columns(g, out, slope, sums, left, right):
    """The columns from left to right; the sums so far stay in the nearest cache."""
    flat, flat_out, flat_slope = g.reshape(-1), out.reshape(-1), slope.reshape(-1)
    n = sums.size
    for j in range(left, right, lanes(sums)):
        store(sums, j, right - j, load(sums, j, 0, 0.0))
    for i in range(g.shape[0]):
        for j in range(left, right, lanes(sums)):
            at, rest = i * n + j, right - j
            block = load(flat, at, rest, 0.0)
            if flat_out.size > 0:
                block = compute("passed", block, load(flat_out, at, rest, 0.0))
                store(flat_slope, at, rest, block)
            store(sums, j, rest, compute("add", load(sums, j, rest, 0.0), block))


def sums_of(g, out=None):
    """The sums of the columns of g (m, n), and g itself.

    With `out`, of the same shape, both of relu's gradient: g where `out` is positive, else 0.
    """
    g = plain(g)
    sums = np.empty(g.shape[1], g.dtype)
    out, slope = (g[:0], g[:0]) if out is None else (plain(out), empty_like(g))
    run(column_sums, g.size >= PARALLEL, g, out, slope, sums)
    return sums, slope if len(out) else g
