"""The register tile: a block of a matrix product whose sums never leave the registers.

A tile has r rows and v vectors of columns. At each step of the inner dimension it loads v vectors
of the right matrix and r numbers of the left one, each of which fills a vector: v + r loads for
r v multiply-adds. Both matrices are read by strides, so that a transposed left one costs nothing;
only the columns of the right one have to lie side by side.

Each element is one chain of multiply-adds in the order of the inner dimension, whatever the tile
that it lies in: how a matrix is cut into tiles leaves no trace in its bits. What is not made of
tiles are products of one row, see `add_rows`, and dot products, see `dot_tile`.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .moves import Results, ways_of_moving
from .pointers import INDEX, emit_past_line
from .registers import Operand, Row, shapes_of, widest_register
from .vmath import VECTOR_BYTES, Lanes, splat

# --------------------------------------------------------------------------------------- tile


def _emit_sums(builder, row, lefts, left_step, right, depth, at_step):
    # `lefts` are the starts of the rows, `row` is what the vectors of the result have in common.
    sums = [[cgutils.alloca_once_value(builder, row.zero) for _ in range(row.count)] for _ in lefts]
    with cgutils.for_range(builder, depth) as loop:
        factors = row.load(builder.gep(right.start, [builder.mul(loop.index, right.strides[0])]))
        offset = builder.mul(loop.index, left_step)
        at_step(loop.index)
        for start, row_sums in zip(lefts, sums):
            x = splat(builder, builder.load(builder.gep(start, [offset])), row.vector)
            for y, total in zip(factors, row_sums):
                builder.store(row.multiply_add(x, y, builder.load(total)), total)
    return sums


def _emit_ways(context, builder, rule, dtype, args):
    """What may become of the sums of a rule: Moves, then for the largest tile (condition, it).

    Late ones need a step for each of the vectors that may wait.
    """
    result, given, extent = args
    given, _ = cgutils.unpack_tuple(builder, given)
    moves, late, bare, is_bare = ways_of_moving(context, builder, rule, dtype, result, given)
    (height, vectors), (lower, _), *_ = shapes_of(context)
    if vectors == 1:  # registers are few: what else is done in the loop would push sums out of them
        return (moves,)
    rows, columns, depth = cgutils.unpack_tuple(builder, extent)
    is_late = builder.icmp_signed(">", rows, INDEX(lower))
    for size, least in (columns, vectors * bare.lanes), (depth, height * vectors):
        is_late = builder.and_(is_late, builder.icmp_signed(">=", size, INDEX(least)))
    return moves, (builder.and_(is_late, is_bare), bare), (is_late, late)


@intrinsic(prefer_literal=True)
def tile(typingctx, rule, left, right, result, bias, extent, ends):
    """result = left right (+ bias if it is the last), added to what is there unless the first.

    rule    "", or the name (a literal) of a rule of `update`: then the result is parameters that
            are moved by it, by gradients of left right
    left    (data, index of the first element, stride of rows, stride of columns)
    right   (data, index, stride of rows)
    result  (data, index, stride of rows)
    bias    (data, index): of one row, or empty. Of a rule ((slots, numbers, is_bare, waiting),
            index): the data of each slot, which lies as the result does, a tuple, whether they say
            neither to clip nor to decay, and `no_sums`; the index means nothing. After the last
            tile comes `end_moves`
    extent  (rows, columns, depth): at most `tile_rows()` rows and `tile_vectors()` vectors of
            columns; any depth
    ends    (is_first, is_last, is_relu): booleans, which part of the inner dimension this is, and
            whether what is negative in the end becomes 0; of a rule, it is all of it
    """
    dtype, name = result[0].dtype, rule.literal_value

    def codegen(context, builder, signature, args):
        left, right = (Operand(builder, value) for value in args[1:3])
        rows, columns, depth = cgutils.unpack_tuple(builder, args[5])
        done = builder.append_basic_block("tile.done")

        def choice(height, least, vectors, is_whole, condition, finish):
            with builder.if_then(condition):
                row = Row(builder, dtype, vectors, None if is_whole else columns)
                lefts = list(left.rows(builder, height, least, rows))
                finish.begin(row, height, least, rows)
                factors = lefts, left.strides[1], right, depth
                finish.end(row, _emit_sums(builder, row, *factors, finish.at_step))
                builder.branch(done)

        lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        shapes = shapes_of(context)
        if name:
            finish, *late = _emit_ways(context, builder, name, dtype, args[3:6])
        else:
            operands = [Operand(builder, value) for value in args[3:5]]
            finish, late = Results(builder, *operands, cgutils.unpack_tuple(builder, args[6])), ()
        for (height, vectors), (lower, _) in zip(shapes, (*shapes[1:], (0, 0))):
            with builder.if_then(builder.icmp_signed(">", rows, INDEX(lower))):
                for condition, way in late:
                    choice(height, lower + 1, vectors, True, condition, way)
                late, is_whole = (), builder.icmp_signed("==", columns, INDEX(vectors * lanes))
                choice(height, lower + 1, vectors, True, is_whole, finish)
                for count in range(vectors, 0, -1):
                    reaches = builder.icmp_signed(">", columns, INDEX((count - 1) * lanes))
                    choice(height, lower + 1, count, False, reaches, finish)
        builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(rule, left, right, result, bias, extent, ends), codegen


# ------------------------------------------------------------------------------------- rows

LINES = 4  # vectors of a row, above which it pays to read along cache lines


def _emit_each_vector(builder, dtype, size, do, first=None):
    """do(row, at) for each vector of `size` elements, of which `row` reads what is there.

    first  how many come before the first whole vector; none by default
    """
    whole = Row(builder, dtype, 1)
    lanes = INDEX(whole.vector.count)
    if first is None:
        first = INDEX(0)
    else:
        with builder.if_then(builder.icmp_signed(">", first, INDEX(0))):
            do(Row(builder, dtype, 1, first), INDEX(0))
    steps = builder.sdiv(builder.sub(size, first), lanes)
    with cgutils.for_range(builder, steps) as loop:
        do(whole, builder.add(builder.mul(loop.index, lanes), first))
    done = builder.add(builder.mul(steps, lanes), first)
    rest = builder.sub(size, done)
    with builder.if_then(builder.icmp_signed(">", rest, INDEX(0))):
        do(Row(builder, dtype, 1, rest), done)


@intrinsic(prefer_literal=True)
def add_rows(typingctx, count, factors, right, result, columns, is_first):
    """result += the sum of `count` rows of `right`, a constant, each times its factor.

    Each sum of `count` is one chain, which is added as a whole. Whole rows are read, which memory
    likes.

    factors   (data, index of the first, stride)
    right     (data, index, stride of rows)
    result    (data, index), which counts as 0 if this is the first sum
    """
    dtype = right[0].dtype

    def codegen(context, builder, signature, args):
        factors, right, result = (Operand(builder, value) for value in args[1:4])
        columns, is_first = args[4:]
        rows = INDEX(count.literal_value)
        whole = Row(builder, dtype, 1)
        xs = [
            splat(builder, builder.load(start), whole.vector)
            for start in factors.rows(builder, rows.constant, rows.constant, rows)
        ]
        starts = list(right.rows(builder, rows.constant, rows.constant, rows))

        def add(row, at):
            target = builder.gep(result.start, [at])
            total = row.zero
            for x, start in zip(xs, starts):
                total = row.multiply_add(x, row.load(builder.gep(start, [at]))[0], total)
            before = builder.select(is_first, row.zero, row.load(target)[0])
            row.store(target, [(Lanes(builder, before) + Lanes(builder, total)).value])

        # Registers that straddle two cache lines take up to a third longer to read.
        past = emit_past_line(builder, starts[0], dtype)
        is_long = builder.icmp_signed(">", columns, INDEX(LINES * whole.vector.count))
        to_line = builder.and_(builder.neg(past), INDEX(_side(context, dtype) - 1))
        first = builder.select(is_long, to_line, INDEX(0))
        _emit_each_vector(builder, dtype, columns, add, first)
        return context.get_dummy_value()

    return types.void(count, factors, right, result, types.int64, types.boolean), codegen


# ------------------------------------------------------------------------------------- dots


COLUMN = 4  # rows of the left matrix, in a tile of dot products with one of the right


def _dot_shapes(context):
    """The tiles of dot products: (rows of the left matrix, rows of the right one).

    The sums are vectors, and a vector of each row has to find room beside them: see `registers`.
    With AVX-512 there are two, since ten rows, of ten classes, would leave a sixth of three tiles
    of four empty. The larger one may also be a row lower.
    """
    (rows, _), *_ = shapes_of(context)
    return {8: ((4, 4), (5, 5)), 6: ((3, 2),)}.get(rows, ((1, 2),))


@intrinsic(prefer_literal=True)
def dot_rows(typingctx, is_large, side):
    """The rows that a tile of dot products takes of the left (0) or the right (1) matrix.

    Of the larger tile if `is_large`; that is the same one where a target has no two.
    """

    def codegen(context, builder, signature, args):
        return INDEX(_dot_shapes(context)[-is_large.literal_value][side.literal_value])

    return types.int64(is_large, side), codegen


@intrinsic
def dot_tile(typingctx, left, right, result, extent, is_large):
    """result[i, j] = the dot product of row i of left and row j of right.

    left, right, result  (flat array, index of the first element, stride of rows)
    extent    (rows of left, rows of right, length of each): at most `dot_rows` rows; any length
    is_large  whether it is the larger tile, or that without its last row
    """
    kinds = left, right, result
    dtype = left[0].dtype

    def codegen(context, builder, signature, args):
        operands = [Operand(builder, value) for value in args[:3]]
        extents = cgutils.unpack_tuple(builder, args[3])
        smaller, *larger = _dot_shapes(context)
        done = builder.append_basic_block("dots.done")
        for rows, columns in larger:
            for height in (rows - 1, rows):
                is_low = builder.icmp_signed("<=", extents[0], INDEX(height))
                with builder.if_then(builder.and_(args[4], is_low)):
                    _emit_dot_tile(builder, dtype, (height, columns), operands, extents)
                    builder.branch(done)
        _emit_dot_tile(builder, dtype, smaller, operands, extents)
        builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(*kinds, extent, is_large), codegen


@intrinsic
def dot_column(typingctx, left, right, result, extent):
    """The same of up to COLUMN rows of left and one of right."""
    dtype = left[0].dtype

    def codegen(context, builder, signature, args):
        operands = [Operand(builder, value) for value in args[:3]]
        extents = cgutils.unpack_tuple(builder, args[3])
        _emit_dot_tile(builder, dtype, (COLUMN, 1), operands, extents)
        return context.get_dummy_value()

    return types.void(left, right, result, extent), codegen


def _emit_dot_tile(builder, dtype, shape, operands, extents):
    left, right, result = operands
    *present, depth = extents
    lefts, rights = (
        list(operand.rows(builder, count, 1, here))
        for operand, count, here in zip((left, right), shape, present)
    )
    results = list(result.rows(builder, shape[0], 1, present[0]))
    for i, total in enumerate(_emit_dots(builder, dtype, lefts, rights, depth)):
        row, column = divmod(i, shape[1])
        here = builder.icmp_signed("<", INDEX(column), present[1])
        at = builder.select(here, INDEX(column), builder.sub(present[1], INDEX(1)))
        builder.store(total, builder.gep(results[row], [at]))


def _emit_dots(builder, dtype, lefts, rights, depth):
    """The dot products of each of `lefts` with each of `rights`, starts of rows, as numbers."""
    whole = Row(builder, dtype, 1)
    sums = [cgutils.alloca_once_value(builder, whole.zero) for _ in lefts for _ in rights]

    def accumulate(row, at):
        xs = [row.load(builder.gep(start, [at]))[0] for start in lefts]
        ys = [row.load(builder.gep(start, [at]))[0] for start in rights]
        for total, (x, y) in zip(sums, ((x, y) for x in xs for y in ys)):
            builder.store(row.multiply_add(x, y, builder.load(total)), total)

    _emit_each_vector(builder, dtype, depth, accumulate)
    vectors = [builder.load(total) for total in sums]
    for start in range(0, len(vectors), whole.vector.count):
        part = vectors[start : start + whole.vector.count]
        summed = _lane_sums(builder, part)
        for i in range(len(part)):
            yield builder.extract_element(summed, ir.Constant(ir.IntType(32), i))


def _lane_sums(builder, vectors):
    # Lane i of the result is the sum over the lanes of vector i. Halves of two vectors are added
    # at a time, each to the other half of its own vector, as in `transposed`; first, while there
    # are more lanes than vectors, those of one.
    size = vectors[0].type.count
    while len(vectors) <= size // 2:
        size //= 2
        halves = [
            ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(start, start + size)))
            for start in (0, size)
        ]
        parts = [[Lanes(builder, builder.shuffle_vector(x, x, h)) for h in halves] for x in vectors]
        vectors = [(lower + upper).value for lower, upper in parts]
    zero = ir.Constant(vectors[0].type, [0.0] * size)
    vectors = [*vectors, *[zero] * (size - len(vectors))]
    indices = ir.VectorType(ir.IntType(32), size)
    distance = size // 2
    while distance:
        own = [lane + size if lane & distance else lane for lane in range(size)]
        other = [lane ^ distance for lane in own]
        vectors = [
            (
                Lanes(builder, builder.shuffle_vector(x, y, ir.Constant(indices, own)))
                + Lanes(builder, builder.shuffle_vector(x, y, ir.Constant(indices, other)))
            ).value
            for x, y in zip(vectors[:distance], vectors[distance:])
        ]
        distance //= 2
    return vectors[0]


# ---------------------------------------------------------------------------------- transpose


def _side(context, dtype):
    register = widest_register(*context.codegen().magic_tuple())
    return {"zmm": 512, "ymm": 256, "xmm": 128}[register] // dtype.bitwidth


@intrinsic
def side(typingctx, pointer):
    """The rows of a square that is transposed: the lanes of the widest register, a constant."""

    def codegen(context, builder, signature, args):
        return INDEX(_side(context, pointer.dtype))

    return types.int64(pointer), codegen


@intrinsic
def transpose(typingctx, source, target, extent):
    """Write up to `side` rows, of as many columns, with rows for columns.

    source, target  (data, index of the first element, stride of rows)
    extent          (rows, columns) of the source that are there, at least one each; may be more
    """
    dtype = source[0].dtype

    def codegen(context, builder, signature, args):
        read, write = (Operand(builder, value) for value in args[:2])
        extents = cgutils.unpack_tuple(builder, args[2])
        lanes = _side(context, dtype)

        def square(least, here, read_row, write_row):
            starts = read.rows(builder, lanes, least, here[0])
            vectors = [read_row.load(start)[0] for start in starts]
            columns = zip(write.rows(builder, lanes, least, here[1]), transposed(builder, vectors))
            # Backwards: where a row repeats the last one, that one is written last.
            for start, vector in reversed(list(columns)):
                write_row.store(start, [vector])

        is_whole = builder.and_(
            *(builder.icmp_signed(">=", size, INDEX(lanes)) for size in extents)
        )
        with builder.if_else(is_whole) as (then, otherwise):
            with then:
                row = Row(builder, dtype, 1, None, lanes)
                square(lanes, extents, row, row)
            with otherwise:
                rows, columns = (Row(builder, dtype, 1, size, lanes) for size in extents)
                square(1, extents, columns, rows)
        return context.get_dummy_value()

    return types.void(source, target, extent), codegen


def transposed(builder, rows):
    """The columns of a square of which `rows` are the rows, as LLVM vectors."""
    # Eklundh 1972: exchange the off-diagonal quarters of the square, then of each quarter, ...
    size = len(rows)
    indices = ir.VectorType(ir.IntType(32), size)
    distance = size // 2
    while distance:
        # Lanes from `size` on are those of the second vector.
        upper = [size + i - distance if i & distance else i for i in range(size)]
        lower = [size + i if i & distance else i + distance for i in range(size)]
        for i in range(size):
            if not i & distance:
                pair = rows[i], rows[i + distance]
                rows[i] = builder.shuffle_vector(*pair, ir.Constant(indices, upper))
                rows[i + distance] = builder.shuffle_vector(*pair, ir.Constant(indices, lower))
        distance //= 2
    return rows
