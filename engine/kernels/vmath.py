"""Vectors in kernels: a formula is written once, in Python, and becomes straight vector code.

A kernel of this package that is not a matrix product walks its arrays in blocks of one vector:

    for at in range(low, high, lanes(x)):
        block = load(x, at, high - at, 0.0)
        store(out, at, high - at, compute("sigmoid", block))

`sigmoid` is a `@formula`: a Python function that runs while the kernel is compiled, on `Lanes`,
whose operators emit LLVM instructions. So nothing depends on what an automatic vectoriser makes of
a loop, constants have the element type of the vector (a float literal in Numba is float64 and would
silently widen float32 code), and no instruction has the flags of the kernel that let LLVM reorder:
a reordered reduction of an argument, or a reordered compensation, is a wrong digit.

A vector has 64 bytes on every CPU, the widest there is; LLVM splits it for narrower registers.
Several together are a strip, one LLVM vector of so many times as many lanes: the instructions for
its vectors alternate, so that none waits for the result of the one before it.
"""

import functools

import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, register_model

from ._jit import inner
from .cuts import cut

VECTOR_BYTES = 64
LARGE = 16 << 20  # bytes of a result of which a cache would not keep much until it is read
# Instructions that have a flag are not given those of the kernel by Numba. Of the flags there are,
# these two mean nothing for the instructions that get them.
NO_FLAGS, NO_DIVISION_FLAGS = ("arcp",), ("contract",)

FLOATS = {32: ir.FloatType(), 64: ir.DoubleType()}
WIDTHS = {kind: width for width, kind in FLOATS.items()}


# ------------------------------------------------------------- what formulas calculate with


class Lanes:
    """An LLVM vector of floats (or of integers, as which its bits are seen), while compiling."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value
        self.factors = None  # of a product: added to something, it is fused with the sum
        element = value.type.element
        self.count = value.type.count
        self.is_float = not isinstance(element, ir.IntType)
        self.width = element.width if not self.is_float else WIDTHS[element]
        self.dtype = np.dtype(f"f{self.width // 8}").type

    def like(self, other):
        """A constant, as lanes of this type."""
        return Lanes(self.builder, self._operand(other))

    def _operand(self, other):
        if isinstance(other, Lanes):
            return other.value
        return ir.Constant(self.value.type, [other] * self.count)

    def _emit(self, instruction, x, y, flags=NO_FLAGS):
        if self.is_float:
            emit = functools.partial(getattr(self.builder, "f" + instruction), flags=flags)
        else:
            emit = getattr(self.builder, instruction)
        return Lanes(self.builder, emit(self._operand(x), self._operand(y)))

    def __mul__(self, other):
        product = self._emit("mul", self, other)
        product.factors = self, other
        return product

    def rounded(self):
        """This product as a value of its own, to be fused with nothing."""
        return Lanes(self.builder, self.value)

    def __add__(self, other):
        for product, term in ((self, other), (other, self)):
            if getattr(product, "factors", None):
                return self.call("fmuladd", *product.factors, term)
        return self._emit("add", self, other)

    def __sub__(self, other):
        if self.factors:
            return self + -self.like(other)
        if getattr(other, "factors", None):
            x, y = other.factors
            return self + (-x) * y
        return self._emit("sub", self, other)

    def __rsub__(self, other):
        return self.like(other) - self

    def __truediv__(self, other):
        return self._emit("div", self, other, NO_DIVISION_FLAGS)

    def __rtruediv__(self, other):
        return self.like(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __and__(self, mask):
        return Lanes(self.builder, self.builder.and_(self.value, self._operand(mask)))

    def __or__(self, mask):
        return Lanes(self.builder, self.builder.or_(self.value, self._operand(mask)))

    def __lshift__(self, count):
        return Lanes(self.builder, self.builder.shl(self.value, self._operand(count)))

    def __rshift__(self, count):
        return Lanes(self.builder, self.builder.lshr(self.value, self._operand(count)))

    def _compare(self, relation, other):
        other = self._operand(other)
        return self.builder.fcmp_ordered(relation, self.value, other, flags=NO_FLAGS)

    def __lt__(self, other):
        return self._compare("<", other)

    def __gt__(self, other):
        return self._compare(">", other)

    def equals(self, other):
        return self._compare("==", other)

    def bits(self):
        """The same bits as integers."""
        integers = ir.VectorType(ir.IntType(self.width), self.count)
        return Lanes(self.builder, self.builder.bitcast(self.value, integers))

    def floats(self):
        """The same bits as floats."""
        floats = ir.VectorType(FLOATS[self.width], self.count)
        return Lanes(self.builder, self.builder.bitcast(self.value, floats))

    def where(self, condition, other):
        """These lanes where the condition (a comparison of such) holds, elsewhere the other's."""
        return Lanes(self.builder, self.builder.select(condition, self.value, self._operand(other)))

    def rotated(self, distance):
        """Lane i of the result is lane i XOR distance."""
        order = ir.Constant(
            ir.VectorType(ir.IntType(32), self.count), [i ^ distance for i in range(self.count)]
        )
        return Lanes(self.builder, self.builder.shuffle_vector(self.value, self.value, order))

    def call(self, name, *operands):
        """An LLVM intrinsic on vectors of this type, such as sqrt; of this one without operands."""
        operands = [self._operand(operand) for operand in operands or (self,)]
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(self.value.type, [self.value.type] * len(operands)),
            f"llvm.{name}.v{self.count}f{self.width}",
        )
        return Lanes(self.builder, self.builder.call(function, operands))


