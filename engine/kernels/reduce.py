"""Sums and extremes along axes: the array is seen as (groups, n, inner), of which n is reduced.

Every function takes a C-contiguous array of float32 or float64 that is not empty, and the axes
that go, as `plan_of` describes them. A long n is cut into chunks whose length depends on the
shape alone; each chunk is one piece of work for some thread, and what comes of the chunks is
reduced once more. So the bits do not depend on the number of threads. Results are of the shape
that is asked for, or (groups * inner,).

A sum goes over blocks of 64 vectors in four chains, and over the blocks with what each addition
has lost in rounding (Neumaier 1974): chains are short, so its error is below that of NumPy's
pairwise sum. Sums along columns add eight rows as a tree.
"""

import math

import numpy as np
from numba import prange
from numba.extending import overload

from ._jit import inner, kernel, launch, plain
from .vmath import FORMULAS, absolute, compute, first, formula, lanes, load, prefetch, store

BLOCK = 64  # vectors
# Of a row, the elements of a chunk; where columns are reduced, those of a chunk of rows.
CHUNK = 1 << 14
# Vectors of which the memory is asked for ahead of time: of each row, and along one.
AHEAD, AHEAD_ROW = 8, 128
PARALLEL = 1 << 17  # elements from which on threads pay

# ---------------------------------------------------------------------------------- formulas


@formula
def share(x, parts):
    return x / parts


@formula
def greater(x, y):
    """The greater one; nan if either is."""
    return x.where(x > y, y).where(x.equals(x), x)


@formula
def lesser(x, y):
    """The lesser one; nan if either is."""
    return x.where(x < y, y).where(x.equals(x), x)


@formula
def lost_in_sum(x, y, total):
    """What rounding has taken from x + y (Knuth's TwoSum)."""
    from_y = total - x
    return (x - (total - from_y)) + (y - from_y)


@formula
def or_not_finite(found, x):
    """What was found so far; 1 where x is nan or infinite."""
    return found.where(absolute(x) < math.inf, 1.0)


@formula
def nothing_lost(x, y, total):
    return x.like(0.0)


def _over_lanes(combine):
    def fold(x):
        for level in range(x.count.bit_length() - 1):
            x = combine(x, x.rotated(1 << level))
        return x

    return fold


FORMULAS["fold greater"], FORMULAS["fold lesser"] = _over_lanes(greater), _over_lanes(lesser)


@formula
def plus_lost(total, lost):
    """With what was lost, which is nan where the total is infinite."""
    return total + lost.where(lost.equals(lost), 0.0)


@formula
def fold_sum(total, lost):
    """The sum over the lanes, with what was lost, in every lane."""
    return FORMULAS["all_sum"](plus_lost(total, lost))


@formula
def fold_greater(total, lost):
    return FORMULAS["fold greater"](total)


@formula
def fold_lesser(total, lost):
    return FORMULAS["fold lesser"](total)


# ----------------------------------------------------------------------------------- kernels


@inner
def are_finite(x, low, high):
    """Whether none of the elements from low to high is nan or infinite."""
    found = load(x, low, 0, 0.0)
    for at in range(low, high, lanes(x)):
        found = compute("or_not_finite", found, load(x, at, high - at, 0.0))
    return first(compute("all_sum", found)) == 0


def _row_part(combine, lost_by, fold):
    @inner
    def row_part(x, fill, low, high):
        """The elements from low to high, reduced."""
        step = lanes(x)
        empty = load(x, low, 0, fill)
        total, lost = empty, load(x, low, 0, 0.0)
        for start in range(low, high, BLOCK * step):
            stop = min(high, start + BLOCK * step)
            p, q, r, s = empty, empty, empty, empty
            at = start
            while at + 4 * step <= stop:
                for i in range(4):
                    prefetch(x, at + (AHEAD_ROW + i) * step)
                p = compute(combine, load(x, at, step, fill), p)
                q = compute(combine, load(x, at + step, step, fill), q)
                r = compute(combine, load(x, at + 2 * step, step, fill), r)
                s = compute(combine, load(x, at + 3 * step, step, fill), s)
                at += 4 * step
            while at < stop:
                p = compute(combine, load(x, at, stop - at, fill), p)
                at += step
            part = compute(combine, compute(combine, p, q), compute(combine, r, s))
            new = compute(combine, total, part)
            lost = compute("add", lost, compute(lost_by, total, part, new))
            total = new
        return first(compute(fold, total, lost))

    return row_part


