"""The matrix product: cut into what the caches hold, then into register tiles (see `simd`).

The inner dimension is cut into parts, each of which adds its product to the result. The rows of the
right matrix that a part takes are packed, panel of columns after panel of columns, where the
product is large enough to pay for that or where the columns do not lie side by side in memory. The
left matrix is read where it is. This is the scheme of Goto and van de Geijn (Anatomy of
High-Performance Matrix Multiplication, 2008) less the packing that was measured to be a loss.
"""

import threading

import numpy as np
from numba import prange

from ._jit import get_num_threads, inner, kernel, launch, plain
from .simd import data, dot_rows, dot_tile, exists, tile, tile_rows, tile_vectors, transpose
from .vmath import VECTOR_BYTES, compute, first, lanes, load, store

# Measured on Zen 4, with 32 KB of L1 and 1 MB of L2 per core.
DEPTH = 384  # of a part of the inner dimension: as sums of sums, the errors are those of OpenBLAS
ROWS = 32  # of the left matrix, which stay in the cache while all panels pass by
COLUMNS = 1024  # of the right matrix that are packed together
PACK = 200  # from this many rows on, each of which reads all of the right matrix, packing pays
LONG = 64  # from this inner dimension on, dot products are faster than packing for one row
DOTS, DOTS_LONG = 12, 256  # and up to so many rows from so long an inner dimension on
TURN = 256  # up to so many rows, turning the result is faster than turning the right matrix
PARALLEL = 300_000  # from so many multiply-adds on, a second thread gains more than it costs

# ------------------------------------------------------------------------------------ kernels


# What `form` of a product is the sum of.
A_TRANSPOSED, B_TRANSPOSED, RELU = 1, 2, 4


