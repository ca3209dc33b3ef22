"""The optimizer's step: a rule is a formula on vectors; one launch moves all parameters by it.

A rule says what becomes of a parameter, and of what is remembered of it (its slots), by one
gradient. Before the rule, and in the same pass, the gradient is scaled and clipped and the
parameter decays:

    gradient  = clip(scale gradient, -limit, limit)
    parameter = decay parameter

Which numbers a rule takes is in its formula, what they are made of in `nn.optimizers`.
"""

import inspect

import numpy as np
from numba import prange
from numba.core import cgutils, types
from numba.extending import intrinsic

from ._jit import inner, kernel
from .bundle import CHUNK, GROUP, SIZE, START, arrays_at, collect, part_of, source_at
from .vmath import (
    Lanes,
    LanesType,
    absolute,
    as_lanes,
    compute,
    emit_load,
    emit_store,
    first,
    formula,
    lanes,
    load,
    maximum,
    minimum,
    one_hot,
)

# Columns of the rates, which have a row for each group; the numbers of the rule follow.
DECAY, LIMIT, NUMBERS = range(3)
WIDTH = NUMBERS + 6  # the most numbers that a rule takes are six: see `move_chunks`

RULES = {}


class Rule:
    """A formula of a parameter, its gradient, its slots and numbers; and its kernel."""

    def __init__(self, formula, slots):
        self.formula, self.slots = formula, slots
        self.numbers = len(inspect.signature(formula).parameters) - 2 - len(slots)
        self.kernel = _mover(formula.__name__, 1 + len(slots))


def rule(*slots):
    """Declare a rule with slots of these names; the formula returns parameter and slots anew."""

    def declare(formula):
        RULES[formula.__name__] = Rule(formula, slots)
        return formula

    return declare


# ------------------------------------------------------------------------------- the kernels


def moved_by(name, gradient, blocks, numbers, scale=1.0):
    """The target and the slots, `blocks`, after the rule of that name; all are lanes.

    scale  by what the gradient is multiplied first; None: and it is not clipped, nothing decays
    """
    (target, *slots), (decay, limit, *rest) = blocks, numbers
    if scale is not None:
        gradient = (gradient * scale).rounded()
        gradient = minimum(limit, maximum(-limit, gradient))
        target = (target * decay).rounded()
    rule = RULES[name]
    return rule.formula(target, gradient, *slots, *rest[: rule.numbers])


@intrinsic(prefer_literal=True)
def move_block(typingctx, name, arrays, source, at, count, scale, numbers):
    """One vector of each array, from `at` on, as the rule (its name is a literal) has it.

    arrays  the target and the slots; `source` is the vector of the gradient
    scale   a number, or None: see `moved_by`
    """
    is_bare = isinstance(scale, types.NoneType)

    def codegen(context, builder, signature, args):
        lanes_type = LanesType(arrays.dtype.dtype)

        def fill(value):
            return Lanes(builder, as_lanes(context, builder, value, types.float64, lanes_type))

        operands = cgutils.unpack_tuple(builder, args[1])
        nothing = context.get_constant(types.float64, 0.0)
        blocks = [
            Lanes(builder, emit_load(context, builder, arrays.dtype, array, *args[3:5], nothing))
            for array in operands
        ]
        numbers = [fill(value) for value in cgutils.unpack_tuple(builder, args[6])]
        factor = None if is_bare else fill(args[5])
        results = moved_by(name.literal_value, Lanes(builder, args[2]), blocks, numbers, factor)
        for array, result in zip(operands, results):
            emit_store(context, builder, arrays.dtype, array, *args[3:5], result.value)
        return context.get_dummy_value()

    integers = types.int64, types.int64
    kind = types.none if is_bare else types.float64
    return types.void(name, arrays, source, *integers, kind, numbers), codegen


@inner
def move_chunks(name, count, like, table, rates, scales, low, high):
    for row in range(table.shape[0] - 1):
        begin, end = part_of(like, table, row, low, high)
        if begin < end:
            arrays, source = arrays_at(like, count, table, row), source_at(like, table, row)
            of = rates[table[row, GROUP]]
            numbers = (of[0], of[1], of[2], of[3], of[4], of[5], of[6], of[7])
            for at in range(begin, end, lanes(like)):
                gradient = load(source, at, end - at, 0.0)
                move_block(name, arrays, gradient, at, end - at, scales[row], numbers)


def _mover(name, count):
    @kernel("int64(T[::1], int64[::1], int64[:, ::1], float64[:, ::1], float64[::1], int64)")
    def move(like, objects, table, rates, scales, threads):
        problem = collect(objects, table)
        if problem >= 0:
            return problem
        chunks = table[table.shape[0] - 1, START]
        if threads == 1:
            move_chunks(name, count, like, table, rates, scales, 0, chunks)
        else:
            for t in prange(threads):
                low, high = chunks * t // threads, chunks * (t + 1) // threads
                move_chunks(name, count, like, table, rates, scales, low, high)
        return problem

    return move


# --------------------------------------------------------------------------------- the rules


@rule()
def sgd(p, g, rate):
    return (p - rate * g,)


@rule("velocity")
def momentum(p, g, velocity, rate, momentum):
    velocity = _settled(momentum * velocity - rate * g)
    return p + velocity, velocity


@rule("velocity")
def nesterov(p, g, velocity, rate, momentum):
    velocity = _settled(momentum * velocity - rate * g)
    return p + (momentum * velocity - rate * g), velocity


def _settled(x):
    """0 for a denormal. What decays from step to step would become one and, by rounding, stay it;
    a CPU takes several times as long for it, and no parameter is moved by so little.
    """
    return x.like(0.0).where(absolute(x) < np.finfo(x.dtype).tiny, x)


