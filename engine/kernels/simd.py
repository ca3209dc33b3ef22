"""The register tile: a block of a matrix product whose sums never leave the registers.

A tile has r rows and v vectors of columns. At each step of the inner dimension it loads v vectors
of the right matrix and r numbers of the left one, each of which fills a vector: v + r loads for
r v multiply-adds. Both matrices are read by strides, so that a transposed left one costs nothing;
only the columns of the right one have to lie side by side.

Each element is one chain of multiply-adds in the order of the inner dimension, whatever the tile
that it lies in: how a matrix is cut into tiles leaves no trace in its bits. What is not made of
tiles are products of one row, see `add_rows`, and dot products, see `dot_tile`.
"""

import functools
from contextlib import nullcontext

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from .pointers import INDEX, emit_past_line
from .update import moved_by
from .vmath import (
    FLOATS,
    VECTOR_BYTES,
    Lanes,
    LanesType,
    as_lanes,
    emit_prefetch,
    lane_compare,
    masked,
    splat,
)

# -------------------------------------------------------------------------------- tile shapes


@functools.cache
def tile_shapes(target):
    """The tiles for a target (triple, CPU, features) as (rows, vectors), the most rows first.

    The sums of the first fill the registers, but for a row of the right matrix and a number of the
    left: 24 of 32 with AVX-512, 12 of 16 with AVX2, where a vector is two registers, and 24 of 32
    on ARM, where it is four. Of the second, one or two make up what is left of the rows, with few
    rows too many: ten rows, of ten classes, are five and five.
    """
    triple, cpu, features = target
    widest = widest_register(triple, cpu, features)
    if widest == "zmm":
        return (8, 3), (5, 3), (4, 3), (1, 3)
    if widest == "ymm" or triple.startswith(("aarch64", "arm64")):
        return (6, 1), (4, 1), (1, 1)
    return (2, 1), (1, 1)


@functools.cache
def widest_register(triple, cpu, features):
    # A feature may come with the CPU's name or without it: LLVM is asked for what it would use.
    vector = "<16 x float>"
    probe = f"define {vector} @f({vector} %x) {{\n%y = fadd {vector} %x, %x\nret {vector} %y\n}}"
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
    assembly = machine.emit_assembly(binding.parse_assembly(probe))
    return next((name for name in ("zmm", "ymm") if name in assembly), "xmm")


def _shapes(context):
    return tile_shapes(context.codegen().magic_tuple())


@functools.cache
def are_tiles_wide():
    """For Python, whether the largest tile has several vectors, as with AVX-512."""
    return tile_shapes(cpu_target.target_context.codegen().magic_tuple())[0][1] > 1


@intrinsic
def tile_rows(typingctx):
    """The rows of the largest tile, a constant."""
    return types.int64(), lambda context, builder, signature, args: INDEX(_shapes(context)[0][0])


@intrinsic
def lower_tile_rows(typingctx):
    """The rows of the second largest tile, a constant."""
    return types.int64(), lambda context, builder, signature, args: INDEX(_shapes(context)[1][0])


@intrinsic
def tile_vectors(typingctx):
    """The vectors of the largest tile, a constant."""
    return types.int64(), lambda context, builder, signature, args: INDEX(_shapes(context)[0][1])


# --------------------------------------------------------------------------------------- tile


class Row:
    """Reads and writes `count` adjacent vectors, the last one only as far as the columns go."""

    def __init__(self, builder, dtype, count, columns=None, lanes=None):
        self.builder, self.count = builder, count
        lanes = lanes or VECTOR_BYTES * 8 // dtype.bitwidth
        self.vector = ir.VectorType(FLOATS[dtype.bitwidth], lanes)
        self.zero = ir.Constant(self.vector, [0.0] * lanes)
        self.align = dtype.bitwidth // 8
        self.mask = None
        if columns is not None:
            last = builder.sub(columns, INDEX((count - 1) * lanes))
            self.mask = lane_compare(builder, "<", self.vector, last)

    def _pointers(self, start):
        for i in range(self.count):
            at = self.builder.gep(start, [INDEX(i * self.vector.count)])
            is_masked = self.mask is not None and i == self.count - 1
            yield self.builder.bitcast(at, self.vector.as_pointer()), is_masked

    def load(self, start):
        options = ir.IntType(32)(self.align), self.mask, self.zero
        return [
            masked(self.builder, "load", self.vector, [pointer, *options])
            if is_masked
            else self.builder.load(pointer, align=self.align)
            for pointer, is_masked in self._pointers(start)
        ]

    def store(self, start, values):
        options = ir.IntType(32)(self.align), self.mask
        for value, (pointer, is_masked) in zip(values, self._pointers(start)):
            if is_masked:
                masked(self.builder, "store", self.vector, [value, pointer, *options])
            else:
                self.builder.store(value, pointer, align=self.align)

    def prefetch(self, start, is_written=True, cache=1):
        """Ask for the vectors' place in memory, to be in the first or second cache."""
        for pointer, _ in self._pointers(start):
            emit_prefetch(self.builder, pointer, is_written, cache)

    def multiply_add(self, x, y, z):
        """x y + z, rounded once where the CPU can."""
        bits = self.align * 8
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fmuladd.v{self.vector.count}f{bits}",
        )
        return self.builder.call(function, [x, y, z])


