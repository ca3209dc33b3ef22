"""Bringing numbers to mean 0 and variance 1, with the scale and offset that follow, in one row.

With m the mean, s = 1 / sqrt(variance + epsilon) and z = (x - m) s, the result is z scale + offset.
Its gradients for an incoming g, where a = g scale (Ioffe and Szegedy 2015, section 3, put
together):

    of x       s (a - mean(a) - z mean(a z))
    of scale   sum(g z)
    of offset  sum(g)

That of x is linear in a and its own transpose, and that of the scale is the transpose of z scale:
so each is a row whose gradients are again the rows of this page, but for the slope of the first one
in x. h being the incoming gradient, write G = mean(a z), H = mean(h z), and C for the covariance
mean(a h) - mean(a) mean(h); it is

    -s^2 (H (a - mean(a)) + G (h - mean(h)) + (C - 3 G H) z)

Without the means of x, a and h all of this holds for the root of the mean square, too.
"""

import math

from ..kernels import normalization as kernels
from ..recorder import op
from .elementwise import add, multiply, negative, real, sqrt, square, subtract
from .linalg import same_floats
from .reduce import mean, sum
from .shape import permute_dims, reshape

# ------------------------------------------------------------------------------ along the last axis


def rms_norm(x, scale, epsilon):
    """x scale / sqrt(mean(x^2) + epsilon) along the last axis.

    x      (..., n)
    scale  (n,), or None for 1

    Returns (..., n). ValueError where these do not fit, or n is 0. Zhang and Sennrich 2019, eq. 4.
    """
    return layer_norm(x, scale, None, epsilon, centred=False)


@op(
    lambda g, x, scale, epsilon, centred: layer_norm_grad(g, x, scale, epsilon, centred),
    lambda g, x, epsilon, centred: layer_norm_scale_grad(g, x, epsilon, centred),
    lambda g: _sum_of_rows(g),
    together=lambda g, wanted, x, scale, epsilon, centred: _layer_gradients(
        g, wanted, x, scale, epsilon, centred
    ),
)
def layer_norm(x, scale, offset, epsilon, centred=True):
    """(x - mean) / sqrt(variance + epsilon) scale + offset along the last axis.

    x        (..., n)
    scale    (n,), or None for 1
    offset   (n,), or None for 0
    centred  False for 0 in place of the mean

    Returns (..., n). ValueError where these do not fit, or n is 0. Ba, Kiros and Hinton 2016,
    eq. 4.
    """
    x, scale, offset = _fitting(x, scale, offset)
    if not x.shape[-1]:
        raise ValueError(f"expected elements to take the mean of, got shape {x.shape}")
    return kernels.rows(x, scale, offset, epsilon, centred)


@op(
    lambda h, x, scale, epsilon, centred: _scaled(
        layer_norm_grad(h, x, None, epsilon, centred), scale
    ),
    lambda h, g, x, scale, epsilon, centred: _slope(
        h, _scaled(g, scale), x, epsilon, (-1,), centred
    ),
    lambda h, g, x, epsilon, centred: _sum_of_rows(
        multiply(g, layer_norm_grad(h, x, None, epsilon, centred))
    ),
)
def layer_norm_grad(g, x, scale, epsilon, centred=True):
    return kernels.rows_grad(*_in_one_type(g, x, scale), epsilon, centred)


@op(
    lambda h, x, epsilon, centred: layer_norm(x, h, None, epsilon, centred),
    lambda h, g, x, epsilon, centred: layer_norm_grad(g, x, h, epsilon, centred),
)
def layer_norm_scale_grad(g, x, epsilon, centred=True):
    g, x = _in_one_type(g, x)
    return kernels.rows_grad(g, x, None, epsilon, centred, sums=True)[1][1]


def _layer_gradients(g, wanted, x, scale, epsilon, centred):
    wants_x, wants_scale, wants_offset = wanted
    if not (wants_x or wants_scale):
        return None, None, _sum_of_rows(g)
    g, x, scale = _in_one_type(g, x, scale)
    if not (wants_scale or wants_offset):
        return kernels.rows_grad(g, x, scale, epsilon, centred), None, None
    of_x, sums = kernels.rows_grad(g, x, scale, epsilon, centred, sums=True)
    return of_x if wants_x else None, *_chosen(sums, wanted)


# ------------------------------------------------------------------------------ over all other axes


def batch_statistics(x):
    """What `batch_norm` needs of x (..., n), an array: (3, n).

    The mean is the sum of the first two rows, the third one is the variance, that over the number
    of elements. ValueError where there is nothing to take a mean of.
    """
    if not math.prod(x.shape[:-1]):
        raise ValueError(f"batch_norm: expected elements to take the mean of, got shape {x.shape}")
    return kernels.columns_statistics(real(x))


