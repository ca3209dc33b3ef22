"""Tensors made from nothing: names and arguments of the Python array API standard.

The dtype is float32, or int64 where only integers go in, unless one is given. All of them raise
ValueError or TypeError, with their own name, for arguments that make no sense.
"""

from numbers import Integral, Real

import numpy as np

from .tensor import FLOAT32, Tensor, asarray, dtype_of, leaf, to_array


def zeros(shape, *, dtype="float32", requires_grad=False):
    """A Tensor of `shape` (an int or a tuple) full of zeros."""
    return _made("zeros", lambda target: np.zeros(shape, target), dtype, requires_grad)


def ones(shape, *, dtype="float32", requires_grad=False):
    """A Tensor of `shape` (an int or a tuple) full of ones."""
    return _made("ones", lambda target: np.ones(shape, target), dtype, requires_grad)


def full(shape, fill_value, *, dtype=None, requires_grad=False):
    """A Tensor of `shape` full of one number: of integers or booleans if the number is one."""
    _check("full", fill_value=fill_value)
    dtype = to_array(fill_value).dtype if dtype is None else dtype
    return _made("full", lambda target: np.full(shape, fill_value, target), dtype, requires_grad)


def eye(n_rows, n_cols=None, *, k=0, dtype="float32", requires_grad=False):
    """A matrix of ones on the k-th diagonal (above the main one where k > 0), zeros elsewhere."""
    return _made("eye", lambda target: np.eye(n_rows, n_cols, k, target), dtype, requires_grad)


def arange(start, stop=None, step=1, *, dtype=None, requires_grad=False):
    """The numbers from `start` up to but without `stop` by `step`; from 0 to `start`, if alone."""
    start, stop = (0, start) if stop is None else (start, stop)
    _check("arange", start=start, stop=stop, step=step)
    if step == 0:
        raise ValueError("arange: expected a step that is not 0")
    whole = all(isinstance(value, Integral) for value in (start, stop, step))
    # Made as float64: in float32 the step itself would be rounded, and every number with it.
    return _made(
        "arange",
        lambda target: np.arange(start, stop, step).astype(target),
        dtype or (np.int64 if whole else FLOAT32),
        requires_grad,
    )


def linspace(start, stop, num, *, dtype="float32", endpoint=True, requires_grad=False):
    """`num` numbers evenly spaced from `start` to `stop`, which is left out if not `endpoint`."""
    _check("linspace", start=start, stop=stop)
    return _made(
        "linspace",
        lambda target: np.linspace(start, stop, num, endpoint, dtype=target),
        dtype,
        requires_grad,
    )


def zeros_like(x, *, dtype=None, requires_grad=False):
    """Zeros of the shape and, unless one is given, the dtype of `x`."""
    x = asarray(x)
    return zeros(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def ones_like(x, *, dtype=None, requires_grad=False):
    """Ones of the shape and, unless one is given, the dtype of `x`."""
    x = asarray(x)
    return ones(x.shape, dtype=dtype or x.dtype, requires_grad=requires_grad)


def full_like(x, fill_value, *, dtype=None, requires_grad=False):
    """One number everywhere, in the shape and, unless one is given, the dtype of `x`."""
    x = asarray(x)
    return full(x.shape, fill_value, dtype=dtype or x.dtype, requires_grad=requires_grad)


def from_dlpack(x):
    """The array of another library as a Tensor that shares its memory.

    x  an array on the CPU with `__dlpack__` (of PyTorch, JAX, NumPy, ...), of a dtype that
       Tensors have: others are converted, and then copied.

    Raises TypeError for what cannot be shared so, BufferError where its owner refuses.
    """
    try:
        return leaf(to_array(np.from_dlpack(x)), requires_grad=False)
    except (AttributeError, RuntimeError, TypeError) as error:
        raise TypeError(
            f"from_dlpack: expected an array on the CPU of a dtype that NumPy has, "
            f"got {type(x).__name__} ({error})"
        ) from error


def _made(name, make, dtype, requires_grad):
    try:
        return leaf(make(dtype_of(dtype)), requires_grad)
    except (OverflowError, TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {str(error).removeprefix('Tensor: ')}") from None


def _check(name, **parameters):
    for parameter, value in parameters.items():
        if type(value) is Tensor and value.requires_grad:
            raise TypeError(f"{name}: {parameter} requires a gradient, which would be lost")
        if not isinstance(value, Real) and getattr(value, "shape", None) != ():
            raise TypeError(f"{name}: expected a number for {parameter}, got {value!r}")
