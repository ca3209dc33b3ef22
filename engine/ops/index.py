"""Reading elements by index, and its adjoint: adding them back to where they were read."""

import math

import numpy as np

from ..recorder import op
from ..tensor import Tensor, dtype_of

# Up to this many elements of the result per element added, counting them all in is the faster way.
DENSE = 4


@op(lambda g, shape, index: put_index(g, index, shape))
def getitem(x, index):
    """x[index], with everything that NumPy's basic and advanced indexing reads.

    The indices may be Tensors. An element that is read twice gets both gradients.
    Raises IndexError for an index out of range, of a wrong type, or a mask of a wrong length.
    """
    return x[_plain(index)]


@op(lambda h, index: getitem(h, index))
def put_index(g, index, shape):
    """Zeros of `shape`, with `g` added at `index`: the adjoint of reading there."""
    index = _plain(index)
    size = math.prod(shape)
    reads_once = all(map(_reads_once, index if type(index) is tuple else (index,)))
    if not reads_once and size <= DENSE * g.size:
        places = np.arange(size).reshape(shape)[index]
        return np.bincount(places.ravel(), g.ravel(), size).reshape(shape).astype(g.dtype)
    out = np.zeros(shape, g.dtype)
    if reads_once:
        out[index] = g
    else:
        np.add.at(out, index, g)
    return out


def _reads_once(part):
    # Lists and arrays of integers can name an element twice; nothing else can.
    if isinstance(part, np.ndarray):
        return part.dtype == bool
    return part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice))


def _plain(index):
    if type(index) is tuple:
        return tuple(_plain(part) for part in index)
    return index.data if type(index) is Tensor else index


def shape_of(x):
    """The shape of a Tensor, array, number or list."""
    return x.shape if hasattr(x, "shape") else np.shape(x)


def check_whole(what, value):
    dtype = np.asarray(value).dtype
    if dtype.kind not in "iu":
        raise TypeError(f"expected integer {what}, got {dtype}")


def check_labels(labels, count):
    """Raise unless `labels`, an array, holds integers from 0 to count - 1."""
    check_whole("labels", labels)
    if labels.size and not (0 <= labels.min() and labels.max() < count):
        raise ValueError(
            f"expected labels from 0 to {count - 1}, got {labels.min()} to {labels.max()}"
        )


def along(ndim, axis, part):
    """The index that reads `part` along `axis` and everything along the axes before and after."""
    return (slice(None),) * (axis % ndim) + (part,)


@op(
    lambda g, shape, indices, axis: put_index(g, along(len(shape), axis or 0, indices), shape),
    None,
    promote=False,
)
def take(x, indices, axis=None):
    """The elements, or slices, at the integers `indices` along `axis`.

    axis  may be left out where `x` has only one

    Returns `x` with that axis replaced by those of `indices`.
    Raises IndexError for an index out of range.
    """
    if axis is None and x.ndim != 1:
        raise ValueError(f"which axis to take along must be said of {x.ndim} axes")
    check_whole("indices", indices)
    return np.take(x, indices, axis=axis)


@op(
    lambda g, shape, indices, axis: put_index(g, _grid(shape, indices, axis), shape),
    None,
    promote=False,
)
def take_along_axis(x, indices, axis=-1):
    """For each line of `x` along `axis` the elements that the same line of `indices` names.

    indices  integers, with as many axes as `x`; beside `axis` the lengths are equal, or 1
    """
    return np.take_along_axis(x, indices, axis)


def _grid(shape, indices, axis):
    grid = list(np.indices(shape, sparse=True))
    grid[axis] = _plain(indices)
    return tuple(grid)


@op(None)
def one_hot(labels, num_classes, dtype="float32"):
    """1 at the place of each label and 0 elsewhere: labels (...) give (..., num_classes).

    Raises TypeError for labels that are not integers, ValueError for one that is not from 0 to
    num_classes - 1.
    """
    check_whole("num_classes", num_classes)
    labels = np.asarray(labels)
    check_labels(labels, num_classes)
    return (labels[..., None] == np.arange(num_classes)).astype(dtype_of(dtype))
