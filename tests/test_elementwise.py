"""Elementwise functions and activations where the operation table does not look: edges, digits."""

import math
import operator

import numpy as np
import pytest

import engine
from engine import Tensor
from engine.kernels import elementwise as kernels

from .test_kernels import BOUND, SIZES, check_untouched, layouts

FLOATS = ["float32", "float64"]
NAN, INF = np.nan, np.inf


def slope(f, *points, dtype="float32"):
    """df/dx for each argument; with warnings as errors."""
    tensors = [Tensor(p, requires_grad=True, dtype=dtype) for p in points]
    out = f(*tensors)
    slopes = engine.grad(out, tensors, np.ones(out.shape))
    return slopes[0].numpy() if len(slopes) == 1 else [s.numpy() for s in slopes]


# ---------------------------------------------------------------------- digits, and both tails


def spread_out(dtype):
    """Numbers of every magnitude up to 40 and both signs."""
    x = np.concatenate(
        [np.linspace(0, 40, 4001), np.linspace(0, 2, 2001), 10.0 ** -np.arange(1, 30)]
    )
    return np.concatenate([x, -x]).astype(dtype)


def ulps(got, expected):
    return np.abs(got - expected) / np.spacing(np.abs(np.asarray(expected, got.dtype)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_erf_has_its_last_digits(dtype):
    x = spread_out(dtype)
    expected = np.array([math.erf(v) for v in x.tolist()])
    # math.erf itself is up to 0.9 ulp off
    assert ulps(engine.erf(x), expected).max() < 2
    special = engine.erf(np.array([0.0, -0.0, INF, -INF, NAN], dtype))
    np.testing.assert_array_equal(special, [0, -0.0, 1, -1, NAN])
    assert np.signbit(special).tolist()[:2] == [False, True]


def area(x):
    return math.erfc(-x / math.sqrt(2)) / 2


@pytest.mark.parametrize("dtype, low", [("float32", -13), ("float64", -37)])
def test_gelu_and_its_slope_in_both_tails(dtype, low):
    x = spread_out(dtype)
    x = x[x > low]  # below they are denormal
    eps = np.finfo(dtype).eps
    expected = np.array([v * area(v) for v in x.tolist()])
    # The argument of erfc has a rounding error too, which in the tail is x^2 times as large.
    np.testing.assert_allclose(engine.gelu(x), expected, rtol=8 * eps + 1e-12, atol=0)
    density = np.exp(-np.square(x, dtype=float) / 2) / math.sqrt(2 * math.pi)
    expected = np.array([area(v) for v in x.tolist()]) + x * density
    got = slope(engine.gelu, x, dtype=dtype)
    far = np.abs(x + 0.7518) > 0.3  # the slope is 0 near -0.75, where digits cancel
    np.testing.assert_allclose(got[far], expected[far], rtol=12 * eps + 1e-12, atol=0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2 * eps)


SCALE = 1.0507009873554805
LIMITS = {  # where x goes to -inf and to inf: the value, and the slope; None: slope times x
    "relu": (0, None, 0, 1),
    "leaky_relu": (None, None, 0.01, 1),
    "relu6": (0, 6, 0, 0),
    "elu": (-1, None, 0, 1),
    "selu": (-SCALE * 1.6732632423543772, None, 0, SCALE),
    "celu": (-1, None, 0, 1),
    "gelu": (0, None, 0, 1),
    "gelu_tanh": (0, None, 0, 1),
    "silu": (0, None, 0, 1),
    "mish": (0, None, 0, 1),
    "softplus": (0, None, 0, 1),
    "log_sigmoid": (None, 0, 1, 0),
    "softsign": (-1, 1, 0, 0),
    "hard_sigmoid": (0, 1, 0, 0),
    "hard_tanh": (-1, 1, 0, 0),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", LIMITS)
def test_activations_at_any_magnitude(name, dtype):
    left, right, left_slope, right_slope = LIMITS[name]
    f = getattr(engine, name, lambda x: engine.gelu(x, approximate="tanh"))
    for big in (INF, np.finfo(dtype).max / 2, 1e30, 1e5):
        x = np.array([-big, big], dtype)
        ends = [
            -big * left_slope if left is None else left,
            big * right_slope if right is None else right,
        ]
        np.testing.assert_allclose(f(x), ends, rtol=1e-4, atol=0)
        got = slope(f, x, dtype=dtype)
        np.testing.assert_allclose(got, [left_slope, right_slope], rtol=1e-6, atol=1e-7)
    assert np.isnan(f(np.array([NAN], dtype))).all()


# ------------------------------------------------------------------------- kinks and steps


def test_documented_slopes_at_kinks_of_activations():
    assert slope(engine.relu, 0.0) == 0
    np.testing.assert_allclose(slope(engine.leaky_relu, 0.0), 0.01)
    np.testing.assert_allclose(slope(lambda x: engine.elu(x, alpha=0.5), 0.0), 0.5)
    np.testing.assert_allclose(slope(engine.selu, 0.0), 1.7580993)
    assert slope(engine.relu6, [0.0, 6.0]).tolist() == [0, 0]
    assert slope(engine.hard_tanh, [-1.0, 1.0]).tolist() == [0, 0]
    assert slope(engine.hard_sigmoid, [-3.0, 3.0]).tolist() == [0, 0]
    assert slope(engine.softsign, 0.0) == 1


def test_steps_have_no_slope():
    points = [-1.5, -1.0, 0.0, 0.5, 2.0]
    for f in (engine.floor, engine.ceil, engine.round, engine.trunc, engine.sign):
        assert slope(f, points).tolist() == [0] * 5
    assert slope(lambda x: x // 0.5, points).tolist() == [0] * 5
    assert slope(lambda y: 3.0 // y, 0.5) == 0


def test_remainder_is_that_of_python_and_has_its_slopes_at_the_steps_too():
    x, y = [5.5, -5.5, 4.0, -4.0, 5.5], [2.0, 2.0, 2.0, 2.0, -2.0]
    assert (Tensor(x) % Tensor(y)).numpy().tolist() == [a % b for a, b in zip(x, y)]
    of_x, of_y = slope(engine.remainder, x, y)
    assert of_x.tolist() == [1] * 5
    assert of_y.tolist() == [-(a // b) for a, b in zip(x, y)]


def test_slopes_at_the_ends_of_a_domain_are_infinite_without_a_warning():
    assert slope(engine.sqrt, 0.0) == INF
    assert slope(lambda x: x**0.5, 0.0) == INF
    assert slope(engine.log, 0.0) == INF
    assert slope(engine.log2, 0.0) == INF
    assert slope(engine.log10, 0.0) == INF
    assert slope(engine.log1p, -1.0) == INF
    assert slope(engine.asin, [-1.0, 1.0]).tolist() == [INF, INF]
    assert slope(engine.acos, [-1.0, 1.0]).tolist() == [-INF, -INF]
    assert slope(engine.atanh, [-1.0, 1.0]).tolist() == [INF, INF]
    assert slope(engine.acosh, 1.0) == INF
    assert slope(engine.reciprocal, 0.0) == -INF
    # and 0 where they fall to 0
    for f in (engine.atan, engine.erf):
        assert slope(f, 1e30) == 0
    assert slope(engine.atan2, 0.0, 0.0) == [0, 0]  # no slope at all: documented as 0


def test_functions_outside_their_domain_are_nan_without_a_warning():
    for f, points in (
        (engine.sqrt, [-1.0]),
        (engine.log2, [-1.0]),
        (engine.log10, [-1.0]),
        (engine.log1p, [-2.0]),
        (engine.asin, [-1.5, 1.5]),
        (engine.acos, [-1.5, 1.5]),
        (engine.acosh, [0.5]),
        (engine.atanh, [-1.5, 1.5]),
        (engine.sin, [INF]),
        (engine.tan, [INF]),
    ):
        assert np.isnan(f(Tensor(points)).numpy()).all(), f.__name__
    assert engine.log2(Tensor(0.0)).item() == -INF
    assert engine.sinh(Tensor(1e4)).item() == INF
    assert engine.reciprocal(Tensor([0.0])).item() == INF


def test_arithmetic_warns_as_numpy_does():
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        Tensor(1.0) / Tensor(0.0)


def test_logaddexp_at_any_magnitude():
    x, y = Tensor([1e4, -1e4, 1e30, -INF, 3.0]), Tensor([1e4, 1e4, -1e30, 2.0, INF])
    expected = [1e4 + math.log(2), 1e4, 1e30, 2, INF]
    np.testing.assert_allclose(engine.logaddexp(x, y).numpy(), expected, rtol=1e-6)
    of_x, of_y = slope(engine.logaddexp, x.numpy(), y.numpy())
    np.testing.assert_allclose(of_x, [0.5, 0, 1, 0, 0], atol=1e-7)
    np.testing.assert_allclose(of_y, [0.5, 1, 0, 1, 1], atol=1e-7)


def test_rounding_goes_to_the_even_one():
    assert engine.round(Tensor([0.5, 1.5, 2.5, -0.5])).numpy().tolist() == [0, 2, 2, 0]
    assert Tensor([1.4]).round().item() == 1


# -------------------------------------------------------------------- dtypes and operators


CIRCULAR = ["sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh"]


def test_functions_of_whole_numbers_are_float32():
    x = Tensor([0, 1])
    for name in [*CIRCULAR, "expm1", "log1p", "erf", "reciprocal", *LIMITS]:
        f = getattr(engine, name, engine.gelu)
        assert f(x).dtype == np.float32, name
    assert engine.atan2(x, 1).dtype == np.float32
    assert engine.logaddexp(x, x).dtype == np.float32
    for name in ("floor", "ceil", "trunc", "round", "positive"):
        assert getattr(engine, name)(x).dtype == np.int64, name
    assert (x // 2).dtype == (x % 2).dtype == np.int64


def test_operators_take_tensors_arrays_and_numbers_on_either_side():
    values = np.array([5.0, -3.0], "float32")
    for symbol in (operator.floordiv, operator.mod):
        for other in (2.0, np.array([2.0, 4.0], "float32"), Tensor([2.0, 4.0])):
            plain = other.numpy() if type(other) is Tensor else other
            for result, expected in (
                (symbol(Tensor(values), other), symbol(values, plain)),
                (symbol(other, Tensor(values)), symbol(plain, values)),
            ):
                assert type(result) is Tensor
                np.testing.assert_array_equal(result.numpy(), expected)
                assert result.dtype == np.float32


def test_masks_combine():
    x = Tensor([-1.0, 0.5, 2.0])
    assert ((x > 0) & (x < 1)).numpy().tolist() == [False, True, False]
    assert ((x < 0) | (x > 1)).numpy().tolist() == [True, False, True]
    assert ((x > 0) ^ (x > 1)).numpy().tolist() == [False, True, False]
    assert (~(x > 0)).numpy().tolist() == [True, False, False]
    assert (np.array([True, False, True]) & (x > 0)).numpy().tolist() == [False, False, True]
    assert (Tensor([6, 5]) & 3).numpy().tolist() == [2, 1]
    assert (~Tensor([0, 5])).numpy().tolist() == [-1, -6]
    assert engine.logical_not(x).numpy().tolist() == [False] * 3


def test_numpy_names_reach_the_rows():
    x = Tensor([0.2, 0.5], requires_grad=True)
    for name in ("sin", "arcsin", "arctan", "arctanh", "log1p", "expm1", "floor", "reciprocal"):
        result = getattr(np, name)(x)
        assert type(result) is Tensor
        np.testing.assert_allclose(result.numpy(), getattr(np, name)(x.numpy()), rtol=1e-6)
        assert result.requires_grad
    assert np.arctan2(x, x).requires_grad


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda x: engine.elu(x, alpha="a"), TypeError, r"elu: expected a number for alpha .*'a'"),
        (
            lambda x: engine.leaky_relu(x, x),
            TypeError,
            "leaky_relu: expected a number for negative_slope",
        ),
        (lambda x: engine.celu(x, alpha=0), ValueError, r"celu: expected alpha > 0 .*alpha=0"),
        (
            lambda x: engine.gelu(x, approximate="exact"),
            ValueError,
            'gelu: expected "none" or "tanh" for approximate .*\'exact\'',
        ),
        (lambda x: x // np.ones(5), ValueError, "floor_divide: .*broadcast"),
        (lambda x: x & 1, TypeError, "bitwise_and: .*not supported"),
        (lambda x: ~x, TypeError, "bitwise_invert: .*not supported"),
        (lambda x: engine.sin("a"), TypeError, "expected real numbers, got <U1"),
    ],
)
def test_errors_name_the_operation_and_what_it_got(call, kind, message):
    with pytest.raises(kind, match=message):
        call(Tensor([1.0, 2.0], requires_grad=True))


# ----------------------------------------------------------------------------- the kernels

SETTINGS = {"leaky_relu": 0.2, "elu": 0.7, "celu": 0.6}
UNARY = [*LIMITS, "erf"]
CALLS = {name: (1, SETTINGS.get(name)) for name in UNARY if name != "relu"} | {
    f"{name}_grad": (2, SETTINGS.get(name)) for name in UNARY if name not in ("relu", "erf")
}


def prepared(name, count, dtype):
    """A function of arrays only, and arrays for it."""
    arity, setting = CALLS[name]
    rng = np.random.default_rng(4)
    arrays = [rng.normal(0, 4, count).astype(dtype) for _ in range(arity)]
    numbers = [] if setting is None else [setting]
    return lambda *given: getattr(kernels, name)(*given, *numbers), arrays


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CALLS)
def test_kernels_at_every_size_layout_and_number_of_threads(name, dtype, threads):
    function, arrays = prepared(name, BOUND + 17, dtype)
    threads(1)
    expected = check_untouched(function, *arrays)
    assert expected.dtype == dtype
    assert np.isfinite(expected).all()
    for size in SIZES:  # an element does not depend on its place
        got = function(*(x[-size:] if size else x[:0] for x in arrays))
        assert got.tobytes() == expected[-size:].tobytes() if size else got.size == 0
    for variants in zip(*(layouts(x[:60].reshape(6, 10)) for x in arrays)):
        got = check_untouched(function, *variants)
        assert got.tobytes() == expected[:60].tobytes()
        assert got.shape == (6, 10)
    assert function(*(x[0].reshape(()) for x in arrays)).shape == ()
    for n in (2, 3, 8):
        threads(n)
        assert function(*arrays).tobytes() == expected.tobytes()
