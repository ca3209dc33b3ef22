"""Another shape or order for the same elements. Where NumPy gives a view, nothing is copied."""

import math
from itertools import pairwise
from numbers import Integral, Real

import numpy as np

from ..recorder import broadcast_to, op
from ..tensor import to_array
from .index import along, check_whole, getitem, put_index, shape_of

__all__ = ["broadcast_to"]  # a row of the tape itself, which belongs here by its kind


# ----------------------------------------------------------------------------------- lengths


@op(lambda g, shape: reshape(g, shape))
def reshape(x, shape):
    """`x` with the lengths `shape`, one of which may be -1: whatever is left."""
    return np.reshape(x, shape)


def ravel(x):
    """The elements of `x` along a single axis."""
    return reshape(x, -1)


@op(lambda g, shape: reshape(g, shape))
def expand_dims(x, axis=0):
    """`x` with an axis of length 1 inserted at each place in `axis` (an int or a tuple)."""
    return np.expand_dims(x, axis)


@op(lambda g, shape: reshape(g, shape))
def squeeze(x, axis=None):
    """`x` without the axes in `axis` (an int, a tuple, None for all), each of them of length 1."""
    return np.squeeze(x, axis)


# ------------------------------------------------------------------------------------- order


@op(lambda g, axes: permute_dims(g, tuple(np.argsort([axis % len(axes) for axis in axes]))))
def permute_dims(x, axes):
    """`x` with its axes in the order `axes`."""
    return np.transpose(x, tuple(axes))


@op(lambda g: matrix_transpose(g))
def matrix_transpose(x):
    """`x` (..., m, n) with its last two axes exchanged: (..., n, m)."""
    return _matrices(x).swapaxes(-2, -1)


@op(lambda g, source, destination: moveaxis(g, destination, source))
def moveaxis(x, source, destination):
    """`x` with the axes `source` (an int or a tuple) at the places `destination`."""
    return np.moveaxis(x, source, destination)


@op(lambda g, axis: flip(g, axis))
def flip(x, axis=None):
    """`x` in reverse along `axis` (an int, a tuple, or None for all)."""
    return np.flip(x, axis)


@op(lambda g, shift, axis: roll(g, np.negative(shift), axis))
def roll(x, shift, axis=None):
    """`x` with its elements `shift` places further; those that fall off come in at the other end.

    shift, axis  an int each, or tuples of equal length; without `axis` as if there were only one
    """
    check_whole("shift", shift)
    return np.roll(x, shift, axis)


# ---------------------------------------------------------------------- together and apart


@op(
    lambda g, shape, axis: _pieces_of(g, shape, axis),
    forward=np.concatenate,
    sequence=True,
)
def concat(arrays, axis=0):
    """The arrays one behind the other along `axis`; with axis=None all their elements in a row."""