def _column_part(combine):
    @inner
    def pair(x, at, width, rest):
        return compute(combine, load(x, at, rest, 0.0), load(x, at + width, rest, 0.0))

    @inner
    def column_part(x, out, at, at_out, rows, width):
        """out[j] for each column j of `rows` rows, reduced; eight rows at a time."""
        for top in range(0, rows, 8):
            for j in range(0, width, lanes(x)):
                here, rest = at + top * width + j, width - j
                if rows - top >= 8:
                    for i in range(8):
                        prefetch(x, here + i * width + AHEAD * lanes(x))
                    p = pair(x, here, width, rest)
                    q = pair(x, here + 2 * width, width, rest)
                    r = pair(x, here + 4 * width, width, rest)
                    s = pair(x, here + 6 * width, width, rest)
                    part = compute(combine, compute(combine, p, q), compute(combine, r, s))
                else:
                    part = load(x, here, rest, 0.0)
                    for i in range(1, rows - top):
                        part = compute(combine, part, load(x, here + i * width, rest, 0.0))
                if top > 0:
                    part = compute(combine, load(out, at_out + j, rest, 0.0), part)
                store(out, at_out + j, rest, part)

    return column_part


PARTS = {}  # what is done with the pieces of work from `low` to `high`, by name


def do_parts(name, x, out, n, width, chunk, divisor, low, high): ...


@overload(do_parts, prefer_literal=True)
def _do_parts(name, x, out, n, width, chunk, divisor, low, high):
    function = PARTS[name.literal_value]
    return lambda name, x, out, n, width, chunk, divisor, low, high: function(
        x, out, n, width, chunk, divisor, low, high
    )


def _parts(combine, lost_by, fold, fill):
    row_part, column_part = _row_part(combine, lost_by, fold), _column_part(combine)

    @inner
    def parts(x, out, n, width, chunk, divisor, low, high):
        chunks = (n + chunk - 1) // chunk
        for item in range(low, high):
            group, start = item // chunks, item % chunks * chunk
            rows = min(chunk, n - start)
            at = (group * n + start) * width
            if width == 1:
                out[item] = row_part(x, fill, at, at + rows)
            else:
                column_part(x, out, at, item * width, rows, width)
        for at in range(low * width, high * width if divisor != 1.0 else 0, lanes(out)):
            rest = high * width - at
            store(out, at, rest, compute("share", load(out, at, rest, 0.0), divisor))

    return parts


def _reduction(name, *formulas):
    """The kernel of one reduction: out (groups, chunks, inner) of x (groups, n, inner).

    In the end all is divided by `divisor`. The formulas are what combines two, what that loses,
    what combines the lanes, and what is put where a row has ended. The kernel knows them by name:
    Numba's cache takes a function in a closure for a new one.
    """
    PARTS[name] = _parts(*formulas)

    @kernel("void(T[::1], T[::1], int64, int64, int64, float64, int64)")
    def loop(x, out, n, width, chunk, divisor, threads):
        items = out.size // width
        if threads == 1:
            do_parts(name, x, out, n, width, chunk, divisor, 0, items)
        else:
            for t in prange(threads):
                low, high = items * t // threads, items * (t + 1) // threads
                do_parts(name, x, out, n, width, chunk, divisor, low, high)

    return loop


sum_kernel = _reduction("sum", "add", "lost_in_sum", "fold_sum", 0.0)
max_kernel = _reduction("max", "greater", "nothing_lost", "fold_greater", -math.inf)
min_kernel = _reduction("min", "lesser", "nothing_lost", "fold_lesser", math.inf)


# ---------------------------------------------------------------------------------- wrappers


def plan_of(shape, axes):
    """How an array of that shape is reduced over `axes`, in order: (groups, n, inner, chunk).

    None where there is nothing to reduce, or where the axes do not follow upon each other.
    """
    if 0 in shape or not axes or axes[-1] - axes[0] + 1 != len(axes):
        return None
    groups = math.prod(shape[: axes[0]])
    n = math.prod(shape[axes[0] : axes[-1] + 1])
    width = math.prod(shape[axes[-1] + 1 :])
    if groups >= 64 or n * width <= PARALLEL:
        return groups, n, width, n
    return groups, n, width, max(64, CHUNK // width)


def _run(loop, x, plan, shape, divisor=1.0):
    groups, n, width, chunk = plan
    chunks = -(-n // chunk)
    if chunks > 1:
        parts = np.empty(groups * chunks * width, x.dtype)
        launch(loop, x, parts, n, width, chunk, 1.0)
        return _run(loop, parts, (groups, chunks, width, chunks), shape, divisor)
    out = np.empty(groups * width if shape is None else shape, x.dtype)
    if x.size < PARALLEL:
        loop(x, out.ravel(), n, width, chunk, divisor, 1)
    else:
        launch(loop, x, out.ravel(), n, width, chunk, divisor)
    return out


def total(x, plan, shape=None, divisor=1.0):
    """The sums, divided by `divisor`."""
    return _run(sum_kernel, plain(x).ravel(), plan, shape, float(divisor))


def greatest(x, plan, shape=None):
    """The greatest elements; nan where there is one."""
    return _run(max_kernel, plain(x).ravel(), plan, shape)


def least(x, plan, shape=None):
    """The least elements; nan where there is one."""
    return _run(min_kernel, plain(x).ravel(), plan, shape)
