"""The matrix product: cut into what the caches hold, then into register tiles (see `simd`).

The inner dimension is cut into parts, each of which adds its product to the result. The rows of the
right matrix that a part takes are packed, panel of columns after panel of columns, where the
product is large enough to pay for that or where the columns do not lie side by side in memory. The
left matrix is packed only where what a tile reads of it lies far apart. This is the scheme of Goto
and van de Geijn (Anatomy of High-Performance Matrix Multiplication, 2008) less the packing that was
measured to be a loss.

Inside, matrices are addresses: an array that Numba hands from function to function is counted, with
an atomic instruction each time, which took longer than a small product.
"""

import threading

import numpy as np
from numba import prange

from ._jit import close, get_num_threads, inner, kernel, launch, plain
from .simd import (
    add_rows,
    data,
    dot_rows,
    dot_tile,
    exists,
    moved,
    no_data,
    stack_room,
    tile,
    tile_rows,
    tile_vectors,
    transpose,
)
from .vmath import VECTOR_BYTES, compute, first, lanes, load, store

# Measured on Zen 5, with 48 KB of L1 and 1 MB of L2 per core.
DEPTH = 384  # of a part of the inner dimension: as sums of sums, the errors are those of OpenBLAS
SQUARE = 16  # its parts start at multiples of a vector, or of two
ROWS = 64  # of the left matrix, which stay in the cache while all panels pass by
COLUMNS = 1024  # of the right matrix that are packed together
LEFT_ROOM = ROWS * DEPTH
APART = 500  # from so long rows of a transposed left matrix on, it is packed for as many columns
PACK = 200  # from this many rows on, each of which reads all of the right matrix, packing pays
LONG = 64  # from this inner dimension on, dot products are faster than packing for one row
DOTS, DOTS_LONG = 12, 256  # and up to so many rows or columns from so long an inner one on
TURN = 256  # up to so many rows, turning the result is faster than turning the right matrix
NARROW = 16  # up to so many columns, a tile's vectors had better lie along the rows
SMALL = 16384  # elements packed at a time by a product that has no scratch
STREAM = 8  # rows of the right matrix that are read side by side for one row of the left
STREAMED = 30_000  # elements of the right matrix from which on that pays
PARALLEL = 300_000  # from so many multiply-adds on, a second thread gains more than it costs
ALONE = 1_200_000  # from so many on, packing gains more than the call of its kernel costs

# ------------------------------------------------------------------------------------ kernels


# As an argument, a literal number has a type of its own, for which all that is called would be
# compiled once more; these have the type of other numbers.
ZERO, ONE = np.int64(0), np.int64(1)

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
        block(operands, scratch, ZERO, m, ZERO, n)
    else:
        for t in prange(threads):
            block_share(operands, share_of(scratch, t, threads), t, threads)


