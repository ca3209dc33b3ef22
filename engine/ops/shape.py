"""Another shape for the same elements. NumPy's views: nothing is copied where it need not be."""

import numpy as np

from ..recorder import broadcast_to, op

__all__ = ["broadcast_to"]  # a row of the tape itself, which belongs here by its kind


@op(lambda g, shape: reshape(g, shape))
def reshape(x, shape):
    """`x` with the lengths `shape`, one of which may be -1: whatever is left."""
    return np.reshape(x, shape)


@op(lambda g, axes: permute_dims(g, tuple(np.argsort(axes))))
def permute_dims(x, axes):
    """`x` with its axes in the order `axes`."""
    return np.transpose(x, axes)


@op(lambda g: matrix_transpose(g))
def matrix_transpose(x):
    """`x` (..., m, n) with its last two axes exchanged: (..., n, m)."""
    if x.ndim < 2:
        raise ValueError(f"expected at least 2 axes, got {x.ndim}")
    return x.swapaxes(-2, -1)


@op(lambda g, shape: reshape(g, shape))
def expand_dims(x, axis):
    """`x` with an axis of length 1 inserted at each place in `axis` (an int or a tuple)."""
    return np.expand_dims(x, axis)


@op(lambda g, shape: reshape(g, shape))
def squeeze(x, axis):
    """`x` without the axes in `axis` (an int or a tuple), each of which must have length 1."""
    return np.squeeze(x, axis)
