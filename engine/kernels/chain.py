"""A step of training a chain of dense layers in one call: forward, loss, backward and update.

Kernel by kernel, Python comes between two of them, and what one has written the next reads again
from memory; of a step on few examples these two are the most part. Here one call goes through all
layers, by a table of where their arrays lie. The gradient of the weights is not kept where a tile
of registers has all of it: it moves its weights at once. For one example, which leaves time for
nothing but reading the weights, one pass over them does all of the way back.

A call is a row of stages: a look at the examples where that is asked for, a forward for each layer,
the loss, a backward for each layer. In a stage the threads share out the columns or rows of what it
writes; the next one begins when all are done: see `stages`. Each number is the result of the same
operations in the same order as in the kernels that do one thing each, so that the bits are the
same.
"""

import numpy as np
from numba import prange

from . import reduce
from ._jit import ONE, ZERO, get_num_threads, inner, kernel, launch, plain
from .bundle import GROUP, SLOTS, array_at
from .columns import sum_columns
from .cuts import cut
from .dots import LONG, are_better_dots, dot_block, dots
from .elementwise import binary_cross_entropy, binary_cross_entropy_grad
from .gemm import (
    NARROW,
    PORTION,
    TURN,
    block,
    block_share,
    end_row,
    is_better_turned,
    portion_of_row,
    share_of,
    turned_block,
)
from .memory import aligned
from .moves import end_moves, no_sums
from .panels import (
    A_TRANSPOSED,
    B_TRANSPOSED,
    COLUMNS,
    DEPTH,
    LEFT_ROOM,
    RELU,
    SHALLOW,
    bytes_of,
    room_of_columns,
    strips,
)
from .pointers import data, pointer_at, stack_room
from .registers import tile_rows, tile_vectors
from .softmax import do_rows
from .stages import DONE, MOST, STOPPED, WORDS, add, begin, next_part, seen
from .update import DECAY, LIMIT, move_block
from .vmath import compute, first, formula, lanes, load, store

LOSSES = "sparse", "dense", "binary"  # cross-entropies, from logits
RULES = {"sgd": 0, "adam": 2}  # that a chain can be moved by, with the number of their slots

# Columns of the table, which has a row for each layer. Kernel and bias have four each: the address
# of the elements, the row of the rates, and the addresses of the slots.
INPUTS, OUTPUTS, FORM, OUT, KERNEL = range(5)
BIAS, WIDTH = KERNEL + 4, KERNEL + 8
ADDRESS, RATES, FIRST, SECOND = range(4)

# Of the plan: which rule and loss, whether to look if the examples are finite, and the addresses of
# what is used again in each step.
RULE, LOSS, LOOKS, SLOPES = range(4)  # of SLOPES there are two, and of PORTIONS: for layers in turn
LOSS_VALUES, SEEDS, GRADIENTS, TURNED, SUMS, PORTIONS = range(SLOPES + 2, SLOPES + 8)
MEAN = PORTIONS + 2
PLAN = MEAN + 1

# A stage is worth threads from so many multiply-adds of a product on, or elements of a kernel,
# however few the examples are, or logits, or elements of the examples.
PARALLEL, WEIGHTS, LOGITS, LOOKED_AT = 300_000, 1 << 16, 18_000, 1 << 16

LOOK = -1  # the stage before the others, where it is asked for

# What a call returns for a step that was made, and for examples that are not all finite.
STEPPED, NOT_FINITE = -1, -2


@formula
def outer(x, y):
    return x * y + x.like(0.0)  # as a product of matrices adds up, from 0


@formula
def plus_product(total, x, y):
    return total + x * y


@formula
def lane_sum(x):
    """The sum over the lanes, in the first one, in the order in which dot products have it."""
    distance = x.count // 2
    while distance:
        x = x + x.rotated(distance)
        distance //= 2
    return x


formula(binary_cross_entropy.__wrapped__)
formula(binary_cross_entropy_grad.__wrapped__)

# ------------------------------------------------------------------------------------ kernel


@inner
def input_of(layers, layer, x):
    """What a layer takes: the output of the one before."""
    if layer == 0:
        return x
    return array_at(x, layers[layer - 1, OUT], (x.shape[0], layers[layer, INPUTS]))


