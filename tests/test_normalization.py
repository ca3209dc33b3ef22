"""The normalizations: kernels against their twins, and the gradients that are computed together."""

import itertools

import numpy as np
import pytest

import engine
from engine import Tensor
from engine.kernels import _jit
from engine.kernels import normalization as kernels
from engine.ops import normalization

from . import naive

FLOATS = [np.float32, np.float64]
EPSILON = 1e-3
# One either side of vectors, strips and stretches of strips of 8 and 16 lanes, and of chunks
WIDTHS = [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130, 1025, 2049]
HEIGHTS = [1, 2, 7, 8, 9, 31, 32, 33, 64, 65, 130]
SHAPES = [*((5, n) for n in WIDTHS), *((m, 21) for m in HEIGHTS), (65, 65)]


@pytest.fixture
def threads():
    before = _jit.get_num_threads()
    yield _jit.set_num_threads
    _jit.set_num_threads(before)


def samples(shape, dtype, offset=0.0, seed=0):
    """x, g, scale and offset."""
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=(2, *shape))
    weights = rng.uniform(0.5, 2, size=(2, shape[-1]))
    return [array.astype(dtype) for array in (x + offset, g, *weights)]


def along_rows(x, g, scale, offset, centred=True):
    """Result, slope in x, and sums of g and g z, as the kernels have them."""
    out = kernels.rows(x, scale, offset, EPSILON, centred)
    slope, sums = kernels.rows_grad(g, x, scale, EPSILON, centred, sums=True)
    alone = kernels.rows_grad(g, x, scale, EPSILON, centred)
    assert alone.tobytes() == slope.tobytes()
    return out, slope, *sums


def down_columns(x, g, scale, offset):
    statistics = kernels.columns_statistics(x)
    sums = kernels.columns_sums(g, x, EPSILON, statistics)
    slope = kernels.columns_grad(g, x, scale, EPSILON, statistics, sums)
    return kernels.columns(x, scale, offset, EPSILON, statistics), slope, *sums


def twins(x, g, scale, offset, axis, centred=True):
    z, _ = naive.standard(x, axis, EPSILON, centred)
    slope = naive.standard_grad(naive.wide(g) * scale, x, axis, EPSILON, centred)
    return z * scale + offset, slope, naive.wide(g).sum(0), (g * z).sum(0)


def check(got, expected, dtype, bound):
    for result, exact in zip(got, expected, strict=True):
        size = np.maximum(np.abs(exact).max(initial=1), 1)
        error = np.abs(result - exact).max(initial=0) / size
        assert result.dtype == dtype
        assert error <= bound * np.finfo(dtype).eps


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e6])
@pytest.mark.parametrize("dtype", FLOATS)
def test_values_at_every_size_and_beside_any_mean(dtype, offset):
    # The exact result for x as it is in its type: a mean in that type has lost 0.06 of 1e6.
    for shape in SHAPES:
        given = samples(shape, dtype, offset)
        check(along_rows(*given), twins(*given, axis=1), dtype, 20)
        check(down_columns(*given), twins(*given, axis=0), dtype, 20)
        check(along_rows(*given, centred=False), twins(*given, 1, centred=False), dtype, 20)


@pytest.mark.parametrize("dtype", FLOATS)
def test_statistics_of_drifting_numbers_and_of_an_outlier(dtype):
    rng = np.random.default_rng(4)
    drifting = np.sort(rng.normal(1e3, 10, (4000, 3)), axis=0)
    outlier = rng.normal(5, 1, (4000, 3))
    outlier[0] = 1e5
    for x in (drifting, outlier, outlier[::-1]):
        x = x.astype(dtype)
        m, r, variance = naive.wide(kernels.columns_statistics(x))
        exact = naive.wide(x)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(variance, exact.var(0), rtol=20 * eps)
        np.testing.assert_allclose(m + r, exact.mean(0), atol=20 * eps * exact.std(0).max())


@pytest.mark.parametrize("dtype", FLOATS)
def test_numbers_without_spread(dtype):
    x = np.full((40, 70), 1e4 / 3, dtype)
    ones = np.ones(70, dtype)
    for epsilon in (1e-3, 0.0):
        with np.errstate(all="ignore"):
            statistics = kernels.columns_statistics(x)
            out = kernels.rows(x, ones, None, epsilon, True)
            down = kernels.columns(x, ones, None, epsilon, statistics)
        assert (np.nan_to_num(out) == 0).all() and (np.nan_to_num(down) == 0).all()
    assert (statistics[2] == 0).all()


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_special_value_spoils_what_it_belongs_to_and_no_more(dtype, special):
    for n in (9, 70):
        x, g, scale, offset = samples((40, n), dtype)
        x[35, 5] = special
        out, slope, _, _ = along_rows(x, g, scale, offset)
        for result in (out, slope):
            assert np.isnan(result[35]).all()
            assert np.isfinite(np.delete(result, 35, 0)).all()
        for result in down_columns(x, g, scale, offset)[:2]:
            assert np.isnan(result[:, 5]).all()
            assert np.isfinite(np.delete(result, 5, 1)).all()


