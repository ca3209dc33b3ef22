"""Variances, and logarithms of sums of exponentials: reductions that read their array once.

What is known of the elements so far is a pair of numbers,

    variance   the sums of x - c and of (x - c)^2, for some c near the mean
    logsumexp  the greatest element m, and the sum of exp(x - m) (Milakov and Gimelshein 2018)

and eight vectors at a time join it: those of eight rows where columns are reduced, and along a row
the next eight, each lane with a pair of its own. The array is cut into chunks as in `reduce`, by
its shape alone. The pairs of the chunks are merged in order (for the variance: Chan, Golub and
LeVeque 1983, eq. 2.1), so that the bits do not depend on the number of threads.

A variance is as many times less exact as the square of the distance of c from the mean is of the
variance. So c is the mean of the first sixteenth of a chunk or more, for which that is 16 at the
very most; and the mean of each chunk is counted from an element of the array, so that beside a
large mean nothing is rounded.
"""

import math

import numpy as np
from numba import prange
from numba.extending import overload

from ._jit import inner, kernel, plain, run
from .exponentials import exp_term, log
from .reduce import AHEAD, CHUNK
from .vmath import (
    FORMULAS,
    absolute,
    compute,
    compute_pair,
    first,
    formula,
    lanes,
    load,
    maximum,
    prefetch,
    store,
)

# How far goes a chain of additions, the errors of which may all be to one side: vectors of a row,
# and rows.
SPAN, ROWS = 256, 256
AHEAD_ROW = 64  # vectors, as in `reduce`, but for more work with each of them
# Elements from which on threads pay, for a variance and for exponentials.
PARALLEL, PARALLEL_EXP = 1 << 18, 1 << 15

# ---------------------------------------------------------------------------------- formulas
#
# A pair is (a, b). What joins it, what it is when its chunk has been read (of a row, all lanes
# together), and what becomes of the pairs of all chunks: first of a, then with that of b.


def _tree(combine, values):
    while len(values) > 1:
        paired = [combine(x, y) for x, y in zip(values[::2], values[1::2])]
        values = paired + values[2 * len(paired) :]
    return values[0]


def _sum(values):
    return _tree(FORMULAS["add"], values)


def finite(x):
    """0 for what is not: a peak by which to shift."""
    return x.where(absolute(x) < math.inf, 0.0)


@formula
def moments(c, total, squares, *xs):
    apart = [x - c for x in xs]
    return total + _sum(apart), squares + _sum([d * d for d in apart])


@formula
def near_mean(origin, total, count):
    return origin + total / count


@formula
def mean_and_squares(origin, c, total, squares, count):
    """The mean, counted from the origin, and the sum of the squared distances from it."""
    r = total / count
    squares = squares - total * r
    return (c - origin) + r, maximum(squares.like(0.0), squares)


@formula
def weighted(mean, of_chunk, squares, share):
    return mean + of_chunk * share


@formula
def squares_of_all(mean, of_chunk, squares, count):
    apart = of_chunk - mean
    return squares + (apart * apart) * count


@formula
def mean_square(mean, squares, divisor):
    return squares / divisor


@formula
def exponentials(c, peak, total, *xs):
    new = _tree(maximum, [peak, *xs])
    shift = finite(new)
    return new, total * exp_term(peak - shift) + _sum([exp_term(x - shift) for x in xs])


@formula
def peak_of_all(peak, of_chunk, total, share):
    return maximum(peak, of_chunk)


@formula
def exponentials_of_all(peak, of_chunk, total, count):
    return total * exp_term(of_chunk - finite(peak))


@formula
def log_sum(peak, total, divisor):
    return (log(total) + finite(peak)).where(absolute(peak) < math.inf, total * 0.0 + peak)


@formula
def one_peak(peak, total):
    """Of the lanes' pairs the pair of all, in every lane."""
    top = FORMULAS["all_maximum"](peak)
    # Rounded, or each lane would add its own product to the rounded one of another.
    return top, FORMULAS["all_sum"]((total * exp_term(peak - finite(top))).rounded())


# -------------------------------------------------------------------------------- along a row


@inner
def eight(x, at, stride, rest, less, fill):
    """Eight vectors from `at` on, a stride apart, the first with `rest` elements in it."""
    return (
        load(x, at, rest, fill),
        load(x, at + stride, rest - less, fill),
        load(x, at + 2 * stride, rest - 2 * less, fill),
        load(x, at + 3 * stride, rest - 3 * less, fill),
        load(x, at + 4 * stride, rest - 4 * less, fill),
        load(x, at + 5 * stride, rest - 5 * less, fill),
        load(x, at + 6 * stride, rest - 6 * less, fill),
        load(x, at + 7 * stride, rest - 7 * less, fill),
    )


