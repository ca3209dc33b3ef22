"""Optimizers and schedules beside Keras 3, where it is installed, on the same numbers."""

import contextlib
import os

import numpy as np
import pytest

import nn
from engine import Tensor

os.environ.setdefault("KERAS_BACKEND", "torch")
pytest.importorskip("torch", reason="PyTorch, on which Keras runs here, is not installed")
keras = pytest.importorskip("keras", reason="Keras, the peer of these tests, is not installed")

# Of NumPy 2, about how Keras's PyTorch backend turns tensors into arrays
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Another file of this run may have chosen another backend; those round numbers to float32.
IS_EXACT = keras.backend.backend() == "torch"
SHAPES = [(7, 5), (5,), (40, 30), (1,)]
RTOL = {"float32": 1e-5, "float64": 1e-10 if IS_EXACT else 1e-5}


@contextlib.contextmanager
def counting_in(dtype):
    """In the `with` block Keras calculates in this type, learning rates too."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", dtype == "float64")
    yield dtype
    keras.config.set_floatx(before)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with counting_in(request.param) as dtype:
        yield dtype


def beside_keras(ours, theirs, dtype, steps=5, rtol=None):
    """Move the same parameters by the same gradients, and compare them after each step."""
    rng = np.random.default_rng(5)
    starts = [rng.normal(size=shape).astype(dtype) for shape in SHAPES]
    parameters = [Tensor(start, requires_grad=True) for start in starts]
    variables = [
        keras.Variable(start, dtype=dtype, name=name)
        for name, start in zip(("kernel", "bias", "table", "gamma"), starts)
    ]
    ours.bind(list(zip(("kernel", "bias", "table", "gamma"), parameters)))
    theirs.build(variables)
    rtol = rtol or RTOL[dtype]
    for step in range(steps):
        gradients = [rng.normal(0, 2, shape).astype(dtype) for shape in SHAPES]
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = Tensor(gradient)
        ours.step()
        ours.zero_grad()
        theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        for parameter, variable in zip(parameters, variables):
            expected = keras.ops.convert_to_numpy(variable.value)
            np.testing.assert_allclose(
                parameter.numpy(), expected, rtol=rtol, atol=rtol, err_msg=f"step {step}"
            )
    return parameters, variables


CASES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    ("Adam", {"amsgrad": True, "beta_2": 0.5}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True}),
    ("Nadam", {}),
    ("Nadam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    ("RMSprop", {}),
    ("RMSprop", {"rho": 0.7, "epsilon": 1e-3}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.5, "epsilon": 1e-3}),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.5, "beta_2": 0.8}),
]
KINDS = dict.fromkeys(name for name, _ in CASES)


def both(name, **settings):
    return getattr(nn.optimizers, name)(**settings), getattr(keras.optimizers, name)(**settings)


@pytest.mark.parametrize("name, settings", CASES)
def test_five_updates(name, settings, dtype):
    ours, theirs = both(name, learning_rate=0.05, **settings)
    beside_keras(ours, theirs, dtype)


@pytest.mark.parametrize("name", KINDS)
def test_defaults_are_those_of_keras(name):
    ours, theirs = both(name)
    expected = theirs.get_config()
    for setting, value in ours.get_config().items():
        if setting != "exclude_from_weight_decay":
            rounded = np.float32(value) if setting == "learning_rate" else value
            assert rounded == expected[setting], setting


SURROUNDINGS = [
    {"weight_decay": 0.1},
    {"clipvalue": 0.5},
    {"clipnorm": 1.5},
    {"global_clipnorm": 2.0},
    {"global_clipnorm": 1e6},
    {"use_ema": True, "ema_momentum": 0.6, "ema_overwrite_frequency": 2},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "clipnorm": 0.7, "weight_decay": 0.1},
    {"gradient_accumulation_steps": 2, "global_clipnorm": 0.7},
    {"gradient_accumulation_steps": 4, "clipvalue": 0.3},
]


@pytest.mark.parametrize("settings", SURROUNDINGS, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_what_surrounds_the_rule(name, settings, dtype):
    ours, theirs = both(name, learning_rate=0.05, **settings)
    steps = 5 * settings.get("gradient_accumulation_steps", 1)
    # Keras on PyTorch rounds norms to float32; tests/test_optimizers.py has NumPy beside them
    beside_keras(ours, theirs, dtype, steps, rtol=1e-5 if "norm" in str(settings) else None)


def test_averages_of_the_weights(dtype):
    ours, theirs = both("Adam", learning_rate=0.05, use_ema=True, ema_momentum=0.7)
    parameters, variables = beside_keras(ours, theirs, dtype)
    before = [parameter.numpy().copy() for parameter in parameters]
    theirs.finalize_variable_values(variables)
    expected = [keras.ops.convert_to_numpy(variable.value) for variable in variables]
    with ours.averaged():
        for parameter, average in zip(parameters, expected):
            np.testing.assert_allclose(parameter.numpy(), average, RTOL[dtype], RTOL[dtype])
    for parameter, array in zip(parameters, before):
        assert parameter.numpy().tobytes() == array.tobytes()
    ours.finalize_variable_values()
    for parameter, average in zip(parameters, expected):
        np.testing.assert_allclose(parameter.numpy(), average, RTOL[dtype], RTOL[dtype])


def test_weights_that_do_not_decay(dtype):
    names = ["bias", "gamma"]
    ours = nn.optimizers.AdamW(
        learning_rate=0.05, weight_decay=0.5, exclude_from_weight_decay=names
    )
    theirs = keras.optimizers.AdamW(learning_rate=0.05, weight_decay=0.5)
    theirs.exclude_from_weight_decay(var_names=names)
    beside_keras(ours, theirs, dtype)


PEERS = keras.optimizers.schedules
SCHEDULES = [
    ("ExponentialDecay", (0.1, 30, 0.5), {}),
    ("ExponentialDecay", (0.1, 30, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([10, 50, 51], [0.3, 0.2, 0.1, 0.05]), {}),
    ("PolynomialDecay", (0.1, 40), {}),
    ("PolynomialDecay", (0.1, 40, 0.01), {"power": 2.0}),
    ("PolynomialDecay", (0.1, 40, 0.01), {"power": 0.5, "cycle": True}),
    ("InverseTimeDecay", (0.1, 30, 0.5), {}),
    ("InverseTimeDecay", (0.1, 30, 0.5), {"staircase": True}),
    ("CosineDecay", (0.1, 60), {}),
    ("CosineDecay", (0.1, 60), {"alpha": 0.1}),
    ("CosineDecay", (0.01, 60), {"alpha": 0.1, "warmup_target": 0.2, "warmup_steps": 20}),
    ("CosineDecayRestarts", (0.1, 20), {}),
    ("CosineDecayRestarts", (0.1, 20), {"t_mul": 1.0, "m_mul": 0.8, "alpha": 0.1}),
    ("CosineDecayRestarts", (0.1, 15), {"t_mul": 1.5, "m_mul": 0.5}),
]


@pytest.mark.parametrize("name, arguments, settings", SCHEDULES)
def test_schedules(name, arguments, settings):
    ours = getattr(nn.schedules, name)(*arguments, **settings)
    theirs = getattr(PEERS, name)(*arguments, **settings)
    steps = range(0, 200, 1 if IS_EXACT else 13)  # JAX compiles for each of them anew
    with counting_in("float64"):
        expected = [float(theirs(keras.ops.convert_to_tensor(s))) for s in steps]
    got = [ours(step) for step in steps]
    assert all(type(rate) is float for rate in got)
    # At a restart the logarithms of Keras may round to the wave before
    close = np.isclose(got, expected, rtol=RTOL["float64"], atol=1e-3 * RTOL["float64"])
    assert close.mean() > 0.98 if name == "CosineDecayRestarts" else close.all()


@pytest.mark.parametrize("accumulation", [None, 3])
def test_an_optimizer_follows_its_schedule(accumulation, dtype):
    settings = {"gradient_accumulation_steps": accumulation, "weight_decay": 0.1}
    ours = nn.optimizers.Adam(learning_rate=nn.schedules.InverseTimeDecay(0.1, 2, 1.0), **settings)
    theirs = keras.optimizers.Adam(learning_rate=PEERS.InverseTimeDecay(0.1, 2, 1.0), **settings)
    beside_keras(ours, theirs, dtype, steps=12)


class Stub:
    """Stands for a model, of which the callbacks only see the optimizer."""

    stop_training = False

    def __init__(self, optimizer):
        self.optimizer = optimizer


@pytest.mark.parametrize("seed", range(6))
def test_reduce_on_plateau(seed):
    rng = np.random.default_rng(seed)
    settings = {
        "monitor": "loss",
        "factor": 0.5,
        "patience": int(rng.integers(1, 4)),
        "cooldown": int(rng.integers(0, 4)),
        "min_delta": float(rng.choice([0.0, 0.1])),
        "min_lr": float(rng.choice([0.0, 0.2])),
        "mode": str(rng.choice(["auto", "max"])),
    }
    ours, theirs = nn.ReduceLROnPlateau(**settings), keras.callbacks.ReduceLROnPlateau(**settings)
    models = [Stub(optimizer) for optimizer in both("SGD", learning_rate=1.0)]
    ours.set_model(models[0])
    theirs.set_model(models[1])
    ours.on_train_begin()
    theirs.on_train_begin()
    for epoch in range(40):
        loss = float(rng.normal())
        ours.on_epoch_end(epoch, {"loss": loss})
        theirs.on_epoch_end(epoch, {"loss": loss})
        expected = float(models[1].optimizer.learning_rate)
        assert models[0].optimizer.learning_rate == pytest.approx(expected, rel=1e-6)