def _blended(mean, x, weight):
    return mean + weight * (x - mean)


@rule("mean", "variance")
def adam(p, g, mean, variance, rate, weight_1, weight_2, epsilon):
    mean, variance = _settled(_blended(mean, g, weight_1)), _blended(variance, g * g, weight_2)
    return p - rate * mean / (variance.call("sqrt") + epsilon), mean, variance


@rule("mean", "variance", "greatest")
def amsgrad(p, g, mean, variance, greatest, rate, weight_1, weight_2, epsilon):
    mean, variance = _settled(_blended(mean, g, weight_1)), _blended(variance, g * g, weight_2)
    greatest = maximum(greatest, variance)
    return p - rate * mean / (greatest.call("sqrt") + epsilon), mean, variance, greatest


@rule("mean", "variance")
def nadam(p, g, mean, variance, rate, ahead, weight_1, weight_2, correction, epsilon):
    mean, variance = _settled(_blended(mean, g, weight_1)), _blended(variance, g * g, weight_2)
    divisor = (correction * variance).call("sqrt") + epsilon
    return p - (rate * mean + ahead * g) / divisor, mean, variance


def _scaled(g, square, mean, epsilon):
    # g / sqrt(square - mean^2 + epsilon), of which rounding may make a root of less than nothing
    if mean is not None:
        square = square - mean * mean
        square = maximum(square.like(0.0), square)
    return g / (square + epsilon).call("sqrt")


@rule("square")
def rmsprop(p, g, square, rate, weight, epsilon):
    square = _blended(square, g * g, weight)
    return p - rate * _scaled(g, square, None, epsilon), square


@rule("square", "velocity")
def rmsprop_momentum(p, g, square, velocity, rate, weight, epsilon, momentum):
    square = _blended(square, g * g, weight)
    velocity = _settled(momentum * velocity + rate * _scaled(g, square, None, epsilon))
    return p - velocity, square, velocity


@rule("square", "mean")
def rmsprop_centered(p, g, square, mean, rate, weight, epsilon):
    square, mean = _blended(square, g * g, weight), _settled(_blended(mean, g, weight))
    return p - rate * _scaled(g, square, mean, epsilon), square, mean


@rule("square", "velocity", "mean")
def rmsprop_centered_momentum(p, g, square, velocity, mean, rate, weight, epsilon, momentum):
    square, mean = _blended(square, g * g, weight), _settled(_blended(mean, g, weight))
    velocity = _settled(momentum * velocity + rate * _scaled(g, square, mean, epsilon))
    return p - velocity, square, velocity, mean


@rule("square")
def adagrad(p, g, square, rate, epsilon):
    square = square + g * g
    return p - rate * _scaled(g, square, None, epsilon), square


@rule("square", "step")
def adadelta(p, g, square, step, rate, weight, epsilon):
    square = _blended(square, g * g, weight)
    move = (step + epsilon).call("sqrt") * _scaled(g, square, None, epsilon)
    return p - rate * move, square, _blended(step, move * move, weight)


@rule("mean")
def lion(p, g, mean, rate, weight_1, weight_2):
    x = _blended(mean, g, weight_1)
    sign = x.like(1.0).where(x > 0.0, x.like(-1.0).where(x < 0.0, x))  # of 0 it is 0, of nan nan
    return p - rate * sign, _blended(mean, g, weight_2)


# ----------------------------------------------------------------------------------- squares


@formula
def plus_square(total, x):
    return total + x * x


@inner
def square_chunks(like, table, parts, low, high):
    chunk = CHUNK * lanes(like)
    for row in range(table.shape[0] - 1):
        begin, end = part_of(like, table, row, low, high)
        for start in range(begin, end, chunk):
            source = source_at(like, table, row)
            total = one_hot(like, -1)
            for at in range(start, min(start + chunk, end), lanes(like)):
                total = compute("plus_square", total, load(source, at, end - at, 0.0))
            parts[table[row, START] + start // chunk] = first(compute("all_sum", total))


@kernel("int64(T[::1], int64[::1], int64[:, ::1], float64[::1], int64)")
def square_kernel(like, objects, table, parts, threads):
    problem = collect(objects, table)
    if problem >= 0:
        return problem
    chunks = table[table.shape[0] - 1, START]
    if threads == 1:
        square_chunks(like, table, parts, 0, chunks)
    else:
        for t in prange(threads):
            low, high = chunks * t // threads, chunks * (t + 1) // threads
            square_chunks(like, table, parts, low, high)
    return problem


# ---------------------------------------------------------------------------------- wrappers


def move(bundle, name, arrays, rates, scales):
    """Move the targets of a bundle by the rule of that name, in one launch.

    bundle  a Bundle with the slots of the rule
    arrays  [parameter, gradient, parameter, gradient, ...]; where the gradient is None, the
            parameter is left as it is
    rates   float64 (groups, WIDTH): decay, limit, then the numbers of the rule
    scales  float64 (parameters,): by what each gradient is multiplied first

    Raises ValueError as `Bundle.run`.
    """
    bundle.run(RULES[name].kernel, arrays, rates, scales)


def squares(bundle, arrays):
    """The sum of the squares of each source, a float64 array; 0 where it is None.

    Within a chunk the sum has the dtype of the bundle, over chunks it is in float64.
    """
    parts = np.zeros(bundle.chunks + 1)
    bundle.run(square_kernel, arrays, parts)
    sums = np.add.reduceat(parts, bundle.table[:-1, START])
    return np.where(bundle.table[:-1, SIZE] > 0, sums, 0.0)
