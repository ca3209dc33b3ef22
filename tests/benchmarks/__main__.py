"""Times the package beside its peers: `python -m tests.benchmarks [PART ...] [OPTIONS]`.

Every part checks each result against a reference before it times it, lets ours and theirs take
turns, and counts the best time of each. The ratio is ours over that of the fastest peer: below 1,
ours is faster. A peer that is not installed is left out and named.
"""

import argparse
import importlib
import os

# A part is a module of this package with `run(options, table)`, which adds its rows to the table.
PARTS = {
    "gemm": "matrix products beside NumPy's BLAS",
    "vector": "softmax, elementwise, reductions and updates beside NumPy, PyTorch and JAX",
    "normalization": "layers that normalize, forward and backward, beside PyTorch",
    "step": "training steps beside PyTorch, JAX, Keras and NumPy",
    "fit": "what fit costs beside the steps inside it",
    "job": "the main example, from the start of the process to its end",
    "start": "importing, and the first training step",
    "scaling": "two threads beside one",
    "exactness": "the same bits for any number of threads, and errors beside OpenBLAS's",
    "sequential": "a step by Sequential beside the same net by hand",
    "overhead": "what recording and walking back cost per operation",
}


def parser():
    parts = "\n".join(f"  {name:14}{what}" for name, what in PARTS.items())
    result = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=f"{__doc__}\nParts:\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("parts", nargs="*", metavar="PART", help="default: all")
    result.add_argument("--peers", nargs="+", help="only these: numpy, torch, compile, jax, ...")
    result.add_argument("--threads", type=int, nargs="+", help="default: 1 and all")
    result.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    result.add_argument("--cases", help="only cases whose name has this in it")
    result.add_argument("--turns", type=int, default=6, help="of each (default: %(default)s)")
    result.add_argument(
        "--avx2", action="store_true", help="ours and OpenBLAS's kernels for a CPU without AVX-512"
    )
    result.add_argument("--json", metavar="FILE", help="write what was measured")
    result.add_argument("--chart", metavar="FILE", help="draw it (PNG or SVG; needs matplotlib)")
    result.add_argument(
        "--readme", metavar="FILE", nargs="+", help="rewrite the performance table in it"
    )
    result.add_argument("--load", metavar="FILE", help="measure nothing: take this JSON")
    return result


def main():
    arguments = parser()
    options = arguments.parse_args()
    # These make OpenBLAS use another kernel than its best. It reads them when NumPy is imported.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    if options.avx2:
        os.environ |= {"OPENBLAS_CORETYPE": "Haswell", "NUMBA_CPU_NAME": "haswell"}
        os.environ["NUMBA_CPU_FEATURES"] = ""  # those of the name
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        arguments.error(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")

    from . import chart, machine, publish, report

    if options.load:
        described, rows = report.load(options.load)
    else:
        described = machine.describe()
        for name, value in described.items():
            print(f"{name:15}{value}")
        table = report.Table()
        for part in options.parts or PARTS:
            importlib.import_module(f"{__package__}.{part}").run(options, table)
            table.finish()
        rows = table.rows
    if options.json:
        report.save(options.json, described, rows)
    if options.chart:
        chart.draw(options.chart, described, rows)
    for path in options.readme or ():
        publish.rewrite(path, described, rows)


if __name__ == "__main__":
    main()
