"""Optimizers beside NumPy: every rule, what surrounds it, the launches, the state, the errors."""

import copy
import math
import pickle

import numpy as np
import pytest

import nn
from engine import Tensor
from engine.kernels import bundle, update

from . import naive

FLOATS = ["float32", "float64"]
# One either side of vectors and of chunks of 64 vectors; together enough for threads
SIZES = [0, 1, 7, 8, 9, 15, 16, 17, 33, 511, 512, 513, 1023, 1024, 1025, 2049, 40_001]
CASES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    ("Adam", {"amsgrad": True, "beta_2": 0.5}),
    ("AdamW", {}),
    ("Nadam", {}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("Lion", {}),
]
IDS = [f"{name}-{'-'.join(settings)}" for name, settings in CASES]


def make(name, parameters=None, **settings):
    return getattr(nn.optimizers, name)(parameters, **settings)


def tensors(arrays):
    return [Tensor(array, requires_grad=True) for array in arrays]


def give(parameters, gradients):
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = None if gradient is None else Tensor(gradient)


def run(optimizer, gradients):
    """A step for each list of gradients."""
    for step in gradients:
        give(optimizer.parameters, step)
        optimizer.step()
        optimizer.zero_grad()
    return [parameter.numpy().copy() for parameter in optimizer.parameters]


def samples(shapes, steps=5, dtype="float32", seed=3):
    rng = np.random.default_rng(seed)
    starts = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    gradients = [[rng.normal(0, 2, s).astype(dtype) for s in shapes] for _ in range(steps)]
    return starts, gradients


def by_the_book(name, p, gradients, weight_decay=0.0, **settings):
    """The twin in tests/naive.py, over all gradients of one parameter."""
    twin, memory, p = getattr(naive, {"AdamW": "adam"}.get(name, name.lower())), {}, naive.wide(p)
    weight_decay = weight_decay or {"AdamW": 0.004}.get(name, 0.0)
    for t, g in enumerate(gradients, 1):
        p = p - settings["learning_rate"] * weight_decay * p
        p = twin(p, naive.wide(g), memory, t, **settings)
    return p


