"""Bringing numbers to mean 0 and variance 1, along rows or down columns, and scaling the result.

Every public function takes arrays of one dtype (float32 or float64) in any layout, the last axis of
which has n elements, and `scale` and `offset` of shape (n,). With c the distance of an element from
the mean and s = 1 / sqrt(variance + epsilon),

    rows     c s scale + offset, mean and variance those of each row of n elements
    columns  the same, mean and variance those of each of the n columns, over all other axes

A mean beside which the numbers differ little is rounded to more than they differ by. So the mean is
kept as two numbers, one near it and the mean of the distances from that one, which are exact or
nearly so; the variance is the mean square of the distances, corrected by the second number (Chan,
Golub and LeVeque 1983, eq. 1.7).

What is summed down columns is summed by chunks of a constant number of rows, the sums of which are
then added in order: threads share out the chunks, and leave no trace in the bits.
"""

import numpy as np
from numba import prange
from numba.extending import overload

from ._jit import inner, kernel, plain, run
from .cuts import cut
from .memory import empty_like
from .pairs import moments_row, near_row
from .strips import WIDE, each, load_strip, strip_total, zero_strip
from .vmath import compute, formula, lanes, load, maximum, store

# Elements from which on threads pay.
PARALLEL = 1 << 15

CHUNK = 32  # rows whose sums are taken in one chain of additions
NEAR = 8  # rows whose mean is near enough to that of all
STRETCH = 32  # strips along a row, likewise

# ---------------------------------------------------------------------------------- formulas
#
# Of incoming gradients g, numbers x, their scale w and offset b. Their mean is m + r, and s the
# inverse of their deviation. A sum is given what it has come to so far.


@formula
def distance_sum(total, g, x, w, m, r):
    return total + (x - m)


@formula
def square_sum(total, g, x, w, m, r):
    c = (x - m) - r
    return total + c * c


@formula
def weighted_sum(total, g, x, w, m, r):
    return total + g * w


@formula
def product_sum(total, g, z):
    return total + g * z


@formula
def slope_sum(total, g, x, w, m, r):
    return total + (g * w).rounded() * ((x - m) - r)


@formula
def ratio(x, y):
    return x / y


@formula
def inverse_deviation(square_sum, count, r, epsilon):
    variance = square_sum / count - r * r
    return 1.0 / (maximum(variance.like(0.0), variance) + epsilon).call("sqrt")


@formula
def standard(x, m, r, s):
    return ((x - m) - r) * s


@formula
def normalized(x, w, b, m, r, s):
    return (((x - m) - r) * s).rounded() * w + b


@formula
def slope(g, z, w, s, g_mean, g_slope):
    """s (g w - mean(g w) - z mean(g w z))"""
    return s * (((g * w).rounded() - g_mean) - z * g_slope)


@formula
def column_slope(g, x, factor, m, r, g_mean, bend):
    """The same of a column: mean(g) and mean(g z) times s are here, the scale in the factor."""
    return factor * ((g - g_mean) - ((x - m) - r) * bend)


# -------------------------------------------------------------------------------- along rows

ROWS = {}  # what is done with the chunks of rows from `low` to `high`, by name


def rows_function(function):
    ROWS[function.__name__] = inner(function)
    return function


@inner
def row_sums(g, x, w, at, n, m, r):
    """The sums of g w and of g w c along the row, in every lane."""
    wide, size = WIDE * lanes(x), lanes(x)
    whole = n // wide * wide
    first_total = second_total = load(x, at, 0, 0.0)
    for start in range(0, whole, STRETCH * wide):
        first_part = second_part = zero_strip(WIDE, x)
        for i in range(start, min(whole, start + STRETCH * wide), wide):
            g_strip = load_strip(WIDE, g, at + i, wide, 0.0)
            x_strip = load_strip(WIDE, x, at + i, wide, 0.0)
            w_strip = load_strip(WIDE, w, i, wide, 0.0)
            first_part = each("weighted_sum", (first_part, g_strip, x_strip, w_strip), (m, r))
            second_part = each("slope_sum", (second_part, g_strip, x_strip, w_strip), (m, r))
        first_total = compute("add", first_total, strip_total(first_part))
        second_total = compute("add", second_total, strip_total(second_part))
    for i in range(whole, n, size):
        g_block, x_block = load(g, at + i, n - i, 0.0), load(x, at + i, n - i, 0.0)
        w_block = load(w, i, n - i, 0.0)
        first_total = compute("weighted_sum", first_total, g_block, x_block, w_block, m, r)
        second_total = compute("slope_sum", second_total, g_block, x_block, w_block, m, r)
    return compute("all_sum", first_total), compute("all_sum", second_total)


