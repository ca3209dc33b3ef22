"""Where all random numbers come from: one NumPy generator, set by `seed`."""

from contextlib import contextmanager

import numpy as np

_generator = np.random.default_rng()


def seed(n):
    """Start the generator anew from the integer `n` >= 0: what follows is then reproducible."""
    global _generator
    try:
        _generator = np.random.default_rng(n)
    except (TypeError, ValueError) as error:
        raise ValueError(f"seed: expected an integer of at least 0, got {n!r}") from error


def generator():
    """The generator (numpy.random.Generator) that initializers and shuffling draw from."""
    return _generator


def key():
    """An integer drawn from the generator, to start another one from."""
    return int(_generator.integers(2**63))


@contextmanager
def drawing_from(key):
    """Inside the `with` block, everything draws from a generator that starts from `key`."""
    global _generator
    before = _generator
    _generator = np.random.default_rng(key)
    try:
        yield
    finally:
        _generator = before