def assert_close(got, expected, dtype, factor=1.0):
    tolerance = factor * {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(got, np.asarray(expected, dtype), tolerance, tolerance)


# ----------------------------------------------------------------------------------- the rules


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name, settings", CASES, ids=IDS)
def test_every_rule_at_every_size(name, settings, dtype):
    starts, gradients = samples([(size,) for size in SIZES], dtype=dtype)
    parameters, fences = tensors(starts), []
    for parameter in parameters:  # each between elements that nobody may write to
        fence = np.full(parameter.size + 2, 77, dtype)
        fence[1:-1] = parameter.data
        parameter.data = fence[1:-1]
        fences.append(fence)
    before = [[g.copy() for g in step] for step in gradients]
    run(make(name, parameters, learning_rate=0.05, **settings), gradients)
    for i, (start, fence) in enumerate(zip(starts, fences)):
        assert fence[0] == fence[-1] == 77
        column = [step[i] for step in gradients]
        assert_close(
            fence[1:-1], by_the_book(name, start, column, learning_rate=0.05, **settings), dtype
        )
        assert all(g.tobytes() == old[i].tobytes() for g, old in zip(column, before))


@pytest.mark.parametrize("name, settings", CASES, ids=IDS)
def test_a_hundred_steps(name, settings):
    starts, gradients = samples([(40,)], steps=100, dtype="float64")
    (got,) = run(make(name, tensors(starts), learning_rate=0.01, **settings), gradients)
    column = [step[0] for step in gradients]
    expected = by_the_book(name, starts[0], column, learning_rate=0.01, **settings)
    assert_close(got, expected, "float64", factor=10)


@pytest.mark.parametrize("name, settings", CASES, ids=IDS)
def test_nan_moves_into_its_element_only(name, settings):
    gradient = np.ones(40, "float32")
    gradient[3] = np.nan
    (got,) = run(make(name, tensors([np.ones(40, "float32")]), **settings), [[gradient]] * 3)
    assert np.isnan(got).nonzero()[0].tolist() == [3]


def test_centered_rmsprop_survives_rounding():
    """A constant gradient has no variance: what rounding makes of it may not be negative."""
    start = np.zeros(64, "float32")
    gradient = np.linspace(100, 1e6, 64, dtype="float32")
    optimizer = make("RMSprop", tensors([start]), centered=True)
    assert np.isfinite(run(optimizer, [[gradient]] * 300)[0]).all()


@pytest.mark.parametrize("name, settings", CASES, ids=IDS)
def test_any_number_of_threads_gives_the_same_bits(name, settings, threads):
    results = []
    for count in (1, 2, 3, 8):
        threads(count)
        starts, gradients = samples([(size,) for size in SIZES], steps=2)
        optimizer = make(name, tensors(starts), global_clipnorm=1.0, use_ema=True, **settings)
        state = run(optimizer, gradients) + optimizer.slot("average")
        results.append(b"".join(array.tobytes() for array in state))
    assert len(set(results)) == 1


# ------------------------------------------------------------------------------------ launches


@pytest.fixture
def launches(monkeypatch):
    """The (dtype, kernel) of every launch, as they happen."""
    seen, call = [], bundle.Bundle._call

    def counted(self, kernel, arrays, arguments):
        seen.append((self.dtype.name, kernel))
        return call(self, kernel, arrays, arguments)

    monkeypatch.setattr(bundle.Bundle, "_call", counted)
    return seen


@pytest.mark.parametrize("name, settings", CASES, ids=IDS)
def test_a_step_is_one_launch(name, settings, launches):
    starts, gradients = samples([(3, 4), (4,), (4, 2), (), (50_000,)])
    groups = [
        {"params": tensors(starts[:2]), "learning_rate": 0.1},
        {"params": tensors(starts[2:])},
    ]
    optimizer = make(name, groups, weight_decay=0.1, clipvalue=1.0, **settings)
    for count in (1, 2):
        run(optimizer, gradients[:1])
        assert len(launches) == count
    assert launches[0][1] is update.RULES[optimizer.rule()].kernel


def test_a_launch_for_each_dtype(launches):
    starts = [np.ones(5, "float32"), np.ones((2, 3)), np.ones(7, "float32")]
    optimizer = make("Adam", tensors(starts), learning_rate=0.1)
    got = run(optimizer, [[-np.ones_like(start) for start in starts]])
    assert [dtype for dtype, _ in launches] == ["float32", "float64"]
    for array, start in zip(got, starts):
        assert array.dtype == start.dtype
        np.testing.assert_allclose(array, 1.1, rtol=1e-6)


def test_a_parameter_without_a_gradient_is_left_as_it_is():
    starts, gradients = samples([(5,), (6,), (7,)])
    for i in (0, 1, 2):
        steps = [[None if j == i else g for j, g in enumerate(step)] for step in gradients]
        optimizer = make("AdamW", tensors(starts), weight_decay=0.5)
        got = run(optimizer, steps)
        assert [a.tobytes() == b.tobytes() for a, b in zip(got, starts)] == [
            j == i for j in range(3)
        ]
        assert not optimizer.slot("mean")[i].any()
    run(optimizer, [[None] * 3])


def odd(x):
    """The same values in layouts of all kinds."""
    read_only = x.copy()
    read_only.flags.writeable = False
    spread = np.zeros((12, 30), x.dtype)
    spread[::2, ::3] = x
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    unaligned[...] = x
    return [read_only, spread[::2, ::3], np.asfortranarray(x), unaligned]


@pytest.mark.parametrize("dtype", FLOATS)
def test_gradients_of_any_layout_but_parameters_in_place(dtype):
    (start,), ((gradient,),) = samples([(6, 10)], 1, dtype)
    (expected,) = run(make("Adam", tensors([start])), [[gradient]])
    for array in odd(gradient):
        (parameter,) = tensors([start])
        optimizer = make("Adam", [parameter])
        parameter.grad = Tensor(gradient)
        parameter.grad.data = array
        optimizer.step()
        assert parameter.numpy().tobytes() == expected.tobytes()
    for array in odd(start):
        (parameter,) = tensors([start])
        optimizer = make("Adam", [parameter])
        parameter.grad, parameter.data = Tensor(gradient), array
        with pytest.raises(ValueError, match="expected a C-contiguous, writable array"):
            optimizer.step()
        assert optimizer.iterations == 0 and not optimizer.slot("mean")[0].any()
        np.testing.assert_array_equal(array, start)


def test_arrays_of_a_subclass_are_taken():
    class Own(np.ndarray):
        pass

    (start,), ((gradient,),) = samples([(6, 10)], 1)
    (expected,) = run(make("SGD", tensors([start])), [[gradient]])
    (parameter,) = tensors([start])
    parameter.data = parameter.data.view(Own)
    (got,) = run(make("SGD", [parameter]), [[gradient]])
    assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "parameter, gradient, message",
    [
        (np.ones(7, "float32"), np.ones(6, "float32"), r"an array of float32 and shape \(6,\)"),
        (np.ones(6), np.ones(6, "float32"), "an array of float32 .* got float64"),
        (np.ones(6, "float32"), np.ones(7, "float32"), r"a gradient of .*got float32 and shape"),
        (np.ones(6, "float32"), np.ones(6), "a gradient of float32 .* got float64"),
    ],
)
def test_arrays_that_were_exchanged_for_others(parameter, gradient, message):
    (moved,) = tensors([np.ones(6, "float32")])
    optimizer = make("SGD", [moved])
    moved.grad = Tensor(np.ones(6, "float32"))
    moved.data, moved.grad.data = parameter, gradient
    with pytest.raises(ValueError, match=f"expected {message}"):
        optimizer.step()
    assert (parameter == 1).all()


