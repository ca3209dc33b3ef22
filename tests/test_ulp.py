"""The functions to the last digits: float32 against float64, float64 against mpmath."""

import numpy as np
import pytest

from engine.kernels import elementwise
from engine.kernels.vmath import fuses_multiply_add

from . import naive, ulp

# mish has a quotient of sums for a gate; two need fused multiply-add for the last tenths.
BOUNDS = {"mish": 3.5}
if not fuses_multiply_add():
    BOUNDS |= {"gelu_tanh": 2.3, "silu": 2.3}


def float32_samples():
    """Every exponent and both signs, and more where functions bend."""
    bits = np.arange(0, 2**32, 6421, dtype=np.uint64).astype(np.uint32)
    bends = [np.linspace(-s, s, 100_001, dtype="float32") for s in (0.5, 2, 8, 20, 110)]
    return np.concatenate([bits.view("float32"), *bends])


@pytest.mark.parametrize("name", ulp.FUNCTIONS)
def test_float32_functions_are_within_two_ulp(name):
    x = float32_samples()
    with np.errstate(all="ignore"):
        expected = ulp.reference(name)(x)
        errors = naive.ulps(getattr(elementwise, name)(x), expected)
    assert errors.max() <= BOUNDS.get(name, 2), x[errors.argmax()]


def exact(name):
    """The function of an mpmath number."""
    mp = pytest.importorskip("mpmath", reason="what is exact in float64 is calculated by mpmath")
    mp.mp.prec = 200
    cubic = mp.sqrt(8 / mp.pi)
    return {
        "exp": mp.exp,
        "log": mp.log,
        "tanh": mp.tanh,
        "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
        "erf": mp.erf,
        "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
        "gelu_tanh": lambda x: x / (1 + mp.exp(-cubic * (x + mp.mpf("0.044715") * x**3))),
        "silu": lambda x: x / (1 + mp.exp(-x)),
        "softplus": lambda x: mp.log1p(mp.exp(x)),
        "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)),
        "mish": lambda x: x * mp.tanh(mp.log1p(mp.exp(x))),
    }[name]


@pytest.mark.parametrize("name", ulp.FUNCTIONS)
def test_float64_functions_are_within_two_ulp(name):
    function = exact(name)
    mp = pytest.importorskip("mpmath")
    rng = np.random.default_rng(7)
    spreads = [rng.uniform(-s, s, 150) for s in (0.5, 1.5, 6, 15, 40, 745)]
    sizes = np.exp(rng.uniform(-740, 6, 150)) * rng.choice([-1, 1], 150)
    x = np.concatenate([*spreads, sizes, 1 + rng.uniform(-0.01, 0.01, 100)])
    x = np.abs(x) if name == "log" else x
    worst = 0.0
    for value, got in zip(x, getattr(elementwise, name)(x)):
        expected = function(mp.mpf(float(value)))
        unit = np.spacing(abs(float(expected)))
        distance = abs(mp.mpf(float(got)) - expected) / mp.mpf(float(unit))
        worst = max(worst, float(distance))
    assert worst <= BOUNDS.get(name, 2)


SPECIAL = {  # at -inf, -0, 0 and inf; at nan all are nan
    "exp": (0.0, 1.0, 1.0, np.inf),
    "log": (np.nan, -np.inf, -np.inf, np.inf),
    "tanh": (-1.0, -0.0, 0.0, 1.0),
    "sigmoid": (0.0, 0.5, 0.5, 1.0),
    "erf": (-1.0, -0.0, 0.0, 1.0),
    "gelu": (-0.0, -0.0, 0.0, np.inf),
    "gelu_tanh": (-0.0, -0.0, 0.0, np.inf),
    "silu": (-0.0, -0.0, 0.0, np.inf),
    "softplus": (0.0, np.log(2), np.log(2), np.inf),
    "log_sigmoid": (-np.inf, -np.log(2), -np.log(2), -0.0),
    "mish": (-0.0, -0.0, 0.0, np.inf),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ulp.FUNCTIONS)
def test_infinities_zeros_and_nan(name, dtype):
    x = np.array([-np.inf, -0.0, 0.0, np.inf, np.nan], dtype)
    got = getattr(elementwise, name)(x)
    expected = np.array([*SPECIAL[name], np.nan], dtype)
    np.testing.assert_allclose(got, expected, rtol=2 * np.finfo(dtype).eps, atol=0)
    if name in ("tanh", "erf", "gelu", "gelu_tanh", "silu", "mish"):  # the sign of a zero
        np.testing.assert_array_equal(np.signbit(got)[:4], np.signbit(expected)[:4])
