import signal

import numpy as np
import pytest

import engine


@pytest.fixture(autouse=True)
def _seeded():
    """Every test draws the same numbers, whatever ran before it."""
    engine.seed(20_26)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def threads():
    """engine.set_num_threads, put back afterwards."""
    before = engine.get_num_threads()
    yield engine.set_num_threads
    engine.set_num_threads(before)


@pytest.fixture
def ctrl_c():
    """Ctrl-C with Python's own meaning, which a process in the background may have ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