FORMULAS = {}


def formula(function):
    """Declare a function of `Lanes` that kernels may `compute` by its name."""
    FORMULAS[function.__name__] = function
    return function


# ----------------------------------------------------------------------- elementary formulas


@formula
def add(x, y):
    return x + y


@formula
def multiply(x, y):
    return x * y


@formula
def maximum(x, y):
    """The greater one; `y` where either is nan."""
    return x.where(x > y, y)


@formula
def minimum(x, y):
    """The lesser one; `y` where either is nan."""
    return x.where(x < y, y)


def absolute(x):
    return (x.bits() & (1 << x.width - 1) - 1).floats()


def with_sign_of(sign, x):
    """A non-negative `x` with the sign of `sign`, which may be that of zero."""
    return ((sign.bits() & -(1 << x.width - 1)) | x.bits()).floats()


def halves(x):
    """Two numbers with half of the digits each, whose sum is x: their products are exact."""
    high = (x.bits() & -(1 << {32: 12, 64: 27}[x.width])).floats()
    return high, x - high


def exact_product(x, y):
    """The rounded product and what it has lost, exactly."""
    product = (x * y).rounded()
    if fuses_multiply_add():
        return product, x * y - product
    (x_high, x_low), (y_high, y_low) = halves(x), halves(y)  # Dekker 1971
    rest = ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low
    return product, rest


@functools.cache
def fuses_multiply_add():
    """Whether the CPU that is compiled for rounds x y + z once: LLVM is asked for what it does."""
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    probe = (
        "define float @f(float %x) {\n%y = call float @llvm.fmuladd.f32("
        "float %x, float %x, float %x)\nret float %y\n}\n"
        "declare float @llvm.fmuladd.f32(float, float, float)"
    )
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
    return "fm" in machine.emit_assembly(binding.parse_assembly(probe)).replace("fmul", "")


def polynomial(x, coefficients):
    """Horner's rule; the coefficient of the highest power comes first."""
    first, *rest = coefficients
    value = x.like(first)
    for coefficient in rest:
        value = value * x + coefficient
    return value


@formula
def all_sum(x):
    """The sum over the lanes, in every lane: a butterfly, so that all lanes have the same bits."""
    for level in range(x.count.bit_length() - 1):
        x = x + x.rotated(1 << level)
    return x


@formula
def all_maximum(x):
    """The maximum over the lanes, in every lane."""
    for level in range(x.count.bit_length() - 1):
        x = maximum(x, x.rotated(1 << level))
    return x


# ------------------------------------------------------------------------- inside of kernels


class LanesType(types.Type):
    """Numba's type of so many vectors: what `load` returns and `compute` and `store` take."""

    def __init__(self, dtype, vectors=1):
        super().__init__(name=f"Lanes({dtype}, {vectors})")
        self.dtype = dtype
        self.count = vectors * VECTOR_BYTES * 8 // dtype.bitwidth


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes_type):
        floats = FLOATS[lanes_type.dtype.bitwidth]
        super().__init__(manager, lanes_type, ir.VectorType(floats, lanes_type.count))


def splat(builder, number, vector):
    single = builder.insert_element(
        ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0)
    )
    first = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(single, single, first)


def as_lanes(context, builder, value, value_type, lanes_type):
    # A scalar is converted to the element type once and fills all lanes.
    if isinstance(value_type, LanesType):
        return value
    number = context.cast(builder, value, value_type, lanes_type.dtype)
    return splat(builder, number, context.get_value_type(lanes_type))