def test_arrays_that_numpy_would_keep_in_another_way_are_not_touched():
    (moved,) = tensors([np.ones(6, "float32")])
    optimizer = make("SGD", [moved])
    optimizer._shares[0].bundle._objects[bundle.TYPE] += 8  # no array has this type
    give([moved], [np.ones(6, "float32")])
    with pytest.raises(RuntimeError, match="keeps arrays in an unknown way"):
        optimizer.step()
    assert (moved.numpy() == 1).all()


# -------------------------------------------------------------------------- around the rule


@pytest.mark.parametrize("dtype", FLOATS)
def test_weight_decay_before_the_update(dtype):
    starts, gradients = samples([(5, 4), (4,)], dtype=dtype)
    got = run(make("SGD", tensors(starts), learning_rate=0.1, weight_decay=0.3), gradients)
    for i, start in enumerate(starts):
        column = [step[i] for step in gradients]
        expected = by_the_book("SGD", start, column, weight_decay=0.3, learning_rate=0.1)
        assert_close(got[i], expected, dtype)


def clipped(gradients, kind, limit):
    wide = [naive.wide(g) for g in gradients]
    if kind == "clipvalue":
        return [np.clip(g, -limit, limit) for g in wide]
    norms = [np.sqrt((g**2).sum()) for g in wide]
    if kind == "global_clipnorm":
        norms = [np.sqrt(sum(norm**2 for norm in norms))] * len(wide)
    return [g * min(1, limit / max(norm, 1e-9)) for g, norm in zip(wide, norms)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["clipvalue", "clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("limit", [0.7, 30.0, 1e9])
@pytest.mark.parametrize("accumulation", [None, 2])
def test_clipping(kind, limit, accumulation, dtype):
    starts, gradients = samples([(5, 4), (4,), (3000,), (0,)], 4, dtype)
    settings = {kind: limit, "gradient_accumulation_steps": accumulation}
    got = run(make("SGD", tensors(starts), learning_rate=0.1, **settings), gradients)
    expected = [naive.wide(start) for start in starts]
    if accumulation:
        gradients = [
            [(naive.wide(a) + b) / 2 for a, b in zip(*pair)]
            for pair in zip(gradients[::2], gradients[1::2])
        ]
    for step in gradients:
        expected = [p - 0.1 * g for p, g in zip(expected, clipped(step, kind, limit))]
    for array, exact in zip(got, expected):
        assert_close(array, exact, dtype)


def test_a_global_norm_that_is_not_finite_shows():
    starts = [np.ones(3, "float32"), np.ones(4, "float32")]
    for bad in (np.inf, np.nan):
        gradients = [np.array([1, bad, 1], "float32"), np.ones(4, "float32")]
        got = run(make("SGD", tensors(starts), global_clipnorm=1.0), [gradients])
        assert all(np.isnan(array).all() for array in got)
        got = run(make("SGD", tensors(starts), clipnorm=1.0), [gradients])
        assert np.isfinite(got[1]).all() and np.isnan(got[0][1])


def test_accumulated_gradients_are_the_mean_over_the_steps():
    starts, gradients = samples([(5,), (6,), (7,)], 6)
    for step in gradients:
        step[1] = None
    gradients[0][2] = gradients[4][2] = gradients[5][2] = None
    gradients[3][2] = None
    optimizer = make("SGD", tensors(starts), learning_rate=0.1, gradient_accumulation_steps=3)
    before = run(optimizer, gradients[:2])
    assert [a.tobytes() for a in before] == [a.tobytes() for a in starts]
    assert optimizer.iterations == 0
    got = run(optimizer, gradients[2:])
    assert optimizer.iterations == 2
    zero = np.zeros(7)
    sums = [sum(naive.wide(step[0]) for step in gradients), None]
    assert_close(got[0], starts[0] - 0.1 * sums[0] / 3, "float32")
    assert got[1].tobytes() == starts[1].tobytes()
    seen = sum(zero if step[2] is None else step[2] for step in gradients)
    assert_close(got[2], starts[2] - 0.1 * seen / 3, "float32")


@pytest.mark.parametrize("dtype", FLOATS)
def test_moving_averages(dtype):
    starts, gradients = samples([(5, 4), (4,)], 6, dtype)
    optimizer = make("SGD", tensors(starts), learning_rate=0.1, use_ema=True, ema_momentum=0.6)
    with optimizer.averaged():  # nothing has moved yet
        assert optimizer.parameters[0].numpy().tobytes() == starts[0].tobytes()
    averages = None
    for step in gradients:
        now = [naive.wide(array) for array in run(optimizer, [step])]
        averages = averages or now
        averages = [0.6 * a + 0.4 * p for a, p in zip(averages, now)]
    before = [p.numpy().copy() for p in optimizer.parameters]
    with pytest.raises(KeyError), optimizer.averaged():
        for parameter, average in zip(optimizer.parameters, averages):
            assert_close(parameter.numpy(), average, dtype)
        raise KeyError
    for parameter, array in zip(optimizer.parameters, before):
        assert parameter.numpy().tobytes() == array.tobytes()
    optimizer.finalize_variable_values()
    for parameter, average in zip(optimizer.parameters, averages):
        assert_close(parameter.numpy(), average, dtype)


def test_averages_that_take_the_place_of_the_parameters():
    (start,), gradients = samples([(5,)], 4)
    settings = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}
    (got,) = run(make("SGD", tensors([start]), learning_rate=0.1, **settings), gradients)
    p = average = naive.wide(start)
    for t, (g,) in enumerate(gradients, 1):
        p = p - 0.1 * naive.wide(g)
        average = p if t == 1 else 0.5 * average + 0.5 * p
        p = average if t % 2 == 0 else p
    assert_close(got, p, "float32")


# ---------------------------------------------------------------------------------------- groups


def test_groups_have_rates_and_decays_of_their_own():
    starts, gradients = samples([(4,), (5,), (6,), (7,)])
    a, b, c, d = tensors(starts)
    groups = [
        {"params": [a, d], "learning_rate": 0.1},
        {"params": b, "weight_decay": 0.5},
        {"params": [c], "learning_rate": nn.schedules.StepDecay(0.2, 2, 0.5), "weight_decay": 0},
    ]
    optimizer = make("Adam", groups, learning_rate=0.01, weight_decay=0.2)
    order = [0, 3, 1, 2]
    run(optimizer, [[step[i] for i in order] for step in gradients])
    for i, rates, decay in ((0, 0.1, 0.2), (3, 0.1, 0.2), (1, 0.01, 0.5)):
        column = [step[i] for step in gradients]
        expected = by_the_book("Adam", starts[i], column, decay, learning_rate=rates)
        assert_close((a, b, c, d)[i].numpy(), expected, "float32")
    (alone,) = tensors([starts[2]])
    single = make("Adam", [alone], learning_rate=nn.schedules.StepDecay(0.2, 2, 0.5))
    assert run(single, [[step[2]] for step in gradients])[0].tobytes() == c.numpy().tobytes()
    optimizer.groups[0].learning_rate = None
    assert optimizer.groups[0].learning_rate is None
    with pytest.raises(ValueError, match="learning_rate to be a number above 0, got -1"):
        optimizer.groups[0].learning_rate = -1


def test_what_does_not_decay():
    model = nn.Sequential([nn.Dense(3, input_shape=(2,)), nn.Dense(1)])
    before = model.state_dict()
    for excluded in (["bias"], [r"layers\.\d\.b"], lambda p: p.ndim < 2):
        model.load_state_dict({name: array + 1 for name, array in before.items()})
        optimizer = make("SGD", model, weight_decay=0.5, exclude_from_weight_decay=excluded)
        for parameter in optimizer.parameters:
            parameter.grad = Tensor(np.zeros(parameter.shape, "float32"))
        optimizer.step()
        for name, array in model.state_dict().items():
            factor = 1 if "bias" in name else 1 - 0.01 * 0.5
            np.testing.assert_allclose(array, (before[name] + 1) * np.float32(factor), 1e-6)


def test_a_frozen_layer_is_not_moved():
    model = nn.Sequential([nn.Dense(3, input_shape=(2,)), nn.Dense(1)])
    model.layers[0].trainable = False
    assert make("SGD", model).parameters == model.layers[1].parameters()


# -------------------------------------------------------------------------------- rates and state


def test_the_learning_rate_can_be_set_and_scheduled():
    (parameter,) = tensors([np.zeros(1)])
    optimizer = make("SGD", [parameter], learning_rate=0.5)
    run(optimizer, [[np.ones(1)]])
    optimizer.learning_rate = 0.25
    run(optimizer, [[np.ones(1)]])
    assert parameter.numpy() == -0.75
    optimizer.learning_rate = lambda step: 10.0 * step
    assert optimizer.current_learning_rate == 20
    run(optimizer, [[np.ones(1)]])
    assert parameter.numpy() == -20.75
    optimizer.learning_rate = lambda step: math.nan
    with pytest.raises(ValueError, match=r"SGD: expected the learning rate of step 3 .* got nan"):
        run(optimizer, [[np.ones(1)]])


STATES = [
    {},
    {"use_ema": True, "ema_momentum": 0.5},
    {"gradient_accumulation_steps": 4, "clipnorm": 1.0},
    {"learning_rate": nn.schedules.ExponentialDecay(0.1, 2, 0.5), "use_ema": True},
]


@pytest.mark.parametrize("surroundings", STATES, ids=str)
@pytest.mark.parametrize("name, settings", CASES, ids=IDS)
def test_a_state_goes_on_bit_for_bit(name, settings, surroundings):
    starts, gradients = samples([(5, 4), (4,), ()], 12)
    starts[1] = starts[1].astype("float64")
    for step in gradients:
        step[1] = step[1].astype("float64")
    gradients[4][2] = gradients[5][2] = None
    settings = settings | surroundings
    whole = make(name, tensors(starts), **settings)
    expected = run(whole, gradients)
    first = make(name, tensors(starts), **settings)
    first.parameters[0].grad = None
    stopped = run(first, gradients[:6])
    state = first.state_dict()
    run(first, gradients[6:7])  # the state is a copy
    second = make(name, tensors(stopped), **settings)
    second.load_state_dict(state)
    got = run(second, gradients[6:])
    for a, b in zip(got, expected):
        assert a.tobytes() == b.tobytes()
    assert second.iterations == whole.iterations
    for key, value in whole.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[key], value, err_msg=key)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_goes_its_own_way(copied):
    starts, gradients = samples([(5, 4), (4,)], 6)
    settings = {"gradient_accumulation_steps": 2, "use_ema": True}
    optimizer = make("Adam", tensors(starts), **settings)
    run(optimizer, gradients[:3])
    other = copied(optimizer)
    before = optimizer.state_dict()
    moved = run(other, gradients[3:])
    for key, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    for a, b in zip(moved, run(optimizer, gradients[3:])):
        assert a.tobytes() == b.tobytes()


