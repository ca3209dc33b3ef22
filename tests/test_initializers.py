"""Initializers: fans, variance, bounds, determinism, and what they refuse."""

import numpy as np
import pytest

import engine
import nn
from nn import initializers


@pytest.mark.parametrize(
    "shape, expected",
    [
        ((), (1, 1)),
        ((7,), (7, 7)),
        ((3, 5), (3, 5)),
        ((2, 3, 5), (6, 10)),
        ((3, 3, 8, 16), (72, 144)),
    ],
)
def test_fans(shape, expected):
    assert initializers.fans(shape) == expected


def test_the_deviation_of_the_truncated_normal():
    # By the density, on a grid: the variance of what lies within two deviations.
    x = np.linspace(-2, 2, 400_001)
    density = np.exp(-x * x / 2)
    expected = np.sqrt(np.trapezoid(density * x * x, x) / np.trapezoid(density, x))
    np.testing.assert_allclose(initializers.TRUNCATED_DEVIATION, expected, rtol=1e-9)
    assert abs(initializers.TRUNCATED_DEVIATION - 0.87962566103423978) < 1e-15  # that of Keras


@pytest.mark.parametrize(
    "name, variance, bound",
    [
        ("zeros", 0, 0),
        ("glorot_uniform", 2 / 800, np.sqrt(6 / 800)),
        ("glorot_normal", 2 / 800, 2 * np.sqrt(2 / 800) / 0.8796),
        ("he_uniform", 2 / 300, np.sqrt(6 / 300)),
        ("he_normal", 2 / 300, 2 * np.sqrt(2 / 300) / 0.8796),
        ("lecun_uniform", 1 / 300, np.sqrt(3 / 300)),
        ("lecun_normal", 1 / 300, 2 * np.sqrt(1 / 300) / 0.8796),
        ("variance_scaling", 1 / 300, 2 * np.sqrt(1 / 300) / 0.8796),
        ("normal", 0.05**2, np.inf),
        ("truncated_normal", (0.05 * 0.8796) ** 2, 0.1),
        ("uniform", 0.1**2 / 12, 0.05),
    ],
)
def test_variance_and_bounds(name, variance, bound):
    values = initializers.get(name)((300, 500))
    assert values.dtype == np.float32 and initializers.get(name).__name__ == name
    assert abs(values.mean()) < 1e-3
    np.testing.assert_allclose(values.var(), variance, rtol=0.02)
    greatest = np.abs(values).max()
    assert greatest <= bound * 1.0001 and (bound in (0, np.inf) or greatest > 0.99 * bound)


@pytest.mark.parametrize("mode, n", [("fan_in", 72), ("fan_out", 144), ("fan_avg", 108)])
@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
def test_variance_scaling_of_a_convolution(mode, n, distribution):
    scaling = initializers.VarianceScaling(3, mode, distribution)
    values = np.concatenate([scaling((3, 3, 8, 16)).ravel() for _ in range(50)])
    np.testing.assert_allclose(values.var(), 3 / n, rtol=0.03)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (2, 3, 4)], ids=str)
def test_orthogonal(shape):
    values = initializers.Orthogonal(gain=2)(shape, "float64").reshape(-1, shape[-1])
    product = values.T @ values if values.shape[0] >= values.shape[1] else values @ values.T
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


def test_orthogonal_is_spread_evenly():
    # Without the signs of R's diagonal the first column would always point one way.
    first = [initializers.orthogonal((3, 3))[0, 0] for _ in range(400)]
    assert abs(np.mean(first)) < 0.1 and np.min(first) < -0.5 < 0.5 < np.max(first)


def test_identity_and_constant():
    np.testing.assert_array_equal(initializers.Identity(2)((2, 3)), [[2, 0, 0], [0, 2, 0]])
    assert (initializers.Constant(1.5)((3,)) == 1.5).all()


@pytest.mark.parametrize("name", ["HeNormal", "RandomNormal", "Orthogonal", "RandomUniform"])
def test_chance_comes_from_the_seed(name):
    kind = getattr(initializers, name)
    draw = kind()
    engine.seed(4)
    first, second = draw((3, 4)), draw((3, 4))
    engine.seed(4)
    np.testing.assert_array_equal(draw((3, 4)), first)
    assert (first != second).any()
    engine.seed(5)
    own = kind(seed=1)
    np.testing.assert_array_equal(own((3, 4)), own((3, 4)))
    assert "seed=1" in repr(own)
    assert draw((3, 4), "float64").dtype == np.float64


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: initializers.get("he"), ValueError, "unknown initializer 'he'.*he_normal"),
        (lambda: initializers.get(initializers.Zeros), TypeError, r"the class: write Zeros\(\)"),
        (lambda: initializers.Constant("a"), ValueError, "Constant: expected value .* got 'a'"),
        (lambda: initializers.Constant(np.inf), ValueError, "Constant: expected value"),
        (lambda: initializers.RandomNormal(stddev=-1), ValueError, "RandomNormal: .* stddev"),
        (lambda: initializers.TruncatedNormal(0, -1), ValueError, "TruncatedNormal: .* stddev"),
        (
            lambda: initializers.RandomUniform(1, 0),
            ValueError,
            "RandomUniform: expected maxval to be a number of at least 1, got 0",
        ),
        (lambda: initializers.VarianceScaling(0), ValueError, "scale to be a number above 0"),
        (
            lambda: initializers.VarianceScaling(mode="fan_on"),
            ValueError,
            "unknown mode 'fan_on'; did you mean 'fan_in'",
        ),
        (
            lambda: initializers.VarianceScaling(distribution="normal"),
            ValueError,
            "unknown distribution 'normal'.*Known: truncated_normal, uniform, untruncated_normal",
        ),
        (lambda: initializers.HeNormal(seed=1.5), ValueError, "HeNormal: expected seed"),
        (lambda: initializers.Orthogonal()((3,)), ValueError, "Orthogonal: expected a shape of at"),
        (lambda: initializers.Identity()((3,)), ValueError, "Identity: expected a shape of two"),
        (
            lambda: initializers.Initializer()((2,)),
            NotImplementedError,
            "Initializer does not define values",
        ),
        (lambda: nn.Dense(2, kernel_initializer=3), TypeError, "initializer: expected a name"),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_means_bounds_and_small_fans_are_kept():
    drawn = initializers.TruncatedNormal(3.0, 0.5)((4000,))
    assert drawn.mean() == pytest.approx(3.0, abs=0.05)
    assert 2.0 <= drawn.min() and drawn.max() <= 4.0
    drawn = initializers.RandomUniform(2.0, 3.0)((4000,))
    assert drawn.mean() == pytest.approx(2.5, abs=0.05)
    assert 2.0 <= drawn.min() and drawn.max() <= 3.0
    wide = initializers.VarianceScaling(2.0, distribution="untruncated_normal")((1, 4000))
    assert wide.var() == pytest.approx(2.0, rel=0.15)
