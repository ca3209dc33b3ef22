"""Products of matrices: every one of them goes through the one GEMM kernel."""

import re
from itertools import repeat
from math import prod

import numpy as np

from ..kernels import columns, gemm
from ..recorder import cast, op
from ..tensor import FLOAT32, Tensor, to_array
from .activations import relu_grad
from .elementwise import multiply, real
from .index import shape_of
from .reduce import sum
from .shape import (
    diagonal,
    expand_dims,
    matrix_transpose,
    moveaxis,
    permute_dims,
    reshape,
    squeeze,
)


def matmul(x, y):
    """The matrix product of x (..., m, k) and y (..., k, n): (..., m, n).

    The leading axes broadcast. A 1-d `x` counts as a row, a 1-d `y` as a column; that axis is
    then absent from the result. Transposed operands are read through their strides, not copied.
    Raises ValueError when the axes do not match, and for a scalar.
    """
    x_shape, y_shape = shape_of(x), shape_of(y)
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
    _each_product(x, y, out)
    return out


def _each_product(x, y, out):
    # Goes down the leading axes together: to step through an array costs a tenth of indexing it,
    # and a broadcast operand stays as it is as long as it can.
    if out.ndim == 2:
        gemm.matmul(x, y, out=out)
        return
    x = repeat(x) if x.ndim < out.ndim else x if len(x) == len(out) else repeat(x[0])
    y = repeat(y) if y.ndim < out.ndim else y if len(y) == len(out) else repeat(y[0])
    for one_x, one_y, one_out in zip(x, y, out):
        _each_product(one_x, one_y, one_out)


def same_floats(*arrays):
    """The arrays in one float type, since a kernel takes no mixture: the widest of theirs."""
    arrays = [real(array) for array in arrays]
    dtype = np.result_type(*arrays)
    return [array if array.dtype is dtype else array.astype(dtype) for array in arrays]


@op(
    lambda g, kernel: matmul(g, matrix_transpose(kernel)),
    lambda g, x: matmul(matrix_transpose(as_rows(x)), as_rows(g)),
    lambda g: sum(as_rows(g), axis=0),
    together=lambda g, wanted, x, kernel: _dense_gradients(g, wanted, x, kernel, None),
)
def dense(x, kernel, bias):
    """x @ kernel + bias, the sum made while the product is still in registers.

    x       (..., k)
    kernel  (k, n)
    bias    (n,)

    Returns (..., n). Raises ValueError when these do not fit.
    """
    return _dense("dense", x, kernel, bias, relu=False)


@op(
    lambda g, out, kernel: matmul(relu_grad(g, out), matrix_transpose(kernel)),
    lambda g, out, x: matmul(matrix_transpose(as_rows(x)), as_rows(relu_grad(g, out))),
    lambda g, out: sum(as_rows(relu_grad(g, out)), axis=0),
    together=lambda g, wanted, x, kernel, out: _dense_gradients(g, wanted, x, kernel, out),
)
def dense_relu(x, kernel, bias):
    """relu(dense(x, kernel, bias)) to the last bit, as its gradients are: in one pass over memory.

    Arguments, result and errors are those of `dense`.
    """
    return _dense("dense_relu", x, kernel, bias, relu=True)


def _dense(name, x, kernel, bias, relu):
    if x.ndim < 1 or kernel.ndim != 2 or x.shape[-1] != kernel.shape[0]:
        raise ValueError(
            f"{name}: expected x (..., k) and kernel (k, n), got x {x.shape}, kernel {kernel.shape}"
        )
    if bias.shape != kernel.shape[1:]:
        raise ValueError(f"{name}: expected a bias of {kernel.shape[1:]}, got {bias.shape}")
    if not (x.dtype is kernel.dtype is bias.dtype is FLOAT32):
        x, kernel, bias = same_floats(x, kernel, bias)
    if x.ndim == 2:
        return gemm.matmul(x, kernel, bias=bias, relu=relu)
    out = gemm.matmul(as_rows(x), kernel, bias=bias, relu=relu)
    return out.reshape(*x.shape[:-1], kernel.shape[1])


def _dense_gradients(g, wanted, x, kernel, out):
    """The gradients in respect of x, kernel and bias; `out` unless there is no relu."""
    wants_x, wants_kernel, wants_bias = wanted
    rows, of_x, of_kernel, of_bias = as_rows(g), None, None, None
    if wants_bias or out is not None:
        sums, rows = columns.sums_of(rows, None if out is None else as_rows(out))
        of_bias = sums if wants_bias else None
    if wants_x:
        of_x = gemm.matmul(rows, kernel.astype(g.dtype, copy=False).T)
        if g.ndim != 2:
            of_x = of_x.reshape(*g.shape[:-1], len(kernel))
    if wants_kernel:
        of_kernel = gemm.matmul(as_rows(x).astype(g.dtype, copy=False).T, rows)
    return of_x, of_kernel, of_bias