class Operand:
    """Where a tile finds a matrix: its first element, and its strides in elements.

    value  a tuple of (data, index of the first element, strides), or such values
    """

    def __init__(self, builder, value):
        values = value if isinstance(value, list) else cgutils.unpack_tuple(builder, value)
        self.data, at, *self.strides = values
        self.start = builder.gep(self.data, [at])

    def row(self, builder, i):
        """The start of a row."""
        return builder.gep(self.start, [builder.mul(i, self.strides[0])])

    def rows(self, builder, count, least, present):
        """The starts of `count` rows, of which at least `least` are present; the last repeats."""
        for i in range(count):
            row = INDEX(i)
            if i >= least:
                is_present = builder.icmp_signed("<", row, present)
                row = builder.select(is_present, row, builder.sub(present, INDEX(1)))
            yield _settled(builder, self.row(builder, row))


def _settled(builder, pointer):
    """The pointer, as a value of which LLVM no longer knows how it was found.

    Otherwise it finds each row's address anew in every step of the loops over the inner dimension.
    """
    kind = ir.FunctionType(pointer.type, [pointer.type])
    return builder.asm(kind, "", "=r,0", [pointer], False)


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


class Results:
    """What becomes of the sums of a tile: the result, or a part of it, and bias and relu."""

    def __init__(self, builder, result, bias, ends):
        self.builder, self.result, self.bias, self.ends = builder, result, bias, ends

    def begin(self, row, height, least, present):
        self.starts = list(self.result.rows(self.builder, height, least, present))
        for start in self.starts:
            row.prefetch(start)

    def at_step(self, i):
        """Nothing is left to be asked for."""

    def end(self, row, sums):
        builder, (is_first, is_last, is_relu) = self.builder, self.ends

        def add(row_sums, terms):
            for total, term in zip(row_sums, terms):
                added = Lanes(builder, builder.load(total)) + Lanes(builder, term)
                builder.store(added.value, total)

        with builder.if_then(builder.not_(is_first)):
            for start, row_sums in zip(self.starts, sums):
                add(row_sums, row.load(start))
        none = ir.Constant(self.bias.data.type, None)
        has_bias = builder.icmp_unsigned("!=", self.bias.data, none)
        with builder.if_then(builder.and_(is_last, has_bias)):
            terms = row.load(self.bias.start)
            for row_sums in sums:
                add(row_sums, terms)
        with builder.if_then(builder.and_(is_last, is_relu)):
            for total in (total for row_sums in sums for total in row_sums):
                x = Lanes(builder, builder.load(total))
                builder.store(x.like(0.0).where(x < 0.0, x).value, total)  # nan stays nan
        # All loads come before all stores: a row that repeats is stored twice, not added twice.
        for start, row_sums in zip(self.starts, sums):
            row.store(start, [builder.load(total) for total in row_sums])


class Moves:
    """What becomes of the sums of a tile: gradients, by which parameters are moved at once."""

    def __init__(self, builder, rule, targets, numbers):
        self.builder, self.rule, self.targets, self.numbers = builder, rule, targets, numbers

    def begin(self, row, height, least, present):
        self.row, self.height, self.least, self.present = row, height, least, present

    def at_step(self, i):
        # A row of each array at a time: all at once, they hold up what the sums are made of. And
        # not in the first cache, where rows of a power of two push each other out.
        with self.builder.if_then(self.builder.icmp_signed("<", i, INDEX(self.height))):
            for target in self.targets:
                self.row.prefetch(target.row(self.builder, i), is_written=False, cache=2)

    def end(self, row, sums):
        builder = self.builder
        for i, row_sums in enumerate(sums):
            is_there = builder.icmp_signed("<", INDEX(i), self.present)
            with builder.if_then(is_there) if i >= self.least else nullcontext():
                starts = [target.row(builder, INDEX(i)) for target in self.targets]
                vectors = zip(*[row.load(start) for start in starts])
                moved = [
                    moved_by(self.rule, gradient, blocks, self.numbers)
                    for gradient, *blocks in (
                        [Lanes(builder, x) for x in (builder.load(total), *of_arrays)]
                        for total, of_arrays in zip(row_sums, vectors)
                    )
                ]
                for start, blocks in zip(starts, zip(*moved)):
                    row.store(start, [block.value for block in blocks])


