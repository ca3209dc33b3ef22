"""Memory for large results: used again when nothing refers to it any more, and not before."""

import gc
import threading

import numpy as np
import pytest

import engine
import nn
from engine.kernels import elementwise, memory, softmax, vmath


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """What is large here: 1 MB; nothing is kept at first."""
    monkeypatch.setattr(memory, "LARGE", 1 << 20)
    memory._kept.clear()
    yield
    memory._kept.clear()


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_next_result_gets_the_memory_of_the_last(dtype):
    x = np.linspace(-1, 1, 600_000).reshape(1000, 600).astype(dtype)
    out = elementwise.relu(x)
    first = address(out)
    assert out.shape == x.shape and out.dtype == x.dtype and out.flags.carray
    assert first % 64 == 0
    np.testing.assert_array_equal(out, np.maximum(x, 0))
    del out
    out = elementwise.tanh(x)
    assert address(out) == first
    np.testing.assert_allclose(out, np.tanh(x), rtol=1e-6)


FIRST = np.linspace(-3, 3, vmath.LARGE // 4, dtype="float32").reshape(-1, 64)  # just large


@pytest.mark.parametrize(
    "function, numpy, others",
    [
        (engine.add, np.add, (FIRST[::-1].copy(),)),
        (engine.subtract, np.subtract, (FIRST[::-1] * 0.7,)),
        (engine.multiply, np.multiply, (FIRST[::-1] * 0.7,)),
        (engine.subtract, np.subtract, (2.5,)),
        (engine.multiply, np.multiply, (3,)),
        (engine.negative, np.negative, ()),
        (engine.abs, np.abs, ()),
    ],
)
def test_results_of_numpy_get_kept_memory_too(function, numpy, others):
    expected = numpy(FIRST, *others)
    out = function(FIRST, *others)
    first = address(out)
    assert first % 64 == 0 and out.dtype == np.float32
    del out
    out = function(engine.Tensor(FIRST, requires_grad=True), *others)
    assert address(out.data) == first
    np.testing.assert_array_equal(out.data, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [memory.MUCH // 8 - 1, memory.MUCH // 4, memory.MUCH // 4 + 5])
@pytest.mark.parametrize("name", ["add", "subtract", "multiply"])
def test_arithmetic_of_two_large_arrays_has_the_bits_of_numpy(rng, name, size, dtype):
    x, y = rng.normal(size=(2, size)).astype(dtype)
    x[:4], y[:4] = [np.inf, -np.inf, np.nan, -0.0], [np.inf, 1, 2, 0.0]
    with np.errstate(invalid="ignore"):
        expected = getattr(np, name)(x, y)
        np.testing.assert_array_equal(getattr(engine, name)(x, y), expected)


@pytest.mark.parametrize(
    "first, other",
    [
        (FIRST, np.arange(64, dtype="float32")),
        (FIRST, FIRST.astype("float64")),
        (FIRST.T, 1.0),
        (np.ones((vmath.LARGE // 8, 2), int), 1),
        (FIRST.astype(">f4"), FIRST.astype(">f4")),
        (1.0, FIRST),
    ],
    ids=["broadcast", "wider", "turned", "integers", "other bytes first", "number first"],
)
def test_what_is_not_alike_is_numpy_s(first, other):
    out = engine.add(first, other)
    expected = np.add(first, other)
    assert out.dtype == expected.dtype and out.strides == expected.strides
    np.testing.assert_array_equal(out, expected)
    assert not memory._kept


def test_memory_that_a_view_still_shows_is_not_used_again():
    x = np.ones((1000, 600), "float32")
    view = elementwise.relu(x)[10:20, ::2].T
    other = elementwise.tanh(x)
    assert not np.shares_memory(view, other)
    assert (view == 1).all()
    del view, other
    assert len(memory._kept) == 2


def test_a_block_that_is_too_small_or_far_too_large_is_given_back():
    x = np.ones(1 << 20, "float32")
    for size in (1 << 19, 1 << 20):
        kept = elementwise.relu(x[:size])
        del kept
        assert len(memory._kept) == 1
    out = elementwise.relu(x[: 1 << 19])
    assert len(out) == 1 << 19 and not memory._kept


def test_what_fits_is_found_among_what_does_not():
    x = np.ones(1 << 20, "float32")
    large, small = elementwise.relu(x), elementwise.relu(x[: 1 << 19])
    first = address(large)
    del large, small
    again = elementwise.relu(x)
    assert address(again) == first and len(memory._kept) == 1


def test_no_more_than_a_bound_is_kept(monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 5 << 20)
    x = np.ones(1 << 19, "float32")
    results = [elementwise.relu(x) for _ in range(4)]
    del results
    assert sum(block.size for block in memory._kept) <= 5 << 20
    assert len(memory._kept) == 2


def test_small_results_own_their_memory():
    out = elementwise.relu(np.ones(1000, "float32"))
    del out
    assert not memory._kept


def starts_a_line(x):
    return x.ctypes.data % 64 == 0


def test_what_is_read_in_every_step_starts_where_a_cache_line_does():
    kept = []  # so that the memory of one is not that of the next
    for size in (1100, 5000, 9999):
        model = nn.Sequential([nn.Dense(size, "relu", input_shape=(3,)), nn.Dense(2)])
        model.compile("adam", "mean_squared_error")
        model.train_on_batch(np.zeros((4, 3)), np.zeros((4, 2)))
        weights = [parameter.data for parameter in model.parameters()]
        slots = [array for share in model.optimizer._shares for array in share.slots["mean"]]
        for array in (*weights, *slots):
            assert array.flags.carray
            assert array.nbytes < 4096 or starts_a_line(array), array.shape
        kept += weights, slots, np.empty(size // 3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (70, 80), (3, 50, 60)])
def test_a_copy_is_the_same_numbers_of_its_own(rng, dtype, shape):
    x = rng.integers(0, 2, shape).astype(dtype)
    for source in (x, np.asfortranarray(x)):
        copy = memory.copied(source)
        assert (copy.shape, copy.dtype) == (source.shape, x.dtype)
        assert copy.flags.carray and not np.shares_memory(copy, source)
        np.testing.assert_array_equal(copy, source)


def test_a_gradient_keeps_its_memory_as_long_as_it_is_there():
    x = engine.Tensor(np.linspace(-1, 1, 1 << 19), requires_grad=True)
    engine.sum(engine.tanh(x)).backward()
    grad = x.grad.data
    expected = 1 - np.tanh(x.data) ** 2
    for _ in range(3):  # what is computed meanwhile gets other memory
        engine.tanh(engine.Tensor(np.full(1 << 19, 3.0)))
    np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-6)


def test_threads_never_get_the_same_memory():
    x = np.ones(1 << 19, "float32")
    wrong = []

    def work(value):
        source = x * value
        for _ in range(50):
            first, second = elementwise.relu(source), elementwise.relu(-source)
            if not ((first == value).all() and (second == 0).all()):
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not wrong


LARGE = (vmath.LARGE // 4 // 256, 256)  # so many float32 numbers are written past the caches


@pytest.mark.parametrize("n", [256, 250])
def test_what_is_written_past_the_caches_is_what_is_written_to_them(n, threads):
    x = np.linspace(-4, 4, LARGE[0] * (LARGE[1] + 1), dtype="float32")[: LARGE[0] * 257 // n * n]
    x = x.reshape(-1, n)
    g = x[::-1].copy()
    out = softmax.softmax(x)
    calls = [
        lambda x, g, out: elementwise.relu(x),
        lambda x, g, out: elementwise.tanh_grad(g, x),
        lambda x, g, out: softmax.log_softmax(x),
        lambda x, g, out: softmax.softmax_grad(g, out),
    ]
    for call in calls:
        rows = [slice(i, i + 999) for i in range(0, len(x), 999)]
        expected = np.concatenate([call(x[some], g[some], out[some]) for some in rows])
        for count in (1, 2, 3):
            threads(count)
            assert call(x, g, out).tobytes() == expected.tobytes()