def test_a_state_holds_what_was_set():
    starts, _ = samples([(2,), (3,)])
    groups = [
        {"params": tensors(starts[:1]), "learning_rate": 0.5},
        {"params": tensors(starts[1:])},
    ]
    optimizer = make("SGD", groups, learning_rate=0.1, momentum=0.9)
    optimizer.learning_rate, optimizer.groups[0].learning_rate = 0.2, 0.3
    state = optimizer.state_dict()
    assert list(state) == [
        "iterations",
        "learning_rate",
        "groups.0.learning_rate",
        "velocity.0",
        "velocity.1",
    ]
    other = make("SGD", groups, learning_rate=0.1, momentum=0.9)
    other.load_state_dict(state)
    assert (other.learning_rate, other.groups[0].learning_rate) == (0.2, 0.3)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"mean.0": None}, "missing mean.0"),
        ({"more": 1}, "unexpected more"),
        (
            {"mean.0": np.zeros(4, "float32")},
            r"mean.0 is float32 of shape \(4,\), expected float32",
        ),
        ({"mean.0": np.zeros(3)}, r"mean.0 is float64 of shape \(3,\), expected float32"),
        ({"iterations": -1}, "iterations to be an integer of at least 0, got -1"),
        ({"iterations": 1.5}, "iterations to be an integer of at least 0, got 1.5"),
        ({"learning_rate": 0.0}, "learning_rate to be a number above 0, got 0.0"),
        ({"learning_rate": "x"}, "learning_rate to be a number above 0, got 'x'"),
        ({"learning_rate": [1]}, r"learning_rate to be a number above 0, got \[1\]"),
        ({"learning_rate": ()}, "learning_rate"),
        ({"waiting": 3}, "waiting to be below gradient_accumulation_steps=3, got 3"),
        ({"pending": [1]}, r"pending to be a list of integers below 1, got \[1\]"),
        ({"pending": 0}, "pending to be a list"),
        ({"mean.0": None, "more": 1}, "missing mean.0; unexpected more"),
    ],
)
def test_differences_in_a_state(change, message):
    optimizer = make("Adam", tensors([np.ones(3, "float32")]), gradient_accumulation_steps=3)
    run(optimizer, [[np.ones(3, "float32")]] * 4)
    before = optimizer.state_dict()
    state = {name: value for name, value in (before | change).items() if value is not None}
    with pytest.raises(ValueError, match=f"^Adam.load_state_dict: .*{message}"):
        optimizer.load_state_dict(state)
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_schedule_does_not_take_a_number_from_a_state_nor_the_other_way_round():
    (parameter,) = tensors([np.ones(3)])
    number = make("SGD", [parameter])
    schedule = make("SGD", [parameter], learning_rate=nn.schedules.Constant(0.1))
    with pytest.raises(ValueError, match="learning_rate is a number in the state and a schedule"):
        schedule.load_state_dict(number.state_dict())
    with pytest.raises(ValueError, match="learning_rate is a schedule in the state and a number"):
        number.load_state_dict(schedule.state_dict())
    state = schedule.state_dict()
    assert state["learning_rate"] is None
    schedule.load_state_dict(state)