@inner
def is_dot(inputs, outputs):
    """Whether a layer's output is one dot product for each example."""
    return outputs == 1 and inputs >= LONG


@inner
def forward(layers, layer, plan, x, scratch, part, parts):
    """A share of a layer's output: as in `gemm`, of the rows where packing pays, or the columns."""
    m, inputs, outputs = x.shape[0], layers[layer, INPUTS], layers[layer, OUTPUTS]
    a = input_of(layers, layer, x)
    out = array_at(x, layers[layer, OUT], (m, outputs))
    weights = array_at(x, layers[layer, KERNEL], (inputs, outputs))
    bias = array_at(scratch, layers[layer, BIAS], (outputs,))
    if m == 1:
        forward_one(layers, layer, plan, a.reshape(-1), weights, part, parts)
    if is_dot(inputs, outputs):
        top, bottom = cut(m, 4, part, parts)
        dots(a, weights.reshape(-1), out.reshape(-1), top, bottom)
        for i in range(top, bottom):
            total = out[i, 0] + bias[0]
            out[i, 0] = 0 if layers[layer, FORM] == RELU and total < 0 else total
    elif m > 1:
        operands = a, weights, bias, out, layers[layer, FORM]
        block_share(operands, share_of(scratch, part, parts), part, parts)


@inner
def forward_one(layers, layer, plan, a, weights, part, parts):
    """Of one example, for a share of a layer's inputs: what they are, and their portions."""
    inputs, outputs = weights.shape
    has_portions = not is_dot(inputs, outputs)
    low, high = cut(inputs, PORTION if has_portions else inputs, part, parts)
    if layer > 0:
        finish_one(layers, layer - 1, plan, a, low, high)
    sums = portions_of(layers, layer, plan, a)
    # The last rows first: the way back, which begins with the first, has just written them, and
    # finds the first ones read just now.
    for i in range((high - low - 1) // PORTION if has_portions else -1, -1, -1):
        start = low + i * PORTION
        target, rows = (data(sums), start // PORTION * outputs), (start, min(start + PORTION, high))
        portion_of_row((data(a), ONE), (data(weights), outputs), outputs, target, outputs, rows)


@inner
def portions_of(layers, layer, plan, like):
    """Of one example, for each portion of a layer's inputs its share of the sums for the outputs.

    So a thread reads those rows of the weights that it has written in the step before. What others
    have written comes from their caches, which takes longer than all else of one example.
    """
    count = (layers[layer, INPUTS] + PORTION - 1) // PORTION
    return array_at(like, plan[PORTIONS + layer % 2], (count * layers[layer, OUTPUTS],))


@inner
def finish_one(layers, layer, plan, like, low, high):
    """Of one example, make the outputs from low to high of the sums of the portions."""
    inputs, outputs = layers[layer, INPUTS], layers[layer, OUTPUTS]
    if is_dot(inputs, outputs):
        return
    sums = portions_of(layers, layer, plan, like)
    out = array_at(like, layers[layer, OUT], (outputs,))
    bias = array_at(like, layers[layer, BIAS], (outputs,))
    for j in range(low, high, lanes(like)):
        total = load(sums, j, high - j, 0.0)
        for start in range(j + outputs, sums.size, outputs):
            total = compute("add", total, load(sums, start, high - j, 0.0))
        store(out, j, high - j, total)
    end_row((data(out), low), (data(bias), low), high - low, layers[layer, FORM])


@inner
def loss_rows(plan, x, logits, labels, targets, slope, low, high):
    """The losses of the rows from low to high, and their gradients in respect of the logits."""
    m, n = logits.shape
    size = m * n if plan[LOSS] == 2 else m
    flat, flat_slope = logits.reshape(-1), slope.reshape(-1)
    values = array_at(flat, plan[LOSS_VALUES], (size,))
    seeds = array_at(flat, plan[SEEDS], (size,))
    t = targets.reshape(-1)
    if plan[LOSS] == 0:
        do_rows("cross_entropy_rows", seeds, flat, labels, values, n, low, high)
        do_rows("cross_entropy_grad_rows", seeds, flat, labels, flat_slope, n, low, high)
    elif plan[LOSS] == 1:
        do_rows("cross_entropy_rows", seeds, flat, t, values, n, low, high)
        do_rows("cross_entropy_grad_rows", seeds, flat, t, flat_slope, n, low, high)
    else:
        for at in range(low * n, high * n, lanes(flat)):
            rest = high * n - at
            z, target = load(flat, at, rest, 0.0), load(t, at, rest, 0.0)
            seed = load(seeds, at, rest, 0.0)
            store(values, at, rest, compute("binary_cross_entropy", z, target))
            slopes = compute("binary_cross_entropy_grad", seed, z, target)
            store(flat_slope, at, rest, slopes)


@inner
def input_slope(g, weights, slope, turned, scratch, top, bottom):
    """The columns from top to bottom of the gradient of a layer's input.

    Each way is the one that `gemm.matmul` takes for the same product.
    """
    m, outputs = g.shape
    if m == 1 and outputs >= LONG:
        dots(weights, g.reshape(-1), slope.reshape(-1), top, bottom)
    elif are_better_dots(m, len(weights), outputs, bytes_of(scratch, 1), tile_vectors() > 1):
        dot_block(g, weights, slope, 0, m, top, bottom)
    elif outputs > SHALLOW and is_better_turned(m, len(weights)):
        turned_block(g, weights, turned, slope, scratch, top, bottom)
    else:
        operands = g, weights, scratch[:0], slope, ZERO + B_TRANSPOSED
        block(operands, scratch, ZERO, m, top, bottom)


@inner
def mask(a, slope, top, bottom):
    """Set those columns of the gradient to 0 where what relu made of them, `a`, is not positive."""
    flat, flat_a, n = slope.reshape(-1), a.reshape(-1), slope.shape[1]
    for i in range(slope.shape[0]):
        for j in range(top, bottom, lanes(flat)):
            at, rest = i * n + j, bottom - j
            passed = compute("passed", load(flat, at, rest, 0.0), load(flat_a, at, rest, 0.0))
            store(flat, at, rest, passed)


@inner
def numbers_of(cells, rates):
    of = rates[cells[RATES]]
    return of[0], of[1], of[2], of[3], of[4], of[5], of[6], of[7]


@inner
def is_bare(numbers):
    """Whether gradients are not clipped and parameters do not decay."""
    return numbers[DECAY] == 1 and numbers[LIMIT] == np.inf


@inner
def move(rule, cells, rates, g, of_one, start, size):
    """Move `size` parameters, of which `start` are before.

    g       their gradients; or of one example those of the outputs, for each row of the weights
    of_one  then (inputs, gradients that these get), of those rows, the latter perhaps empty; or
            None
    """
    numbers, at = numbers_of(cells, rates), bytes_of(g, start)
    target = array_at(g, cells[ADDRESS] + at, (size,))
    if rule == 0 and is_bare(numbers):
        move_rows("sgd", (target,), g, of_one, None, numbers)
    elif rule == 0:
        move_rows("sgd", (target,), g, of_one, 1.0, numbers)
    else:
        mean = array_at(g, cells[FIRST] + at, (size,))
        variance = array_at(g, cells[SECOND] + at, (size,))
        move_rows("adam", (target, mean, variance), g, of_one, 1.0, numbers)


@inner
def move_rows(name, targets, g, of_one, scale, numbers):
    """Row by row; of one example, with the gradient of the input that each row belongs to."""
    weights, n = data(targets[0]), g.size
    for i in range(targets[0].size // max(1, n)):
        total = load(g, 0, 0, 0.0)
        for j in range(0, n, lanes(g)):
            at, rest = i * n + j, n - j
            gradient = load(g, j, rest, 0.0)
            if of_one is not None:
                total = compute("plus_product", total, gradient, load(weights, at, rest, 0.0))
                gradient = compute("outer", gradient, of_one[0][i])
            move_block(name, targets, gradient, at, rest, scale, numbers)
        if of_one is not None:
            set_slope(of_one[1], i, total)


@inner
def set_slope(slope, i, total):
    if slope.size > 0:
        slope[i] = first(compute("lane_sum", total))


@inner
def move_by_product(rule, cells, rates, matrices, scratch, rows):
    """Move the rows of weights by the gradient, a transposed matrix times another one.

    Each tile of it moves its weights as soon as it is there, or beside the products of the next.
    """
    (a, inputs), (g, outputs), m = matrices
    numbers, room = numbers_of(cells, rates), stack_room(g, LEFT_ROOM)
    left, right, target = (a, (ONE, inputs)), (g, outputs), pointer_at(g, cells[ADDRESS])
    operands, of_rule = (left, right, (target, outputs)), (numbers, is_bare(numbers), no_sums(g))
    if rule == 0:
        strips_that_move("sgd", operands, of_rule, data(scratch), room, m, rows)
    else:
        slots = pointer_at(g, cells[FIRST]), pointer_at(g, cells[SECOND])
        strips_that_move("adam", operands, slots + of_rule, data(scratch), room, m, rows)


@inner
def strips_that_move(name, operands, given, packed, room, m, rows):
    """The same for the rule of that name, a literal; `given` is what a `tile` gets for it."""
    left, right, (target, outputs) = operands
    matrices = left, right, given, (target, outputs), ZERO
    strips(name, matrices, packed, room, COLUMNS, m, rows, (ZERO, outputs))
    end_moves(name, (target, ZERO, outputs), given)


@inner
def backward(layers, layer, plan, x, scratch, rates, part, parts):
    """For a share of a layer's inputs the gradient, then the update of the weights they have."""
    m, inputs, outputs = x.shape[0], layers[layer, INPUTS], layers[layer, OUTPUTS]
    a, g = input_of(layers, layer, x), array_at(x, plan[SLOPES + layer % 2], (m, outputs))
    nothing, own, cells = scratch[:0], share_of(scratch, part, parts), layers[layer, KERNEL:BIAS]
    weights = array_at(x, layers[layer, KERNEL], (inputs, outputs))
    slope = array_at(x, plan[SLOPES + (layer + 1) % 2], (m, inputs))
    has_slope = layer > 0
    move_bias(layers, layer, plan, g, nothing, rates, part, parts)
    top, bottom = cut(inputs, PORTION if m == 1 else tile_rows(), part, parts)
    start, size = top * outputs, (bottom - top) * outputs
    if m == 1 and outputs >= LONG and outputs % lanes(x) == 0:
        slopes = slope.reshape(-1)[top:bottom] if has_slope else nothing
        of_one = a.reshape(-1)[top:bottom], slopes
        move(plan[RULE], cells, rates, g.reshape(-1), of_one, start, size)
    else:
        if has_slope:
            turned = array_at(x, plan[TURNED], (inputs, m))
            input_slope(g, weights, slope, turned, own, top, bottom)
        if are_moved_by_tiles(m, outputs):
            matrices = (data(a), inputs), (data(g), outputs), m
            move_by_product(plan[RULE], cells, rates, matrices, own, (top, bottom))
        else:
            whole = array_at(x, plan[GRADIENTS], (inputs, outputs))
            block((a, g, nothing, whole, ZERO + A_TRANSPOSED), own, top, bottom, ZERO, outputs)
            gradients = array_at(scratch, plan[GRADIENTS] + bytes_of(scratch, start), (size,))
            move(plan[RULE], cells, rates, gradients, None, start, size)
    if has_slope and layers[layer - 1, FORM] == RELU:
        mask(a, slope, top, bottom)


@inner
def are_moved_by_tiles(m, outputs):
    """Whether tiles have all of the sums, and are what `gemm` makes such a product of."""
    return m <= DEPTH and outputs > NARROW


@inner
def move_bias(layers, layer, plan, g, nothing, rates, part, parts):
    outputs = g.shape[1]
    left, right = cut(outputs, lanes(nothing), part, parts)
    sums = array_at(nothing, plan[SUMS], (outputs,))
    sum_columns(g, g[:0], g[:0], sums, left, right)
    source = array_at(nothing, plan[SUMS] + bytes_of(nothing, left), (right - left,))
    move(plan[RULE], layers[layer, BIAS:WIDTH], rates, source, None, left, right - left)


@inner
def do_stage(stage, operands, words, part, parts):
    scratch, layers, plan, x, labels, targets, rates = operands
    count, m = layers.shape[0], x.shape[0]
    if stage == LOOK:
        low, high = cut(x.size, lanes(x), part, parts)
        add(words, ZERO + STOPPED, ZERO + (not reduce.are_finite(x.reshape(-1), low, high)))
    elif stage < count:
        forward(layers, stage, plan, x, scratch, part, parts)
    elif stage == count:
        outputs = layers[count - 1, OUTPUTS]
        logits = array_at(x, layers[count - 1, OUT], (m, outputs))
        slope = array_at(x, plan[SLOPES + (count - 1) % 2], (m, outputs))
        low, high = m * part // parts, m * (part + 1) // parts
        if m == 1 and low < high:
            finish_one(layers, count - 1, plan, scratch, 0, outputs)
        loss_rows(plan, x, logits, labels, targets, slope, low, high)
    else:
        backward(layers, 2 * count - stage, plan, x, scratch, rates, part, parts)


@inner
def is_worth_threads(stage, layers, m):
    count = layers.shape[0]
    if stage == LOOK:
        return m * layers[0, INPUTS] >= LOOKED_AT
    layer = stage if stage < count else 2 * count - stage
    if stage == count:
        return m * layers[count - 1, OUTPUTS] >= LOGITS
    size = layers[layer, INPUTS] * layers[layer, OUTPUTS]
    return m * size >= PARALLEL or size >= WEIGHTS


@inner
def stages_from(stage, layers, m, threads):
    """(where the stages end that are done without a meeting from that one on, in how many parts).

    What is not worth threads is done by one, stage after stage.
    """
    stop, last = stage + 1, 2 * layers.shape[0] + 1
    if is_worth_threads(stage, layers, m):
        return stop, threads
    while LOOK < stage and stop < last and not is_worth_threads(stop, layers, m):
        stop += 1
    return stop, ONE


@inner
def do_stages(operands, words, stage, thread, threads):
    """What a thread has to do of all stages from that one on."""
    layers, x, done = operands[1], operands[3], ZERO
    while stage <= 2 * layers.shape[0] and seen(words, ZERO + STOPPED) == 0:
        stop, parts = stages_from(stage, layers, x.shape[0], threads)
        done += parts
        part = next_part(words, stage - LOOK, thread, parts, done)
        while part >= 0:
            for at in range(stage, stop):
                do_stage(at, operands, words, part, parts)
            add(words, ZERO + DONE, ONE)
            part = next_part(words, stage - LOOK, thread, parts, done)
        stage = stop


@kernel(
    "int64(T[::1], int64[:, ::1], int64[::1], T[:, ::1], int64[::1], T[:, ::1], "
    "float64[:, ::1], int64)"
)
def chain_step(scratch, layers, plan, x, labels, targets, rates, threads):
    """Returns STEPPED; or NOT_FINITE, or the first row whose label is out of range."""
    m, count = x.shape[0], layers.shape[0]
    for row in range(labels.size):
        if not 0 <= labels[row] < layers[count - 1, OUTPUTS]:
            return row
    operands = scratch, layers, plan, x, labels, targets, rates
    words = stack_room(data(plan), WORDS)
    stage, shared = ZERO + LOOK if plan[LOOKS] else ZERO, begin(words)
    threads = min(threads, MOST)
    if threads == 1:
        do_stages(operands, words, stage, ZERO, ONE)
    else:
        for t in prange(threads):
            do_stages(operands, pointer_at(data(plan), shared), stage, np.int64(t), threads)
    if seen(words, ZERO + STOPPED) != 0:
        return NOT_FINITE
    size = m * layers[count - 1, OUTPUTS] if plan[LOSS] == 2 else m
    losses = array_at(scratch, plan[LOSS_VALUES], (size,))
    mean = array_at(scratch, plan[MEAN], (1,))
    reduce.do_parts("sum", losses, mean, size, 1, size, float(size), 0, 1)
    return STEPPED


# -------------------------------------------------------------------------------- from Python


class Plan:
    """A chain of dense layers as the kernel takes it, and the arrays that every step uses again.

    layers  for each (form, kernel, its row, bias, its row): 0 or RELU; C-contiguous arrays (inputs,
            outputs) and (outputs,) of one dtype; and of each the row in the table of a Bundle,
            which has its slots
    loss    one of LOSSES
    rule    one of RULES

    The arrays must outlive the plan. No kernel has a single row.
    """

    def __init__(self, layers, loss, rule):
        self.dtype = layers[0][1].dtype
        self._sizes = [weights.shape for _, weights, *_ in layers]
        self._is_binary = loss == "binary"
        self._table = np.zeros((len(layers), WIDTH), np.int64)
        for row, (form, weights, of_weights, bias, of_bias) in zip(self._table, layers):
            row[:OUT] = *weights.shape, form
            for start, array, of in ((KERNEL, weights, of_weights), (BIAS, bias, of_bias)):
                slots = of[SLOTS : SLOTS + RULES[rule]]
                row[start : start + FIRST] = array.ctypes.data, of[GROUP]
                row[start + FIRST : start + FIRST + len(slots)] = slots
        self._plan = np.zeros(PLAN, np.int64)
        self._plan[:LOOKS] = list(RULES).index(rule), LOSSES.index(loss)
        self._no_labels = np.empty(0, np.int64)
        self._no_targets = np.empty((0, 0), self.dtype)
        self._room = self._threads = self._count = 0
        self._looks = False

    def run(self, x, labels, targets, rates, looks):
        """A step on a batch. Returns as `chain_step` does.

        x        (m, inputs) of the dtype of the plan
        labels   (m,) of int64, or None, then
        targets  (m, outputs) of the dtype of the plan
        rates    as in `update.move`
        looks    whether to look first if all of `x` is finite

        After it `logits` (m, outputs) are those of the batch; the next step overwrites them.
        """
        count, threads = len(x), get_num_threads()
        if count > self._room or threads > self._threads:
            self._make_room(max(count, self._room), max(threads, self._threads))
        if count != self._count:
            self._set_count(count)
        labels = self._no_labels if labels is None else plain(labels)
        targets = self._no_targets if targets is None else plain(targets)
        if looks != self._looks:
            self._looks = self._plan[LOOKS] = looks
        arrays = plain(x), labels, targets, rates
        return launch(chain_step, self._scratch, self._table, self._plan, *arrays)

    def loss(self):
        """The mean of the losses of the last batch, an array without axes."""
        n = self._losses.size
        if n <= reduce.PARALLEL:
            return self._mean.copy()
        return reduce.total(self._losses, reduce.plan_of((n,), (0,)), (), n)

    def _make_room(self, count, threads):
        inputs, outputs = zip(*self._sizes)
        widest, units = max(*inputs, *outputs), outputs[-1]
        sizes = [i * o for i, o in self._sizes if not are_moved_by_tiles.py_func(count, o)]
        gradients = max(sizes, default=0)
        slopes = count * max(outputs[::2]), count * max(outputs[1::2], default=0)
        turned, losses = max(inputs) * min(count, TURN), count * units
        portions = max(-(-i // PORTION) * o for i, o in self._sizes)
        sizes = [*slopes, losses, losses, gradients, turned, max(outputs)]
        sizes += portions, portions, 1
        self._outs = [aligned((count * size,), self.dtype) for size in outputs]
        packed = threads * room_of_columns(max(widest, TURN), self.dtype)
        self._scratch = aligned((packed,), self.dtype)
        self._kept = [aligned((size,), self.dtype) for size in sizes]  # as the plan names them
        self._values, self._seeds = self._kept[LOSS_VALUES - SLOPES :][:2]
        self._mean = self._kept[MEAN - SLOPES].reshape(())
        self._table[:, OUT] = [out.ctypes.data for out in self._outs]
        self._plan[SLOPES:] = [array.ctypes.data for array in self._kept]
        self._room, self._threads, self._count = count, threads, 0

    def _set_count(self, count):
        units = self._sizes[-1][1]
        size = count * units if self._is_binary else count
        self._seeds[:size] = np.ones(1, self.dtype) / size
        self.logits = self._outs[-1][: count * units].reshape(count, units)
        self._losses = self._values[:size]
        self._count = count
