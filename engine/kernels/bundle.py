"""Many arrays in one launch: a kernel finds them by their addresses and walks them end to end.

An optimizer moves dozens of parameters by gradients that are new arrays at every step. A call per
array would cost more than most of the arithmetic, so one call gets the identities of all of them,
and reads where their elements are from the arrays themselves, as a C extension does with
PyArray_DATA. What it reads it checks first, and it touches no element unless all arrays are what
is expected.

The arrays are walked as one range of chunks, of a constant number of vectors, which the threads
share out. No chunk reaches from one array into the next.
"""

import math
import struct

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ._jit import inner, plain, run
from .memory import aligned
from .vmath import VECTOR_BYTES, lanes

CHUNK = 64  # vectors in a chunk: 4 KiB of each array

# Elements, of all targets together, from which on threads pay, with slots and without: with two,
# there, adam takes 0.77 and sgd 0.71 of the time of one.
PARALLEL, PARALLEL_WITHOUT = 1 << 15, 1 << 17

# Columns of the table, which has a row for each target and a last one for the end.
START, SIZE, GROUP, SOURCE, TARGET, SLOTS = range(6)

# The first entries of `objects`; then follow those of target and source, for each row.
HEADER, TYPE, DTYPE, NONE, PAIRS = range(5)

# Where an array keeps what, counted from the end of the header that all Python objects have:
# PyArrayObject_fields in NumPy's ndarraytypes.h, which is part of NumPy's binary interface.
DATA, NDIM, DIMENSIONS, DESCR, FLAGS = 0, 8, 16, 40, 48
C_CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400  # bits of the flags


# ------------------------------------------------------------------------- inside of kernels


@intrinsic
def peek(typingctx, address):
    """The int64 at an address."""

    def codegen(context, builder, signature, args):
        integer = ir.IntType(64)
        return builder.load(builder.inttoptr(args[0], integer.as_pointer()))

    return types.int64(types.int64), codegen