@pytest.mark.parametrize("name", nn.optimizers.OPTIMIZERS)
def test_settings_make_another_like_it(name):
    optimizer = nn.optimizers.get(name)
    settings = {"weight_decay": 0.1, "clipnorm": 2.0, "use_ema": True, "learning_rate": 0.3}
    optimizer = type(optimizer)(**optimizer.get_config() | settings)
    config = nn.to_config(optimizer)
    again = nn.from_config(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    assert {name: again.get_config()[name] for name in settings} == settings


# ----------------------------------------------------------------------------------------- errors


def parameter():
    return Tensor([1.0], requires_grad=True)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda: make("SGD", clipnorm=1.0, clipvalue=2.0),
            ValueError,
            "only one of clipnorm, clipvalue, global_clipnorm, got clipnorm=1.0, clipvalue=2.0",
        ),
        (lambda: make("SGD", clipnorm=0), ValueError, "clipnorm to be a number above 0, got 0"),
        (lambda: make("SGD", weight_decay=-1), ValueError, "weight_decay .* at least 0, got -1"),
        (lambda: make("AdamW", weight_decay=None), ValueError, "without it, write Adam"),
        (lambda: make("SGD", ema_momentum=1.5), ValueError, "ema_momentum .* at most 1, got 1.5"),
        (
            lambda: make("SGD", ema_overwrite_frequency=0),
            ValueError,
            "ema_overwrite_frequency to be an integer of at least 1, got 0",
        ),
        (
            lambda: make("SGD", gradient_accumulation_steps=1),
            ValueError,
            "gradient_accumulation_steps to be an integer of at least 2, got 1",
        ),
        (lambda: make("SGD", learning_rate=True), ValueError, "learning_rate .* got True"),
        (lambda: make("Lion", beta_1=0.0), ValueError, "beta_1 to be a number above 0 and below 1"),
        (lambda: make("RMSprop", rho=1.0), ValueError, "rho .* below 1, got 1.0"),
        (lambda: make("Adagrad", initial_accumulator_value=-1), ValueError, "initial_acc.* got -1"),
        (lambda: make("Adadelta", epsilon="x"), ValueError, "epsilon .* got 'x'"),
        (lambda: make("SGD", speed=1), TypeError, "speed"),
        (
            lambda: make("SGD", [{"params": [parameter()], "lr": 1}]),
            ValueError,
            "a group to be a dict with 'params' and maybe 'learning_rate' .* got params, lr",
        ),
        (lambda: make("SGD", [{}]), ValueError, "a group to be a dict with 'params'"),
        (
            lambda: make("SGD", [{"params": [parameter()]}, parameter()]),
            TypeError,
            "expected groups, or parameters, not some of both",
        ),
        (lambda: make("SGD", [{"params": []}]), ValueError, "there are no parameters to move"),
        (lambda: make("SGD", [p := parameter(), p]), ValueError, r"of shape \(1,\) is given twice"),
        (
            lambda: make("SGD", [("w", p := parameter()), ("v", p)]),
            ValueError,
            "the parameter 'v' is given twice",
        ),
        (
            lambda: make("SGD", [parameter()], exclude_from_weight_decay=["bias"]),
            ValueError,
            r"needs the parameters' names; write SGD\(model, ...\), or .*lambda p: p.ndim < 2",
        ),
        (lambda: make("SGD").state_dict(), ValueError, r"write SGD\(model.parameters\(\), ...\)"),
        (lambda: make("SGD").load_state_dict({}), ValueError, "SGD: no parameters yet"),
        (
            lambda: make("SGD", [parameter()]).averaged().__enter__(),
            ValueError,
            r"averaged: there are no averages; write SGD\(..., use_ema=True\)",
        ),
        (
            lambda: make("SGD", [parameter()]).finalize_variable_values(),
            ValueError,
            "finalize_variable_values: there are no averages",
        ),
        (lambda: nn.optimizers.Optimizer(learning_rate=1).rule(), NotImplementedError, "rule"),
        (lambda: nn.optimizers.Optimizer(learning_rate=1).numbers(1), NotImplementedError, "numb"),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_names():
    kinds = {name: type(nn.optimizers.get(name)).__name__ for name in nn.optimizers.OPTIMIZERS}
    assert kinds == {
        "sgd": "SGD",
        "adam": "Adam",
        "adamw": "AdamW",
        "nadam": "Nadam",
        "rmsprop": "RMSprop",
        "adagrad": "Adagrad",
        "adadelta": "Adadelta",
        "lion": "Lion",
    }


