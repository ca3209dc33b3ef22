"""Softmax and the cross-entropies, row by row: shifted by the row's maximum, so nothing overflows.

Every public function takes arrays of one dtype (float32 or float64) in any layout and works along
the last axis. With m the maximum of a row and s the sum of exp(x - m) over it,

    softmax      exp(x - m) / s
    log_softmax  (x - m) - log(s)

A difference from the maximum is at most 0: where it overflows, to -inf, its exponential is 0, as
it should be. The cross-entropies start from logits, not from probabilities, whose logarithm has
lost its digits wherever a model is confident.
"""

import math

import numpy as np
from numba import prange, types
from numba.extending import overload

from ._jit import inner, kernel, launch, plain
from .exponentials import exp_of_negative
from .memory import empty_like
from .narrow import NARROW, narrow
from .pairs import exponentials_row
from .reduce import AHEAD_ROW
from .vmath import (
    absolute,
    compute,
    first,
    formula,
    is_streamed,
    lanes,
    load,
    one_hot,
    prefetch,
    settle,
    store,
    stream,
)

# Elements from which on threads pay: with two, there, softmax takes 0.81 and its gradient 0.90 of
# the time of one.
PARALLEL = 1 << 14

# ---------------------------------------------------------------------------------- formulas
#
# Of a block of a row: logits x, of which m is the row's maximum, targets t, incoming gradients g.


@formula
def left(x, y):
    return x


@formula
def product(x, y):
    return x * y


@formula
def quotient(x, y):
    return x / y


@formula
def shifted_exp(x, y, m):
    return exp_of_negative(x - m)


@formula
def total_beside(m, total):
    """nan where m is not finite."""
    return total.where(absolute(m) < math.inf, math.nan)


@formula
def shifted(x, m, log_sum):
    return (x - m) - log_sum


@formula
def weighted_loss(x, t, m, log_sum):
    """t (log(s) - (x - m)), and 0 for t = 0 even where x - m has overflowed."""
    return x.like(0.0).where(t.equals(0.0), t * (log_sum - (x - m)))


@formula
def softmax_slope(g, out, total):
    return out * (g - total)


@formula
def log_softmax_slope(g, out, total):
    return g - exp_of_negative(out) * total


@formula
def cross_entropy_slope(g, e, t, factor):
    """g (e factor - t), where e is exp(x - m) and e times the factor is softmax times sum(t)."""
    return g * (e * factor - t)


# --------------------------------------------------------------------------- pieces of a row
#
# A sum is taken over stretches of so many vectors and then over the stretches, as errors grow with
# the length of a chain of additions.
STRETCH = 32
LONG = 1 << 13  # elements of a row that comes from memory, or from a cache that is far


@inner
def row_maximum(x, at, n):
    step, head = lanes(x), load(x, at, n, -np.inf)
    i, p, q, r = step, head, head, head  # chains, so that one comparison need not await the last
    while i + 3 * step <= n:
        if n >= LONG:
            for ahead in range(3):
                prefetch(x, at + i + (AHEAD_ROW + ahead) * step)
        p = compute("maximum", load(x, at + i, step, 0.0), p)
        q = compute("maximum", load(x, at + i + step, step, 0.0), q)
        r = compute("maximum", load(x, at + i + 2 * step, step, 0.0), r)
        i += 3 * step
    while i < n:
        head = compute("maximum", load(x, at + i, n - i, -np.inf), head)
        i += step
    return compute(
        "all_maximum", compute("maximum", compute("maximum", head, p), compute("maximum", q, r))
    )


@inner
def row_exp_sum(x, out, at, n):
    """The sum of exp(x - m) along the row, of which m is the maximum; leaves the terms in `out`.

    There is so much to calculate that meanwhile the next row can come from memory.
    """
    m, head = row_maximum(x, at, n), load(x, at, 0, 0.0)
    for start in range(0, n, STRETCH * lanes(x)):
        part = load(x, at, 0, 0.0)
        for i in range(start, min(n, start + STRETCH * lanes(x)), lanes(x)):
            block = load(x, at + i, n - i, -np.inf)
            prefetch(x, at + n + i)
            e = compute("shifted_exp", block, block, m)
            store(out, at + i, n - i, e)
            part = compute("add", part, e)
        head = compute("add", head, part)
    return compute("all_sum", head)


@inner
def row_sum(term, head, x, y, fill, at, n, constants=()):
    """The sum of term(x, y, constants) along the row, `head` being the terms of the first block.

    Past the end of the row `x` is `fill`, for which the term is 0.
    """
    for start in range(lanes(x), n, STRETCH * lanes(x)):
        part = load(x, at, 0, 0.0)
        for i in range(start, min(n, start + STRETCH * lanes(x)), lanes(x)):
            blocks = load(x, at + i, n - i, fill), load(y, at + i, n - i, 0.0)
            if n >= LONG:
                prefetch(x, at + i + AHEAD_ROW * lanes(x))
                prefetch(y, at + i + AHEAD_ROW * lanes(x))
            part = compute("add", part, compute(term, blocks, constants))
        head = compute("add", head, part)
    return compute("all_sum", head)


