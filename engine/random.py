"""Where all random numbers come from: a NumPy generator, set by `seed`.

Every thread draws from a generator of its own, so that what one draws never depends on what the
others do. The thread that calls `seed` draws from the generator of that seed; a thread that never
did, from one spawned, at its first draw, from the last seed that any thread gave.
"""

import threading
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np

from .tensor import asarray, dtype_of, leaf, wrap


class _Own(threading.local):
    """A thread's generator, and the seeds it was spawned from: None if the thread has seeded."""

    generator = None
    seeds = None


_own = _Own()
_seeds = np.random.SeedSequence()
_spawning = threading.Lock()


def seed(n):
    """Start the generator anew from the integer `n` >= 0: what follows is then reproducible."""
    global _seeds
    try:
        seeds = np.random.SeedSequence(n)
    except (TypeError, ValueError):
        seeds = None
    if seeds is None or n is None:
        raise ValueError(f"seed: expected an integer of at least 0, got {n!r}")
    _seeds = seeds
    _own.generator, _own.seeds = np.random.default_rng(seeds), None


def generator():
    """The generator (numpy.random.Generator) that everything in this thread draws from."""
    if _own.generator is None or _own.seeds not in (None, _seeds):
        with _spawning:
            _own.seeds = _seeds
            _own.generator = np.random.default_rng(_own.seeds.spawn(1)[0])
    return _own.generator


def key():
    """An integer drawn from the generator, to start another one from."""
    return int(generator().integers(2**63))


def state():
    """Where the generator stands: what is drawn next can be drawn again by `drawing_from` it."""
    return generator().bit_generator.state


@contextmanager
def drawing_from(key):
    """Inside the `with` block this thread draws from a generator that starts from `key`.

    key  an integer, or what `state` gave.
    """
    replay = np.random.default_rng(0 if isinstance(key, dict) else key)
    if isinstance(key, dict):
        replay.bit_generator.state = key
    before = _own.generator, _own.seeds
    _own.generator, _own.seeds = replay, None
    try:
        yield
    finally:
        _own.generator, _own.seeds = before


# ------------------------------------------------------------------------------- distributions


def normal(shape=(), mean=0.0, std=1.0, *, dtype="float32", requires_grad=False):
    """A Tensor of numbers from the normal distribution, of standard deviation `std` >= 0.

    Raises ValueError or TypeError, as all of these do, for parameters that make no sense.
    """
    _check("normal", mean=mean, std=std)
    if std < 0:
        raise ValueError(f"normal: expected a std of at least 0, got {std}")
    out = _drawn("normal", "standard_normal", shape, _float("normal", dtype))
    out *= std
    out += mean
    return leaf(out, requires_grad)


def uniform(shape=(), low=0.0, high=1.0, *, dtype="float32", requires_grad=False):
    """A Tensor of numbers evenly spread from `low` up to `high`, which is itself excluded."""
    _check("uniform", low=low, high=high)
    if low > high:
        raise ValueError(f"uniform: expected low <= high, got low={low}, high={high}")
    out = _drawn("uniform", "random", shape, _float("uniform", dtype))
    out *= high - low
    out += low
    # Rounding may have reached `high`.
    np.minimum(out, np.nextafter(out.dtype.type(high), out.dtype.type(low)), out=out)
    return leaf(out, requires_grad)


def bernoulli(shape=(), p=0.5, *, dtype="float32"):
    """A Tensor of ones, each with probability `p`, and zeros."""
    _check("bernoulli", p=p)
    if not 0 <= p <= 1:
        raise ValueError(f"bernoulli: expected a probability p from 0 to 1, got {p}")
    return wrap(np.asarray(_drawn("bernoulli", "random", shape) < p, dtype=dtype_of(dtype)))


def integers(shape=(), low=0, high=2, *, dtype="int64"):
    """A Tensor of integers from `low` to `high` - 1, each equally likely."""
    if dtype_of(dtype).kind not in "iu":
        raise TypeError(f"integers: expected an integer dtype, got {dtype_of(dtype)}")
    for name, value in (("low", low), ("high", high)):
        if not isinstance(value, Integral):
            raise TypeError(f"integers: expected an integer {name}, got {value!r}")
    return wrap(_drawn("integers", "integers", low, high, shape, dtype_of(dtype)))


def permutation(x):
    """The integers from 0 to x - 1 in random order; of a Tensor or array, its rows in such order.

    The gradient of a Tensor follows its rows.
    """
    if not isinstance(x, Integral):
        x = asarray(x)
        if x.ndim == 0:
            raise TypeError(
                "permutation: expected an integer, or rows to permute, got a 0-d Tensor"
            )
        return x[generator().permutation(len(x))]
    if x < 0:
        raise ValueError(f"permutation: expected an integer of at least 0, got {x}")
    return wrap(generator().permutation(int(x)))


def _check(name, **parameters):
    for parameter, value in parameters.items():
        if not isinstance(value, Real):
            raise TypeError(
                f"{name}: expected a number for {parameter}, got {type(value).__name__}; where it "
                "is an array or requires a gradient, compute with the Tensor that is drawn"
            )
        if not np.isfinite(value):
            raise ValueError(f"{name}: expected a finite {parameter}, got {value}")


def _float(name, dtype):
    target = dtype_of(dtype)
    if target.kind != "f":
        raise TypeError(f"{name}: expected dtype float32 or float64, got {target}")
    return target


def _drawn(name, method, *arguments):
    try:
        return np.asarray(getattr(generator(), method)(*arguments))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error} (got {', '.join(map(str, arguments))})") from None