def test_a_schedule_counts_the_steps_that_only_accumulate():
    seen = []

    def schedule(step):
        seen.append(step)
        return 0.1

    (weight,) = tensors([np.ones(2)])
    optimizer = nn.optimizers.SGD([weight], learning_rate=schedule, gradient_accumulation_steps=3)
    for _ in range(9):
        weight.grad = Tensor(np.ones(2))
        optimizer.step()
        optimizer.zero_grad()
    assert seen == [2, 5, 8]
    assert optimizer.iterations == 3


def test_a_gradient_that_was_missing_later_still_counts():
    (weight,) = tensors([np.ones(2)])
    optimizer = nn.optimizers.SGD([weight], learning_rate=1.0, gradient_accumulation_steps=2)
    weight.grad = Tensor(np.full(2, 0.5))
    optimizer.step()
    optimizer.zero_grad()
    optimizer.step()
    np.testing.assert_array_equal(weight.numpy(), [0.75, 0.75])


def test_which_gradients_wait_is_part_of_the_state():
    settings = {"learning_rate": 1.0, "gradient_accumulation_steps": 2, "weight_decay": 0.5}
    first = nn.optimizers.SGD(tensors([np.ones(2), np.ones(3)]), **settings)
    run(first, [[np.full(2, 0.5), None]])
    second = nn.optimizers.SGD(tensors([np.ones(2), np.ones(3)]), **settings)
    second.load_state_dict(first.state_dict())
    moved, left = run(second, [[None, None]])
    np.testing.assert_array_equal(moved, [0.25, 0.25])  # 1 (1 - 0.5) - 0.5 / 2
    np.testing.assert_array_equal(left, np.ones(3))  # no gradient, no decay


