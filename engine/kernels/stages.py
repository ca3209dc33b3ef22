"""Stages of work, one after the other, by threads that enter one parallel region for all of them.

To enter and leave a region takes a microsecond; to meet inside of one takes a fifth of that. The
parts of a stage are taken one by one. A thread takes the part of its own number first, which it had
in the stages before, so that what it works on lies in its caches. Then it waits for the others, and
after a while it takes what none of them has taken. So no thread is needed but one: if those of a
region come late, or one after the other, as it may be with any threading layer, all gets done.
"""

import os

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ._jit import inner
from .pointers import INDEX
from .vmath import VECTOR_BYTES

MOST = 64  # threads
PATIENCE = 200  # looks at whether the others are done, before their parts are taken: some 4 us

# Where in the shared words is what: how many parts were done, whether to stop, and for each part
# the stage after the last one that it was taken in. Each has a cache line, which threads pass on.
LINE = VECTOR_BYTES // 8
DONE, STOPPED, TAKEN = 0, LINE, 2 * LINE
WORDS = TAKEN + MOST * LINE


@intrinsic
def address_of(typingctx, pointer):
    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], INDEX)

    return types.int64(pointer), codegen


@intrinsic
def add(typingctx, words, at, count):
    """Add to a word; what this thread has written is there for those who see it."""

    def codegen(context, builder, signature, args):
        builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), args[2], "acq_rel")
        return context.get_dummy_value()

    return types.void(words, types.int64, types.int64), codegen


@intrinsic
def seen(typingctx, words, at):
    """A word, as it is now."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(builder.gep(args[0], [args[1]]), "acquire", 8)

    return types.int64(words, types.int64), codegen


@intrinsic
def replace(typingctx, words, at, old, new):
    """Make a word `new` if it is `old`; whether it was."""

    def codegen(context, builder, signature, args):
        words, at, old, new = args
        found = builder.cmpxchg(builder.gep(words, [at]), old, new, "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(words, types.int64, types.int64, types.int64), codegen


def _calls(name, result):
    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(result, [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return codegen


def _nothing(context, builder, signature, args):
    return context.get_dummy_value()


@intrinsic
def pause(typingctx):
    """Tell the CPU that this thread waits."""

    def codegen(context, builder, signature, args):
        is_x86 = context.codegen().magic_tuple()[0].startswith("x86")
        emit = _calls("llvm.x86.sse2.pause", ir.VoidType()) if is_x86 else _nothing
        return emit(context, builder, signature, args)

    return types.void(), codegen


@intrinsic
def give_way(typingctx):
    """Let another thread have this CPU, where there are more than those."""
    return types.void(), _calls("sched_yield", ir.IntType(32)) if os.name == "posix" else _nothing


@inner
def begin(words):
    """The address of words of which no stage is done yet; they are WORDS on the caller's stack."""
    for at in range(WORDS):
        words[at] = 0
    return address_of(words)


@inner
def take(words, stage, part):
    """Whether that part of a stage, 0 or more, had not been taken; now it is."""
    at = TAKEN + part * LINE
    before = seen(words, at)
    return before <= stage and replace(words, at, before, stage + 1)


@inner
def next_part(words, stage, own, parts, done):
    """The next part of a stage for a thread to do; -1 once all are done.

    own   the number of the thread
    done  how many parts are done at the end of the stage, of this and those before
    """
    if own < parts and take(words, stage, own):
        return own
    while True:
        for _ in range(PATIENCE):
            if seen(words, DONE) >= done:
                return -1
            pause()
        for part in range(parts):
            if take(words, stage, part):
                return part
        give_way()