def _moves(context, builder, rule, dtype, result, given):
    *slots, numbers = cgutils.unpack_tuple(builder, given)
    data, *place = cgutils.unpack_tuple(builder, result)
    fills = [
        Lanes(builder, as_lanes(context, builder, number, types.float64, LanesType(dtype)))
        for number in cgutils.unpack_tuple(builder, numbers)
    ]
    return Moves(builder, rule, [Operand(builder, [d, *place]) for d in (data, *slots)], fills)


@intrinsic(prefer_literal=True)
def tile(typingctx, rule, left, right, result, bias, extent, ends):
    """result = left right (+ bias if it is the last), added to what is there unless the first.

    rule    "", or the name (a literal) of a rule of `update`: then the result is parameters that
            are moved by it, by gradients of left right
    left    (data, index of the first element, stride of rows, stride of columns)
    right   (data, index, stride of rows)
    result  (data, index, stride of rows)
    bias    (data, index): of one row, or empty. Of a rule ((slots, numbers), index): the data of
            each slot, which lies as the result does, and a tuple; the index means nothing
    extent  (rows, columns, depth): at most `tile_rows()` rows and `tile_vectors()` vectors of
            columns; any depth
    ends    (is_first, is_last, is_relu): booleans, which part of the inner dimension this is, and
            whether what is negative in the end becomes 0; of a rule, it is all of it
    """
    dtype, name = result[0].dtype, rule.literal_value

    def codegen(context, builder, signature, args):
        left, right = (Operand(builder, value) for value in args[1:3])
        rows, columns, depth = cgutils.unpack_tuple(builder, args[5])
        if name:
            given, _ = cgutils.unpack_tuple(builder, args[4])
            finish = _moves(context, builder, name, dtype, args[3], given)
        else:
            operands = [Operand(builder, value) for value in args[3:5]]
            finish = Results(builder, *operands, cgutils.unpack_tuple(builder, args[6]))
        done = builder.append_basic_block("tile.done")

        def choice(height, least, vectors, is_whole, condition):
            with builder.if_then(condition):
                row = Row(builder, dtype, vectors, None if is_whole else columns)
                lefts = list(left.rows(builder, height, least, rows))
                finish.begin(row, height, least, rows)
                factors = lefts, left.strides[1], right, depth
                finish.end(row, _emit_sums(builder, row, *factors, finish.at_step))
                builder.branch(done)

        lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        shapes = _shapes(context)
        for (height, vectors), (lower, _) in zip(shapes, (*shapes[1:], (0, 0))):
            with builder.if_then(builder.icmp_signed(">", rows, INDEX(lower))):
                is_whole = builder.icmp_signed("==", columns, INDEX(vectors * lanes))
                choice(height, lower + 1, vectors, True, is_whole)
                for count in range(vectors, 0, -1):
                    reaches = builder.icmp_signed(">", columns, INDEX((count - 1) * lanes))
                    choice(height, lower + 1, count, False, reaches)
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

        # Vectors that straddle two cache lines take up to a third longer to read.
        lanes = INDEX(whole.vector.count)
        past = emit_past_line(builder, starts[0], dtype)
        is_long = builder.icmp_signed(">", columns, INDEX(LINES * whole.vector.count))
        first = builder.select(is_long, builder.srem(builder.sub(lanes, past), lanes), INDEX(0))
        _emit_each_vector(builder, dtype, columns, add, first)
        return context.get_dummy_value()

    return types.void(count, factors, right, result, types.int64, types.boolean), codegen


# ------------------------------------------------------------------------------------- dots


COLUMN = 4  # rows of the left matrix, in a tile of dot products with one of the right


@functools.cache
def dot_shapes(target):
    """The tiles of dot products for a target: (rows of the left matrix, rows of the right one).

    The sums are vectors, and a vector of each row has to find room beside them: see `tile_shapes`.
    With AVX-512 there are two, since ten rows, of ten classes, would leave a sixth of three tiles
    of four empty.
    """
    (rows, _), *_ = tile_shapes(target)
    return {8: ((4, 4), (5, 5)), 6: ((3, 2),)}.get(rows, ((1, 2),))


def _dot_shapes(context):
    return dot_shapes(context.codegen().magic_tuple())


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
    is_large  whether it is the larger tile
    """
    kinds = left, right, result
    dtype = left[0].dtype

    def codegen(context, builder, signature, args):
        operands = [Operand(builder, value) for value in args[:3]]
        extents = cgutils.unpack_tuple(builder, args[3])
        smaller, *larger = _dot_shapes(context)
        if larger:
            with builder.if_else(args[4]) as (then, otherwise):
                with then:
                    _emit_dot_tile(builder, dtype, larger[0], operands, extents)
                with otherwise:
                    _emit_dot_tile(builder, dtype, smaller, operands, extents)
        else:
            _emit_dot_tile(builder, dtype, smaller, operands, extents)
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
