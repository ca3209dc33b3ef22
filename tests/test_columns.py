"""Sums down the columns, and the gradient of relu in the same pass."""

import numpy as np
import pytest

from engine.kernels import columns

FLOATS = [np.float32, np.float64]


def integers(rng, shape, dtype):
    return rng.integers(-9, 10, shape).astype(dtype)


def transposed(x):
    return np.ascontiguousarray(x.T).T


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("m, n", [(0, 5), (1, 1), (3, 7), (5, 16), (9, 17), (700, 130)])
def test_sums_of_columns(rng, dtype, threads, m, n):
    g, out = integers(rng, (m, n), dtype), integers(rng, (m, n), dtype)
    before = g.copy()
    passed = np.where(out > 0, g, 0)
    for count in (1, 2, 3, 8):
        threads(count)
        for layout in (np.ascontiguousarray, transposed):
            found, same = columns.sums_of(layout(g))
            np.testing.assert_array_equal(found, before.sum(axis=0))
            np.testing.assert_array_equal(same, before)
            found, slope = columns.sums_of(layout(g), layout(out))
            np.testing.assert_array_equal(found, passed.sum(axis=0))
            np.testing.assert_array_equal(slope, passed)
            assert found.dtype == slope.dtype == dtype
    np.testing.assert_array_equal(g, before)


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_of_columns_have_the_same_bits_for_any_number_of_threads(rng, dtype, threads):
    g = rng.normal(size=(300, 301)).astype(dtype)
    threads(1)
    expected = columns.sums_of(g, g)
    for count in (2, 3, 8):
        threads(count)
        for one, right in zip(columns.sums_of(g, g), expected):
            assert one.tobytes() == right.tobytes()
