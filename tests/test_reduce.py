"""The kernels of sums and extremes, against NumPy in more digits and against math.fsum."""

import math

import numpy as np
import pytest

import engine
from engine.kernels import pairs, reduce

from . import naive

FLOATS = [np.float32, np.float64]
# One either side of the lanes, of the four chains and the blocks of a row, and of eight rows
LENGTHS = [1, 7, 8, 9, 16, 17, 31, 33, 63, 64, 65, 129, 511, 513, 1023, 1025, 2049]
# (shape, axes): rows, columns, both sides kept, all; long enough for chunks, and not
CASES = [((3, n), (1,)) for n in LENGTHS] + [((n, 5), (0,)) for n in LENGTHS]
CASES += [((4, 9, 17), (1,)), ((4, 9, 17), (0, 1)), ((4, 9, 17), (0, 1, 2)), ((2, 3, 1, 5), (2,))]
CASES += [((2, 150_001), (1,)), ((40_001, 4), (0,)), ((2, 3000, 33), (1,)), ((70, 2001), (1,))]


def reduced(name, x, axes):
    plan = reduce.plan_of(x.shape, axes)
    module = pairs if hasattr(pairs, name) else reduce
    return getattr(module, name)(x, plan)


def arrays(dtype, rng):
    """Of each case the shape, the axes, and an array, also in more digits."""
    for shape, axes in CASES:
        x = rng.normal(1, 3, shape).astype(dtype)
        yield shape, axes, x, naive.wide(x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_and_extremes_of_every_shape(dtype, rng):
    eps = np.finfo(dtype).eps
    for shape, axes, x, exact in arrays(dtype, rng):
        got = reduced("total", x, axes)
        size = np.abs(exact).sum(axis=axes).ravel()
        assert (np.abs(got - exact.sum(axis=axes).ravel()) <= 3 * eps * size).all(), shape
        np.testing.assert_array_equal(reduced("greatest", x, axes), x.max(axis=axes).ravel())
        np.testing.assert_array_equal(reduced("least", x, axes), x.min(axis=axes).ravel())


@pytest.mark.parametrize("dtype", FLOATS)
def test_variances_and_sums_of_exponentials_of_every_shape(dtype, rng):
    eps = np.finfo(dtype).eps
    for shape, axes, x, exact in arrays(dtype, rng):
        distances = exact - exact.mean(axis=axes, keepdims=True)
        got = reduced("variance", x, axes)
        expected = (distances**2).sum(axis=axes).ravel()
        np.testing.assert_allclose(got, expected.astype(dtype), rtol=8 * eps, atol=eps**2)
        peak = x.max(axis=axes, keepdims=True)
        got = np.exp(naive.wide(reduced("log_sum_exp", x, axes)) - peak.ravel())
        expected = np.exp(exact - peak).sum(axis=axes).ravel()
        rounding = 2 * eps * (np.abs(peak.ravel()) + np.log(expected))
        assert (np.abs(got / expected - 1) <= 8 * eps + rounding).all(), shape


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape, axis", [((3, 40_000), 1), ((40_000, 3), 0), ((300, 70), 0)])
def test_a_variance_beside_what_is_far_away(shape, axis, dtype, rng):
    """A large mean, first elements that are far from all others, and no variance at all."""
    eps, plan = np.finfo(dtype).eps, reduce.plan_of(shape, (axis,))
    spread = rng.normal(0, 1, shape)
    start = np.arange(shape[axis]) < shape[axis] // 1000
    jump = np.where(start, 0.0, 1000.0).reshape((-1, 1) if axis == 0 else (1, -1))
    for x, bound in ((spread + 0.25 / eps, 8), (spread * 1e-3 + jump, 100), (spread * 1e6, 8)):
        x = x.astype(dtype)
        apart = naive.wide(x) - naive.wide(x.take([0], axis))  # exact, or nearly so
        exact = apart.var(axis=axis)
        got = pairs.variance(x, plan, None, shape[axis])
        np.testing.assert_allclose(got, exact.astype(dtype), rtol=bound * eps)
    x = np.full(shape, dtype(1) / 3)
    assert not pairs.variance(x, plan).any()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape, axis", [((3, 40_000), 1), ((40_000, 3), 0), ((40, 3), 0)])
def test_exponentials_that_lie_far_apart(shape, axis, dtype, rng):
    """Peaks that grow and fall from chunk to chunk, beyond all that an exponential can hold."""
    eps, plan = np.finfo(dtype).eps, reduce.plan_of(shape, (axis,))
    along = np.linspace(-3, 3, shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
    for slope in (-2000, 2000, 300, 0.1):
        x = (slope * along + rng.normal(0, 1, shape)).astype(dtype)
        exact = naive.wide(x)
        peak = exact.max(axis=axis)
        expected = np.log(np.exp(exact - exact.max(axis=axis, keepdims=True)).sum(axis=axis)) + peak
        got = pairs.log_sum_exp(x, plan)
        np.testing.assert_allclose(got, expected.astype(dtype), rtol=4 * eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape, axis", [((1_000_003,), 0), ((4001, 300), 0), ((3, 300_000), 1)])
def test_a_sum_is_at_least_as_exact_as_that_of_numpy(shape, axis, dtype, rng):
    x = rng.uniform(0, 1, shape).astype(dtype)
    rows = np.moveaxis(x, axis, -1).reshape(-1, shape[axis])
    exact = np.array([math.fsum(row.tolist()) for row in rows])
    ours = np.abs(reduced("total", x, (axis,)) - exact).mean()
    assert ours <= np.abs(x.sum(axis=axis).ravel() - exact).mean() + np.spacing(exact[0]) / 2


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_and_infinity(dtype):
    for shape, axes in [((3, 40), (1,)), ((40, 3), (0,))]:
        for place in (0, 5, 39):
            x = np.ones(shape, dtype)
            lines = x if axes == (1,) else x.T
            lines[0, place], lines[1, place] = np.nan, -np.inf
            for name in ("total", "greatest", "least", "log_sum_exp"):
                assert np.isnan(reduced(name, x, axes)).tolist() == [True, False, False], name
            assert np.isnan(reduced("variance", x, axes)).tolist() == [True, True, False]
            assert reduced("total", x, axes)[1] == -np.inf
            assert reduced("greatest", x, axes)[1:].tolist() == [1, 1]
            assert reduced("least", x, axes)[1:].tolist() == [-np.inf, 1]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(5, 40), (5, 40_000)])
def test_logsumexp_of_infinities_in_every_place(shape, dtype):
    for place in (0, 17, shape[1] // 2, -1):
        x = np.full(shape, -3.0, dtype)
        x[1], x[2, place], x[3, place] = -np.inf, np.inf, -np.inf
        x[4] = -np.inf
        x[4, place] = 2.0
        left = np.log(shape[1] - 1.0) - 3
        expected = [np.log(shape[1]) - 3.0, -np.inf, np.inf, left, 2.0]
        for got in (reduced("log_sum_exp", x, (1,)), reduced("log_sum_exp", x.T.copy(), (0,))):
            np.testing.assert_allclose(got, np.array(expected, dtype), rtol=3e-6)
        x[2, 0], x[2, -1] = np.nan, np.inf
        for got in (reduced("log_sum_exp", x, (1,)), reduced("log_sum_exp", x.T.copy(), (0,))):
            assert np.isnan(got).tolist() == [False, False, True, False, False]


def test_logsumexp_of_infinities():
    x = np.array([[np.inf, 1], [-np.inf, 1], [-np.inf, -np.inf], [np.nan, 1]], "float32")
    np.testing.assert_array_equal(engine.logsumexp(x, axis=1), [np.inf, 1, -np.inf, np.nan])
    np.testing.assert_array_equal(
        engine.logsumexp(x.T.copy(), axis=0), [np.inf, 1, -np.inf, np.nan]
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_any_number_of_threads_gives_the_same_bits(dtype, threads, rng):
    for shape, axes in [((600_011,), (0,)), ((5000, 61), (0,)), ((61, 5000), (1,))]:
        x = rng.normal(size=shape).astype(dtype)
        threads(1)
        names = ("total", "greatest", "variance", "log_sum_exp")
        expected = [reduced(name, x, axes).tobytes() for name in names]
        for n in (2, 3, 8):
            threads(n)
            got = [reduced(name, x, axes).tobytes() for name in names]
            assert got == expected, (shape, n)


def test_what_numpy_reduces():
    assert reduce.plan_of((3, 0), (1,)) is None
    assert reduce.plan_of((3, 4, 5), (0, 2)) is None
    assert reduce.plan_of((3, 4), ()) is None
    assert engine.sum(np.ones((3, 4, 5), "float32"), axis=(0, 2)).tolist() == [15] * 4
    assert engine.sum(np.ones((3, 4)).T, axis=0).tolist() == [4] * 3
    assert engine.sum(np.arange(5)) == 10
