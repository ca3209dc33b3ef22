"""Reductions. `axis` is an int, a tuple of ints or None for all; `keepdims` as in NumPy.

Where no elements go into a result: sums are 0, products 1, `all` true, `any` false, `logsumexp`
-inf; the others have no value then, and raise ValueError.
"""

import math

import numpy as np

from ..kernels import elementwise as kernels
from ..kernels import pairs
from ..kernels import reduce as sums
from ..recorder import broadcast_to, op
from ..tensor import FLOAT32, FLOAT64
from .elementwise import (
    add,
    divide,
    equal,
    greater,
    maximum,
    multiply,
    real,
    subtract,
    where,
    zeros_like,
)
from .index import along, getitem
from .shape import concat, flip, permute_dims, reshape


def axes_of(ndim, axis):
    """`axis` as a tuple of numbers from 0 to ndim - 1. ValueError when out of range or twice."""
    if axis is None:
        return tuple(range(ndim))
    return np.lib.array_utils.normalize_axis_tuple(axis, ndim)


def kept_shape(shape, axis):
    """The shape that a reduction of `shape` over `axis` has with keepdims=True."""
    axes = axes_of(len(shape), axis)
    return tuple(1 if position in axes else n for position, n in enumerate(shape))


def spread(g, shape, axis):
    """The gradient of a sum over `axis`: g again at every element that went into it."""
    return broadcast_to(reshape(g, kept_shape(shape, axis)), shape)


def _count(shape, axis):
    return math.prod(shape[position] for position in axes_of(len(shape), axis))


class _Plans(dict):
    """How the kernels reduce a shape over axes, and the result's shape without and with keepdims.

    No plan (None) for what the kernels leave to NumPy.
    """

    def __missing__(self, key):
        shape, axis = key
        axes = tuple(sorted(axes_of(len(shape), axis)))
        left = tuple(n for position, n in enumerate(shape) if position not in axes)
        if len(self) > 1000:
            self.clear()
        self[key] = found = sums.plan_of(shape, axes), left, kept_shape(shape, axes)
        return found


_plans = _Plans()


def _plan(x, axis):
    if (x.dtype is FLOAT32 or x.dtype is FLOAT64) and x.flags.c_contiguous:
        return _plans[x.shape, axis]
    return None, None, None


@op(lambda g, shape, axis: spread(g, shape, axis))
def sum(x, axis=None, keepdims=False):
    """The sum; 0 of nothing."""
    plan, left, kept = _plan(x, axis)
    if plan is None:
        return np.sum(x, axis=axis, keepdims=keepdims)
    return sums.total(x, plan, kept if keepdims else left)


@op(lambda g, shape, axis: divide(spread(g, shape, axis), _count(shape, axis)))
def mean(x, axis=None, keepdims=False):
    """The arithmetic mean. ValueError where there are no elements to take it of."""
    plan, left, kept = _plan(x, axis)
    if plan is not None:
        return sums.total(x, plan, kept if keepdims else left, plan[1])
    if _count(x.shape, axis) == 0:
        raise ValueError("there is no mean of no elements")
    return np.mean(x, axis=axis, keepdims=keepdims)


@op(lambda g, x, axis, correction: _variance_grad(g, x, axis, correction))
def var(x, axis=None, correction=0.0, keepdims=False):
    """The mean of the squared distances from the mean, divided by n - correction instead of n.

    ValueError where that is not above 0.
    """
    return _variance(x, axis, correction, keepdims)


def _variance(x, axis, correction, keepdims):
    plan, left, kept = _plan(x, axis)
    n = _count(x.shape, axis) if plan is None else plan[1]
    if n <= correction:
        raise ValueError(f"expected more than {correction} elements to take it of")
    if plan is None:
        return np.var(x, axis=axis, ddof=correction, keepdims=keepdims)
    return pairs.variance(x, plan, kept if keepdims else left, n - correction)


@op(lambda g, x, out, axis, correction: _variance_grad(_half_by(g, out), x, axis, correction))
def std(x, axis=None, correction=0.0, keepdims=False):
    """The square root of `var`. Where that is 0, the kink of the root, the slope is 0."""
    return np.sqrt(_variance(x, axis, correction, keepdims))


def _variance_grad(g, x, axis, correction):
    centred = subtract(x, mean(x, axis=axis, keepdims=True))
    factor = 2 / (_count(x.shape, axis) - correction)
    return multiply(spread(g, x.shape, axis), multiply(factor, centred))


def _half_by(g, root):
    flat = equal(root, 0)
    return where(flat, zeros_like(g), divide(g, multiply(2, add(root, flat))))


@op(lambda g, x, axis: multiply(spread(g, x.shape, axis), _other_factors(x, axis)))
def prod(x, axis=None, keepdims=False):
    """The product; 1 of nothing. Right with zeros among the factors, to any order."""
    return np.prod(x, axis=axis, keepdims=keepdims)