def as_rows(x):
    # Not -1 for the rows: of an empty array it could not be told.
    return x if x.ndim == 2 else reshape(x, (prod(x.shape[:-1]), x.shape[-1]))


# ------------------------------------------------------------- products along axes of any choice


def vecdot(x, y, axis=-1):
    """The sum of x * y along `axis` of both, of the same length there. The other axes broadcast."""
    x, y = operand(x), operand(y)
    shapes = f"(x {x.shape}, y {y.shape})"
    if not -min(x.ndim, y.ndim) <= axis < min(x.ndim, y.ndim):
        raise ValueError(f"vecdot: axis {axis} is out of bounds {shapes}")
    x, y = moveaxis(x, axis, -1), moveaxis(y, axis, -1)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"vecdot: the lengths along axis {axis} differ {shapes}")
    if x.ndim == y.ndim == 1:
        return matmul(x, y)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise ValueError(f"vecdot: the other axes do not broadcast {shapes}") from None
    return sum(multiply(x, y), axis=-1)


def outer(x, y):
    """The products of each element of x (m,) with each of y (n,): (m, n)."""
    x, y = operand(x), operand(y)
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"outer: expected 1 axis each, got x {x.shape}, y {y.shape}")
    return multiply(expand_dims(x, 1), y)


def tensordot(x, y, axes=2):
    """The sum of products over pairs of axes; what is left of the axes of x comes first, then y's.

    axes  how many of the last axes of x pair with as many of the first axes of y, in order; or
          two ints or sequences of them: axes of x, and those of y that each of them pairs with
    """
    x, y = operand(x), operand(y)
    if isinstance(axes, int) and axes >= 0:
        axes = range(-axes, 0), range(axes)
    try:
        of_x, of_y = (np.atleast_1d(part).tolist() for part in axes)
        of_x = np.lib.array_utils.normalize_axis_tuple(of_x, x.ndim)
        of_y = np.lib.array_utils.normalize_axis_tuple(of_y, y.ndim)
    except (TypeError, ValueError) as error:
        raise ValueError(f"tensordot: {error} (axes={axes}, x {x.shape}, y {y.shape})") from None
    if [x.shape[axis] for axis in of_x] != [y.shape[axis] for axis in of_y]:
        raise ValueError(
            f"tensordot: axes {of_x} of x {x.shape} and {of_y} of y {y.shape} differ in length"
        )
    x_labels = list(range(x.ndim))
    y_labels = [of_x[of_y.index(axis)] if axis in of_y else x.ndim + axis for axis in range(y.ndim)]
    return contract(x, x_labels, y, y_labels, set(x_labels) ^ set(y_labels))[0]


def einsum(subscripts, *operands):
    """The sum of products that `subscripts` describe, as numpy.einsum.

    subscripts  for each operand a term of letters, one per axis, separated by commas. Axes with the
                same letter go together; twice in one term, they mean the diagonal. `...` stands for
                any axes that are left; such broadcast. After `->`, the letters of the result, in
                order: what does not occur there is summed over. Without it, these are the
                letters that occur once, in alphabetical order, after the axes of `...`.

    An axis of length 1 fits any length. Raises ValueError for what does not fit together.
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: expected subscripts first, got {type(subscripts).__name__}")
    arrays = [operand(x) for x in operands]
    inputs, output = _parse(subscripts, [x.shape for x in arrays])
    lengths = _lengths(inputs, arrays)
    terms = [_reduced_to_one_each(*term, lengths) for term in zip(arrays, inputs)]
    for position, (x, labels) in enumerate(terms):
        others = terms[:position] + terms[position + 1 :]
        kept = set(output).union(*(other for _, other in others))
        lone = tuple(axis for axis, label in enumerate(labels) if label not in kept)
        if lone:
            terms[position] = sum(x, axis=lone), [label for label in labels if label in kept]
    for positions in _path(terms, output):
        chosen = [terms[position] for position in positions]
        terms = [term for position, term in enumerate(terms) if position not in positions]
        result, *rest = chosen
        while rest:
            term, *rest = rest
            kept = set(output).union(*(labels for _, labels in terms + rest))
            result = contract(*result, *term, kept)
        terms.append(result)
    return _permuted(*terms[0], output)


def _parse(subscripts, shapes):
    """The labels of the axes of each operand and of the result.

    A label is a letter, or, for an axis that `...` stands for, its place from the last: -1, -2, ...
    """
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ValueError(
            f'einsum: "{subscripts}" is for {len(terms)} operands, but got {len(shapes)}'
        )
    inputs = [_labels(term, len(shape)) for term, shape in zip(terms, shapes)]
    every = [label for labels in inputs for label in labels]
    broadcast = sorted({label for label in every if type(label) is int})
    if arrow:
        hidden = len(broadcast) if "..." in right else 0
        output = _labels(right, len(right.replace("...", "")) + hidden)
    else:
        output = broadcast + sorted(x for x in every if type(x) is str and every.count(x) == 1)
    for label in output:
        if label not in every or output.count(label) > 1:
            what = "occurs twice in" if label in every else "is in no operand, only in"
            raise ValueError(f'einsum: "{label}" {what} the result of "{subscripts}"')
    return inputs, output


def _labels(term, ndim):
    match = re.fullmatch(r"([A-Za-z]*)(\.\.\.)?([A-Za-z]*)", term)
    if match is None:
        raise ValueError(f'einsum: expected letters and at most one "..." in a term, got "{term}"')
    before, dots, after = match.groups()
    left = ndim - len(before) - len(after)
    if left < 0 or (left > 0 and not dots):
        raise ValueError(f'einsum: "{term}" does not fit an operand with {ndim} axes')
    return [*before, *range(-left, 0), *after]


def _lengths(inputs, arrays):
    """How long the axes of each label are that are not of length 1."""
    lengths = {}
    for labels, x in zip(inputs, arrays):
        for label, length in zip(labels, x.shape):
            if length != 1 and lengths.setdefault(label, length) != length:
                name = "..." if type(label) is int else label
                shapes = ", ".join(str(x.shape) for x in arrays)
                raise ValueError(
                    f'einsum: "{name}" stands for axes of {lengths[label]} and {length} elements '
                    f"({shapes})"
                )
    return lengths


def _reduced_to_one_each(x, labels, lengths):
    """`x` with diagonals in place of repeated labels, and without axes that are to be broadcast."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.shape[first] != x.shape[second]:
                raise ValueError(f'einsum: "{label}" repeats on unequal axes of {x.shape}')
            x = diagonal(x, 0, first, second)
            labels = [*labels[:first], *labels[first + 1 : second], *labels[second + 1 :], label]
    short = tuple(
        axis
        for axis, label in enumerate(labels)
        if x.shape[axis] == 1 and lengths.get(label, 1) != 1
    )
    if short:
        x = squeeze(x, short)
    return x, [label for axis, label in enumerate(labels) if axis not in short]