@pytest.mark.parametrize("dtype", FLOATS)
def test_layouts_give_the_same_bits_and_inputs_stay(dtype):
    given = samples((40, 70), dtype)
    copies = [array.copy() for array in given]
    frozen = [array.copy() for array in given]
    strided = [np.repeat(array, 2, axis=-1)[..., ::2] for array in given]
    turned = [np.asfortranarray(array) for array in given]
    for array in frozen:
        array.flags.writeable = False
    for function in (along_rows, down_columns):
        expected = [array.tobytes() for array in function(*given)]
        for others in (frozen, strided, turned):
            assert [array.tobytes() for array in function(*others)] == expected
    for array, copy in zip(given, copies):
        assert array.tobytes() == copy.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
def test_no_rows_and_no_columns(dtype):
    for shape in ((0, 5), (4, 0), (0, 0)):
        x = np.zeros(shape, dtype)
        weight = np.ones(shape[1], dtype)
        for function in (along_rows, down_columns):
            results = function(x, x, weight, weight)
            assert [array.shape for array in results] == [shape, shape, shape[1:], shape[1:]]
            assert all((array == 0).all() for array in results)


@pytest.mark.parametrize("dtype", FLOATS)
def test_any_number_of_threads_gives_the_same_bits(dtype, threads):
    for shape in ((700, 70), (40, 1000), (9000, 5), (3, 20000)):
        given = samples(shape, dtype, offset=3)
        for function in (along_rows, down_columns):
            threads(1)
            expected = [array.tobytes() for array in function(*given)]
            for n in (2, 3, 8):
                threads(n)
                assert [array.tobytes() for array in function(*given)] == expected, (shape, n)


# ---------------------------------------------------------------------------------- the rows


def layer(x, scale, offset):
    return normalization.layer_norm(x, scale, offset, EPSILON)


def rms(x, scale, offset):
    return normalization.rms_norm(x, scale, EPSILON) + offset


def batch(x, scale, offset):
    return normalization.batch_norm(
        x, scale, offset, EPSILON, normalization.batch_statistics(x.data)
    )


@pytest.mark.parametrize("function", [layer, rms, batch])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_gradients_computed_together_are_those_of_the_formulas(function, count):
    x, g, *weights = samples((4, 10, 6), np.float64)
    for live in itertools.combinations(range(3), count):
        given = [Tensor(value, i in live) for i, value in enumerate((x, *weights))]
        wanted = [given[i] for i in live]
        out = function(*given)
        plain = engine.grad(out, wanted, g, retain_graph=True)
        recorded = engine.grad(out, wanted, g, create_graph=True)
        for one, other in zip(plain, recorded, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12, atol=1e-13)
        out.backward(g)
        for tensor, other in zip(wanted, recorded):
            np.testing.assert_allclose(tensor.grad.numpy(), other.numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("function", [layer, batch])
def test_scale_and_offset_may_be_absent(function):
    x, g, scale, offset = samples((5, 6), np.float64)
    for weights in ((None, offset), (scale, None), (None, None)):
        ones_and_zeros = (
            np.ones(6) if weights[0] is None else scale,
            np.zeros(6) if weights[1] is None else offset,
        )
        results = []
        for both in (weights, ones_and_zeros):
            tensor = Tensor(x, True)
            out = function(tensor, *both)
            results.append((out.numpy(), engine.grad(out, tensor, g).numpy()))
        for one, other in zip(*results):
            np.testing.assert_array_equal(one, other)

        def slope(x, function=function, weights=weights):
            return function(x, *weights)

        assert engine.gradgradcheck(slope, [x])


def test_types_are_mixed_as_everywhere():
    x, _, scale, offset = samples((5, 6), np.float32)
    for function in (layer, batch):
        assert function(Tensor(x), scale, offset).dtype == np.float32
        given = [Tensor(x, True), Tensor(scale.astype(float), True), Tensor(offset, True)]
        out = function(*given)
        assert out.dtype == np.float64
        out.backward(np.ones((5, 6)))
        assert [t.grad.dtype for t in given] == [np.float32, np.float64, np.float32]
        whole = Tensor(np.arange(30).reshape(5, 6))
        assert function(whole, scale, offset).dtype == np.float32


@pytest.mark.parametrize("axes", [(2,), (1,), (0,), (1, 2), (0, 2), (0, 1, 2), (0, 1)])
def test_any_axes(axes):
    x = samples((3, 4, 5), np.float64)[0]
    out = normalization.along(
        axes, lambda x: normalization.layer_norm(x, None, None, EPSILON), Tensor(x)
    )
    expected = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + EPSILON)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: layer(np.zeros((3, 0)), np.ones(0), None), r"layer_norm: expected elements to"),
        (lambda: batch(Tensor(np.zeros((0, 3))), None, None), r"batch_norm: expected elements to"),
        (
            lambda: normalization.batch_norm(np.zeros((0, 3)), None, None, 0.1),
            r"batch_norm: expected elements to take the mean of, got shape \(0, 3\)",
        ),
        (
            lambda: layer(np.zeros((2, 3)), np.ones(2), None),
            r"layer_norm: expected scale of shape \(3,\), got \(2,\)",
        ),
        (
            lambda: layer(np.zeros((2, 3)), None, np.ones((2, 3))),
            r"layer_norm: expected offset of shape \(3,\), got \(2, 3\)",
        ),
        (lambda: layer(np.zeros(()), None, None), "layer_norm: expected at least 1 axis"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