def _pieces_of(g, shapes, axis):
    if axis is None:
        pieces = split(g, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
        return [reshape(piece, shape) for piece, shape in zip(pieces, shapes)]
    return split(g, np.cumsum([shape[axis] for shape in shapes])[:-1], axis)


@op(lambda g, axis: unstack(g, axis), forward=np.stack, sequence=True)
def stack(arrays, axis=0):
    """The arrays, all of one shape, side by side along a new axis."""


def split(x, indices_or_sections, axis=0):
    """A list of the parts of `x` along `axis`.

    indices_or_sections  how many equal parts, or the indices at which to cut, in rising order

    Raises ValueError when the parts would not be equal, or the indices fall.
    """
    x = x if hasattr(x, "shape") else to_array(x)
    length = _length("split", x, axis)
    if isinstance(indices_or_sections, Integral):
        count = int(indices_or_sections)
        if count < 1 or length % count:
            raise ValueError(
                f"split: {length} elements along axis {axis} do not make {count} equal parts "
                f"(got shape {shape_of(x)})"
            )
        return _cut(x, axis, [length // count * position for position in range(count + 1)])
    try:
        cuts = [slice(cut).indices(length)[1] for cut in indices_or_sections]
    except TypeError:
        raise TypeError(
            f"split: expected a number of parts or integer indices, got {indices_or_sections!r}"
        ) from None
    bounds = [0, *cuts, length]
    if any(start > stop for start, stop in pairwise(bounds)):
        raise ValueError(f"split: expected indices in rising order, got {indices_or_sections}")
    return _cut(x, axis, bounds)


def _cut(x, axis, bounds):
    # By halves: reading n parts one by one, each would get a gradient as large as all of `x`.
    if len(bounds) == 2:
        return [x]
    parts = []
    for some in (bounds[: len(bounds) // 2 + 1], bounds[len(bounds) // 2 :]):
        part = slice(some[0] - bounds[0], some[-1] - bounds[0])
        parts += _cut(getitem(x, along(len(shape_of(x)), axis, part)), axis, some)
    return parts


def unstack(x, axis=0):
    """A tuple of what `x` holds at each index along `axis`, without that axis."""
    length = _length("unstack", x, axis)
    return tuple(squeeze(part, axis) for part in split(x, length, axis)) if length else ()


def _length(name, x, axis):
    shape = shape_of(x)
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"{name}: axis {axis} is out of bounds for shape {shape}")
    return shape[axis]


# ------------------------------------------------------------------------------- again, around


@op(lambda g, shape, repeats, axis: _add_repeats(g, shape, repeats, axis))
def repeat(x, repeats, axis=None):
    """`x` with each element `repeats` times, an int or one per element, along `axis`.

    Without `axis`, all the elements of `x` in a row.
    """
    check_whole("repeats", repeats)
    return np.repeat(x, repeats, axis)


def _add_repeats(g, shape, repeats, axis):
    if axis is None:
        return reshape(_add_repeats(g, (math.prod(shape),), repeats, 0), shape)
    source = np.repeat(np.arange(shape[axis]), repeats)
    return put_index(g, along(len(shape), axis, source), shape)


def tile(x, repetitions):
    """`x` laid `repetitions` times side by side along each axis (an int: along the last)."""
    repetitions = np.atleast_1d(repetitions).tolist()
    if any(type(times) is not int or times < 0 for times in repetitions):
        raise ValueError(f"tile: expected whole repetitions of at least 0, got {repetitions}")
    shape = list(shape_of(x))
    ndim = max(len(repetitions), len(shape))
    pairs = list(
        zip([1] * (ndim - len(repetitions)) + repetitions, [1] * (ndim - len(shape)) + shape)
    )
    tiles = reshape(x, [part for _, length in pairs for part in (1, length)])
    tiles = broadcast_to(tiles, tuple(part for pair in pairs for part in pair))
    return reshape(tiles, [times * length for times, length in pairs])


@op(lambda g, shape, pad_width, mode: _without_margin(g, shape, pad_width, mode))
def pad(x, pad_width, mode="constant", constant_values=0):
    """`x` with a margin.

    pad_width        how wide: an int, (before, after), or such a pair for every axis
    mode             "constant" fills it with the number `constant_values`; "edge", "reflect",
                     "symmetric" and "wrap" with elements of `x`, as in np.pad
    """
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise ValueError(f"expected mode constant, edge, reflect, symmetric or wrap, got {mode!r}")
    check_whole("pad_width", pad_width)
    if not isinstance(constant_values, Real):
        raise TypeError(f"expected a number for constant_values, got {constant_values!r}")
    filling = {"constant_values": constant_values} if mode == "constant" else {}
    return np.pad(x, pad_width, mode, **filling)


def _without_margin(g, shape, pad_width, mode):
    widths = np.broadcast_to(pad_width, (len(shape), 2)).tolist()
    if mode == "constant":
        return getitem(g, tuple(slice(start, start + n) for n, (start, _) in zip(shape, widths)))
    for axis, (n, width) in enumerate(zip(shape, widths)):
        source = np.pad(np.arange(n), width, mode)  # which element each one was
        lengths = (*g.shape[:axis], n, *g.shape[axis + 1 :])
        g = put_index(g, along(g.ndim, axis, source), lengths)
    return g


# --------------------------------------------------------------------- matrices, triangles


@op(lambda g, k: tril(g, k))
def tril(x, k=0):
    """The matrices in the last two axes with zeros above the k-th diagonal."""
    return np.tril(_matrices(x), k)


@op(lambda g, k: triu(g, k))
def triu(x, k=0):
    """The matrices in the last two axes with zeros below the k-th diagonal."""
    return np.triu(_matrices(x), k)


def _matrices(x):
    if x.ndim < 2:
        raise ValueError(f"expected at least 2 axes, got {x.ndim}")
    return x


@op(lambda g, shape, offset, axis1, axis2: _put_diagonal(g, shape, offset, axis1, axis2))
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The diagonals of the matrices in `axis1` and `axis2`, as the last axis of the result.

    offset  how far above the main diagonal, or, if negative, below
    """
    return np.diagonal(x, offset, axis1, axis2)


def _put_diagonal(g, shape, offset, axis1, axis2):
    step = np.arange(g.shape[-1])
    index = (..., step + max(-offset, 0), step + max(offset, 0))
    matrices_last = np.moveaxis(np.broadcast_to(0, shape), (axis1, axis2), (-2, -1)).shape
    return moveaxis(put_index(g, index, matrices_last), (-2, -1), (axis1, axis2))