@inner
def exp_sum(x, at, n):
    """m and s of a row."""
    m, total = exponentials_row(x, at, at, at + n)
    return m, compute("total_beside", m, total)


@inner
def put(out, at, count, block, streamed):
    """Store or, where whole vectors are `streamed`, stream."""
    if streamed:
        stream(out, at, block)
    else:
        store(out, at, count, block)


# --------------------------------------------------------------------------------- softmax

ROWS = {}  # what is done with the rows from `low` to `high`, by name


@inner
def streams_rows(out, n):
    return is_streamed(out) and n % lanes(out) == 0


def rows_function(function):
    ROWS[function.__name__] = inner(function)
    return function


@inner
def narrow_rows(name, arrays, n, low, high):
    """A function of `narrow` on the rows from low to high. Returns the first that is not done."""
    if n > NARROW:
        return low
    step = lanes(arrays[1])
    for top in range(low, high, step):
        narrow(name, arrays, top, n, min(step, high - top))
    return high


@rows_function
def softmax_rows(g, x, y, out, n, low, high):
    for row in range(narrow_rows("softmax", (g, x, y, out), n, low, high), high):
        at = row * n
        scale = compute("quotient", 1.0, row_exp_sum(x, out, at, n))
        for i in range(0, n, lanes(x)):
            store(out, at + i, n - i, compute("product", load(out, at + i, n - i, 0.0), scale))


@rows_function
def log_softmax_rows(g, x, y, out, n, low, high):
    streamed = streams_rows(out, n)
    for row in range(narrow_rows("log_softmax", (g, x, y, out), n, low, high), high):
        at = row * n
        m, total = exp_sum(x, at, n)
        log_sum = compute("log", total)
        for i in range(0, n, lanes(x)):
            block = load(x, at + i, n - i, 0.0)
            put(out, at + i, n - i, compute("shifted", block, m, log_sum), streamed)
    if streamed:
        settle()


@rows_function
def softmax_grad_rows(g, x, y, out, n, low, high):
    slope_rows("product", "softmax_slope", g, y, out, n, low, high)


@rows_function
def log_softmax_grad_rows(g, x, y, out, n, low, high):
    slope_rows("left", "log_softmax_slope", g, y, out, n, low, high)


@inner
def slope_rows(term, slope, g, y, out, n, low, high):
    """slope(g, y, total) for the output y of the forward function and the sum of term(g, y)."""
    streamed = streams_rows(out, n)
    for row in range(low, high):
        at = row * n
        heads = load(g, at, n, 0.0), load(y, at, n, 0.0)
        total = row_sum(term, compute(term, heads), g, y, 0.0, at, n)
        put(out, at, n, compute(slope, heads, total), streamed)
        for i in range(lanes(g), n, lanes(g)):
            blocks = load(g, at + i, n - i, 0.0), load(y, at + i, n - i, 0.0)
            put(out, at + i, n - i, compute(slope, blocks, total), streamed)
    if streamed:
        settle()


# --------------------------------------------------------------------------- cross-entropies
#
# One source for both: labels (n,) stand for one-hot targets (n, k), so that the two forms of the
# same labels have the same bits. What differs by the type of the targets is in the next three.


def target_block(x, targets, row, n, i): ...
def target_sum(x, targets, row, n): ...
def loss_sum(x, targets, row, n, m, log_sum): ...


@overload(target_block)
def _target_block(x, targets, row, n, i):
    if isinstance(targets.dtype, types.Integer):
        return lambda x, targets, row, n, i: one_hot(x, targets[row] - i)
    return lambda x, targets, row, n, i: load(targets, row * n + i, n - i, 0.0)


@overload(target_sum)
def _target_sum(x, targets, row, n):
    if isinstance(targets.dtype, types.Integer):
        return lambda x, targets, row, n: 1.0

    def dense(x, targets, row, n):
        head = load(targets, row * n, n, 0.0)
        return row_sum("left", head, targets, targets, 0.0, row * n, n)

    return dense


@overload(loss_sum)
def _loss_sum(x, targets, row, n, m, log_sum):
    def sparse(x, targets, row, n, m, log_sum):
        return compute("weighted_loss", x[row * n + targets[row]], 1.0, m, log_sum)

    def dense(x, targets, row, n, m, log_sum):
        at = row * n
        blocks = load(x, at, n, 0.0), load(targets, at, n, 0.0)
        head = compute("weighted_loss", blocks, m, log_sum)
        return row_sum("weighted_loss", head, x, targets, 0.0, at, n, (m, log_sum))

    return sparse if isinstance(targets.dtype, types.Integer) else dense


