"""A thread that waits for the others at the end of a kernel gives up its CPU after a while.

GNU's OpenMP lets it turn in a loop first, as waking it up takes longer than most kernels; for some
milliseconds, unless it is told otherwise. Where other processes want CPUs too, the thread that it
waits for may stand in line for that very CPU. SPINS turns, some 0.2 ms, outlast what lies between
two kernels of a training step. Where the environment has a word on it, that holds.

The library reads the environment once, when Numba loads it for the first kernel with threads.
"""

import os

SPINS = 20_000
VARIABLES = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"


def limit_spinning():
    """Set the number of turns for this process and those that it starts, if nobody has."""
    if not any(name in os.environ for name in VARIABLES):
        os.environ[VARIABLES[0]] = str(SPINS)


limit_spinning()