@inner
def walk_row(join, x, c, start, fill, low, high):
    """Each lane's pair, of the elements from low to high; `fill` is what changes none."""
    size = lanes(x)
    a, b = load(x, low, 0, start), load(x, low, 0, 0.0)
    if high - low <= size:
        return compute_pair(join, c, a, b, load(x, low, high - low, fill))
    whole = high - (high - low) % (8 * size)
    for at in range(low, whole, 8 * size):
        for i in range(8):
            prefetch(x, at + (AHEAD_ROW + i) * size)
        a, b = compute_pair(join, c, a, b, eight(x, at, size, 8 * size, size, fill))
    if whole < high:
        a, b = compute_pair(join, c, a, b, eight(x, whole, size, high - whole, size, fill))
    return a, b


@inner
def near_row(x, start, low, high):
    """The mean of the first elements from low to high, in every lane; `start` is one of them."""
    near = min(high - low, max(8 * lanes(x), (high - low) // 16))
    total, _ = walk_row("moments", x, start, 0.0, first(start), low, low + near)
    return compute("near_mean", start, compute("all_sum", total), near)


@inner
def moments_row(x, c, low, high):
    """The sums of x - c and of its square from low to high, in every lane."""
    total = squares = load(x, low, 0, 0.0)
    for at in range(low, high, SPAN * lanes(x)):
        until = min(high, at + SPAN * lanes(x))
        new_total, new_squares = walk_row("moments", x, c, 0.0, first(c), at, until)
        total, squares = compute("add", total, new_total), compute("add", squares, new_squares)
    return compute("all_sum", total), compute("all_sum", squares)


@inner
def variance_row(x, origin, low, high):
    """Of the elements from low to high the mean, counted from x[origin], and the squares."""
    start = load(x, low, 0, x[origin])
    c = near_row(x, start, low, high)
    total, squares = moments_row(x, c, low, high)
    return compute_pair("mean_and_squares", start, c, total, squares, high - low)


@inner
def exponentials_row(x, origin, low, high):
    """The greatest m of the elements from low to high, and the sum of their exp(x - m)."""
    peak, total = walk_row("exponentials", x, load(x, low, 0, 0.0), -np.inf, -np.inf, low, high)
    return compute_pair("one_peak", peak, total)


# ------------------------------------------------------------------------------- down columns


@inner
def clear(parts, at, start, width):
    for j in range(0, width, lanes(parts)):
        store(parts, at + j, width - j, load(parts, at, 0, start))


@inner
def walk_columns(join, x, centre, parts, at, at_centre, places, rows, width):
    """Let `rows` rows of x from `at` on join the pairs of the columns, which are in `parts`."""
    for top in range(0, rows, 8):
        for j in range(0, width, lanes(x)):
            here, rest = at + top * width + j, width - j
            c = load(centre, at_centre + j, rest, 0.0)
            a, b = load(parts, places[0] + j, rest, 0.0), load(parts, places[1] + j, rest, 0.0)
            if rows - top >= 8:
                for i in range(8):
                    prefetch(x, here + i * width + AHEAD * lanes(x))
                a, b = compute_pair(join, c, a, b, eight(x, here, width, rest, 0, 0.0))
            else:
                for i in range(rows - top):
                    a, b = compute_pair(join, c, a, b, load(x, here + i * width, rest, 0.0))
            store(parts, places[0] + j, rest, a)
            store(parts, places[1] + j, rest, b)


@inner
def variance_columns(x, parts, origin, at, places, rows, width):
    at_a, at_b, at_c = places
    near = min(rows, max(8, rows // 16))
    clear(parts, at_a, 0.0, width)
    clear(parts, at_b, 0.0, width)
    walk_columns("moments", x, x, parts, at, origin, places, near, width)
    for j in range(0, width, lanes(x)):
        start, total = load(x, origin + j, width - j, 0.0), load(parts, at_a + j, width - j, 0.0)
        store(parts, at_c + j, width - j, compute("near_mean", start, total, near))
    clear(parts, at_a, 0.0, width)
    clear(parts, at_b, 0.0, width)
    walk_columns("moments", x, parts, parts, at, at_c, places, rows, width)
    for j in range(0, width, lanes(x)):
        rest = width - j
        start, c = load(x, origin + j, rest, 0.0), load(parts, at_c + j, rest, 0.0)
        a, b = load(parts, at_a + j, rest, 0.0), load(parts, at_b + j, rest, 0.0)
        a, b = compute_pair("mean_and_squares", start, c, a, b, rows)
        store(parts, at_a + j, rest, a)
        store(parts, at_b + j, rest, b)


@inner
def exponentials_columns(x, parts, origin, at, places, rows, width):
    clear(parts, places[0], -np.inf, width)
    clear(parts, places[1], 0.0, width)
    walk_columns("exponentials", x, x, parts, at, origin, places, rows, width)


# ------------------------------------------------------------------------------------ kernels

KINDS = {  # what is done along a row, and with the columns of some rows
    "variance": (variance_row, variance_columns),
    "logsumexp": (exponentials_row, exponentials_columns),
}


def do_row(name, x, origin, low, high): ...
def do_columns(name, x, parts, origin, at, places, rows, width): ...


@overload(do_row, prefer_literal=True)
def _do_row(name, x, origin, low, high):
    function = KINDS[name.literal_value][0]
    return lambda name, x, origin, low, high: function(x, origin, low, high)


@overload(do_columns, prefer_literal=True)
def _do_columns(name, x, parts, origin, at, places, rows, width):
    function = KINDS[name.literal_value][1]
    return lambda name, x, parts, origin, at, places, rows, width: function(
        x, parts, origin, at, places, rows, width
    )


@inner
def read_chunks(name, x, parts, outputs, n, width, chunk, low, high):
    """The pairs of the chunks from `low` to `high`; parts is (chunks, 3, outputs)."""
    chunks = (n + chunk - 1) // chunk
    for item in range(low, high):
        group, k = item // chunks, item % chunks
        origin, rows = group * n * width, min(chunk, n - k * chunk)
        at, place = origin + k * chunk * width, 3 * k * outputs + group * width
        if width == 1:
            a, b = do_row(name, x, origin, at, at + rows)
            parts[place], parts[place + outputs] = first(a), first(b)
        else:
            places = place, place + outputs, place + 2 * outputs
            do_columns(name, x, parts, origin, at, places, rows, width)


@inner
def merge(of_first, of_second, finish, start, parts, out, n, chunk, divisor):
    """The result from the pairs of all chunks, the sum with what each addition has lost."""
    for at in range(0, out.size, lanes(out)):
        rest = out.size - at
        a, lost = load(parts, at, 0, start), load(parts, at, 0, 0.0)
        total = lost
        for k in range((n + chunk - 1) // chunk):
            of_chunk = load(parts, 3 * k * out.size + at, rest, 0.0)
            a = compute(of_first, a, of_chunk, of_chunk, min(chunk, n - k * chunk) / n)
        for k in range((n + chunk - 1) // chunk):
            place = 3 * k * out.size + at
            pair = load(parts, place, rest, 0.0), load(parts, place + out.size, rest, 0.0)
            term = compute(of_second, a, pair, min(chunk, n - k * chunk))
            new = compute("add", total, term)
            lost = compute("add", lost, compute("lost_in_sum", total, term, new))
            total = new
        store(out, at, rest, compute(finish, a, compute("plus_lost", total, lost), divisor))


def _pair_kernel(name, of_first, of_second, finish, start):
    """out (groups, inner) of x (groups, n, inner), by way of `parts`."""

    @kernel("void(T[::1], T[::1], T[::1], int64, int64, int64, float64, int64)")
    def pair_kernel(x, parts, out, n, width, chunk, divisor, threads):
        items = out.size // width * ((n + chunk - 1) // chunk)
        if threads == 1:
            read_chunks(name, x, parts, out.size, n, width, chunk, 0, items)
        else:
            for t in prange(threads):
                low, high = items * t // threads, items * (t + 1) // threads
                read_chunks(name, x, parts, out.size, n, width, chunk, low, high)
        merge(of_first, of_second, finish, start, parts, out, n, chunk, divisor)

    return pair_kernel


variance_kernel = _pair_kernel("variance", "weighted", "squares_of_all", "mean_square", 0.0)
log_sum_kernel = _pair_kernel(
    "logsumexp", "peak_of_all", "exponentials_of_all", "log_sum", -math.inf
)

# ----------------------------------------------------------------------------------- wrappers


def _run(pair_kernel, x, plan, shape, divisor, parallel):
    x, (groups, n, width, _) = plain(x), plan
    chunk = min(n, CHUNK if width == 1 else min(ROWS, max(64, CHUNK // width)))
    parts = np.empty(3 * -(-n // chunk) * groups * width, x.dtype)
    out = np.empty(groups * width if shape is None else shape, x.dtype)
    is_large = x.size >= parallel
    run(pair_kernel, is_large, x.ravel(), parts, out.ravel(), n, width, chunk, divisor)
    return out


def variance(x, plan, shape=None, divisor=1.0):
    """The sums of the squared distances from the mean, divided by `divisor`."""
    return _run(variance_kernel, x, plan, shape, float(divisor), PARALLEL)


def log_sum_exp(x, plan, shape=None):
    """log(sum(exp(x))): infinite or nan where the greatest element is."""
    return _run(log_sum_kernel, x, plan, shape, 1.0, PARALLEL_EXP)
