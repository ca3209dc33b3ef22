"""Times the package beside its peers: `python -m tests.benchmarks PART [OPTIONS OF THE PART]`."""

import argparse
import importlib
import os

PARTS = ("gemm", "overhead", "vector")


def main():
    # These make OpenBLAS use another kernel than its best. It reads them when NumPy is imported.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("options", nargs=argparse.REMAINDER, help="-h after a part shows them")
    arguments = parser.parse_args()
    importlib.import_module(f"{__package__}.{arguments.part}").main(arguments.options)


if __name__ == "__main__":
    main()