@rows_function
def cross_entropy_rows(g, x, targets, losses, n, low, high):
    for row in range(narrow_rows("cross_entropy", (g, x, targets, losses), n, low, high), high):
        m, total = exp_sum(x, row * n, n)
        losses[row] = first(loss_sum(x, targets, row, n, m, compute("log", total)))


@rows_function
def cross_entropy_grad_rows(g, x, targets, out, n, low, high):
    for row in range(narrow_rows("cross_entropy_grad", (g, x, targets, out), n, low, high), high):
        at = row * n
        total = row_exp_sum(x, out, at, n)
        factor = compute("quotient", target_sum(x, targets, row, n), total)
        for i in range(0, n, lanes(x)):
            e, t = load(out, at + i, n - i, 0.0), target_block(x, targets, row, n, i)
            store(out, at + i, n - i, compute("cross_entropy_slope", g[row], e, t, factor))


# ----------------------------------------------------------------------------------- kernels


def do_rows(name, g, x, y, out, n, low, high): ...


@overload(do_rows, prefer_literal=True)
def _do_rows(name, g, x, y, out, n, low, high):
    function = ROWS[name.literal_value]
    return lambda name, g, x, y, out, n, low, high: function(g, x, y, out, n, low, high)


def _rows_kernel(name, y_type="T"):
    """One signature for all: incoming gradient, logits, labels or targets or output, result."""

    @kernel(f"void(T[::1], T[::1], {y_type}[::1], T[::1], int64, int64)")
    def rows_kernel(g, x, y, out, n, threads):
        rows = x.size // n
        if threads == 1:
            do_rows(name, g, x, y, out, n, 0, rows)
        else:
            for t in prange(threads):
                do_rows(name, g, x, y, out, n, rows * t // threads, rows * (t + 1) // threads)

    return rows_kernel


softmax_kernel = _rows_kernel("softmax_rows")
log_softmax_kernel = _rows_kernel("log_softmax_rows")
softmax_grad_kernel = _rows_kernel("softmax_grad_rows")
log_softmax_grad_kernel = _rows_kernel("log_softmax_grad_rows")
sparse_kernel = _rows_kernel("cross_entropy_rows", "int64")
dense_kernel = _rows_kernel("cross_entropy_rows")
sparse_grad_kernel = _rows_kernel("cross_entropy_grad_rows", "int64")
dense_grad_kernel = _rows_kernel("cross_entropy_grad_rows")


# ---------------------------------------------------------------------------------- wrappers


def _run(rows_kernel, g, x, y, out):
    if x.size >= PARALLEL:
        launch(rows_kernel, g.ravel(), x.ravel(), y.ravel(), out.ravel(), x.shape[-1])
    elif x.size > 0:
        rows_kernel(g.ravel(), x.ravel(), y.ravel(), out.ravel(), x.shape[-1], 1)
    return out


def softmax(x):
    """exp(x) / sum(exp(x)) along the last axis."""
    x = plain(x)
    return _run(softmax_kernel, x, x, x, empty_like(x))


def log_softmax(x):
    """log(softmax(x)) along the last axis."""
    x = plain(x)
    return _run(log_softmax_kernel, x, x, x, empty_like(x))


def softmax_grad(g, out):
    """out (g - sum(g out)), from the softmax `out`."""
    g, out = plain(g), plain(out)
    return _run(softmax_grad_kernel, g, out, out, empty_like(out))


def log_softmax_grad(g, out):
    """g - exp(out) sum(g), from the log_softmax `out`."""
    g, out = plain(g), plain(out)
    return _run(log_softmax_grad_kernel, g, out, out, empty_like(out))


def sparse_cross_entropy(logits, labels):
    """log(sum(exp(x))) - x[label] of each row x of the logits (n, k); labels (n,) of int64.

    The labels are in 0 .. k - 1: the caller has checked it, a kernel reads wherever they point.
    """
    x = plain(logits)
    return _run(sparse_kernel, x, x, plain(labels), np.zeros(len(x), x.dtype))


def dense_cross_entropy(logits, targets):
    """sum(t (log(sum(exp(x))) - x)) of each row; logits x and targets t (n, k)."""
    x = plain(logits)
    return _run(dense_kernel, x, x, plain(targets), np.zeros(len(x), x.dtype))


def sparse_cross_entropy_grad(g, logits, labels):
    """g (softmax(x) - one_hot(label)) of each row; g (n,), logits (n, k), labels (n,) of int64."""
    x = plain(logits)
    return _run(sparse_grad_kernel, plain(g), x, plain(labels), empty_like(x))


def dense_cross_entropy_grad(g, logits, targets):
    """g (softmax(x) sum(t) - t) of each row; g (n,), logits x and targets t (n, k)."""
    x = plain(logits)
    return _run(dense_grad_kernel, plain(g), x, plain(targets), empty_like(x))
