"""The vector kernels: functions, softmax and cross-entropies, against their twins."""

import numpy as np
import pytest

from engine.kernels import _jit, elementwise, softmax

from . import naive, smaller_cpus

FLOATS = [np.float32, np.float64]
UNARY = ["exp", "log", "tanh", "sigmoid", "relu"]
BINARY = ["relu_grad", "sigmoid_grad", "tanh_grad", "binary_cross_entropy"]
TERNARY = ["binary_cross_entropy_grad"]
ARITY = dict.fromkeys(UNARY, 1) | dict.fromkeys(BINARY, 2) | dict.fromkeys(TERNARY, 3)
ROWS = {"softmax": 1, "log_softmax": 1, "softmax_grad": 2, "log_softmax_grad": 2}
BOUND = 1 << 17  # at or above the size from which every family of kernels uses threads

# One either side of the vectors of 8 and 16 lanes and of the stretches of a sum of rows
SIZES = [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100, BOUND - 1, BOUND, BOUND + 17]
WIDTHS = [1, 2, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 100, 255, 271, 272, 273, 528, 529, 1000]


@pytest.fixture
def threads():
    before = _jit.get_num_threads()
    yield _jit.set_num_threads
    _jit.set_num_threads(before)


def samples(count, arity, dtype, seed=0):
    """Arguments valid for every function: positive, below 1, none of them special."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.05, 0.95, count).astype(dtype) for _ in range(arity)]


def check_untouched(function, *arrays):
    before = [array.copy() for array in arrays]
    result = function(*arrays)
    for array, old in zip(arrays, before):
        assert array.tobytes() == old.tobytes()
        assert not np.shares_memory(result, array)
    return result


# ------------------------------------------------------------- the functions, digit by digit


def every_magnitude(dtype):
    """About a million floats of every exponent and both signs, and more where functions bend."""
    if dtype is np.float32:
        bits = np.arange(0, 2**32, 5417, dtype=np.uint64).astype(np.uint32)
    else:
        bits = np.random.default_rng(1).integers(0, 2**64, 800_000, dtype=np.uint64)
    bends = [np.linspace(-s, s, 200_001, dtype=dtype) for s in (1, 20, 104, 750)]
    near_one = 1 + np.linspace(-0.01, 0.01, 100_001, dtype=dtype)
    return np.concatenate([bits.view(dtype), *bends, near_one])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name, bound", [("exp", 1), ("log", 1), ("tanh", 2), ("sigmoid", 2)])
def test_functions_are_exact_to_the_last_digits(name, bound, dtype):
    x = every_magnitude(dtype)
    with np.errstate(all="ignore"):
        expected = getattr(naive, name)(x)
    errors = naive.ulps(getattr(elementwise, name)(x), expected)
    assert errors.max() <= bound, x[errors.argmax()]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid"])
def test_functions_of_special_values(name, dtype):
    info = np.finfo(dtype)
    x = [0.0, 1.0, np.inf, np.nan, info.max, info.tiny, info.smallest_subnormal, info.tiny / 3]
    x += [float(np.log(info.max)), float(np.log(info.max)) * 1.001, 1e30]
    x += [-float(np.log(info.tiny)), -float(np.log(info.smallest_subnormal))]
    x = np.array(x + [-value for value in x], dtype)
    with np.errstate(all="ignore"):
        expected = getattr(naive, name)(x)
    got = getattr(elementwise, name)(x)
    assert naive.ulps(got, expected).max() <= 1.8
    if name == "tanh":
        assert np.array_equal(np.signbit(got), np.signbit(x))  # also that of -0


@pytest.mark.parametrize("dtype", FLOATS)
def test_relu_and_its_gradient_at_the_kink_and_beyond(dtype):
    x = np.array([-np.inf, -1, -0.0, 0.0, 1, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(elementwise.relu(x), [0, 0, 0, 0, 1, np.inf, np.nan])
    g = np.full(7, 3, dtype)
    np.testing.assert_array_equal(elementwise.relu_grad(g, x), [0, 0, 0, 0, 3, 3, 0])


@pytest.mark.parametrize("dtype", FLOATS)
def test_binary_cross_entropy_of_confident_logits(dtype):
    eps = np.finfo(dtype).eps
    sizes = [0, 1e-30, 1e-3, 0.3, 0.8, 0.9, 1, 5, 20, 40, 80, 1e4, 1e30]
    x = np.array(sizes + [-size for size in sizes], dtype)
    for t in (0.0, 1.0):
        targets = np.full_like(x, t)
        with np.errstate(over="ignore"):
            expected = np.logaddexp(naive.wide(0), naive.wide(x) * (1 - 2 * t))
            slope = 1 / (1 + np.exp(-naive.wide(x))) if t == 0 else -1 / (1 + np.exp(naive.wide(x)))
        # Tiny losses are right to the last digits as well, as long as they are not denormal.
        got = elementwise.binary_cross_entropy(x, targets)
        np.testing.assert_allclose(got, expected.astype(dtype), rtol=3 * eps, atol=0)
        got = elementwise.binary_cross_entropy_grad(np.ones_like(x), x, targets)
        np.testing.assert_allclose(got, slope.astype(dtype), rtol=3 * eps, atol=0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_binary_cross_entropy_of_soft_targets(dtype, rng):
    x, g = rng.normal(0, 5, (2, 500)).astype(dtype)
    t = rng.uniform(0, 1, 500).astype(dtype)
    eps = np.finfo(dtype).eps
    expected = naive.binary_cross_entropy(x, t)
    got = elementwise.binary_cross_entropy(x, t)
    np.testing.assert_allclose(got, expected.astype(dtype), rtol=8 * eps, atol=8 * eps)
    expected = naive.binary_cross_entropy_grad(g, x, t)
    got = elementwise.binary_cross_entropy_grad(g, x, t)
    np.testing.assert_allclose(got, expected.astype(dtype), rtol=8 * eps, atol=4 * eps)


# -------------------------------------------------------------------------- sizes and layouts


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ARITY)
def test_elementwise_at_every_size(name, dtype):
    for size in SIZES:
        arrays = samples(size, ARITY[name], dtype)
        got = check_untouched(getattr(elementwise, name), *arrays)
        assert got.shape == (size,) and got.dtype == dtype
        expected = getattr(naive, name)(*arrays).astype(dtype)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(got, expected, rtol=4 * eps, atol=2 * eps)


def layouts(x):
    """The same six by ten values in every layout a caller may have."""
    read_only = x.copy()
    read_only.flags.writeable = False
    padded = np.zeros((12, 30), x.dtype)
    padded[::2, ::3] = x
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    return [x, read_only, padded[::2, ::3], np.asfortranarray(x), x[::-1].copy()[::-1], unaligned]


CALLS = [(elementwise, name, arity) for name, arity in ARITY.items()]
CALLS += [(softmax, name, arity) for name, arity in ROWS.items()]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("module, name, arity", CALLS, ids=[call[1] for call in CALLS])
def test_layouts_make_no_difference(module, name, arity, dtype):
    function = getattr(module, name)
    arrays = [x.reshape(6, 10) for x in samples(60, arity, dtype)]
    expected = function(*arrays)
    for variants in zip(*(layouts(x) for x in arrays)):
        got = check_untouched(function, *variants)
        assert got.tobytes() == expected.tobytes()
        assert got.flags.carray and got.dtype == dtype
    spread = [np.broadcast_to(x[0], (6, 10)) for x in arrays]  # as the gradient of a sum is
    assert function(*spread).tobytes() == function(*(x.copy() for x in spread)).tobytes()
    stacked = [x.reshape(2, 3, 10) for x in arrays]
    assert function(*stacked).tobytes() == expected.tobytes()
    assert function(*stacked).shape == (2, 3, 10)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ARITY)
def test_elementwise_of_no_dimension_and_of_nothing(name, dtype):
    function, arity = getattr(elementwise, name), ARITY[name]
    row = samples(1, arity, dtype)
    got = function(*(x.reshape(()) for x in row))
    assert isinstance(got, np.ndarray) and got.shape == () and got.dtype == dtype
    assert got.tobytes() == function(*row).tobytes()
    assert function(*(np.zeros((3, 0, 2), dtype),) * arity).shape == (3, 0, 2)


# ------------------------------------------------------------------------------- row by row


def rows_samples(name, rows, n, dtype, rng):
    x = rng.normal(0, 3, (rows, n)).astype(dtype)
    if name.endswith("_grad"):
        return rng.normal(size=(rows, n)).astype(dtype), getattr(softmax, name[:-5])(x)
    return (x,)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ROWS)
def test_rows_at_every_width(name, dtype, rng):
    eps = np.finfo(dtype).eps
    for n in WIDTHS:
        arrays = rows_samples(name, 5, n, dtype, rng)
        got = check_untouched(getattr(softmax, name), *arrays)
        expected = getattr(naive, name)(*arrays).astype(dtype)
        # x - m is rounded before its exponential is taken: the error grows with the gap
        scale = 20 if name == "softmax" else 4 * np.abs(expected).max()
        np.testing.assert_allclose(
            got,
            expected,
            rtol=20 * eps,
            atol=scale * eps * (n + 9) ** 0.5 if name != "softmax" else 0,
        )


@pytest.mark.parametrize("dtype", FLOATS)
def test_softmax_rows_sum_to_one(dtype, rng):
    eps = np.finfo(dtype).eps
    for n in (1, 10, 1000, 32000):
        for spread in (0, 1, 100, 1e30):
            out = softmax.softmax(rng.normal(0, spread, (9, n)).astype(dtype))
            assert (out >= 0).all() and (out <= 1).all()
            np.testing.assert_allclose(out.sum(axis=1, dtype=np.longdouble), 1, rtol=6 * eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [1, 3, 10, 40])
def test_rows_of_any_magnitude(n, dtype):
    biggest = np.finfo(dtype).max
    rows = []
    for gap in (0.0, 1.0, 1e4, 1e30, float(biggest) * 0.9):
        row = np.full(n, -gap)
        row[n // 2] = gap
        rows += [row, np.full(n, gap), np.full(n, -gap)]
    x = np.array(rows, dtype)
    with np.errstate(over="ignore"):
        expected = naive.log_softmax(x)
        rounded = expected.astype(dtype)
    got = softmax.log_softmax(x)
    np.testing.assert_allclose(got, rounded, rtol=8 * np.finfo(dtype).eps)
    np.testing.assert_allclose(softmax.softmax(x), np.exp(expected), rtol=8 * np.finfo(dtype).eps)
    for label in {0, n // 2, n - 1}:
        labels = np.full(len(x), label)
        losses = softmax.sparse_cross_entropy(x, labels)
        np.testing.assert_allclose(losses, -rounded[:, label], rtol=8 * np.finfo(dtype).eps)
        slope = softmax.sparse_cross_entropy_grad(np.ones(len(x), dtype), x, labels)
        target = np.eye(n)[labels]
        np.testing.assert_allclose(slope, np.exp(expected) - target, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("place", [0, 5, 39])
def test_nan_in_a_row_stays_in_that_row(place, dtype, rng):
    x = rng.normal(size=(3, 40)).astype(dtype)
    x[1, place] = np.nan
    for out in (softmax.softmax(x), softmax.log_softmax(x)):
        assert np.isnan(out[1]).all() and np.isfinite(out[[0, 2]]).all()
    losses = softmax.sparse_cross_entropy(x, np.zeros(3, np.int64))
    assert np.isnan(losses).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", FLOATS)
def test_cross_entropy_of_labels_and_of_one_hot_rows_have_the_same_bits(dtype, rng):
    for n in WIDTHS:
        for spread in (1, 1e4, 1e38):
            x = rng.uniform(-spread, spread, (13, n)).astype(dtype)
            labels = rng.integers(0, n, 13)
            g = rng.normal(size=13).astype(dtype)
            one_hot = np.eye(n, dtype=dtype)[labels]
            sparse = check_untouched(softmax.sparse_cross_entropy, x, labels)
            dense = check_untouched(softmax.dense_cross_entropy, x, one_hot)
            assert sparse.dtype == dtype and sparse.tobytes() == dense.tobytes()
            sparse = check_untouched(softmax.sparse_cross_entropy_grad, g, x, labels)
            dense = check_untouched(softmax.dense_cross_entropy_grad, g, x, one_hot)
            assert sparse.dtype == dtype and sparse.tobytes() == dense.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
def test_cross_entropy_at_every_width(dtype, rng):
    eps = np.finfo(dtype).eps
    for n in WIDTHS:
        x = rng.normal(0, 3, (5, n)).astype(dtype)
        labels = rng.integers(0, n, 5)
        targets = rng.uniform(0, 1, (5, n)).astype(dtype)  # with a sum that is not 1
        g = rng.normal(size=5).astype(dtype)
        tolerance = {"rtol": 20 * eps, "atol": 8 * eps}
        for name, second in (("sparse", labels), ("dense", targets)):
            got = getattr(softmax, f"{name}_cross_entropy")(x, second)
            expected = getattr(naive, f"{name}_cross_entropy")(x, second)
            np.testing.assert_allclose(got, expected.astype(dtype), **tolerance)
            got = getattr(softmax, f"{name}_cross_entropy_grad")(g, x, second)
            expected = getattr(naive, f"{name}_cross_entropy_grad")(g, x, second)
            np.testing.assert_allclose(got, expected.astype(dtype), **tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
def test_cross_entropy_layouts(dtype, rng):
    x = rng.normal(size=(6, 10)).astype(dtype)
    targets = rng.uniform(size=(6, 10)).astype(dtype)
    labels = np.repeat(rng.integers(0, 10, 6), 2)[::2]
    g = np.broadcast_to(np.array(0.5, dtype), 6)  # as the gradient of a mean is
    losses = softmax.dense_cross_entropy(x, targets)
    slope = softmax.dense_cross_entropy_grad(g.copy(), x, targets)
    sparse_slope = softmax.sparse_cross_entropy_grad(g.copy(), x, labels.copy())
    for logits, t in zip(layouts(x), layouts(targets)):
        assert softmax.dense_cross_entropy(logits, t).tobytes() == losses.tobytes()
        assert softmax.dense_cross_entropy_grad(g, logits, t).tobytes() == slope.tobytes()
        got = softmax.sparse_cross_entropy_grad(g, logits, labels)
        assert got.tobytes() == sparse_slope.tobytes()


@pytest.mark.parametrize("dtype", FLOATS)
def test_no_rows_and_no_columns(dtype):
    for shape in ((0, 10), (3, 0), (0, 0)):
        x = np.zeros(shape, dtype)
        for name, arity in ROWS.items():
            assert getattr(softmax, name)(*(x,) * arity).shape == shape
        assert softmax.dense_cross_entropy(x, x).shape == shape[:1]
        assert softmax.dense_cross_entropy_grad(x.sum(1), x, x).shape == shape
    assert softmax.sparse_cross_entropy(np.zeros((0, 3), dtype), np.zeros(0, np.int64)).size == 0


# ----------------------------------------------------------------------------------- threads


def big_calls(dtype):
    """Every function, on enough elements for threads, in shares that are not whole vectors."""
    rng = np.random.default_rng(3)
    for module, name, arity in CALLS:
        function = getattr(module, name)
        arrays = [x.reshape(-1, 11) for x in samples(11 * (BOUND // 11 + 5), arity, dtype)]
        yield name, lambda function=function, arrays=arrays: [function(*arrays)]
    x = rng.normal(size=(BOUND // 11 + 5, 11)).astype(dtype)
    g, labels, t = x[:, 0].copy(), rng.integers(0, 11, len(x)), np.abs(x)
    yield (
        "sparse",
        lambda: [
            softmax.sparse_cross_entropy(x, labels),
            softmax.sparse_cross_entropy_grad(g, x, labels),
        ],
    )
    yield (
        "dense",
        lambda: [
            softmax.dense_cross_entropy(x, t),
            softmax.dense_cross_entropy_grad(g, x, t),
        ],
    )


@pytest.mark.parametrize("dtype", FLOATS)
def test_any_number_of_threads_gives_the_same_bits(dtype, threads):
    for name, call in big_calls(dtype):
        threads(1)
        expected = [array.tobytes() for array in call()]
        for n in (2, 3, 8):
            threads(n)
            assert [array.tobytes() for array in call()] == expected, (name, n)


# ---------------------------------------------------------------------------------- other CPUs

PROGRAM = """
import numpy as np
from engine.kernels import _jit, elementwise, pairs, reduce, softmax
from tests import naive, ulp
rng = np.random.default_rng(0)
x = rng.normal(0, 4, (40, 1030)).astype(np.float32)
with np.errstate(all="ignore"):
    exact = ulp.reference("gelu")(x.ravel()).reshape(x.shape)
    assert naive.ulps(elementwise.gelu(x), exact).max() < 2.1
for n in (3, 10, 16, 17, 1030):
    part = np.ascontiguousarray(x[:, :n])
    np.testing.assert_allclose(softmax.softmax(part), naive.softmax(part), rtol=3e-6)
    plan, wide = reduce.plan_of(part.shape, (1,)), part.astype("f8")
    np.testing.assert_allclose(reduce.total(part, plan), wide.sum(1), atol=1e-3)
    np.testing.assert_allclose(pairs.variance(part, plan, None, n), wide.var(1), rtol=3e-6)
    sums = np.exp(wide).sum(1)
    np.testing.assert_allclose(pairs.log_sum_exp(part, plan), np.log(sums), rtol=3e-6)
_jit.set_num_threads(1)
alone = softmax.softmax(x).tobytes()
_jit.set_num_threads(3)
assert softmax.softmax(x).tobytes() == alone
"""


@smaller_cpus.on_each(*smaller_cpus.TARGETS)
def test_right_on_smaller_cpus(cpu, tmp_path):
    smaller_cpus.run(cpu, tmp_path, "-c", PROGRAM)
