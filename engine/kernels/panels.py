"""A product cut into what the caches hold, and what of its operands is copied to lie close by.

The inner dimension is cut into parts, each of which adds its product to the result; the right
matrix into strips of columns, and these into panels, which are as wide as a register tile; the left
one into rows that stay in the cache while all panels of a strip pass by. This is the scheme of Goto
and van de Geijn (Anatomy of High-Performance Matrix Multiplication, 2008), less the packing that
was measured to be a loss.

Packing reads with the whole width of vectors, once, what the tiles would read in narrow columns,
again and again: of rows that lie far apart, each in a page of its own, or on the same lines of the
L1, from where they push each other out.

Inside, matrices are `pointers`.
"""

from ._jit import ONE, ZERO, inner
from .cuts import cut, whole
from .pointers import exists, moved, past_line
from .registers import lower_tile_rows, tile_rows, tile_vectors
from .simd import LINES, side, tile, transpose
from .vmath import VECTOR_BYTES, lanes, load, store

# Measured on Zen 5, with 48 KB of L1 and 1 MB of L2 per core; MORE_ROWS, TOGETHER, APART and
# PACK_NARROW on Zen 4, with 32.
DEPTH = 384  # of a part of the inner dimension: as sums of sums, the errors are those of OpenBLAS
SQUARE = 16  # its parts start at multiples of a vector, or of two
SHALLOW = 16  # up to this inner dimension, writing the result is the most: a few whole rows at once
# Of the left matrix, which stay in the cache: more where they lie close by and are not so long
ROWS, MORE_ROWS, SHORT = 96, 144, 272
COLUMNS = 1024  # of a strip
TOGETHER = 16  # panels of one vector that are packed at once
CLASH = 4096  # bytes, by multiples of which addresses lie in the same set of lines of the L1
# The left matrix is packed where it is transposed and its rows clash, for so many columns of the
# result; and where they are so many bytes apart, for so many panels.
FEW, APART, PANELS = 32, 900, 16
# The right one is packed for so many rows of the result, each of which reads all of it. A panel of
# one vector could stay in the L1 as it is, but straddles cache lines unless the matrix begins with
# one; where its rows clash, it is packed for fewer.
PACK, PACK_NARROW, PACK_CLASHING = 200, 64, 30
# Where the left one is packed tile by tile, whole vectors are written, each over what is too much
# of the one before: after the last one of a tile, so many more of its rows have room for that.
SPARE = 16
LEFT_ROOM = max(ROWS * (DEPTH + SPARE), MORE_ROWS * (SHORT + SPARE))

# What `form` of a product is the sum of.
A_TRANSPOSED, B_TRANSPOSED, RELU = 1, 2, 4


# -------------------------------------------------------------------------------------- parts