@op(
    lambda g, x, scale, epsilon, statistics: batch_norm_grad(g, x, scale, epsilon, statistics),
    lambda g, x, epsilon, statistics: batch_norm_scale_grad(g, x, epsilon, statistics),
    lambda g: _sum_of_rows(g),
    together=lambda g, wanted, x, scale, epsilon, statistics: _batch_gradients(
        g, wanted, x, scale, epsilon, statistics
    ),
)
def batch_norm(x, scale, offset, epsilon, statistics=None):
    """(x - mean) / sqrt(variance + epsilon) scale + offset over all axes but the last.

    x           (..., n)
    scale       (n,), or None for 1
    offset      (n,), or None for 0
    statistics  `batch_statistics` of x where the caller has them; they spare taking them here

    Returns (..., n). ValueError where these do not fit, or there is nothing to take a mean of.
    """
    x, scale, offset = _fitting(x, scale, offset)
    return kernels.columns(x, scale, offset, epsilon, _known(statistics, x))


@op(
    lambda h, x, scale, epsilon, statistics: batch_norm_grad(h, x, scale, epsilon, statistics),
    lambda h, g, x, scale, epsilon: _slope(
        h, _scaled(g, scale), x, epsilon, tuple(range(x.ndim - 1)), True
    ),
    lambda h, g, x, epsilon, statistics: _sum_of_rows(
        multiply(g, batch_norm_grad(h, x, None, epsilon, statistics))
    ),
)
def batch_norm_grad(g, x, scale, epsilon, statistics=None):
    return _batch_gradients(g, (True, False, False), x, scale, epsilon, statistics)[0]


@op(
    lambda h, x, epsilon, statistics: batch_norm(x, h, None, epsilon, statistics),
    lambda h, g, x, epsilon, statistics: batch_norm_grad(g, x, h, epsilon, statistics),
)
def batch_norm_scale_grad(g, x, epsilon, statistics=None):
    return _batch_gradients(g, (False, True, False), x, None, epsilon, statistics)[1]


def _batch_gradients(g, wanted, x, scale, epsilon, statistics):
    wants_x, wants_scale, _ = wanted
    if not (wants_x or wants_scale):
        return None, None, _sum_of_rows(g)
    g, x, scale = _in_one_type(g, x, scale)
    statistics = _known(statistics, x)
    sums = kernels.columns_sums(g, x, epsilon, statistics)
    of_x = kernels.columns_grad(g, x, scale, epsilon, statistics, sums) if wants_x else None
    return of_x, *_chosen(sums, wanted)


# ----------------------------------------------------------------------------------------- any axes


def along(axes, function, x):
    """Call a function of (..., n) with `axes` of x, ascending, made one last axis; undo that."""
    axes = tuple(axes)
    if axes == (x.ndim - 1,):
        return function(x)
    lead = tuple(axis for axis in range(x.ndim) if axis not in axes)
    order = (*lead, *axes)
    is_moved = order != tuple(range(x.ndim))
    moved = permute_dims(x, order) if is_moved else x
    shape = moved.shape
    count = math.prod(shape[len(lead) :])
    out = reshape(function(reshape(moved, (*shape[: len(lead)], count))), shape)
    return permute_dims(out, tuple(map(order.index, range(x.ndim)))) if is_moved else out


# --------------------------------------------------------------------------------------- what helps


def _fitting(x, scale, offset):
    # The arrays in one float type, after checking that they fit.
    if x.ndim == 0:
        raise ValueError("expected at least 1 axis, got a number")
    for name, weight in (("scale", scale), ("offset", offset)):
        if weight is not None and weight.shape != x.shape[-1:]:
            raise ValueError(f"expected {name} of shape {x.shape[-1:]}, got {weight.shape}")
    return _in_one_type(x, scale, offset)


def _in_one_type(*arrays):
    # None stays None.
    given = iter(same_floats(*(array for array in arrays if array is not None)))
    return [None if array is None else next(given) for array in arrays]


def _chosen(sums, wanted):
    # From the sums of g and of g z the gradients of scale and offset, where they are wanted.
    _, wants_scale, wants_offset = wanted
    return sums[1] if wants_scale else None, sums[0] if wants_offset else None


def _known(statistics, x):
    return batch_statistics(x) if statistics is None else statistics.astype(x.dtype, copy=False)


def _scaled(g, scale):
    return g if scale is None else multiply(g, scale)


def _sum_of_rows(g):
    return sum(g, axis=tuple(range(g.ndim - 1)))


def _slope(h, a, x, epsilon, axes, centred):
    def average(values):
        return mean(values, axis=axes, keepdims=True)

    def apart(values):
        return subtract(values, average(values)) if centred else values

    x, a, h = apart(x), apart(a), apart(h)
    deviation = sqrt(add(average(square(x)), epsilon))
    z = x / deviation
    g_slope, h_slope = average(multiply(a, z)), average(multiply(h, z))
    bend = subtract(average(multiply(a, h)), multiply(3, multiply(g_slope, h_slope)))
    terms = add(add(multiply(h_slope, a), multiply(g_slope, h)), multiply(bend, z))
    return negative(terms / square(deviation))
