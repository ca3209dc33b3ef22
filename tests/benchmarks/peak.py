"""The most multiply-adds that the machine can do: operands in registers, no memory at all."""

import time

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

STEPS = 10_000
CHAINS = (4, 6, 8, 12)  # as many as hide the latency and fit the registers: depends on the CPU


def chains_of(count):
    """A function that does STEPS steps of `count` independent chains of vector multiply-adds."""

    @intrinsic
    def chains(typingctx, x, steps):
        lanes = 512 // x.bitwidth

        def codegen(context, builder, signature, args):
            vector = ir.VectorType(args[0].type, lanes)
            fma = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector] * 3),
                f"llvm.fmuladd.v{lanes}f{x.bitwidth}",
            )
            undefined = ir.Constant(vector, ir.Undefined)
            single = builder.insert_element(undefined, args[0], ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
            factor = builder.shuffle_vector(single, undefined, zeros)
            sums = [
                cgutils.alloca_once_value(builder, ir.Constant(vector, [float(i)] * lanes))
                for i in range(count)
            ]
            with cgutils.for_range(builder, args[1]):
                for total in sums:
                    value = builder.call(fma, [builder.load(total), factor, factor])
                    builder.store(value, total)
            result = args[0]
            for total in sums:
                lane = builder.extract_element(builder.load(total), ir.IntType(32)(0))
                result = builder.fadd(result, lane)
            return result

        return x(x, types.int64), codegen

    @njit(parallel=True)
    def run(x, out, threads):
        if threads == 1:
            out[0] = chains(x, STEPS)
        else:
            for t in prange(threads):
                out[t] = chains(x, STEPS)

    return run


def gflops(dtype, threads):
    """GFLOP/s of that many threads together."""
    out = np.empty(threads, dtype)
    best = 0.0
    for count in CHAINS:
        run = chains_of(count)
        for _ in range(200):
            start = time.perf_counter()
            run(dtype(0.5), out, threads)
            flops = 2 * STEPS * count * 64 // out.itemsize * threads
            best = max(best, flops / (time.perf_counter() - start) / 1e9)
    return best