@inner
def strips(rule, matrices, scratch, room, most, k, rows, columns):
    """A part of the result, from where to where in rows and columns.

    rule      as of a `tile`, which gets the third of `matrices` as it is
    matrices  (left, its strides), (right, its stride), bias, (result, its stride), form
    scratch   where the right matrix is packed; null if it is not to be
    room      where the left one is, of LEFT_ROOM elements
    most      columns of a strip
    k         the inner dimension
    """
    (a, (row_step, step)), (_, b_pitch), _, (out, _), _ = matrices
    (top, bottom), (left, right) = rows, columns
    # Panels of one vector are cut where cache lines start, if those of all rows do there, so that
    # each reads one line of a row, not two: for few rows of a result, reading takes the most time.
    in_lines = tile_vectors() == 1 and not exists(scratch)
    in_lines = in_lines and bytes_of(out, b_pitch) % VECTOR_BYTES == 0
    packs_left = row_step == 1 and is_worth_packing_left(a, step, right - left)
    by_tiles = packs_left and are_many(a, right - left)
    are_close = row_step != 1 or by_tiles
    parts = max(1, (k + DEPTH - 1) // DEPTH)  # one even if there is nothing to add up
    for j in range(left, right, most):
        for part in range(parts):
            start, stop = cut(k, SQUARE, part, parts)
            most_rows = MORE_ROWS if are_close and stop - start <= SHORT else ROWS
            height = tile_rows() if k <= SHALLOW else ZERO + most_rows
            for i in range(top, bottom, height):
                end = min(i + height, bottom)
                lefts = (a, i * row_step + start * step, row_step, row_step, step)
                if packs_left:
                    lefts = pack_left((a, step, False), room, (start, stop), (i, end), by_tiles)
                panels(
                    rule,
                    matrices,
                    lefts,
                    scratch,
                    (i, end, i == top, i == top and end == bottom),
                    (j, min(j + most, right), in_lines),
                    (start, stop, part == 0, part == parts - 1),
                )


@inner
def panels(rule, matrices, lefts, scratch, rows, columns, part):
    """A part's product for some rows and up to COLUMNS columns; packs for the first rows.

    Where these are all, what has been packed is not needed again, and the next is packed over it.
    """
    _, (b, b_pitch), bias, (out, n), form = matrices
    a, at_left, between, row_step, step = lefts
    top, bottom, is_top, are_all = rows
    j, right, in_lines = columns
    start, stop, is_first, is_last = part
    ends, lower = (is_first, is_last, form & RELU != 0), lower_tiles(top, bottom)
    at = packed = ZERO
    while j < right:
        width = panel_width(right - j, lanes(out))
        if in_lines and right - j > 2 * LINES * width:  # one more of fewer would take longer
            width -= past_line(moved(b, j)) % width
        panel = (b, start * b_pitch + j, b_pitch)
        if exists(scratch):
            pitch = whole(width, lanes(out))
            # A row more: panels are written side by side, on other lines of the L1.
            size = pitch * (stop - start + 1)
            if is_top and j >= packed:
                together, apart = (TOGETHER, size) if tile_vectors() == 1 else (1, lanes(out))
                at, packed = ZERO if are_all else at, min(right, j + together * width)
                source = (b, b_pitch, form & B_TRANSPOSED != 0)
                pack(source, (start, stop), (j, packed), (scratch, at, pitch, apart), lanes(out))
            panel = (scratch, at, pitch)
            at += size
        i = top
        while i < bottom:
            height = tile_rows() if i < lower else lower_tile_rows()
            along = step if between == row_step else height
            row = (a, at_left + (i - top) * between, row_step, along)
            extent = (min(height, bottom - i), width, stop - start)
            tile(rule, row, panel, (out, i * n + j, n), (bias, j), extent, ends)
            i += height
        j += width


@inner
def lower_tiles(top, bottom):
    """The row from which on lower tiles are taken: two of them may fit better than a high one.

    As with AVX2 for eight rows, which are four and four, not six and two.
    """
    rows, rest = bottom - top, (bottom - top) % tile_rows()
    if 0 < rest and tile_rows() + rest <= min(rows, 2 * lower_tile_rows()):
        return bottom - rest - tile_rows()
    return bottom - rest if rest <= lower_tile_rows() else bottom


@inner
def panel_width(columns, lanes):
    """How many of the columns left the next panel takes: all panels get about the same."""
    most = tile_vectors() * lanes
    panels = whole(columns, most) // most
    return min(columns, whole(columns, panels * lanes) // panels)


# ------------------------------------------------------------------------------------ packing


@inner
def bytes_of(like, elements):
    return elements * VECTOR_BYTES // lanes(like)


@inner
def clashes(matrix, pitch):
    """Whether elements so far apart push each other out of the L1."""
    return bytes_of(matrix, pitch) % CLASH == 0


@inner
def is_worth_packing(rows, right, pitch):
    """Whether packing the right matrix, not transposed, pays for so many rows of the result."""
    if tile_vectors() > 1:
        return rows >= PACK
    return rows >= PACK_NARROW or (rows >= PACK_CLASHING and clashes(right, pitch))


@inner
def is_worth_packing_left(left, pitch, columns):
    """Whether packing a transposed left matrix pays for so many columns of the result."""
    is_far = bytes_of(left, pitch) >= APART and are_many(left, columns)
    return is_far or (columns >= FEW and clashes(left, pitch))


@inner
def are_many(like, columns):
    return columns >= PANELS * tile_vectors() * lanes(like)


def room_of_columns(n, dtype):
    """Elements that a part of the inner dimension takes, of so many columns of the right matrix."""
    # A row more than the part has: see `panels`.
    return (DEPTH + 1) * (min(n, COLUMNS) + VECTOR_BYTES // dtype.itemsize)


@inner
def pack_left(matrix, room, part, rows, by_tiles):
    """Pack some rows of a left matrix that is transposed.

    matrix    as it lies there, as of `pack`: (data, stride, False)
    room      of LEFT_ROOM elements
    part      of the inner dimension, from where to where
    by_tiles  whether tile by tile: for many columns of the result, as each is read for each panel;
              for few, that takes longer than it gains

    Returns where they are: (data, index, strides from row to row of those that begin a tile, within
    a tile, and along a row). Tile by tile, the first two strides differ, and the last one is the
    height of the tile.
    """
    (a, _, _), (start, stop), (top, bottom) = matrix, part, rows
    if not by_tiles:
        pack(matrix, part, rows, (room, ZERO, ZERO + ROWS, lanes(a)), lanes(a))
        return room, ZERO, ONE, ONE, ZERO + ROWS
    between, lower = stop - start + SPARE, lower_tiles(top, bottom)
    for left, right, height in (top, lower, tile_rows()), (lower, bottom, lower_tile_rows()):
        place = room, (left - top) * between, height, height * between
        pack(matrix, part, (left, right), place, height)
    return room, ZERO, between, ONE, tile_rows()


@inner
def pack(matrix, part, columns, panels, unit):
    """Copy a part of the rows of a matrix, of each the columns from left to right.

    matrix  (data, stride, whether it is transposed)
    panels  (data, index, stride of rows, from unit to unit)
    unit    columns that lie side by side there: as many as a vector has, or at most so many if the
            matrix is not transposed
    """
    (source, stride, is_transposed), (start, stop), (left, right) = matrix, part, columns
    target, at, pitch, apart = panels
    size = lanes(source)
    if is_transposed:
        for j in range(left, right, side(source)):
            to = at + (j - left) // size * apart + (j - left) % size
            for p in range(start, stop, side(source)):
                square = (target, to + (p - start) * pitch, pitch)
                transpose((source, j * stride + p, stride), square, (right - j, stop - p))
    else:
        for p in range(start, stop):
            to = at + (p - start) * pitch
            for j in range(left, right, unit):
                store(target, to, size, load(source, p * stride + j, right - j, 0.0))
                to += apart