def _path(terms, output):
    """Which terms to multiply, step by step; each result goes to the end of the list."""
    if len(terms) < 3:
        return [(0, 1)] * (len(terms) - 1)
    numbers = {}
    for _, labels in terms:
        for label in labels:
            numbers.setdefault(label, len(numbers))
    parts = []
    for x, labels in terms:
        parts += [np.broadcast_to(np.float32(0), x.shape), [numbers[label] for label in labels]]
    target = [numbers[label] for label in output]
    return np.einsum_path(*parts, target, optimize="greedy")[0][1:]


def contract(x, x_labels, y, y_labels, kept):
    """The product of two arrays with labelled axes, summed over the labels that are not kept.

    No label occurs twice in one array, and those that only one array has are all kept. Returns the
    result and its labels: first those that both arrays have, then x's own, then y's own.
    """
    shared = [label for label in x_labels if label in y_labels]
    batch = [label for label in shared if label in kept]
    inner = [label for label in shared if label not in kept]
    x_own = [label for label in x_labels if label not in shared]
    y_own = [label for label in y_labels if label not in shared]
    sizes = dict(zip(x_labels, x.shape)) | dict(zip(y_labels, y.shape))
    x = _permuted(x, x_labels, batch + x_own + inner)
    if not inner or (batch and not x_own and not y_own):  # no product of matrices
        y = _permuted(y, y_labels, batch + y_own + inner)
        out = multiply(
            _with_ones(x, len(batch + x_own), len(y_own)), _with_ones(y, len(batch), len(x_own))
        )
        if inner:
            out = sum(out, axis=tuple(range(-len(inner), 0)))
    else:
        y = _permuted(y, y_labels, batch + inner + y_own)
        m, k, n = (prod(sizes[label] for label in part) for part in (x_own, inner, y_own))
        lead = tuple(sizes[label] for label in batch)
        out = matmul_rows(_reshaped(x, (*lead, m, k)), _reshaped(y, (*lead, k, n)))
        out = _reshaped(out, tuple(sizes[label] for label in batch + x_own + y_own))
    return out, batch + x_own + y_own


def _permuted(x, labels, wanted):
    axes = tuple(labels.index(label) for label in wanted)
    return x if axes == tuple(range(x.ndim)) else permute_dims(x, axes)


def _reshaped(x, shape):
    return x if x.shape == shape else reshape(x, shape)


def _with_ones(x, place, count):
    return expand_dims(x, tuple(range(place, place + count))) if count else x


def operand(x):
    """`x` as a Tensor or array of floats, which the products of this module are made of."""
    x = x if type(x) is Tensor else to_array(x)
    return x if x.dtype.kind == "f" else cast(x, x.dtype, FLOAT32)
