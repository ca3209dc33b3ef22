"""How many units in the last place the functions are off: `python -m tests.ulp [NAME ...]`.

Goes through all 2^32 values of float32 (`--step N`: every N-th), against float64. That takes a
minute or two for a function. tests/test_ulp.py does a part of it, and float64 against mpmath.
"""

import argparse
import math

import numpy as np
from numba import njit

from engine.kernels import elementwise

from . import naive

PIECE = 1 << 22


def _sigmoid(x):
    return 1 / (1 + math.exp(-x))


def _softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


jit_sigmoid, jit_softplus = (njit(error_model="numpy")(f) for f in (_sigmoid, _softplus))
FAR = -1e3  # below it, what tends to -0 is taken for -0: infinity times 0 would be nan

# In float64, for float32 numbers as float64: what rounding does to these is far below their ulps.
FUNCTIONS = {
    "exp": lambda x: math.exp(x),
    "log": lambda x: math.log(x),
    "tanh": lambda x: math.tanh(x),
    "sigmoid": _sigmoid,
    "erf": lambda x: math.erf(x),
    "gelu": lambda x: 0.5 * x * math.erfc(-x / math.sqrt(2.0)) if not x < FAR else -0.0,
    "gelu_tanh": lambda x: (
        x * jit_sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)) if not x < FAR else -0.0
    ),
    "silu": lambda x: x * jit_sigmoid(x) if not x < FAR else -0.0,
    "softplus": _softplus,
    "log_sigmoid": lambda x: -jit_softplus(-x),
    "mish": lambda x: x * math.tanh(jit_softplus(x)) if not x < FAR else -0.0,
}


def reference(name):
    """The function on a float32 array, in float64."""
    function = njit(error_model="numpy")(FUNCTIONS[name])

    @njit(error_model="numpy")
    def each(x):
        out = np.empty(x.size, np.float64)
        for i in range(x.size):
            out[i] = function(np.float64(x[i]))
        return out

    return each


def worst(name, step):
    """The greatest error over every step-th float32, in ulps, and where it is."""
    exact, ours = reference(name), getattr(elementwise, name)
    error, place = 0.0, 0.0
    for low in range(0, 1 << 32, PIECE * step):
        bits = np.arange(low, min(1 << 32, low + PIECE * step), step, dtype=np.uint64)
        x = bits.astype(np.uint32).view(np.float32)
        errors = naive.ulps(ours(x), exact(x))
        at = errors.argmax()
        if errors[at] > error:
            error, place = float(errors[at]), float(x[at])
    return error, place


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.ulp", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*FUNCTIONS, []])
    parser.add_argument("--step", type=int, default=1, help="every how many-th number (1)")
    arguments = parser.parse_args()
    for name in arguments.names or FUNCTIONS:
        with np.errstate(all="ignore"):
            error, place = worst(name, arguments.step)
        print(f"{name:12} {error:.3f} ulp at {place!r}", flush=True)


if __name__ == "__main__":
    main()
