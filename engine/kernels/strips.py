"""Strips: several vectors side by side, calculated with at once.

The additions of one vector need not wait for those of another, and what is read from memory lies
together. A strip of one vector is for what is left over, so that one source does for both.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

from .vmath import FORMULAS, Lanes, LanesType, as_lanes, emit_load, emit_store

WIDE = 4  # vectors in a strip, but for what is left over


class StripType(types.Type):
    """Numba's type of so many vectors."""

    def __init__(self, dtype, vectors):
        super().__init__(name=f"Strip({dtype}, {vectors})")
        self.each = LanesType(dtype)
        self.vectors = vectors


@register_model(StripType)
class _StripModel(models.PrimitiveModel):
    def __init__(self, manager, strip):
        vector = manager.lookup(strip.each).get_value_type()
        super().__init__(manager, strip, ir.LiteralStructType([vector] * strip.vectors))


def _packed(builder, context, strip, blocks):
    value = cgutils.get_null_value(context.get_value_type(strip))
    for position, block in enumerate(blocks):
        value = builder.insert_value(value, block, position)
    return value


def _places(builder, strip, at, count):
    # Where each vector of a strip starts, and how many of the elements are from there on.
    for position in range(strip.vectors):
        step = ir.Constant(ir.IntType(64), position * strip.each.count)
        yield builder.add(at, step), builder.sub(count, step)


@intrinsic(prefer_literal=True)
def zero_strip(typingctx, vectors, array):
    """A strip of the array's dtype, of so many vectors (a literal), that is 0."""
    strip = StripType(array.dtype, vectors.literal_value)

    def codegen(context, builder, signature, args):
        return cgutils.get_null_value(context.get_value_type(strip))

    return strip(vectors, array), codegen


@intrinsic(prefer_literal=True)
def load_strip(typingctx, vectors, array, at, count, fill):
    """The strip of so many vectors (a literal) at array[at]; `fill` from `count` elements on."""
    strip = StripType(array.dtype, vectors.literal_value)

    def codegen(context, builder, signature, args):
        _, data, at, count, fill = args
        blocks = [
            emit_load(context, builder, array, data, *place, fill)
            for place in _places(builder, strip, at, count)
        ]
        return _packed(builder, context, strip, blocks)

    return strip(vectors, array, types.int64, types.int64, types.float64), codegen


@intrinsic
def store_strip(typingctx, array, at, count, strip):
    """Write a strip to array[at], but not more than `count` elements of it."""

    def codegen(context, builder, signature, args):
        data, at, count, value = args
        for position, place in enumerate(_places(builder, strip, at, count)):
            block = builder.extract_value(value, position)
            emit_store(context, builder, array, data, *place, block)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, strip), codegen


@intrinsic
def strip_total(typingctx, strip):
    """The sum of the vectors of a strip."""

    def codegen(context, builder, signature, args):
        blocks = [Lanes(builder, block) for block in cgutils.unpack_tuple(builder, args[0])]
        while len(blocks) > 1:
            blocks = [x + y for x, y in zip(blocks[::2], blocks[1::2])]
        return blocks[0].value

    return strip.each(strip), codegen


@intrinsic(prefer_literal=True)
def each(typingctx, name, strips, others):
    """The formula of that name (a literal) on a tuple of strips; then one of vectors and numbers.

    It is calculated for the first vectors of all strips, for the second ones, and so on.
    """
    if not isinstance(name, types.StringLiteral):
        raise TypingError("each: the name of the formula must be a literal")
    function, strip = FORMULAS[name.literal_value], strips[0]

    def codegen(context, builder, signature, args):
        columns = [cgutils.unpack_tuple(builder, value) for value in args[1:]]
        shared = [
            Lanes(builder, as_lanes(context, builder, value, kind, strip.each))
            for value, kind in zip(columns[1], others)
        ]
        blocks = []
        for position in range(strip.vectors):
            own = [Lanes(builder, builder.extract_value(s, position)) for s in columns[0]]
            blocks.append(function(*own, *shared).value)
        return _packed(builder, context, strip, blocks)

    return strip(name, strips, others), codegen
