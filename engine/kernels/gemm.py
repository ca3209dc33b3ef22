"""The matrix product: which way is taken for which shapes and layouts, and by how many threads.

Most products are cut into `panels`, then into register tiles (see `simd`). Where tiles would be
mostly empty, or reading takes the most time, there are other ways: the rows of the right matrix
added up for a single row of the left one, `dots` of rows, and results that are turned in the end.

Inside, matrices are `pointers`.
"""

import threading

import numpy as np
from numba import prange

from ._jit import ONE, ZERO, close, get_num_threads, inner, kernel, launch, plain, run
from .cuts import cut, whole
from .dots import (
    DOTS,
    DOTS_LONG,
    LONG,
    are_better_dots,
    dot_tiles,
    dots_with,
    matrix_vector,
    row_products,
)
from .memory import aligned
from .panels import (
    A_TRANSPOSED,
    B_TRANSPOSED,
    COLUMNS,
    DEPTH,
    LEFT_ROOM,
    PACK,
    PACK_CLASHING,
    RELU,
    clashes,
    is_worth_packing,
    room_of_columns,
    strips,
)
from .pointers import data, exists, moved, no_data, stack_room
from .registers import are_tiles_wide, tile_rows, tile_vectors
from .simd import add_rows, side, transpose
from .vmath import compute, lanes, load, store

# Measured on Zen 5, with 48 KB of L1 and 1 MB of L2 per core; STREAM_CLASHING and PORTION on Zen 4,
# with 32.
# Up to so many rows, and such a part of those of the result's transpose, turning the result is
# faster than turning the right matrix.
TURN, TURN_PART = 256, 4
TURNED = 24  # from so many rows on, turning columns of the right matrix for dot products pays
NARROW = 16  # up to so many columns, a tile's vectors had better lie along the rows
SMALL = 16384  # elements packed at a time by a product that has no scratch
# Of one row of the left matrix: rows of the right one that are read side by side, fewer where they
# clash; and those whose sum is a portion of the total, which threads may share out
STREAM, STREAM_CLASHING, PORTION = 8, 4, 64
# A second thread gains more than it costs from so many multiply-adds on, times bytes of an element,
# without AVX-512 from fewer; with a vector, from so many bytes of the matrix on, each of which is
# read once.
PARALLEL, PARALLEL_NARROW, PARALLEL_READ = 2_400_000, 2_000_000, 800_000
ALONE = 1_200_000  # multiply-adds, from which on packing gains more than a call of its kernel costs

# ------------------------------------------------------------------------------------ kernels


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
    size = scratch.size // parts // lanes(scratch) * lanes(scratch)
    return scratch[size * part : size * (part + 1)]


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
def block(operands, scratch, top, bottom, left, right):
    """The rows of the result from `top` to `bottom`, there the columns from `left` to `right`."""
    a, b, bias, out, form = operands
    (m, n), room, pitch = out.shape, stack_room(data(out), LEFT_ROOM), a.shape[1]
    k, steps = (len(a), (ONE, pitch)) if form & A_TRANSPOSED else (pitch, (pitch, ONE))
    matrices = (data(a), steps), (data(b), b.shape[1]), data(bias), (data(out), n), form
    packs_right = form & B_TRANSPOSED != 0 or is_worth_packing(bottom - top, data(b), b.shape[1])
    if m == 1 and bottom == 1 and not form & B_TRANSPOSED:
        one_row(matrices, room, k, (left, right))
    else:
        packed = data(scratch) if packs_right else no_data(data(scratch))
        tiles_and_rest(matrices, packed, room, COLUMNS, (m, k), (top, bottom), (left, right))


@inner
def tiles_and_rest(matrices, scratch, room, most, sizes, rows, columns):
    """As `strips`, but with the last columns otherwise where that is better.

    sizes  (rows of the whole result, inner dimension)
    """
    (_, n), (m, k), (left, right) = matrices[3], sizes, columns
    split = right - narrow_columns(matrices, rows[1] - rows[0], right - left)
    if split < right:
        narrow(matrices, room, sizes, rows, (split, right))
    right = split
    split = min(max(left, n - columns_of_dots(matrices, m, k)), right)
    strips("", matrices, scratch, room, most, k, rows, (left, split))
    if split < right:
        last_columns(matrices, room, k, rows, (split, right))


