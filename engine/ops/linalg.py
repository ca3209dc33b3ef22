"""Products of matrices: every one of them goes through the one GEMM kernel."""

import numpy as np

from ..kernels import gemm
from ..recorder import op
from .elementwise import real
from .reduce import sum
from .shape import expand_dims, matrix_transpose, reshape, squeeze


def matmul(x, y):
    """The matrix product of x (..., m, k) and y (..., k, n): (..., m, n).

    The leading axes broadcast. A 1-d `x` counts as a row, a 1-d `y` as a column; that axis is
    then absent from the result. Transposed operands are read through their strides, not copied.
    Raises ValueError when the axes do not match, TypeError for a scalar.
    """
    x_shape, y_shape = np.shape(x), np.shape(y)
    if not x_shape or not y_shape:
        raise ValueError(f"matmul: expected at least 1 axis each, got x {x_shape}, y {y_shape}")
    inner = y_shape[-2] if len(y_shape) > 1 else y_shape[0]
    if x_shape[-1] != inner:
        which = "second-last" if len(y_shape) > 1 else "only"
        raise ValueError(
            f"matmul: the last axis of x has {x_shape[-1]} elements but the {which} of y has "
            f"{inner} (x {x_shape}, y {y_shape})"
        )
    if len(x_shape) == 1:
        return squeeze(matmul(expand_dims(x, 0), y), -2 if len(y_shape) > 1 else 0)
    if len(y_shape) == 1:
        return squeeze(matmul(x, expand_dims(y, 1)), -1)
    if len(x_shape) > 2 and len(y_shape) == 2:  # one product, not many
        return reshape(matmul_rows(as_rows(x), y), (*x_shape[:-1], y_shape[-1]))
    try:
        np.broadcast_shapes(x_shape[:-2], y_shape[:-2])
    except ValueError:
        raise ValueError(
            f"matmul: the leading axes of x {x_shape} and y {y_shape} do not broadcast"
        ) from None
    return matmul_rows(x, y)


@op(
    lambda g, y: matmul_rows(g, matrix_transpose(y)),
    lambda g, x: matmul_rows(matrix_transpose(x), g),
)
def matmul_rows(x, y):
    """`matmul` of operands with two axes or more."""
    x, y = same_floats(x, y)
    if x.ndim == y.ndim == 2:
        return gemm.matmul(x, y)
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    out = np.empty((*lead, x.shape[-2], y.shape[-1]), x.dtype)
    x, y = np.broadcast_to(x, lead + x.shape[-2:]), np.broadcast_to(y, lead + y.shape[-2:])
    for index in np.ndindex(lead):
        gemm.matmul(x[index], y[index], out=out[index])
    return out


def same_floats(*arrays):
    """The arrays in one float type, since a kernel takes no mixture: the widest of theirs."""
    arrays = [real(array) for array in arrays]
    dtype = np.result_type(*arrays)
    return [array if array.dtype is dtype else array.astype(dtype) for array in arrays]


@op(
    lambda g, kernel: matmul(g, matrix_transpose(kernel)),
    lambda g, x: matmul(matrix_transpose(as_rows(x)), as_rows(g)),
    lambda g: sum(as_rows(g), axis=0),
)
def dense(x, kernel, bias):
    """x @ kernel + bias, the sum made while the product is still in registers.

    x       (..., k)
    kernel  (k, n)
    bias    (n,)

    Returns (..., n). Raises ValueError when these do not fit.
    """
    if x.ndim < 1 or kernel.ndim != 2 or x.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"dense: expected x (..., k) and kernel (k, n), got x {x.shape}, kernel {kernel.shape}"
        )
    if bias.shape != kernel.shape[1:]:
        raise ValueError(f"dense: expected a bias of {kernel.shape[1:]}, got {bias.shape}")
    x, kernel, bias = same_floats(x, kernel, bias)
    out = gemm.matmul(as_rows(x), kernel, bias=bias)
    return out.reshape(*x.shape[:-1], kernel.shape[1])


def as_rows(x):
    # Not -1 for the rows: of an empty array it could not be told.
    return x if x.ndim == 2 else reshape(x, (int(np.prod(x.shape[:-1], dtype=int)), x.shape[-1]))