@inner
def row_statistics(x, at, n, centred, epsilon):
    """m, r and s of a row; where it is not to be centred, m and r are 0."""
    m = r = load(x, at, 0, 0.0)
    if centred:
        m = near_row(x, load(x, at, 0, x[at]), at, at + n)
    total, squares = moments_row(x, m, at, at + n)
    if centred:
        r = compute("ratio", total, n)
    return m, r, compute("inverse_deviation", squares, n, r, epsilon)


@rows_function
def normalized_rows(g, x, w, b, out, centred, epsilon, low, high):
    wide, size, n = WIDE * lanes(x), lanes(x), w.size
    whole = n // wide * wide
    for row in range(low * CHUNK, min(x.size // n, high * CHUNK)):
        at = row * n
        constants = row_statistics(x, at, n, centred, epsilon)
        for i in range(0, whole, wide):
            x_strip = load_strip(WIDE, x, at + i, wide, 0.0)
            w_strip = load_strip(WIDE, w, i, wide, 0.0)
            strips = x_strip, w_strip, load_strip(WIDE, b, i, wide, 0.0)
            store(out, at + i, wide, each("normalized", strips, constants))
        for i in range(whole, n, size):
            x_block, w_block = load(x, at + i, n - i, 0.0), load(w, i, n - i, 0.0)
            block = compute("normalized", x_block, w_block, load(b, i, n - i, 0.0), constants)
            store(out, at + i, n - i, block)


@rows_function
def slope_rows(g, x, w, parts, out, centred, epsilon, low, high):
    """Into `parts`, of 0 at first, if it is not empty, the sums of g and of g z of each chunk."""
    wide, size, n = WIDE * lanes(x), lanes(x), w.size
    whole = n // wide * wide
    for row in range(low * CHUNK, min(x.size // n, high * CHUNK)):
        at, to = row * n, 2 * (row // CHUNK) * n
        m, r, s = row_statistics(x, at, n, centred, epsilon)
        g_sum, slopes = row_sums(g, x, w, at, n, m, r)
        if not centred:
            g_sum = load(x, at, 0, 0.0)
        bend = compute("ratio", compute("multiply", slopes, s), n)
        constants = s, compute("ratio", g_sum, n), bend
        for i in range(0, whole, wide):
            slope_of(WIDE, g, x, w, parts, out, at, to, i, wide, (m, r, s), constants)
        for i in range(whole, n, size):
            slope_of(1, g, x, w, parts, out, at, to, i, n - i, (m, r, s), constants)


@inner
def slope_of(vectors, g, x, w, parts, out, at, to, i, count, statistics, constants):
    """The slope of one strip of a row."""
    g_strip = load_strip(vectors, g, at + i, count, 0.0)
    z = each("standard", (load_strip(vectors, x, at + i, count, 0.0),), statistics)
    strips = g_strip, z, load_strip(vectors, w, i, count, 0.0)
    store(out, at + i, count, each("slope", strips, constants))
    if parts.size > 0:
        sums = load_strip(vectors, parts, to + i, count, 0.0)
        store(parts, to + i, count, each("add", (sums, g_strip), ()))
        to += w.size
        sums = load_strip(vectors, parts, to + i, count, 0.0)
        store(parts, to + i, count, each("product_sum", (sums, g_strip, z), ()))


def do_rows(name, g, x, w, b, out, centred, epsilon, low, high): ...


@overload(do_rows, prefer_literal=True)
def _do_rows(name, g, x, w, b, out, centred, epsilon, low, high):
    function = ROWS[name.literal_value]
    return lambda name, g, x, w, b, out, centred, epsilon, low, high: function(
        g, x, w, b, out, centred, epsilon, low, high
    )


def _rows_kernel(name):
    """Incoming gradient, numbers, scale, offset or sums, result, whether centred, epsilon."""

    @kernel("void(T[::1], T[::1], T[::1], T[::1], T[::1], int64, float64, int64)")
    def rows_kernel(g, x, w, b, out, centred, epsilon, threads):
        count = (x.size // w.size + CHUNK - 1) // CHUNK
        if threads == 1:
            do_rows(name, g, x, w, b, out, centred, epsilon, 0, count)
        else:
            for t in prange(threads):
                low, high = count * t // threads, count * (t + 1) // threads
                do_rows(name, g, x, w, b, out, centred, epsilon, low, high)

    return rows_kernel


normalized_rows_kernel = _rows_kernel("normalized_rows")
slope_rows_kernel = _rows_kernel("slope_rows")

# ------------------------------------------------------------------------------ down columns
#
# What is done with one strip of columns of one chunk of rows, by name. It gets the first column,
# and how many columns there are from that one on. The statistics are three rows of k numbers: m, r
# and the variance.

STRIPS = {}


def strip_function(function):
    STRIPS[function.__name__] = inner(function)
    return function


@inner
def rows_of(chunk, x, k):
    return range(chunk * CHUNK, min(x.size // k, (chunk + 1) * CHUNK))


@inner
def column_constants(vectors, x, statistics, k, j, count, epsilon):
    """m, r and s of the columns."""
    m = load_strip(vectors, statistics, j, count, 0.0)
    r = load_strip(vectors, statistics, k + j, count, 0.0)
    variance = load_strip(vectors, statistics, 2 * k + j, count, 0.0)
    return m, r, each("inverse_deviation", (variance,), (1.0, 0.0, epsilon))


@strip_function
def statistics_strip(vectors, g, x, w, b, statistics, parts, chunk, j, count, epsilon):
    """The mean r of x - m in this chunk, and the sum of the squares of the distances from it.

    m is the mean of the first rows there are; it lies near enough to all.
    """
    k = w.size
    m, near = zero_strip(vectors, x), min(x.size // k, NEAR)
    for row in range(near):
        m = each("add", (m, load_strip(vectors, x, row * k + j, count, 0.0)), ())
    m = each("ratio", (m,), (near,))
    if chunk == 0:
        store(statistics, j, count, m)
    rows, total = rows_of(chunk, x, k), zero_strip(vectors, x)
    for row in rows:
        block = load_strip(vectors, x, row * k + j, count, 0.0)
        total = each("distance_sum", (total, block, block, block, m), (0.0,))
    r, total = each("ratio", (total,), (len(rows),)), zero_strip(vectors, x)
    for row in rows:
        block = load_strip(vectors, x, row * k + j, count, 0.0)
        total = each("square_sum", (total, block, block, block, m, r), ())
    store(parts, 2 * chunk * k + j, count, r)
    store(parts, (2 * chunk + 1) * k + j, count, total)


@strip_function
def normalized_strip(vectors, g, x, w, b, statistics, out, chunk, j, count, epsilon):
    k = w.size
    m, r, s = column_constants(vectors, x, statistics, k, j, count, epsilon)
    scale, offset = load_strip(vectors, w, j, count, 0.0), load_strip(vectors, b, j, count, 0.0)
    for row in rows_of(chunk, x, k):
        block = load_strip(vectors, x, row * k + j, count, 0.0)
        block = each("normalized", (block, scale, offset, m, r, s), ())
        store(out, row * k + j, count, block)


@strip_function
def sums_strip(vectors, g, x, w, b, statistics, parts, chunk, j, count, epsilon):
    """The sums of g and of g z in this chunk."""
    k = w.size
    m, r, s = column_constants(vectors, x, statistics, k, j, count, epsilon)
    g_sum = total = zero_strip(vectors, x)
    for row in rows_of(chunk, x, k):
        block = load_strip(vectors, g, row * k + j, count, 0.0)
        g_sum = each("add", (g_sum, block), ())
        z = each("standard", (load_strip(vectors, x, row * k + j, count, 0.0), m, r, s), ())
        total = each("product_sum", (total, block, z), ())
    store(parts, 2 * chunk * k + j, count, g_sum)
    store(parts, (2 * chunk + 1) * k + j, count, total)


@strip_function
def slope_strip(vectors, g, x, w, means, statistics, out, chunk, j, count, epsilon):
    """`means` are those of g and g z, one after the other."""
    k = w.size
    m, r, s = column_constants(vectors, x, statistics, k, j, count, epsilon)
    factor = each("multiply", (s, load_strip(vectors, w, j, count, 0.0)), ())
    g_mean = load_strip(vectors, means, j, count, 0.0)
    bend = each("multiply", (s, load_strip(vectors, means, k + j, count, 0.0)), ())
    for row in rows_of(chunk, x, k):
        at = row * k + j
        block = load_strip(vectors, g, at, count, 0.0)
        blocks = block, load_strip(vectors, x, at, count, 0.0), factor, m, r, g_mean, bend
        store(out, at, count, each("column_slope", blocks, ()))


def do_strip(name, vectors, g, x, w, b, statistics, out, chunk, j, count, epsilon): ...


@overload(do_strip, prefer_literal=True)
def _do_strip(name, vectors, g, x, w, b, statistics, out, chunk, j, count, epsilon):
    function = STRIPS[name.literal_value]
    return lambda name, vectors, g, x, w, b, statistics, out, chunk, j, count, epsilon: function(
        vectors, g, x, w, b, statistics, out, chunk, j, count, epsilon
    )


@inner
def each_strip(name, g, x, w, b, statistics, out, epsilon, low, high):
    """All columns of the chunks from `low` to `high`."""
    wide, size, k = WIDE * lanes(x), lanes(x), w.size
    whole = k // wide * wide
    for chunk in range(low, high):
        for j in range(0, whole, wide):
            do_strip(name, WIDE, g, x, w, b, statistics, out, chunk, j, wide, epsilon)
        for j in range(whole, k, size):
            do_strip(name, 1, g, x, w, b, statistics, out, chunk, j, k - j, epsilon)


def _columns_kernel(name):
    """Incoming gradient, numbers, scale, offset, statistics, result, epsilon."""

    @kernel("void(T[::1], T[::1], T[::1], T[::1], T[::1], T[::1], float64, int64)")
    def columns_kernel(g, x, w, b, statistics, out, epsilon, threads):
        count = (x.size // w.size + CHUNK - 1) // CHUNK
        if threads == 1:
            each_strip(name, g, x, w, b, statistics, out, epsilon, 0, count)
        else:
            for t in prange(threads):
                low, high = count * t // threads, count * (t + 1) // threads
                each_strip(name, g, x, w, b, statistics, out, epsilon, low, high)

    return columns_kernel


statistics_kernel = _columns_kernel("statistics_strip")
normalized_columns_kernel = _columns_kernel("normalized_strip")
sums_kernel = _columns_kernel("sums_strip")
slope_columns_kernel = _columns_kernel("slope_strip")


@inner
def gather(parts, statistics, rows, low, high):
    """The columns from `low` to `high`: their r and variance, all chunks together.

    From the means and sums of squares of the parts (Chan, Golub and LeVeque 1983, eq. 2.1), the
    mean of all of which is found first.
    """
    k = statistics.size // 3
    for j in range(low, high, lanes(parts)):
        r = total = zero = load(parts, 0, 0, 0.0)
        for start in range(0, rows, CHUNK):
            part = load(parts, 2 * (start // CHUNK) * k + j, high - j, 0.0)
            r = compute("product_sum", r, part, min(CHUNK, rows - start))
        r = compute("ratio", r, rows)
        for start in range(0, rows, CHUNK):
            at, count = 2 * (start // CHUNK) * k + j, min(CHUNK, rows - start)
            part = load(parts, at, high - j, 0.0)
            apart = compute("distance_sum", zero, zero, part, zero, r, zero)
            total = compute("add", total, load(parts, at + k, high - j, 0.0))
            total = compute("product_sum", total, compute("multiply", apart, apart), count)
        store(statistics, k + j, high - j, r)
        store(statistics, 2 * k + j, high - j, compute("ratio", total, rows))


@kernel("void(T[::1], T[::1], int64, int64)")
def gather_kernel(parts, statistics, rows, threads):
    k = statistics.size // 3
    if threads == 1:
        gather(parts, statistics, rows, 0, k)
    else:
        for t in prange(threads):
            low, high = cut(k, lanes(parts), t, threads)
            gather(parts, statistics, rows, low, high)


# ---------------------------------------------------------------------------------- wrappers


def _run(some_kernel, x, *arguments):
    """Call a kernel on the elements of its arrays, with as many threads as the size is worth."""
    flat = [value.ravel() if type(value) is np.ndarray else value for value in arguments]
    if x.size > 0:
        run(some_kernel, x.size >= PARALLEL, *flat)


def _weights(x, scale, offset):
    n, dtype = x.shape[-1], x.dtype
    scale = np.ones(n, dtype) if scale is None else plain(scale)
    return scale, np.zeros(n, dtype) if offset is None else plain(offset)


def _chunks(x):
    # How many chunks the rows make.
    return -(-x.size // (x.shape[-1] * CHUNK)) if x.size else 0


def rows(x, scale, offset, epsilon, centred):
    """Each row brought to mean 0 (where `centred`) and mean square 1; times scale, plus offset."""
    x, out = plain(x), empty_like(x)
    scale, offset = _weights(x, scale, offset)
    _run(normalized_rows_kernel, x, x, x, scale, offset, out, centred, epsilon)
    return out


def rows_grad(g, x, scale, epsilon, centred, sums=False):
    """s (g scale - mean(g scale) - z mean(g scale z)), z being `rows` without scale and offset.

    Without means where it is not `centred`. With `sums` a pair: that, and those of g and of g z
    over the rows, (2, n).
    """
    g, x, out = plain(g), plain(x), empty_like(x)
    scale = _weights(x, scale, scale)[0]
    parts = np.zeros((_chunks(x) if sums else 0, 2, x.shape[-1]), x.dtype)
    _run(slope_rows_kernel, x, g, x, scale, parts, out, centred, epsilon)
    return (out, _added(parts)) if sums else out


def _added(parts):
    # The chunks added in order.
    return parts[0] if len(parts) == 1 else parts.sum(axis=0)


def columns_statistics(x):
    """(3, n): the mean of each column as a sum of two numbers, and the variance."""
    x = plain(x)
    k = x.shape[-1]
    parts, statistics = np.empty((_chunks(x), 2, k), x.dtype), np.zeros((3, k), x.dtype)
    unused = statistics[0]
    _run(statistics_kernel, x, x, x, unused, unused, statistics, parts, 0.0)
    _run(gather_kernel, x, parts, statistics, x.size // max(k, 1))
    return statistics


def columns(x, scale, offset, epsilon, statistics):
    """Each column brought to mean 0 and variance 1 by its statistics; times scale, plus offset."""
    x, out = plain(x), empty_like(x)
    scale, offset = _weights(x, scale, offset)
    _run(normalized_columns_kernel, x, x, x, scale, offset, statistics, out, epsilon)
    return out


def columns_sums(g, x, epsilon, statistics):
    """(2, n): the sums of g and of g z down each column, z being `columns` without the rest."""
    g, x = plain(g), plain(x)
    parts, unused = np.empty((_chunks(x), 2, x.shape[-1]), x.dtype), statistics[0]
    _run(sums_kernel, x, g, x, unused, unused, statistics, parts, epsilon)
    return _added(parts)


def columns_grad(g, x, scale, epsilon, statistics, sums):
    """s scale (g - mean(g) - z mean(g z)), from the `columns_sums` of g."""
    g, x, out = plain(g), plain(x), empty_like(x)
    scale = _weights(x, scale, scale)[0]
    if x.size > 0:
        means = sums / x.dtype.type(x.size // x.shape[-1])
        _run(slope_columns_kernel, x, g, x, scale, means, statistics, out, epsilon)
    return out
