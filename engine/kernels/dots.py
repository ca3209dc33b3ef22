"""Products of matrices whose rows both lie side by side: each element is a dot product of two rows.

Nothing is packed: of few rows, a tile of dot products reads both matrices as they are. The lanes of
a vector each add up their share of a row, and are summed in the end, so that errors are smaller
than those of one chain.
"""

from numba import prange

from ._jit import inner, kernel
from .cuts import cut, whole
from .pointers import data
from .simd import COLUMN, dot_column, dot_rows, dot_tile

# Measured on Zen 5, with 48 KB of L1 and 1 MB of L2 per core; DOTS_ROW on Zen 4, with 32.
LONG = 64  # from this inner dimension on, dot products are faster than packing for one row
DOTS, DOTS_LONG = 12, 256  # and up to so many rows or columns from so long an inner one on
# And with AVX-512 up to so many rows, if they have so many bytes and the second cache holds all
DOTS_HIGH, DOTS_ROW, DOTS_BYTES = 32, 512, 1 << 18


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
    """As many rows at a time as a column of dot products has."""
    (flat, pitch), (top, bottom) = matrix, rows
    for i in range(top, bottom, COLUMN):
        starts = (flat, i * pitch, pitch), (vector, 0, 0), (out, i, 1)
        dot_column(*starts, (min(COLUMN, bottom - i), 1, k))


@kernel("void(T[:, ::1], T[:, ::1], T[:, ::1], int64)")
def row_products(a, b, out, threads):
    """out (m, n) = the dot products of the rows of a (m, k) with those of b (n, k)."""
    m, n = out.shape
    if threads == 1:
        dot_block(a, b, out, 0, m, 0, n)
    else:
        for t in prange(threads):
            if m > n:
                top, bottom = cut(m, dot_rows(False, 0), t, threads)
                dot_block(a, b, out, top, bottom, 0, n)
            else:
                left, right = cut(n, dot_rows(False, 1), t, threads)
                dot_block(a, b, out, 0, m, left, right)


@inner
def are_better_dots(m, n, k, itemsize, is_wide):
    """Whether tiles of dot products are faster for (m, k) times the transpose of (n, k).

    is_wide  whether register tiles have several vectors
    """
    if k >= DOTS_LONG and (m <= DOTS or n <= DOTS):
        return True
    is_low = is_wide and m <= DOTS_HIGH and m <= n and m * n <= DOTS_HIGH * k
    return is_low and k * itemsize >= DOTS_ROW and (m + n) * k * itemsize <= DOTS_BYTES


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
    height, width = dot_rows(False, 0), dot_rows(False, 1)
    high, wide = dot_rows(True, 0), dot_rows(True, 1)
    area = whole(bottom - top, height) * whole(right - left, width)
    covered = min(whole(bottom - top, high), whole(bottom - top, max(1, high - 1)))
    is_large = covered * whole(right - left, wide) < area
    if is_large:
        height, width = high, wide
    for j in range(left, right, width):
        i = top
        while i < bottom:
            # Large tiles may also be a row lower: so 32 rows are 20 and 12.
            rest = bottom - i
            tall = min(height - 1 if is_large and rest % height != 0 else height, rest)
            extent = (tall, min(width, right - j), k)
            starts = (a, i * a_pitch, a_pitch), (b, j * b_pitch, b_pitch), (out, i * n + j, n)
            dot_tile(*starts, extent, is_large)
            i += tall