@inner
def share_of(scratch, part, parts):
    return scratch[scratch.size // parts * part : scratch.size // parts * (part + 1)]


@inner
def block_share(operands, scratch, part, parts):
    """A part of the whole result; each packs into a scratch of its own."""
    out = operands[3]
    m, n = out.shape
    # Whole rows lie better in the cache, but each of these parts packs all of `b`.
    if m >= PACK * parts or n < 2 * lanes(out) * parts:
        top, bottom = cut(m, tile_rows(), part, parts)
        block(operands, scratch, top, bottom, ZERO, n)
    else:
        left, right = cut(n, lanes(out), part, parts)
        block(operands, scratch, ZERO, m, left, right)


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
    n, columns = out.shape[1], right - left
    if form == A_TRANSPOSED and bias.size == 0 and columns <= NARROW < bottom - top:
        factors = (data(a), pitch), (moved(data(b), left), n, ONE)
        narrow(factors, (moved(data(out), left), n), k, columns, (top, bottom))
    else:
        steps = (1, pitch) if form & A_TRANSPOSED else (pitch, 1)
        matrices = (data(a), steps), (data(b), b.shape[1]), data(bias), (data(out), n), form
        strips(matrices, data(scratch), COLUMNS, k, (top, bottom), (left, right))


@inner
def narrow(factors, out, k, n, rows):
    """Rows of a narrow product of a matrix whose rows lie side by side.

    The vectors of its tiles lie along the rows, of a result that is turned in the end.

    factors  ((data, step) of the left matrix, (data, step of rows, step of columns) of the right)
    out      (data, step of rows); n columns, at most NARROW
    """
    ((a, step), (b, row_step, column_step)), (out, pitch), (top, bottom) = factors, out, rows
    room, none = stack_room(out, SMALL), no_data(out)
    for i in range(top, bottom, SMALL // NARROW):
        count = min(SMALL // NARROW, bottom - i)
        width = whole(count, lanes(out))
        matrices = (b, (column_step, row_step)), (moved(a, i), step), none, (room, width), ZERO
        strips(matrices, none, COLUMNS, k, (ZERO, n), (ZERO, count))
        turn_rows((room, width), (moved(out, i * pitch), pitch), count, (ZERO, n))


@inner
def strips(matrices, scratch, most, k, rows, columns):
    """The same of pointers: `matrices` are those and their strides, in the order of `operands`.

    most  of the columns, which are packed together
    """
    (a, (row_step, step)), (top, bottom), (left, right) = matrices[0], rows, columns
    packs_left = row_step == 1 and step >= APART and right - left >= APART
    room = stack_room(a, LEFT_ROOM)
    parts = max(1, (k + DEPTH - 1) // DEPTH)  # one even if there is nothing to add up
    for j in range(left, right, most):
        if bottom - top == 1 and not exists(scratch) and k * (right - left) >= STREAMED:
            one_row(matrices, k, top, (j, min(j + most, right)))
            continue
        for part in range(parts):
            start, stop = cut(k, SQUARE, part, parts)
            for i in range(top, bottom, ROWS):
                end = min(i + ROWS, bottom)
                lefts = (a, i * row_step + start * step, row_step, step)
                if packs_left:
                    by_rows = step == 1
                    source = (a, row_step if by_rows else step, by_rows)
                    pack(source, start, stop, i, end, (room, ZERO, ZERO + ROWS))
                    lefts = (room, 0, 1, ROWS)
                panels(
                    matrices,
                    lefts,
                    scratch,
                    (i, end, i == top),
                    (j, min(j + most, right)),
                    (start, stop, part == 0, part == parts - 1),
                )


@inner
def one_row(matrices, k, top, columns):
    """One row of the result by `add_rows`, in the parts and with the sums of tiles."""
    (a, (row_step, step)), (b, pitch), bias, (out, n), form = matrices
    left, right = columns
    size, at, room = right - left, top * n + left, stack_room(out, COLUMNS)
    parts = max(1, (k + DEPTH - 1) // DEPTH)
    for part in range(parts):
        start, stop = cut(k, SQUARE, part, parts)
        sums = (out, at) if part == 0 else (room, 0)
        for p in range(start, stop - STREAM + 1, STREAM):
            factors = (a, top * row_step + p * step, step)
            add_rows(STREAM, factors, (b, p * pitch + left, pitch), sums, size, p == start)
        for p in range(start + (stop - start) // STREAM * STREAM, stop):
            factors = (a, top * row_step + p * step, step)
            add_rows(1, factors, (b, p * pitch + left, pitch), sums, size, p == start)
        if part > 0:
            add_to((out, at), (room, 0), size)
    if exists(bias):
        add_to((out, at), (bias, left), size)
    if form & RELU:
        for j in range(0, size, lanes(out)):
            block = load(out, at + j, size - j, 0.0)
            store(out, at + j, size - j, compute("maximum", load(out, at, 0, 0.0), block))


@inner
def add_to(sums, terms, size):
    """Add so many elements; of both (data, index)."""
    (sums, at), (terms, start) = sums, terms
    for j in range(0, size, lanes(sums)):
        block, term = load(sums, at + j, size - j, 0.0), load(terms, start + j, size - j, 0.0)
        store(sums, at + j, size - j, compute("add", block, term))


@inner
def panels(matrices, lefts, scratch, rows, columns, part):
    """A part's product for up to ROWS rows and COLUMNS columns; packs for the first rows."""
    _, (b, b_pitch), bias, (out, n), form = matrices
    a, at_left, row_step, step = lefts
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
                source = (b, b_pitch, form & B_TRANSPOSED != 0)
                pack(source, start, stop, j, j + width, panel)
            at += pitch * whole(stop - start, lanes(out))
        for i in range(top, bottom, tile_rows()):
            extent = (min(tile_rows(), bottom - i), width, stop - start)
            row = (a, at_left + (i - top) * row_step, row_step, step)
            tile(row, panel, (out, i * n + j, n), (bias, j), extent, ends)
        j += width


@inner
def whole(size, unit):
    return (size + unit - 1) // unit * unit


@inner
def panel_width(columns, lanes, is_long):
    """How many of the columns left the next panel takes: all panels get about the same."""
    most = (tile_vectors(True) if is_long else tile_vectors(False)) * lanes
    panels = whole(columns, most) // most
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
        for j in range(left, right, size):
            for p in range(start, stop, size):
                square = (target, at + (p - start) * pitch + j - left, pitch)
                transpose((source, j * stride + p, stride), square, (right - j, stop - p))
    else:
        for p in range(start, stop):
            for j in range(left, right, size):
                vector = load(source, p * stride + j, right - j, 0.0)
                store(target, at + (p - start) * pitch + j - left, size, vector)


STRIDED = "Array(T, 2, 'A', readonly=True)"


@kernel(f"boolean({STRIDED}, {STRIDED}, T[:, ::1])", parallel=False)
def small_product(a, b, out):
    """out (m, n) = a b, by one thread; whether it could: not if no axis of `b` is contiguous.

    What is small is mostly the call. So there is one kernel for all layouts, and what has to be
    packed is, on the stack.
    """
    (m, n), k = out.shape, a.shape[1]
    row_step, step = a.strides[0] // a.itemsize, a.strides[1] // a.itemsize
    pitch, column_step = b.strides[0] // b.itemsize, b.strides[1] // b.itemsize
    left, none, room = (data(a), (row_step, step)), no_data(out), stack_room(data(out), SMALL)
    are_dots = step == 1 and pitch == 1
    if are_dots and k >= LONG and n == 1:
        dots_with((data(a), row_step), data(b), data(out), k, (0, m))
    elif are_dots and k >= LONG and m == 1:
        dots_with((data(b), column_step), data(a), data(out), k, (0, n))
    elif are_dots and min(m, n) <= DOTS and k >= DOTS_LONG:
        dot_tiles((data(a), row_step), (data(b), column_step), (data(out), n), k, (0, m), (0, n))
    elif row_step == 1 and n <= NARROW < m:
        narrow(((data(a), step), (data(b), pitch, column_step)), (data(out), n), k, n, (ZERO, m))
    elif n == 1 or column_step == 1:
        operands = left, (data(b), pitch), none, (data(out), n), ZERO
        strips(operands, none, COLUMNS, k, (ZERO, m), (ZERO, n))
    elif k == 1 or pitch == 1:
        # A panel takes up to one vector more in width and in height.
        most = min(COLUMNS, SMALL // (min(k, DEPTH) + lanes(out)) - lanes(out))
        operands = left, (data(b), column_step), none, (data(out), n), ZERO + B_TRANSPOSED
        strips(operands, room, most, k, (ZERO, m), (ZERO, n))
    else:
        return False
    return True


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
    """The dot products of the rows from top to bottom with the vector."""
    k = matrix.shape[1]
    dots_with((data(matrix), k), data(vector), data(out), k, (top, bottom))


@inner
def dots_with(matrix, vector, out, k, rows):
    """Four rows at a time; where fewer are left, the last one repeats."""
    (flat, pitch), (top, bottom) = matrix, rows
    zero = load(vector, 0, 0, 0.0)
    for i in range(top, bottom, 4):
        i1, i2, i3 = min(i + 1, bottom - 1), min(i + 2, bottom - 1), min(i + 3, bottom - 1)
        row, row1, row2, row3 = i * pitch, i1 * pitch, i2 * pitch, i3 * pitch
        sum0 = sum1 = sum2 = sum3 = zero
        for p in range(0, k, lanes(vector)):
            x = load(vector, p, k - p, 0.0)
            sum0 = compute("add", sum0, compute("multiply", x, load(flat, row + p, k - p, 0.0)))
            sum1 = compute("add", sum1, compute("multiply", x, load(flat, row1 + p, k - p, 0.0)))
            sum2 = compute("add", sum2, compute("multiply", x, load(flat, row2 + p, k - p, 0.0)))
            sum3 = compute("add", sum3, compute("multiply", x, load(flat, row3 + p, k - p, 0.0)))
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
    """The rows of the result from `top` to `bottom`, there the columns from `left` to `right`."""
    k, n = a.shape[1], out.shape[1]
    dot_tiles((data(a), k), (data(b), k), (data(out), n), k, (top, bottom), (left, right))


@inner
def dot_tiles(a, b, out, k, rows, columns):
    """Few rows of one matrix stay in the cache while those of the other one pass by."""
    (a, a_pitch), (b, b_pitch), (out, n) = a, b, out
    (top, bottom), (left, right) = rows, columns
    for j in range(left, right, dot_rows(1)):
        for i in range(top, bottom, dot_rows(0)):
            extent = (min(dot_rows(0), bottom - i), min(dot_rows(1), right - j), k)
            starts = (a, i * a_pitch, a_pitch), (b, j * b_pitch, b_pitch), (out, i * n + j, n)
            dot_tile(*starts, extent)


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
    """The rows of x from top to bottom."""
    m, n = x.shape
    turn_rows((data(x), n), (data(out), m), n, (top, bottom))


@inner
def turn_rows(x, out, n, rows):
    """The same of pointers, (data, stride) each; x has n columns. Square by square in registers."""
    (x, x_pitch), (out, pitch), (top, bottom) = x, out, rows
    for i in range(top, bottom, lanes(x)):
        for j in range(0, n, lanes(x)):
            here, there = (x, i * x_pitch + j, x_pitch), (out, j * pitch + i, pitch)
            transpose(here, there, (bottom - i, n - j))


# ------------------------------------------------------------------------------------ wrapper

_NOTHING = {kind: np.empty(0, kind) for kind in "fd"}
_scratch = threading.local()  # as a fresh one would cost page faults in each call


def _small_product(*args):
    """The first call of that kernel, which takes the place of this function."""
    global _small_product
    close(small_product)
    _small_product = small_product
    return small_product(*args)


def matmul(a, b, out=None, bias=None, relu=False):
    """a @ b + bias, of arrays (m, k), (k, n) and (n,) of one dtype, float32 or float64.

    Any strides; an array that is the transpose of a C-contiguous one is not copied. With `relu`,
    what is negative in the end becomes 0. Returns `out`, a C-contiguous array (m, n) which must not
    overlap the others; a fresh one by default.
    """
    m, (k, n) = len(a), b.shape
    if out is None:
        out = np.empty((m, n), a.dtype)
    is_large = m * k * n >= PARALLEL
    is_alone = not is_large or (m * k * n < ALONE and get_num_threads() == 1)
    if is_alone and bias is None and not relu:
        try:
            if _small_product(a, b, out):
                return out
        except TypeError:  # not aligned
            pass
    form = RELU if relu else 0
    if not a.flags.carray:
        a, transposed = _stored(a)
        form |= A_TRANSPOSED * transposed
    if not b.flags.carray:
        b, transposed = _stored(b)
        form |= B_TRANSPOSED * transposed
    if k >= LONG:
        if (n == 1 and not form & A_TRANSPOSED) or (m == 1 and form & B_TRANSPOSED):
            matrix, vector = (b, a) if form & B_TRANSPOSED else (a, b)
            args = matrix, vector.reshape(-1), out.reshape(-1)
            launch(matrix_vector, *args) if is_large else matrix_vector(*args, 1)
            return _finished(out, bias, relu)
        if form == B_TRANSPOSED and min(m, n) <= DOTS and k >= DOTS_LONG and bias is None:
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
    turned = x.T
    if turned.flags.carray:
        return turned, 1
    if turned.flags.c_contiguous and not x.flags.c_contiguous:
        return plain(turned), 1
    return plain(x), 0


def _room(n, threads, dtype):
    """Scratch for `product`, of which each thread has an equal share."""
    size = threads * DEPTH * (min(n, COLUMNS) + VECTOR_BYTES // dtype.itemsize)
    scratch = getattr(_scratch, dtype.char, _NOTHING[dtype.char])
    if scratch.size < size:
        scratch = np.empty(size, dtype)
        setattr(_scratch, dtype.char, scratch)
    return scratch