def _address(context, builder, array_type, array, at, vector):
    is_pointer = isinstance(array_type, types.CPointer)
    data = array if is_pointer else context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def lane_compare(builder, relation, vector, number):
    # Which lanes have a number that is in that relation to an int64. As integers of the size of an
    # element, since a mask of others has to be converted; so what is beyond all lanes is bounded.
    lowest, highest = (ir.Constant(number.type, bound) for bound in (-1, vector.count))
    number = builder.select(builder.icmp_signed("<", number, lowest), lowest, number)
    number = builder.select(builder.icmp_signed(">", number, highest), highest, number)
    index = ir.VectorType(ir.IntType(WIDTHS.get(vector.element, 32)), vector.count)
    lane = ir.Constant(index, list(range(vector.count)))
    if index.element != number.type:
        number = builder.trunc(number, index.element)
    return builder.icmp_signed(relation, lane, splat(builder, number, index))


def masked(builder, action, vector, arguments):
    # llvm.masked.load or .store
    element = vector.element
    kind = f"i{element.width}" if isinstance(element, ir.IntType) else f"f{WIDTHS[element]}"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(
            vector if action == "load" else ir.VoidType(), [value.type for value in arguments]
        ),
        f"llvm.masked.{action}.v{vector.count}{kind}.p0",
    )
    return builder.call(function, arguments)


@intrinsic
def lanes(typingctx, array):
    """The number of lanes of a vector of the array's dtype, a constant."""
    count = LanesType(array.dtype).count
    return types.int64(array), lambda context, builder, signature, args: ir.Constant(
        ir.IntType(64), count
    )


@intrinsic
def one_hot(typingctx, array, position):
    """Lanes of the array's dtype: 1 in lane `position`, which may be in none, 0 elsewhere."""
    lanes_type = LanesType(array.dtype)

    def codegen(context, builder, signature, args):
        vector = context.get_value_type(lanes_type)
        here = lane_compare(builder, "==", vector, args[1])
        return Lanes(builder, ir.Constant(vector, [1.0] * vector.count)).where(here, 0.0).value

    return lanes_type(array, types.int64), codegen


def emit_load(context, builder, array_type, array, at, count, fill, vectors=1):
    lanes_type = LanesType(array_type.dtype, vectors)
    vector = context.get_value_type(lanes_type)
    align = ir.Constant(ir.IntType(32), array_type.dtype.bitwidth // 8)
    pointer = _address(context, builder, array_type, array, at, vector)
    is_full = builder.icmp_signed(">=", count, ir.Constant(count.type, lanes_type.count))
    with builder.if_else(is_full, likely=True) as (then, otherwise):
        with then:
            whole = builder.load(pointer, align=align.constant)
            whole_block = builder.block
        with otherwise:
            filling = as_lanes(context, builder, fill, types.float64, lanes_type)
            mask = lane_compare(builder, "<", vector, count)
            part = masked(builder, "load", vector, [pointer, align, mask, filling])
            part_block = builder.block
    block = builder.phi(vector)
    block.add_incoming(whole, whole_block)
    block.add_incoming(part, part_block)
    return block


@intrinsic
def load(typingctx, array, at, count, fill):
    """The vector array[at : at + lanes]; only `count` elements when that is less, then `fill`."""

    def codegen(context, builder, signature, args):
        return emit_load(context, builder, array, *args)

    return LanesType(array.dtype)(array, types.int64, types.int64, types.float64), codegen


def emit_prefetch(builder, pointer, is_written, cache=1):
    """Ask for the cache line at the pointer, to be read before long or to be written.

    cache  the one that is nearest to it of those that get it: 1, or 2
    """
    number = ir.IntType(32)
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number]),
        "llvm.prefetch.p0",
    )
    locality = number(4 - cache)  # as LLVM counts
    builder.call(function, [pointer, number(int(is_written)), locality, number(1)])


@intrinsic
def prefetch(typingctx, array, at):
    """Ask for the cache line with array[at], to be read before long; it may lie beyond the end."""

    def codegen(context, builder, signature, args):
        vector = context.get_value_type(LanesType(array.dtype))
        emit_prefetch(builder, _address(context, builder, array, *args, vector), False)
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen


