"""What registers hold: how large a tile may be, and the rows of matrices that it reads and writes.

A vector is VECTOR_BYTES long, which may be several registers; so is a row of a tile, of some
vectors side by side.
"""

import functools

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from .pointers import INDEX
from .vmath import FLOATS, VECTOR_BYTES, emit_prefetch, lane_compare, masked

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


def shapes_of(context):
    return tile_shapes(context.codegen().magic_tuple())


@functools.cache
def are_tiles_wide():
    """For Python, whether the largest tile has several vectors, as with AVX-512."""
    return tile_shapes(cpu_target.target_context.codegen().magic_tuple())[0][1] > 1


@intrinsic
def tile_rows(typingctx):
    """The rows of the largest tile, a constant."""
    return types.int64(), lambda context, builder, signature, args: INDEX(shapes_of(context)[0][0])


@intrinsic
def lower_tile_rows(typingctx):
    """The rows of the second largest tile, a constant."""
    return types.int64(), lambda context, builder, signature, args: INDEX(shapes_of(context)[1][0])


@intrinsic
def tile_vectors(typingctx):
    """The vectors of the largest tile, a constant."""
    return types.int64(), lambda context, builder, signature, args: INDEX(shapes_of(context)[0][1])


# --------------------------------------------------------------------------- rows of matrices


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
        self.data, self.at, *self.strides = values
        self.start = builder.gep(self.data, [self.at])

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
