"""Narrow rows, as of ten classes: softmax and the cross-entropies of many rows at once.

Rows of up to 16 numbers are transposed in registers, as many as a vector has lanes. So each vector
holds one column, and no lane is idle in maximum, exponential, sum and logarithm; what is to be rows
again is transposed back. `narrow` does it for one such block of rows.
"""

import functools
import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from .exponentials import exp_of_negative
from .simd import transposed
from .vmath import FORMULAS, Lanes, LanesType, emit_load, emit_store, lane_compare, masked

NARROW = 16  # columns at most
GROUP = 4  # columns whose exponentials are left out together where the rows are shorter
INDEX = ir.IntType(64)


def _tree(combine, values):
    while len(values) > 1:
        values = [combine(x, y) for x, y in zip(values[::2], values[1::2])]
    return values[0]


def _numbers(vector, number):
    return ir.Constant(vector, [number] * vector.count)


class Rows:
    """A block of rows, while compiling: the logits x, of row i in lane i, column after column.

    What a row of `FUNCTIONS` asks for is emitted when it is asked for, and once.
    """

    def __init__(self, context, builder, arrays, top, n, count):
        self.context, self.builder = context, builder
        self.g, self.x, self.y, self.out = arrays  # each a pair of Numba type and value
        self.top, self.n, self.count = top, n, count
        self.vector = context.get_value_type(LanesType(self.x[0].dtype))
        self.columns = self._columns(self.x, -math.inf)

    def _places(self, array):
        # For each row and each vector of it: its pointer. The last row repeats.
        kind, value = array
        data = self.context.make_array(kind)(self.context, self.builder, value).data
        last = self.builder.sub(self.count, INDEX(1))
        for i in range(self.vector.count):
            is_there = self.builder.icmp_signed("<", INDEX(i), last)
            row = self.builder.add(self.top, self.builder.select(is_there, INDEX(i), last))
            start = self.builder.mul(row, self.n)
            for left in range(0, NARROW, self.vector.count):
                place = self.builder.gep(data, [self.builder.add(start, INDEX(left))])
                yield i, left, self.builder.bitcast(place, self.vector.as_pointer())

    def _options(self, left):
        # Of a masked load or store: the alignment, and which lanes are columns.
        align = ir.Constant(ir.IntType(32), self.x[0].dtype.bitwidth // 8)
        rest = self.builder.sub(self.n, INDEX(left))
        return [align, lane_compare(self.builder, "<", self.vector, rest)]

    def _columns(self, array, fill):
        filling = _numbers(self.vector, fill)
        blocks = {left: [] for left in range(0, NARROW, self.vector.count)}
        for _, left, pointer in self._places(array):
            arguments = [pointer, *self._options(left), filling]
            blocks[left].append(masked(self.builder, "load", self.vector, arguments))
        columns = [c for block in blocks.values() for c in transposed(self.builder, block)]
        return [Lanes(self.builder, column) for column in columns]

    @functools.cached_property
    def maximum(self):
        return _tree(FORMULAS["maximum"], self.columns)

    @functools.cached_property
    def exponentials(self):
        """exp(x - maximum), 0 in columns that are not there."""
        zero = self.maximum.like(0.0)
        slots = [cgutils.alloca_once_value(self.builder, zero.value) for _ in self.columns]
        for left in range(0, NARROW, GROUP):
            with self.builder.if_then(self.builder.icmp_signed(">", self.n, INDEX(left))):
                for j in range(left, left + GROUP):
                    e = exp_of_negative(self.columns[j] - self.maximum)
                    self.builder.store(e.value, slots[j])
        return [Lanes(self.builder, self.builder.load(slot)) for slot in slots]

    @functools.cached_property
    def total(self):
        return _tree(FORMULAS["add"], self.exponentials)

    @functools.cached_property
    def log_sum(self):
        return FORMULAS["log"](self.total)

    @functools.cached_property
    def targets(self):
        """The columns of the targets y, or one-hot ones of the labels y."""
        kind, value = self.y
        if not isinstance(kind.dtype, types.Integer):
            return self._columns(self.y, 0.0)
        data = self.context.make_array(kind)(self.context, self.builder, value).data
        integers = ir.VectorType(INDEX, self.vector.count)
        is_there = lane_compare(self.builder, "<", self.vector, self.count)
        place = self.builder.gep(data, [self.top])
        pointer = self.builder.bitcast(place, integers.as_pointer())
        none = _numbers(integers, -1)
        arguments = [pointer, ir.Constant(ir.IntType(32), 8), is_there, none]
        labels = masked(self.builder, "load", integers, arguments)
        one = self.maximum.like(1.0)
        return [
            one.where(self.builder.icmp_signed("==", labels, _numbers(integers, j)), 0.0)
            for j in range(NARROW)
        ]

    @functools.cached_property
    def gradient(self):
        zero = ir.Constant(ir.DoubleType(), 0.0)
        block = emit_load(self.context, self.builder, *self.g, self.top, self.count, zero)
        return Lanes(self.builder, block)

    def store(self, result):
        """Write columns to rows of `out`, or one vector to its elements."""
        if isinstance(result, Lanes):
            emit_store(self.context, self.builder, *self.out, self.top, self.count, result.value)
            return
        rows = {
            left: transposed(
                self.builder, [c.value for c in result[left : left + self.vector.count]]
            )
            for left in range(0, NARROW, self.vector.count)
        }
        # The last row, which comes for lanes without a row too, gets its own lane in the end.
        for i, left, pointer in reversed(list(self._places(self.out))):
            arguments = [rows[left][i], pointer, *self._options(left)]
            masked(self.builder, "store", self.vector, arguments)


# ------------------------------------------------------------------------------- functions
#
# Of a block of rows: the columns of the result, or one vector with an element for each row.

FUNCTIONS = {}


def function(rows_function):
    FUNCTIONS[rows_function.__name__] = rows_function
    return rows_function


@function
def softmax(rows):
    scale = 1.0 / rows.total
    return [e * scale for e in rows.exponentials]


@function
def log_softmax(rows):
    return [FORMULAS["shifted"](x, rows.maximum, rows.log_sum) for x in rows.columns]


@function
def cross_entropy(rows):
    pairs = zip(rows.columns, rows.targets)
    losses = [FORMULAS["weighted_loss"](x, t, rows.maximum, rows.log_sum) for x, t in pairs]
    return _tree(FORMULAS["add"], losses)


@function
def cross_entropy_grad(rows):
    factor = 1.0 / rows.total * _tree(FORMULAS["add"], rows.targets)
    pairs = zip(rows.exponentials, rows.targets)
    return [FORMULAS["cross_entropy_slope"](rows.gradient, e, t, factor) for e, t in pairs]


@intrinsic(prefer_literal=True)
def narrow(typingctx, name, arrays, top, n, count):
    """The function of that name (a literal) of `count` rows of length n, from row `top` on.

    arrays  gradient, logits, labels or targets, and the result, each flat; what the function does
            not need is not read
    count   at most the lanes of a vector
    """
    if not isinstance(name, types.StringLiteral):
        raise TypingError("narrow: the name of the function must be a literal")
    rows_function = FUNCTIONS[name.literal_value]

    def codegen(context, builder, signature, args):
        pairs = list(zip(arrays, cgutils.unpack_tuple(builder, args[1])))
        rows = Rows(context, builder, pairs, *args[2:])
        rows.store(rows_function(rows))
        return context.get_dummy_value()

    return types.void(name, arrays, types.int64, types.int64, types.int64), codegen