DECAYING = [  # (optimizer, settings, what decays)
    ("SGD", {"momentum": 0.5}, "velocity"),
    ("SGD", {"momentum": 0.5, "nesterov": True}, "velocity"),
    ("Adam", {"beta_1": 0.5}, "mean"),
    ("Adam", {"beta_1": 0.5, "amsgrad": True}, "mean"),
    ("Nadam", {"beta_1": 0.5}, "mean"),
    ("RMSprop", {"momentum": 0.5}, "velocity"),
    ("RMSprop", {"rho": 0.5, "centered": True}, "mean"),
    ("RMSprop", {"momentum": 0.5, "rho": 0.5, "centered": True}, "velocity"),
]


@pytest.mark.parametrize("dtype, steps", [("float32", 200), ("float64", 1200)])
@pytest.mark.parametrize("name, settings, slot", DECAYING)
def test_what_decays_ends_at_zero_and_is_never_denormal(name, settings, slot, dtype, steps):
    parameters = tensors([np.ones(20, dtype)])
    optimizer = make(name, parameters, **settings)
    run(optimizer, [[np.full(20, 1e-2, dtype)]])
    tiny, seen = np.finfo(dtype).tiny, []
    for _ in range(steps):
        run(optimizer, [[np.zeros(20, dtype)]])
        seen.append(abs(optimizer.slot(slot)[0][0]))
    assert seen[0] > 0
    assert not any(0 < value < tiny for value in seen)
    assert seen[-1] == 0
