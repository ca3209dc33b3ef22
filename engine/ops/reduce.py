"""Reductions. `axis` is an int, a tuple of ints or None for all; `keepdims` as in NumPy."""

import numpy as np

from ..recorder import broadcast_to, op
from .elementwise import divide, equal, multiply
from .shape import reshape


def axes_of(ndim, axis):
    """`axis` as a tuple of numbers from 0 to ndim - 1. ValueError when out of range or twice."""
    return tuple(
        np.lib.array_utils.normalize_axis_tuple(range(ndim) if axis is None else axis, ndim)
    )


def kept_shape(shape, axis):
    """The shape that a reduction of `shape` over `axis` has with keepdims=True."""
    axes = axes_of(len(shape), axis)
    return tuple(1 if position in axes else n for position, n in enumerate(shape))


def spread(g, shape, axis):
    """The gradient of a sum over `axis`: g again at every element that went into it."""
    return broadcast_to(reshape(g, kept_shape(shape, axis)), shape)


def _count(shape, axis):
    return int(np.prod([shape[position] for position in axes_of(len(shape), axis)], dtype=int))


@op(lambda g, shape, axis: spread(g, shape, axis))
def sum(x, axis=None, keepdims=False):
    """The sum; 0 of nothing."""
    return np.sum(x, axis=axis, keepdims=keepdims)


@op(lambda g, shape, axis: divide(spread(g, shape, axis), _count(shape, axis)))
def mean(x, axis=None, keepdims=False):
    """The arithmetic mean. ValueError where there are no elements to take it of."""
    if _count(x.shape, axis) == 0:
        raise ValueError("there is no mean of no elements")
    return np.mean(x, axis=axis, keepdims=keepdims)


def _share_of(g, x, out, axis):
    # All elements that reach the extreme value get an equal part of the gradient.
    extreme = equal(x, reshape(out, kept_shape(x.shape, axis)))
    ties = sum(extreme, axis=axis, keepdims=True)
    return multiply(divide(spread(g, x.shape, axis), ties), extreme)


@op(lambda g, x, out, axis: _share_of(g, x, out, axis))
def max(x, axis=None, keepdims=False):
    """The greatest element; nan if any is nan. Ties share the gradient in equal parts."""
    return np.max(x, axis=axis, keepdims=keepdims)


@op(lambda g, x, out, axis: _share_of(g, x, out, axis))
def min(x, axis=None, keepdims=False):
    """The least element; nan if any is nan. Ties share the gradient in equal parts."""
    return np.min(x, axis=axis, keepdims=keepdims)


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
