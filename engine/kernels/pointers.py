"""Pointers in kernels: where elements are, without the array that they belong to.

An array that Numba hands from function to function is counted, with an atomic instruction each
time, which takes longer than a small product.
"""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .vmath import VECTOR_BYTES

INDEX = ir.IntType(64)


@intrinsic
def data(typingctx, array):
    """The address of an array's first element; null of an array without elements.

    Unlike an array it has no count of those who use it, which would cost more than a small product.
    """
    if isinstance(array, types.CPointer):
        return array(array), lambda context, builder, signature, args: args[0]

    def codegen(context, builder, signature, args):
        array_struct = context.make_array(array)(context, builder, args[0])
        is_empty = builder.icmp_signed("==", array_struct.nitems, INDEX(0))
        null = ir.Constant(array_struct.data.type, None)
        return builder.select(is_empty, null, array_struct.data)

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def pointer_at(typingctx, like, address):
    """The pointer of that type to an address."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[1], args[0].type)

    return like(like, types.int64), codegen


@intrinsic
def no_data(typingctx, array):
    """The null pointer to an array's elements."""

    def codegen(context, builder, signature, args):
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return types.CPointer(array.dtype)(array), codegen


@intrinsic(prefer_literal=True)
def stack_room(typingctx, pointer, size):
    """Memory on the stack for `size` elements, a constant, of what `pointer` points to."""

    def codegen(context, builder, signature, args):
        element = context.get_data_type(pointer.dtype)
        with builder.goto_entry_block():
            room = builder.alloca(element, INDEX(size.literal_value))
        room.align = VECTOR_BYTES
        return room

    return pointer(pointer, size), codegen


@intrinsic
def moved(typingctx, pointer, count):
    """The address so many elements further on."""

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.int64), codegen


def emit_past_line(builder, pointer, dtype):
    address = builder.ptrtoint(pointer, INDEX)
    itemsize = INDEX(dtype.bitwidth // 8)
    return builder.udiv(builder.and_(address, INDEX(VECTOR_BYTES - 1)), itemsize)


@intrinsic
def past_line(typingctx, pointer):
    """How many elements there are from the start of the cache line to what it points to."""

    def codegen(context, builder, signature, args):
        return emit_past_line(builder, args[0], pointer.dtype)

    return types.int64(pointer), codegen


@intrinsic
def exists(typingctx, pointer):
    """Whether it is not null."""

    def codegen(context, builder, signature, args):
        return builder.icmp_unsigned("!=", args[0], ir.Constant(args[0].type, None))

    return types.boolean(pointer), codegen
