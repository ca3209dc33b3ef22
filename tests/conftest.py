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
