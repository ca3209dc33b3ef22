"""Schedules at the steps where they turn, by hand; and beside PyTorch, where it is installed."""

import math

import numpy as np
import pytest

import nn
from nn import schedules


def rates(schedule, *steps):
    return [pytest.approx(schedule(step), rel=1e-12, abs=1e-15) for step in steps]


@pytest.mark.parametrize(
    "schedule, steps, expected",
    [
        (schedules.Constant(0.1), (0, 9), [0.1, 0.1]),
        (
            schedules.PiecewiseConstantDecay([2, 5], [1.0, 0.5, 0.0]),
            (0, 2, 3, 5, 6, 100),
            [1.0, 1.0, 0.5, 0.5, 0.0, 0.0],
        ),
        (schedules.StepDecay(1.0, 10), (0, 9, 10, 25), [1.0, 1.0, 0.1, 0.01]),
        (schedules.ExponentialDecay(1.0, 10, 0.25), (0, 5, 20), [1.0, 0.5, 0.0625]),
        (schedules.ExponentialDecay(1.0, 10, 0.25, staircase=True), (9, 19), [1.0, 0.25]),
        (schedules.InverseTimeDecay(1.0, 10, 2.0), (0, 5, 10), [1.0, 0.5, 1 / 3]),
        (schedules.InverseTimeDecay(1.0, 10, 2.0, staircase=True), (9, 19), [1.0, 1 / 3]),
        (schedules.PolynomialDecay(1.0, 10, 0.2), (0, 5, 10, 99), [1.0, 0.6, 0.2, 0.2]),
        (schedules.PolynomialDecay(1.0, 10, 0.0, power=2), (5,), [0.25]),
        (
            schedules.PolynomialDecay(1.0, 10, 0.0, cycle=True),
            (0, 10, 11, 20, 30),
            [1.0, 0.0, 1 - 11 / 20, 0.0, 0.0],
        ),
        (schedules.CosineDecay(1.0, 10, 0.2), (0, 5, 10, 99), [1.0, 0.6, 0.2, 0.2]),
        (
            schedules.CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=4),
            (0, 1, 4, 9, 14, 99),
            [0.0, 0.25, 1.0, 0.5, 0.0, 0.0],
        ),
        (schedules.CosineDecay(0.5, 10, warmup_target=1.0), (0, 5), [1.0, 0.5]),
        (
            schedules.CosineDecayRestarts(1.0, 10, t_mul=2.0, m_mul=0.5),
            (0, 5, 10, 20, 30, 50),
            [1.0, 0.5, 0.5, 0.25, 0.25, 0.125],
        ),
        (
            schedules.CosineDecayRestarts(1.0, 10, t_mul=1.0, alpha=0.2),
            (0, 5, 10, 25),
            [1.0, 0.6, 1.0, 0.6],
        ),
        (
            schedules.OneCycle(1.0, 11, pct_start=6 / 11, div_factor=4, final_div_factor=5),
            (0, 5, 10, 99),
            [0.25, 1.0, 0.05, 0.05],
        ),
    ],
    ids=lambda value: type(value).__name__ if callable(value) else None,
)
def test_where_schedules_turn(schedule, steps, expected):
    assert rates(schedule, *steps) == expected
    assert all(type(schedule(step)) is float for step in steps)


def test_a_schedule_is_remade_from_its_configuration():
    for schedule in (
        schedules.PiecewiseConstantDecay([2, 5], [1.0, 0.5, 0.0]),
        schedules.CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=4),
        schedules.OneCycle(1.0, 11, anneal_strategy="linear"),
    ):
        again = nn.from_config(nn.to_config(schedule))
        assert type(again) is type(schedule)
        assert vars(again) == vars(schedule)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("total, start", [(100, 0.3), (37, 0.5), (5, 0.1), (2, 0.5)])
def test_one_cycle_is_that_of_pytorch(strategy, total, start):
    torch = pytest.importorskip("torch", reason="PyTorch, the peer of this test, is not installed")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    if start * total == 1:  # there PyTorch divides by zero
        start += 0.05
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, total, pct_start=start, anneal_strategy=strategy, cycle_momentum=False
    )
    ours = schedules.OneCycle(0.5, total, start, anneal_strategy=strategy)
    expected = []
    for _ in range(total):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < total:
            theirs.step()
    np.testing.assert_allclose([ours(step) for step in range(total)], expected, rtol=1e-12)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: schedules.Constant(0), ValueError, "Constant: .*learning_rate .* above 0, got 0"),
        (
            lambda: schedules.PiecewiseConstantDecay([5, 5], [1, 2, 3]),
            ValueError,
            r"boundaries to increase, got \[5, 5\]",
        ),
        (
            lambda: schedules.PiecewiseConstantDecay([5], [1]),
            ValueError,
            "one value more than boundaries, got 1 values and 1 boundaries",
        ),
        (lambda: schedules.StepDecay(1, 0), ValueError, "decay_steps .* at least 1, got 0"),
        (
            lambda: schedules.ExponentialDecay(1, 0, 0.5),
            ValueError,
            "decay_steps .* above 0, got 0",
        ),
        (lambda: schedules.PolynomialDecay(1, 1.5), ValueError, "decay_steps .* integer"),
        (lambda: schedules.CosineDecay(1, 10, alpha=2), ValueError, "alpha .* at most 1, got 2"),
        (
            lambda: schedules.CosineDecay(1, 10, warmup_steps=3),
            ValueError,
            "warmup_steps needs a warmup_target",
        ),
        (
            lambda: schedules.CosineDecayRestarts(1, 10, t_mul=0.5),
            ValueError,
            "t_mul to be a number of at least 1, got 0.5",
        ),
        (lambda: schedules.OneCycle(1, 1), ValueError, "total_steps .* at least 2, got 1"),
        (lambda: schedules.OneCycle(1, 9, pct_start=1.0), ValueError, "pct_start .* below 1"),
        (
            lambda: schedules.OneCycle(1, 9, anneal_strategy="cosine"),
            ValueError,
            "anneal_strategy to be 'cos' or 'linear', got 'cosine'",
        ),
        (
            lambda: schedules.LearningRateSchedule()(1),
            NotImplementedError,
            r"LearningRateSchedule does not define __call__\(self, step\)",
        ),
        (lambda: schedules.StepDecay(math.nan, 1), ValueError, "got nan"),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