def _other_factors(x, axis):
    # For each element the product of the others: not out / x, which zeros would spoil.
    axes = axes_of(x.ndim, axis)
    order = (*axes, *(position for position in range(x.ndim) if position not in axes))
    lead = permute_dims(x, order)
    others = _other_rows(reshape(lead, (_count(x.shape, axis), *lead.shape[len(axes) :])))
    return permute_dims(reshape(others, lead.shape), tuple(np.argsort(order)))


def _other_rows(x):
    # Fold the rows in two; from the result for the pairs follows that for each of the two.
    if x.shape[0] < 2:
        return np.ones(x.shape, x.dtype)
    half = x.shape[0] // 2
    first, second = getitem(x, slice(half)), getitem(x, slice(half, 2 * half))
    odd = getitem(x, slice(2 * half, None))
    others = _other_rows(concat([multiply(first, second), odd]))
    pairs, others_of_odd = getitem(others, slice(half)), getitem(others, slice(half, None))
    return concat([multiply(pairs, second), multiply(pairs, first), others_of_odd])


@op(lambda g, axis, include_initial: _sums_grad(g, axis, include_initial))
def cumulative_sum(x, axis=None, include_initial=False):
    """The sums up to and with each element along `axis`.

    axis             may be left out where `x` has only one
    include_initial  begin with the sum of nothing: the result is longer by one
    """
    if axis is None and x.ndim != 1:
        raise ValueError(f"which axis to sum along must be said of {x.ndim} axes")
    sums = np.cumsum(x, axis=axis)
    if not include_initial:
        return sums
    lengths = [1 if n == (axis or 0) % x.ndim else length for n, length in enumerate(x.shape)]
    return np.concatenate([np.zeros(lengths, sums.dtype), sums], axis or 0)


def _sums_grad(g, axis, include_initial):
    axis = axis or 0
    if include_initial:
        g = getitem(g, along(g.ndim, axis, slice(1, None)))
    return flip(cumulative_sum(flip(g, axis), axis), axis)


@op(lambda g, x, out, axis: _weighted(g, x, out, axis))
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))), for x of any magnitude; -inf counts as nothing, with slope 0."""
    x = real(x)
    plan, left, kept = _plan(x, axis)
    if plan is not None:
        return pairs.log_sum_exp(x, plan, kept if keepdims else left)
    peak = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(peak), peak, 0)
    total = np.sum(exp_minus(x, shift), axis=axis, keepdims=True)
    out = kernels.log(np.asarray(total)) + shift
    return out if keepdims else np.squeeze(out, axes_of(x.ndim, axis))


def _weighted(g, x, out, axis):
    # exp(x - out) adds up to 1 only where `out` is exact; for large x that is far from so.
    kept = kept_shape(x.shape, axis)
    weights = exp_minus(x, reshape(out, kept))
    total = sum(weights, axis=axis, keepdims=True)
    return multiply(weights, divide(reshape(g, kept), add(total, equal(total, 0))))


@op(lambda g, out: multiply(g, out), None)
def exp_minus(x, y):
    """exp(x - y), without a warning where that is 0; y is a constant, and -inf counts as 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        return kernels.exp(np.asarray(x - np.where(np.isneginf(y), 0, y)))


def _share_of(g, x, out, axis):
    # All elements that reach the extreme value get an equal part; where it is nan there is none.
    kept = kept_shape(x.shape, axis)
    extreme = equal(x, reshape(out, kept))
    ties = sum(extreme, axis=axis, keepdims=True)
    part = where(greater(ties, 0), divide(reshape(g, kept), maximum(ties, 1)), np.nan)
    return multiply(part, extreme)


@op(lambda g, x, out, axis: _share_of(g, x, out, axis))
def max(x, axis=None, keepdims=False):
    """The greatest element; nan if any is nan. Ties share the gradient in equal parts."""
    plan, left, kept = _plan(x, axis)
    if plan is None:
        return np.max(x, axis=axis, keepdims=keepdims)
    return sums.greatest(x, plan, kept if keepdims else left)


@op(lambda g, x, out, axis: _share_of(g, x, out, axis))
def min(x, axis=None, keepdims=False):
    """The least element; nan if any is nan. Ties share the gradient in equal parts."""
    plan, left, kept = _plan(x, axis)
    if plan is None:
        return np.min(x, axis=axis, keepdims=keepdims)
    return sums.least(x, plan, kept if keepdims else left)


@op(None)
def argmax(x, axis=None, keepdims=False):
    """The index of the greatest element, the first of equal ones, as int64."""
    return np.argmax(x, axis=axis, keepdims=keepdims)


@op(None)
def argmin(x, axis=None, keepdims=False):
    """The index of the least element, the first of equal ones, as int64."""
    return np.argmin(x, axis=axis, keepdims=keepdims)


@op(None)
def all(x, axis=None, keepdims=False):
    """Whether all elements are true (not zero)."""
    return np.all(x, axis=axis, keepdims=keepdims)


@op(None)
def any(x, axis=None, keepdims=False):
    """Whether any element is true (not zero)."""
    return np.any(x, axis=axis, keepdims=keepdims)


@op(None)
def count_nonzero(x, axis=None, keepdims=False):
    """How many elements are not zero (or not false), as int64."""
    return np.count_nonzero(x, axis=axis, keepdims=keepdims)