@inner
def narrow_columns(matrices, rows, columns):
    """How many of the last columns had better be `narrow`, of a left matrix that is transposed.

    All of few; else those that fill no vector, or at most half of the last one. The only one of a
    result in any case, since its bits are others: not by the rows of a share.
    """
    (_, (row_step, _)), _, bias, (out, n), form = matrices
    size, rest = lanes(out), columns % lanes(out)
    if row_step != 1 or exists(bias) or form & RELU:
        return ZERO
    if columns <= NARROW:
        is_better = n == 1 or whole(rows, size) * columns < whole(columns, size) * rows
        return columns if is_better else ZERO
    return rest if rows > NARROW and rest <= size // 2 else ZERO


@inner
def narrow(matrices, left_room, sizes, rows, columns):
    """As `strips`, of at most NARROW columns, for a left matrix that is transposed, without bias.

    The vectors of its tiles lie along the rows, of a result that is turned in the end; a result of
    one column is turned as it lies there, and of one row.
    """
    (a, (_, step)), (b, pitch), none, (out, n), form = matrices
    (m, k), (top, bottom), (left, right) = sizes, rows, columns
    steps = (pitch, ONE) if form & B_TRANSPOSED else (ONE, pitch)
    turned, count, room = (moved(b, left * steps[0]), steps), right - left, stack_room(out, SMALL)
    if n == 1:
        one_row((turned, (a, step), none, (out, m), ZERO), left_room, k, rows)
        return
    for i in range(top, bottom, SMALL // NARROW):
        height = min(SMALL // NARROW, bottom - i)
        width = whole(height, lanes(out))
        here = turned, (moved(a, i), step), none, (room, width), ZERO
        strips("", here, no_data(out), left_room, COLUMNS, k, (ZERO, count), (ZERO, height))
        turn_rows((room, width), (moved(out, i * n + left), n), height, (ZERO, count))


@inner
def one_row(matrices, room, k, columns):
    """The only row of a product: rows of the right matrix, times numbers of the left, added up.

    The sum of each portion is added to that of all before. So chains of additions are shorter than
    in tiles, which makes it more exact at no cost: it waits for memory.
    """
    (a, (_, step)), (b, pitch), bias, (out, n), form = matrices
    for left in range(columns[0], columns[1], LEFT_ROOM):
        size = min(LEFT_ROOM, columns[1] - left)
        for start in range(0, max(k, 1), PORTION):
            target = (out, left) if start == 0 else (room, ZERO)
            rows = start, min(start + PORTION, k)
            portion_of_row((a, step), (moved(b, left), pitch), n, target, size, rows)
            if start > 0:
                end_row((out, left), (room, ZERO), size, ZERO)
        if exists(bias) or form & RELU:
            end_row((out, left), (bias, left), size, form)


@inner
def portion_of_row(left, right, n, target, size, rows):
    """The sum of those rows of the right matrix, each times its number of the left.

    STREAM at a time, whose sum is one chain that is added as a whole. How many is asked of the
    columns of the whole result, `n`, since the bits are others: not of a share, or of strides.
    """
    ((a, step), (b, pitch)), (out, at), (start, stop) = (left, right), target, rows
    zero, clash = load(out, at, 0, 0.0), clashes(out, n)
    streams = STREAM_CLASHING if clash else STREAM
    whole_steps = stop - (stop - start) % streams
    for j in range(0, size if start == stop else 0, lanes(out)):
        store(out, at + j, size - j, zero)
    for p in range(start, whole_steps, streams):
        factors, terms = (a, p * step, step), (b, p * pitch, pitch)
        if clash:
            add_rows(STREAM_CLASHING, factors, terms, target, size, p == start)
        else:
            add_rows(STREAM, factors, terms, target, size, p == start)
    for p in range(whole_steps, stop):
        add_rows(1, (a, p * step, step), (b, p * pitch, pitch), target, size, p == start)


@inner
def columns_of_dots(matrices, m, k):
    """How many of the last columns had better be dot products: see `last_columns`.

    All of a narrow result; else those that fill no vector, or at most half of the last one. Only of
    many rows, side by side. By the whole result, not a share of it, since the bits are others.
    """
    (_, (_, step)), _, _, (out, n), form = matrices
    if form & A_TRANSPOSED or step != 1 or m < TURNED:
        return ZERO
    if n <= DOTS and k >= DOTS_LONG and k * n <= SMALL and not form & B_TRANSPOSED:
        return n
    rest = n % lanes(out)
    # `matmul` may have the transpose of the result calculated if the right matrix is, by several
    # threads and not by one; these columns would be its rows. Not if it is about square.
    is_safe = not form & B_TRANSPOSED or n // 2 < m < 2 * n
    is_better = rest <= lanes(out) // 2 and LONG <= k and k * rest <= SMALL
    return rest if is_safe and is_better else ZERO


@inner
def last_columns(matrices, room, k, rows, columns):
    """As `strips`, but for rounding: dot products with the columns, turned in the `room`.

    A tile of so few columns would have as many loads as multiply-adds.
    """
    (a, (pitch, _)), (b, b_pitch), bias, (out, n), form = matrices
    (top, bottom), (left, right) = rows, columns
    turned, turned_pitch = moved(b, left * b_pitch), b_pitch
    if not form & B_TRANSPOSED:
        # Other lines of the L1 for each row, and for those of the left matrix
        turned, turned_pitch = room, k + 4 * lanes(out) if clashes(out, k) else k
        turn_rows((moved(b, left), b_pitch), (turned, turned_pitch), right - left, (ZERO, k))
    factors, result = ((a, pitch), (turned, turned_pitch)), (moved(out, left), n)
    dot_tiles(*factors, result, k, rows, (ZERO, right - left))
    for i in range(top, bottom if exists(bias) or form & RELU else top):
        end_row((out, i * n + left), (bias, left), right - left, form)


@inner
def end_row(sums, bias, size, form):
    """Add the bias, if there is one, to a part of a row; with RELU, what is negative becomes 0."""
    (out, at), (terms, start) = sums, bias
    for j in range(0, size, lanes(out)):
        block = load(out, at + j, size - j, 0.0)
        if exists(terms):
            block = compute("add", block, load(terms, start + j, size - j, 0.0))
        if form & RELU:
            block = compute("maximum", load(out, at, 0, 0.0), block)
        store(out, at + j, size - j, block)


STRIDED = "Array(T, 2, 'A', readonly=True)"


@kernel(f"boolean({STRIDED}, {STRIDED}, T[:, ::1])", parallel=False)
def small_product(a, b, out):
    """out (m, n) = a b, by one thread; whether it could: not if no axis of one is contiguous.

    What is small is mostly the call. So there is one kernel for all layouts, and what has to be
    packed is, on the stack.
    """
    (m, n), k = out.shape, a.shape[1]
    row_step, step = a.strides[0] // a.itemsize, a.strides[1] // a.itemsize
    pitch, column_step = b.strides[0] // b.itemsize, b.strides[1] // b.itemsize
    if m > 1 and k > 1 and row_step != 1 and step != 1:
        return False
    left, none = (data(a), (row_step, step)), no_data(data(out))
    packed, room = stack_room(data(out), SMALL), stack_room(data(out), LEFT_ROOM)
    are_dots = step == 1 and pitch == 1
    if are_dots and k >= LONG and n == 1:
        dots_with((data(a), row_step), data(b), data(out), k, (0, m))
    elif are_dots and k >= LONG and m == 1:
        dots_with((data(b), column_step), data(a), data(out), k, (0, n))
    elif are_dots and are_better_dots(m, n, k, a.itemsize, tile_vectors() > 1):
        dot_tiles((data(a), row_step), (data(b), column_step), (data(out), n), k, (0, m), (0, n))
    elif n == 1 or column_step == 1:
        operands = left, (data(b), pitch), none, (data(out), n), ZERO
        if m == 1:
            one_row(operands, room, k, (ZERO, n))
        else:
            tiles_and_rest(operands, none, room, COLUMNS, (m, k), (ZERO, m), (ZERO, n))
    elif k == 1 or pitch == 1:
        size = lanes(out)  # of which panels are multiples, in both directions
        most = min(COLUMNS, SMALL // (min(k, DEPTH) + 1) // size * size)
        operands = left, (data(b), column_step), none, (data(out), n), ZERO + B_TRANSPOSED
        tiles_and_rest(operands, packed, room, most, (m, k), (ZERO, m), (ZERO, n))
    else:
        return False
    return True


@kernel("void(T[:, ::1], T[:, ::1], T[:, ::1], T[:, ::1], T[::1], int64)")
def turned_product(a, b, room, out, scratch, threads):
    """out (m, n) = a (m, k) times the transpose of b (n, k), by way of its own transpose.

    room  for that, (n, m)
    """
    if threads == 1:
        turned_block(a, b, room, out, scratch, ZERO, len(b))
    else:
        for t in prange(threads):
            left, right = cut(len(b), lanes(data(b)), t, threads)
            turned_block(a, b, room, out, share_of(scratch, t, threads), left, right)


@inner
def is_better_turned(m, n):
    """Whether a result (m, n) is faster turned in the end than the right matrix at the start."""
    return m <= TURN and m * TURN_PART <= n


@inner
def turned_block(a, b, room, out, scratch, left, right):
    """The columns of that result from left to right."""
    m = len(a)
    operands = b, a, scratch[:0], room, ZERO + B_TRANSPOSED
    block(operands, scratch, left, right, ZERO, m)
    turn_rows((data(room), m), (data(out), len(b)), m, (left, right))


@inner
def turn_rows(x, out, n, rows):
    """Those rows of x, of n columns, become columns of out; (data, stride) each. By squares."""
    # Along the rows of the result: where their distance is a power of two, those of one column
    # push each other out of the cache, and what is half written is fetched again.
    (x, x_pitch), (out, pitch), (top, bottom) = x, out, rows
    # The last square of a row starts early enough to be whole, but for AVX-512, which writes parts
    # of vectors as fast as whole ones.
    is_widest = side(x) == lanes(x)
    for at in range(0, n, side(x)):
        j = at if is_widest else max(0, min(at, n - side(x)))
        for i in range(top, bottom, side(x)):
            here, there = (x, i * x_pitch + j, x_pitch), (out, j * pitch + i, pitch)
            transpose(here, there, (bottom - i, n - j))


# ------------------------------------------------------------------------------------ wrapper

_NOTHING = {kind: np.empty(0, kind) for kind in "fd"}
# Elements for each thread: of fewer columns the rest is not touched, so that it takes no memory.
_ROOM = {kind: room_of_columns(COLUMNS, np.dtype(kind)) for kind in "fd"}
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
    work = m * k * n
    time = work * a.itemsize
    is_large = time >= PARALLEL or (time >= PARALLEL_READ and (m == 1 or n == 1))
    is_large = is_large or (time >= PARALLEL_NARROW and not are_tiles_wide())
    is_alone = not is_large or (work < ALONE and get_num_threads() == 1)
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
            run(matrix_vector, is_large, matrix, vector.reshape(-1), out.reshape(-1))
            return _finished(out, bias, relu)
        are_dots = form == B_TRANSPOSED and bias is None
        if are_dots and are_better_dots.py_func(m, n, k, a.itemsize, are_tiles_wide()):
            run(row_products, is_large, a, b, out)
            return out
    scratch = nothing = _NOTHING[a.dtype.char]
    if form & B_TRANSPOSED or m >= PACK_CLASHING:
        scratch = _room(get_num_threads() if is_large else 1, a.dtype.char)
    may_be_turned = form == B_TRANSPOSED and bias is None and is_large and m > DOTS
    if may_be_turned and is_better_turned.py_func(m, n):
        launch(turned_product, a, b, np.empty((n, m), a.dtype), out, scratch)
        return out
    bias = nothing if bias is None else plain(bias)
    run(product, is_large, a, b, bias, out, scratch, form)
    return out


def _finished(out, bias, relu):
    """`out` after what the kernels of dot products do not do."""
    if bias is not None:
        out += bias
    if relu:
        np.copyto(out, 0, where=out < 0)
    return out


def _stored(x):
    """A C-contiguous array of which `x` is the transpose, and 1; or `x` as one, and 0.

    The former if its columns lie side by side, as in `small_product`: the bits may depend on it.
    """
    turned = x.T
    if turned.flags.carray:
        return turned, 1
    down, along = x.strides
    if down == x.itemsize and along != x.itemsize:
        return plain(turned), 1
    return plain(x), 0


def _room(threads, kind):
    """Scratch for `product`, of which each thread has an equal share."""
    size, scratch = threads * _ROOM[kind], getattr(_scratch, kind, _NOTHING[kind])
    if scratch.size < size:
        scratch = aligned((size,), kind)
        setattr(_scratch, kind, scratch)
    return scratch