@intrinsic(prefer_literal=True)
def load_each(typingctx, vectors, arrays, at, count):
    """A tuple of so many vectors (a literal) at one place of several arrays, filled up with 0."""
    vectors_type, vectors = vectors, vectors.literal_value
    result = types.Tuple([LanesType(array.dtype, vectors) for array in arrays])

    def codegen(context, builder, signature, args):
        zero = ir.Constant(ir.DoubleType(), 0.0)
        blocks = [
            emit_load(context, builder, array_type, array, *args[2:], zero, vectors)
            for array_type, array in zip(arrays, cgutils.unpack_tuple(builder, args[1]))
        ]
        return context.make_tuple(builder, result, blocks)

    return result(vectors_type, arrays, types.int64, types.int64), codegen


def emit_store(context, builder, array_type, array, at, count, value):
    vector = value.type
    align = ir.Constant(ir.IntType(32), array_type.dtype.bitwidth // 8)
    pointer = _address(context, builder, array_type, array, at, vector)
    is_full = builder.icmp_signed(">=", count, ir.Constant(count.type, vector.count))
    with builder.if_else(is_full, likely=True) as (then, otherwise):
        with then:
            builder.store(value, pointer, align=align.constant)
        with otherwise:
            mask = lane_compare(builder, "<", vector, count)
            masked(builder, "store", vector, [value, pointer, align, mask])


@intrinsic
def store(typingctx, array, at, count, block):
    """array[at : at + lanes] = block; only the first `count` elements when that is less."""

    def codegen(context, builder, signature, args):
        emit_store(context, builder, array, *args)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, block), codegen


@inner
def is_streamed(out):
    """Whether `stream` pays, and may be used: the array is large, and begins where a vector may."""
    return out.size * out.itemsize >= LARGE and out.ctypes.data % VECTOR_BYTES == 0


@intrinsic
def stream(typingctx, array, at, block):
    """array[at : at + lanes] = block, past the caches: memory need not be read to be written.

    The place is one of whole vectors in an array that `is_streamed`; `settle` comes in the end.
    """

    def codegen(context, builder, signature, args):
        pointer = _address(context, builder, array, *args[:2], args[2].type)
        written = builder.store(args[2], pointer, align=VECTOR_BYTES)
        one = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        written.set_metadata("nontemporal", one)
        return context.get_dummy_value()

    return types.void(array, types.int64, block), codegen


@intrinsic
def settle(typingctx):
    """Let other threads see what was streamed before they see what follows."""

    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@inner
def share(x, part, parts):
    """Which elements of `x` are the share of that number: low and high, of whole vectors."""
    return cut(x.size, lanes(x), part, parts)


@intrinsic
def first(typingctx, block):
    """The first lane."""

    def codegen(context, builder, signature, args):
        return builder.extract_element(args[0], ir.Constant(ir.IntType(32), 0))

    return block.dtype(block), codegen


def _call_of(name, operands, results):
    # The signature and the code of a formula that gives one vector or (2) a tuple of two.
    if not isinstance(name, types.StringLiteral):
        raise TypingError("compute: the name of the formula must be a literal")
    function = FORMULAS[name.literal_value]

    def flat_types(operands):
        for operand in operands:
            yield from flat_types(operand) if isinstance(operand, types.BaseTuple) else [operand]

    def flat_values(builder, operands, values):
        for operand, value in zip(operands, values):
            if isinstance(operand, types.BaseTuple):
                yield from flat_values(builder, operand, cgutils.unpack_tuple(builder, value))
            else:
                yield value

    lanes_type = next(kind for kind in flat_types(operands) if isinstance(kind, LanesType))
    result = lanes_type if results == 1 else types.UniTuple(lanes_type, results)

    def codegen(context, builder, signature, args):
        values = flat_values(builder, operands, cgutils.unpack_tuple(builder, args[1]))
        vectors = [
            as_lanes(context, builder, value, kind, lanes_type)
            for value, kind in zip(values, flat_types(operands))
        ]
        got = function(*(Lanes(builder, value) for value in vectors))
        if results == 1:
            return got.value
        return context.make_tuple(builder, result, [lanes.value for lanes in got])

    return result(name, types.StarArgTuple.from_types(operands)), codegen


@intrinsic(prefer_literal=True)
def compute(typingctx, name, *operands):
    """The formula of that name (a literal) on vectors, numbers, and tuples of these, flattened.

    At least one operand is a vector. Numbers are converted to its element type and fill all lanes.
    """
    return _call_of(name, operands, 1)


@intrinsic(prefer_literal=True)
def compute_pair(typingctx, name, *operands):
    """The two vectors that the formula of that name gives, a tuple; see `compute`."""
    return _call_of(name, operands, 2)
