"""Softmax and the cross-entropies: several steps in one kernel, exact where the steps are not.

Each gradient is a row of its own, so that nothing here loses its second derivative.

The cross-entropies start from logits. Written out, log(softmax(x)) overflows or loses all digits
where a model is confidently wrong; from logits loss and gradient are exact at any magnitude.
"""

import numpy as np

from ..kernels import elementwise as elementwise_kernels
from ..kernels import softmax as kernels
from ..recorder import op
from .elementwise import exp, multiply, real, sigmoid, sigmoid_grad, subtract
from .index import check_labels
from .reduce import sum
from .shape import expand_dims


def _along(axis, function, *arrays):
    """Call a kernel that works along the last axis with `axis` moved there and back."""
    ndim = arrays[0].ndim
    if ndim == 0 or not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of bounds for {ndim} axes")
    if axis in (-1, ndim - 1):
        return function(*arrays)
    moved = [np.moveaxis(array, axis, -1) for array in arrays]
    return np.moveaxis(function(*moved), -1, axis)


@op(lambda g, out, axis: softmax_grad(g, out, axis), origin=True)
def softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) along `axis`: positive, with sum 1, for finite x of any magnitude."""
    return _along(axis, kernels.softmax, real(x))


@op(
    lambda h, y, axis: softmax_grad(h, y, axis),
    lambda h, g, y, axis: _softmax_grad_slope(h, g, y, axis),
)
def softmax_grad(g, y, axis):
    return _along(axis, kernels.softmax_grad, g, y)


def _softmax_grad_slope(h, g, y, axis):
    # of y * (g - sum(g * y)) in respect of y, contracted with h
    inner = sum(multiply(g, y), axis=axis, keepdims=True)
    outer = sum(multiply(h, y), axis=axis, keepdims=True)
    return subtract(multiply(h, subtract(g, inner)), multiply(outer, g))


@op(lambda g, out, axis: log_softmax_grad(g, out, axis))
def log_softmax(x, axis=-1):
    """x - log(sum(exp(x))) along `axis`, without the detour through softmax."""
    return _along(axis, kernels.log_softmax, real(x))


@op(
    lambda h, y, axis: subtract(h, sum(multiply(h, exp(y)), axis=axis, keepdims=True)),
    lambda h, g, y, axis: multiply(
        multiply(-1, multiply(h, exp(y))), sum(g, axis=axis, keepdims=True)
    ),
)
def log_softmax_grad(g, y, axis):
    return _along(axis, kernels.log_softmax_grad, g, y)


# ----------------------------------------------------------------- cross-entropies from logits


@op(lambda g, logits, labels: sparse_cross_entropy_grad(g, logits, labels), None)
def sparse_cross_entropy(logits, labels):
    """-log softmax(logits)[label] for each row.

    logits  (n, k)
    labels  (n,) integers from 0 to k - 1

    Returns (n,). Raises ValueError for labels out of range: a kernel would read foreign memory.
    """
    logits = real(logits)
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"expected logits (n, k) and labels (n,), got {logits.shape} and {labels.shape}"
        )
    check_labels(labels, logits.shape[1])
    return kernels.sparse_cross_entropy(logits, labels.astype(np.int64, copy=False))


@op(
    lambda h, logits, labels: sparse_cross_entropy_slope(h, logits, labels),
    lambda h, g, logits: multiply(expand_dims(g, -1), softmax_grad(h, softmax(logits), -1)),
    None,
)
def sparse_cross_entropy_grad(g, logits, labels):
    return kernels.sparse_cross_entropy_grad(g, logits, labels.astype(np.int64, copy=False))


def sparse_cross_entropy_slope(h, logits, labels):
    # of the gradient in respect of g, contracted with h
    return sum(multiply(h, sparse_cross_entropy_grad(_ones_row(logits), logits, labels)), axis=-1)


@op(
    lambda g, logits, targets: dense_cross_entropy_grad(g, logits, targets),
    lambda g, logits: multiply(expand_dims(g, -1), multiply(-1, log_softmax(logits))),
)
def dense_cross_entropy(logits, targets):
    """-sum(targets * log softmax(logits)) for each row.

    logits   (n, k)
    targets  (n, k): one-hot rows, or probabilities

    Returns (n,). For one-hot rows it is `sparse_cross_entropy` to the last bit.
    """
    if np.ndim(logits) != 2 or logits.shape != targets.shape:
        raise ValueError(
            f"expected logits and targets of one shape (n, k), got {np.shape(logits)} "
            f"and {targets.shape}"
        )
    return kernels.dense_cross_entropy(*_like_first(logits, targets))


@op(
    lambda h, logits, targets: sum(
        multiply(h, dense_cross_entropy_grad(_ones_row(logits), logits, targets)), axis=-1
    ),
    lambda h, g, logits, targets: multiply(
        expand_dims(multiply(g, sum(targets, axis=-1)), -1),
        softmax_grad(h, softmax(logits), -1),
    ),
    lambda h, g, logits: multiply(
        expand_dims(g, -1),
        subtract(sum(multiply(h, softmax(logits)), axis=-1, keepdims=True), h),
    ),
)
def dense_cross_entropy_grad(g, logits, targets):
    logits, targets = _like_first(logits, targets)
    return kernels.dense_cross_entropy_grad(g, logits, targets)


def _ones_row(logits):
    return np.ones(logits.shape[0], logits.dtype)


@op(
    lambda g, logits, targets: binary_cross_entropy_grad(g, logits, targets),
    lambda g, logits: multiply(g, multiply(-1, logits)),
)
def binary_cross_entropy(logits, targets):
    """-t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) for each logit x and target t from 0 to 1.

    The shapes are equal, and that of the result.
    """
    if np.shape(logits) != np.shape(targets):
        raise ValueError(
            f"expected logits and targets of one shape, got {np.shape(logits)} "
            f"and {np.shape(targets)}"
        )
    return elementwise_kernels.binary_cross_entropy(*_like_first(logits, targets))


@op(
    lambda h, logits, targets: multiply(h, subtract(sigmoid(logits), targets)),
    lambda h, g, logits: sigmoid_grad(multiply(h, g), sigmoid(logits)),
    lambda h, g: multiply(-1, multiply(h, g)),
)
def binary_cross_entropy_grad(g, logits, targets):
    logits, targets = _like_first(logits, targets)
    return elementwise_kernels.binary_cross_entropy_grad(g, logits, targets)


def _like_first(logits, targets):
    # Labels take the dtype of the logits, never the other way round.
    logits = real(logits)
    return logits, np.asarray(targets, dtype=logits.dtype)