def _emit_array(context, builder, like, address, lengths):
    array = context.make_array(like)(context, builder)
    itemsize = ir.Constant(ir.IntType(64), like.dtype.bitwidth // 8)
    strides = [itemsize]
    for length in reversed(lengths[1:]):
        strides.insert(0, builder.mul(length, strides[0]))
    context.populate_array(
        array,
        data=builder.inttoptr(address, array.data.type),
        shape=lengths,
        strides=strides,
        itemsize=itemsize,
        meminfo=None,
    )
    return array._getvalue()


@intrinsic
def array_at(typingctx, like, address, shape):
    """The C-contiguous array of that shape at an address, typed as `like`."""

    def codegen(context, builder, signature, args):
        lengths = cgutils.unpack_tuple(builder, args[2])
        return _emit_array(context, builder, like, args[1], lengths)

    return like(like, types.int64, shape), codegen


@intrinsic(prefer_literal=True)
def arrays_at(typingctx, like, count, table, row):
    """The target and the slots of a row, `count` arrays (a literal) typed as `like`."""
    result = types.UniTuple(like, count.literal_value)

    def codegen(context, builder, signature, args):
        source = context.make_array(table)(context, builder, args[2])
        columns = cgutils.unpack_tuple(builder, source.shape)[1]
        cells = builder.gep(source.data, [builder.mul(args[3], columns)])

        def cell(column):
            return builder.load(builder.gep(cells, [ir.Constant(ir.IntType(64), column)]))

        arrays = [
            _emit_array(context, builder, like, cell(column), [cell(SIZE)])
            for column in range(TARGET, TARGET + count.literal_value)
        ]
        return context.make_tuple(builder, result, arrays)

    return result(like, count, table, types.int64), codegen


@inner
def source_at(like, table, row):
    return array_at(like, table[row, SOURCE], (table[row, SIZE],))


@inner
def is_usable(address, size, flags, objects):
    """Whether that object is an array of the type, dtype, size and flags that are expected."""
    fields = address + objects[HEADER]
    if peek(fields - 8) != objects[TYPE] or peek(fields + DESCR) != objects[DTYPE]:
        return False
    elements = 1
    for axis in range(peek(fields + NDIM) & 0xFFFFFFFF):
        elements *= peek(peek(fields + DIMENSIONS) + 8 * axis)
    return elements == size and peek(fields + FLAGS) & flags == flags


@inner
def collect(objects, table):
    """Write the addresses of the elements into the table, 0 where there is no source.

    Returns -1, or the place in `objects` of the first that is not what is expected.
    """
    for row in range(table.shape[0] - 1):
        at = PAIRS + 2 * row
        size = table[row, SIZE]
        if objects[at + 1] == objects[NONE]:
            table[row, SOURCE] = 0
            continue
        if not is_usable(objects[at], size, C_CONTIGUOUS | ALIGNED | WRITEABLE, objects):
            return at
        if not is_usable(objects[at + 1], size, C_CONTIGUOUS | ALIGNED, objects):
            return at + 1
        table[row, TARGET] = peek(objects[at] + objects[HEADER] + DATA)
        table[row, SOURCE] = peek(objects[at + 1] + objects[HEADER] + DATA)
    return -1


@inner
def part_of(like, table, row, low, high):
    """The elements, from and to, that the chunks from `low` to `high` have of a row's arrays."""
    if table[row, SOURCE] == 0:
        return 0, 0
    chunk = CHUNK * lanes(like)
    begin = (max(low, table[row, START]) - table[row, START]) * chunk
    end = (min(high, table[row + 1, START]) - table[row, START]) * chunk
    return begin, min(end, table[row, SIZE])


# -------------------------------------------------------------------------------- from Python


class Bundle:
    """Arrays of one dtype that kernels take together: targets, sources, and slots of the targets.

    shapes  of the targets, which are those of their sources and slots
    dtype   float32 or float64
    groups  for each target the row of the rates that it moves by
    slots   names of arrays that are kept here for each target, zeros at first

    `slots` is then a dict from name to a list of arrays. They lie one after the other in one
    buffer, each at the start of a cache line.
    """

    def __init__(self, shapes, dtype, groups, slots=()):
        self.shapes, self.dtype = list(shapes), np.dtype(dtype)
        sizes = [math.prod(shape) for shape in self.shapes]
        self.size = sum(sizes)
        self.is_parallel = self.size >= (PARALLEL if slots else PARALLEL_WITHOUT)
        room = VECTOR_BYTES // self.dtype.itemsize
        vectors = [-(-size // room) for size in sizes]
        starts = np.cumsum([0, *vectors]) * room
        buffer = aligned((len(slots), int(starts[-1])), self.dtype)
        buffer.fill(0)
        self.slots = {
            name: [
                row[start : start + size].reshape(shape)
                for start, size, shape in zip(starts, sizes, self.shapes)
            ]
            for name, row in zip(slots, buffer)
        }
        self.table = np.zeros((len(sizes) + 1, SLOTS + len(slots)), np.int64)
        self.table[1:, START] = np.cumsum([-(-count // CHUNK) for count in vectors])
        self.table[:-1, SIZE], self.table[:-1, GROUP] = sizes, groups
        for column, arrays in enumerate(self.slots.values(), SLOTS):
            self.table[:-1, column] = [array.ctypes.data for array in arrays]
        self._like = np.empty(0, self.dtype)
        self._objects = np.zeros(PAIRS + 2 * len(sizes), np.int64)
        known = object.__basicsize__, id(np.ndarray), id(self.dtype), id(None)
        self._objects[:PAIRS] = known
        self._pack = struct.Struct(f"{2 * len(sizes)}q").pack_into

    @property
    def chunks(self):
        """The number of chunks that all arrays have together."""
        return int(self.table[-1, START])

    def run(self, kernel, arrays, *arguments):
        """Call a kernel of a bundle on its arrays.

        arrays     [target, source, target, source, ...]; a target whose source is None is passed
                   over
        arguments  of the kernel, after `like`, `objects` and `table` and before `threads`

        Raises ValueError, before any array is written to, when a target can not be written to in
        place (not C-contiguous, or read-only): updating a copy of it would do nothing, silently.
        """
        if self._call(kernel, arrays, arguments) < 0:
            return
        usable = [self._usable(place, array, arrays) for place, array in enumerate(arrays)]
        if self._call(kernel, usable, arguments) >= 0:
            raise RuntimeError(f"this NumPy ({np.__version__}) keeps arrays in an unknown way")

    def _call(self, kernel, arrays, arguments):
        self._pack(self._objects, 8 * PAIRS, *map(id, arrays))
        given = self._like, self._objects, self.table, *arguments
        return run(kernel, self.is_parallel, *given)

    def _usable(self, place, array, arrays):
        # The array as a kernel takes it; what is unusual about it may be harmless.
        if arrays[place | 1] is None:
            return array
        shape, is_target = self.shapes[place // 2], place % 2 == 0
        if array.shape != shape or array.dtype != self.dtype:
            raise ValueError(
                f"expected {'an array' if is_target else 'a gradient'} of {self.dtype} and shape "
                f"{shape}, got {array.dtype} and shape {array.shape}"
            )
        if is_target and not array.flags.carray:
            raise ValueError(
                f"expected a C-contiguous, writable array of shape {shape} to update in place, "
                f"got strides {array.strides}, writable={array.flags.writeable}"
            )
        return plain(array).view(self.dtype, np.ndarray)
