"""What becomes of the sums of a tile: of `simd.tile`, which says what it is given.

They are a product, or a part of one; or gradients, by which parameters are moved as soon as the
sums are there. The roots and divisions of Adam take half as long as the products of 32 examples,
and other units of the CPU. So the sums of a large tile wait on the stack, and one vector of
parameters is moved in each step of the next large tile's loop.
"""

from contextlib import nullcontext

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .pointers import INDEX
from .registers import Operand, Row, shapes_of
from .update import moved_by
from .vmath import VECTOR_BYTES, Lanes, LanesType, as_lanes


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
    """Parameters are moved by the sums, which are gradients, at once.

    targets  an Operand of the parameters and of each slot
    numbers  of the rule, as lanes
    """

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
                self.move(row, [builder.load(total) for total in row_sums], starts)

    def move(self, row, gradients, starts, scale=1.0):
        """Move what lies at `starts`, a row of vectors of each array, by a row of gradients."""
        builder = self.builder
        moved = [
            moved_by(self.rule, gradient, blocks, self.numbers, scale)
            for gradient, *blocks in (
                [Lanes(builder, x) for x in vectors]
                for vectors in zip(gradients, *[row.load(start) for start in starts])
            )
        ]
        for start, blocks in zip(starts, zip(*moved)):
            row.store(start, [block.value for block in blocks])


class LateMoves(Moves):
    """The same for the largest tile, in the loop of the next such one, of at least as many steps.

    vectors  of a row of such a tile
    waiting  (room for the sums, (index of the first parameter, number of vectors)), as pointers
    scale    as of `moved_by`
    """

    def __init__(self, moves, dtype, vectors, waiting, scale=1.0):
        super().__init__(moves.builder, moves.rule, moves.targets, moves.numbers)
        self.vectors, (self.room, self.place), self.scale = vectors, waiting, scale
        self.one = Row(self.builder, dtype, 1)
        self.lanes = self.one.vector.count

    def _count(self):
        return self.builder.gep(self.place, [INDEX(1)])

    def begin(self, row, height, least, present):
        super().begin(row, height, least, present)
        self.count = self.builder.load(self._count())

    def at_step(self, i):
        with self.builder.if_then(self.builder.icmp_signed("<", i, self.count)):
            self.move_vector(i)
        super().at_step(i)

    def move_vector(self, i):
        """Move the parameters of one of the vectors that wait."""
        builder = self.builder
        row = builder.udiv(i, INDEX(self.vectors))
        column = builder.sub(i, builder.mul(row, INDEX(self.vectors)))
        at = builder.add(builder.load(self.place), builder.mul(column, INDEX(self.lanes)))
        gradients = self.one.load(builder.gep(self.room, [builder.mul(i, INDEX(self.lanes))]))
        starts = [
            Operand(builder, [target.data, at, *target.strides]).row(builder, row)
            for target in self.targets
        ]
        self.move(self.one, gradients, starts, self.scale)

    def end(self, row, sums):
        builder = self.builder
        for i, total in enumerate(total for row_sums in sums for total in row_sums):
            place = builder.gep(self.room, [INDEX(i * self.lanes)])
            self.one.store(place, [builder.load(total)])
        builder.store(self.targets[0].at, self.place)
        builder.store(builder.mul(self.present, INDEX(self.vectors)), self._count())

    def move_all(self):
        """Move the parameters of all vectors that wait."""
        with cgutils.for_range(self.builder, self.builder.load(self._count())) as loop:
            self.move_vector(loop.index)


def ways_of_moving(context, builder, rule, dtype, result, given):
    """(Moves, LateMoves, the same without clipping and decay, whether there is neither)."""
    (_, vectors), (data, *place) = shapes_of(context)[0], cgutils.unpack_tuple(builder, result)
    *slots, numbers, is_bare, waiting = cgutils.unpack_tuple(builder, given)
    fills = [
        Lanes(builder, as_lanes(context, builder, number, types.float64, LanesType(dtype)))
        for number in cgutils.unpack_tuple(builder, numbers)
    ]
    targets = [Operand(builder, [address, *place]) for address in (data, *slots)]
    moves = Moves(builder, rule, targets, fills)
    waiting = cgutils.unpack_tuple(builder, waiting)
    late, bare = (LateMoves(moves, dtype, vectors, waiting, scale) for scale in (1.0, None))
    return moves, late, bare, is_bare


@intrinsic
def no_sums(typingctx, pointer):
    """Room on the stack for the sums of a tile that wait, of what `pointer` points to: none yet."""
    kind = types.Tuple((pointer, types.CPointer(types.int64)))

    def codegen(context, builder, signature, args):
        rows, vectors = shapes_of(context)[0]
        lanes = VECTOR_BYTES * 8 // pointer.dtype.bitwidth
        with builder.goto_entry_block():
            room = builder.alloca(
                context.get_data_type(pointer.dtype), INDEX(rows * vectors * lanes)
            )
            place = builder.alloca(INDEX, INDEX(2))
        room.align = VECTOR_BYTES
        builder.store(INDEX(0), builder.gep(place, [INDEX(1)]))
        return context.make_tuple(builder, kind, [room, place])

    return kind(pointer), codegen


@intrinsic(prefer_literal=True)
def end_moves(typingctx, rule, result, given):
    """Move what waits after the last tile; the arguments are as those of `tile`."""

    def codegen(context, builder, signature, args):
        name = rule.literal_value
        _, late, *_ = ways_of_moving(context, builder, name, result[0].dtype, *args[1:])
        late.move_all()
        return context.get_dummy_value()

    return types.void(rule, result, given), codegen
