"""Strips: several vectors side by side, calculated with at once.

The additions of one vector need not wait for those of another, and what is read from memory lies
together. A strip of one vector is for what is left over, so that one source does for both.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from .vmath import FORMULAS, Lanes, LanesType, as_lanes, emit_load

WIDE = 4  # vectors in a strip, but for what is left over


@intrinsic(prefer_literal=True)
def zero_strip(typingctx, vectors, array):
    """A strip of the array's dtype, of so many vectors (a literal), that is 0."""
    strip = LanesType(array.dtype, vectors.literal_value)

    def codegen(context, builder, signature, args):
        return cgutils.get_null_value(context.get_value_type(strip))

    return strip(vectors, array), codegen


@intrinsic(prefer_literal=True)
def load_strip(typingctx, vectors, array, at, count, fill):
    """The strip of so many vectors (a literal) at array[at]; `fill` from `count` elements on."""
    strip = LanesType(array.dtype, vectors.literal_value)

    def codegen(context, builder, signature, args):
        return emit_load(context, builder, array, *args[1:], vectors.literal_value)

    return strip(vectors, array, types.int64, types.int64, types.float64), codegen


def _lanes_of(builder, value, order):
    places = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
    return builder.shuffle_vector(value, value, places)


@intrinsic
def strip_total(typingctx, strip):
    """The sum of the vectors of a strip."""
    vector = LanesType(strip.dtype)

    def codegen(context, builder, signature, args):
        total = Lanes(builder, args[0])
        while total.count > vector.count:
            half = total.count // 2
            upper = Lanes(builder, _lanes_of(builder, total.value, list(range(half, 2 * half))))
            total = Lanes(builder, _lanes_of(builder, total.value, list(range(half)))) + upper
        return total.value

    return vector(strip), codegen


@intrinsic(prefer_literal=True)
def each(typingctx, name, strips, others):
    """The formula of that name (a literal) on a tuple of strips; then one of vectors and numbers.

    Every vector of a strip meets the same of the others.
    """
    if not isinstance(name, types.StringLiteral):
        raise TypingError("each: the name of the formula must be a literal")
    function, strip = FORMULAS[name.literal_value], strips[0]
    vector = LanesType(strip.dtype)

    def codegen(context, builder, signature, args):
        own = cgutils.unpack_tuple(builder, args[1])
        shared = [
            as_lanes(context, builder, value, kind, vector)
            for value, kind in zip(cgutils.unpack_tuple(builder, args[2]), others)
        ]
        order = [lane % vector.count for lane in range(strip.count)]
        wide = [_lanes_of(builder, value, order) for value in shared]
        return function(*(Lanes(builder, value) for value in [*own, *wide])).value

    return strip(name, strips, others), codegen