@kernel("void(T[:, ::1], T[:, ::1], T[::1], T[:, ::1], T[::1], int64, int64)")
def product(a, b, bias, out, scratch, form, threads):
    """out (m, n) = a b + bias. Packs `b` if there is scratch: DEPTH rows of it for each thread.

    a       (m, k), or (k, m) if it is transposed
    b       (k, n), or (n, k) if it is transposed; then there must be scratch
    bias    (n,) or empty
    form    which are transposed, and whether what is negative in the end becomes 0
    """
    operands = a, b, bias, out, form
    m, n = out.shape
    if threads == 1:
        block(operands, scratch, 0, m, 0, n)
    else:
        for t in prange(threads):
            own = scratch[scratch.size // threads * t : scratch.size // threads * (t + 1)]
            # Whole rows lie better in the cache, but each of these threads packs all of `b`.
            if m >= PACK * threads or n < 2 * lanes(out) * threads:
                top, bottom = cut(m, tile_rows(), t, threads)
                block(operands, own, top, bottom, 0, n)
            else:
                left, right = cut(n, lanes(out), t, threads)
                block(operands, own, 0, m, left, right)


@inner
def cut(size, unit, part, parts):
    """Where a part of `size`, cut only at multiples of `unit`, starts and ends."""
    units = (size + unit - 1) // unit
    return min(size, units * part // parts * unit), min(size, units * (part + 1) // parts * unit)


@inner
def block(operands, scratch, top, bottom, left, right):
    """The rows of the result from `top` to `bottom`, there the columns from `left` to `right`."""
    a, b, bias, out, form = operands
    k, pitch = (a.shape[0], a.shape[1]) if form & A_TRANSPOSED else (a.shape[1], a.shape[1])
    steps = (1, pitch) if form & A_TRANSPOSED else (pitch, 1)
    matrices = (data(a), steps), (data(b), b.shape[1]), data(bias), (data(out), out.shape[1]), form
    strips(matrices, data(scratch), k, (top, bottom), (left, right))


@inner
def strips(matrices, scratch, k, rows, columns):
    """The same of pointers: `matrices` are those and their strides, in the order of `operands`."""
    (top, bottom), (left, right) = rows, columns
    parts = max(1, (k + DEPTH - 1) // DEPTH)  # one even if there is nothing to add up
    for j in range(left, right, COLUMNS):
        for part in range(parts):
            start, stop = k * part // parts, k * (part + 1) // parts
            for i in range(top, bottom, ROWS):
                panels(
                    matrices,
                    scratch,
                    (i, min(i + ROWS, bottom), i == top),
                    (j, min(j + COLUMNS, right)),
                    (start, stop, part == 0, part == parts - 1),
                )


@inner
def panels(matrices, scratch, rows, columns, part):
    """A part's product for up to ROWS rows and COLUMNS columns; packs for the first rows."""
    (a, (row_step, step)), (b, b_pitch), bias, (out, n), form = matrices
    top, bottom, is_top = rows
    j, right = columns
    start, stop, is_first, is_last = part
    ends = is_first, is_last, form & RELU != 0
    at = 0
    while j < right:
        is_long = bottom - top == 1 and not exists(scratch)
        width = panel_width(right - j, lanes(out), is_long)
        panel = (b, start * b_pitch + j, b_pitch)
        if exists(scratch):
            pitch = whole(width, lanes(out))
            panel = (scratch, at, pitch)
            if is_top:
                source = (b, b_pitch, form & B_TRANSPOSED)
                pack(source, start, stop, j, j + width, panel)
            at += pitch * whole(stop - start, lanes(out))
        for i in range(top, bottom, tile_rows()):
            extent = (min(tile_rows(), bottom - i), width, stop - start)
            row = (a, i * row_step + start * step, row_step, step)
            tile(row, panel, (out, i * n + j, n), (bias, j), extent, ends)
        j += width


@inner
def whole(size, unit):
    return (size + unit - 1) // unit * unit


@inner
def panel_width(columns, lanes, is_long):
    """How many of the columns left the next panel takes: all panels get about the same."""
    if is_long and columns >= tile_vectors(True) * lanes:
        return tile_vectors(True) * lanes
    panels = whole(columns, tile_vectors(False) * lanes) // (tile_vectors(False) * lanes)
    return min(columns, whole(columns, panels * lanes) // panels)


@inner
def pack(matrix, start, stop, left, right, panel):
    """Copy a part of the rows of `b`, of each the columns from left to right, to the panel.

    matrix  (data, stride, whether it is transposed)
    panel   (data, index, stride)
    """
    source, stride, is_transposed = matrix
    target, at, pitch = panel
    size = lanes(source)
    if is_transposed:
        squares = start + (stop - start) // size * size
        for j in range(left, right, size):
            for p in range(start, squares, size):
                square = (source, j * stride + p, stride, right - j)
                transpose(square, (target, at + (p - start) * pitch + j - left, pitch))
        for p in range(squares, stop):
            for j in range(left, right):
                target[at + (p - start) * pitch + j - left] = source[j * stride + p]
    else:
        for p in range(start, stop):
            for j in range(left, right, size):
                vector = load(source, p * stride + j, right - j, 0.0)
                store(target, at + (p - start) * pitch + j - left, size, vector)


@kernel("void(T[:, ::1], T[::1], T[::1], int64)")
def matrix_vector(matrix, vector, out, threads):
    """out (rows,) = matrix (rows, k) times vector (k,)."""
    if threads == 1:
        dots(matrix, vector, out, 0, out.size)
    else:
        for t in prange(threads):
            top, bottom = cut(out.size, 4, t, threads)
            dots(matrix, vector, out, top, bottom)


@inner
def dots(matrix, vector, out, top, bottom):
    """Four rows at a time; where fewer are left, the last one repeats."""
    flat, vector, out, k = data(matrix), data(vector), data(out), matrix.shape[1]
    zero = load(vector, 0, 0, 0.0)
    for i in range(top, bottom, 4):
        i1, i2, i3 = min(i + 1, bottom - 1), min(i + 2, bottom - 1), min(i + 3, bottom - 1)
        sum0 = sum1 = sum2 = sum3 = zero
        for p in range(0, k, lanes(vector)):
            x = load(vector, p, k - p, 0.0)
            sum0 = compute("add", sum0, compute("multiply", x, load(flat, i * k + p, k - p, 0.0)))
            sum1 = compute("add", sum1, compute("multiply", x, load(flat, i1 * k + p, k - p, 0.0)))
            sum2 = compute("add", sum2, compute("multiply", x, load(flat, i2 * k + p, k - p, 0.0)))
            sum3 = compute("add", sum3, compute("multiply", x, load(flat, i3 * k + p, k - p, 0.0)))
        out[i] = first(compute("all_sum", sum0))
        out[i1] = first(compute("all_sum", sum1))
        out[i2] = first(compute("all_sum", sum2))
        out[i3] = first(compute("all_sum", sum3))


@kernel("void(T[:, ::1], T[:, ::1], T[:, ::1], int64)")
def row_products(a, b, out, threads):
    """out (m, n) = the dot products of the rows of a (m, k) with those of b (n, k)."""
    m, n = out.shape
    if threads == 1:
        dot_block(a, b, out, 0, m, 0, n)
    else:
        for t in prange(threads):
            if m > n:
                top, bottom = cut(m, dot_rows(0), t, threads)
                dot_block(a, b, out, top, bottom, 0, n)
            else:
                left, right = cut(n, dot_rows(1), t, threads)
                dot_block(a, b, out, 0, m, left, right)


@inner
def dot_block(a, b, out, top, bottom, left, right):
    """Few rows of one matrix stay in the cache while those of the other one pass by."""
    k, n = a.shape[1], out.shape[1]
    for j in range(left, right, dot_rows(1)):
        for i in range(top, bottom, dot_rows(0)):
            rows = (data(a), i * k, k)
            columns = (data(b), j * k, k)
            extent = (min(dot_rows(0), bottom - i), min(dot_rows(1), right - j), k)
            dot_tile(rows, columns, (data(out), i * n + j, n), extent)


@kernel("void(T[:, ::1], T[:, ::1], int64)")
def turned(x, out, threads):
    """out (n, m) = the transpose of x (m, n)."""
    if threads == 1:
        turn(x, out, 0, x.shape[0])
    else:
        for t in prange(threads):
            top, bottom = cut(x.shape[0], lanes(data(x)), t, threads)
            turn(x, out, top, bottom)


@inner
def turn(x, out, top, bottom):
    """The rows of x from top to bottom: whole squares in registers, what is left one by one."""
    source, target = data(x), data(out)
    size, (m, n) = lanes(source), x.shape
    squares_end, columns_end = top + (bottom - top) // size * size, n // size * size
    for i in range(top, squares_end, size):
        for j in range(0, columns_end, size):
            transpose((source, i * n + j, n, size), (target, j * m + i, m))
        for j in range(columns_end, n):
            for p in range(i, i + size):
                target[j * m + p] = source[p * n + j]
    for i in range(squares_end, bottom):
        for j in range(n):
            target[j * m + i] = source[i * n + j]


# ------------------------------------------------------------------------------------ wrapper

_NOTHING = {kind: np.empty(0, kind) for kind in "fd"}
_scratch = threading.local()  # as a fresh one would cost page faults in each call


def matmul(a, b, out=None, bias=None, relu=False):
    """a @ b + bias, of arrays (m, k), (k, n) and (n,) of one dtype, float32 or float64.

    Any strides; an array that is the transpose of a C-contiguous one is not copied. With `relu`,
    what is negative in the end becomes 0. Returns `out`, a C-contiguous array (m, n) which must not
    overlap the others; a fresh one by default.
    """
    (m, k), (_, n) = a.shape, b.shape
    form = RELU if relu else 0
    if not a.flags.carray:
        a, transposed = _stored(a)
        form |= A_TRANSPOSED * transposed
    if not b.flags.carray:
        b, transposed = _stored(b)
        form |= B_TRANSPOSED * transposed
    if out is None:
        out = np.empty((m, n), a.dtype)
    is_large = m * k * n >= PARALLEL
    if k >= LONG:
        if (n == 1 and not form & A_TRANSPOSED) or (m == 1 and form & B_TRANSPOSED):
            matrix, vector = (b, a) if form & B_TRANSPOSED else (a, b)
            args = matrix, vector.reshape(-1), out.reshape(-1)
            launch(matrix_vector, *args) if is_large else matrix_vector(*args, 1)
            return _finished(out, bias, relu)
        if form == B_TRANSPOSED and m <= DOTS and k >= DOTS_LONG and bias is None:
            launch(row_products, a, b, out) if is_large else row_products(a, b, out, 1)
            return out
    if form == B_TRANSPOSED and DOTS < m <= min(n // 2, TURN) and bias is None and is_large:
        launch(turned, matmul(b, a.T), out)
        return out
    scratch = nothing = _NOTHING[a.dtype.char]
    if form & B_TRANSPOSED or m >= PACK:
        scratch = _room(n, get_num_threads() if is_large else 1, a.dtype)
    bias = nothing if bias is None else plain(bias)
    if is_large:
        launch(product, a, b, bias, out, scratch, form)
    else:
        product(a, b, bias, out, scratch, form, 1)
    return out


def _finished(out, bias, relu):
    """`out` after what the kernels of dot products do not do."""
    if bias is not None:
        out += bias
    if relu:
        np.copyto(out, 0, where=out < 0)
    return out


def _stored(x):
    """The C-contiguous array of which `x` is the transpose, and 1; or `x` as one, and 0."""
    flags = x.flags
    if flags.f_contiguous and not flags.c_contiguous:
        return plain(x.T), 1
    return plain(x), 0


def _room(n, threads, dtype):
    """Scratch for `product`, of which each thread has an equal share."""
    size = threads * DEPTH * (min(n, COLUMNS) + VECTOR_BYTES // dtype.itemsize)
    scratch = getattr(_scratch, dtype.char, _NOTHING[dtype.char])
    if scratch.size < size:
        scratch = np.empty(size, dtype)
        setattr(_scratch, dtype.char, scratch)
    return scratch
