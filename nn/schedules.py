"""Schedules: the learning rate as a function of the number of steps taken.

    nn.optimizers.SGD(learning_rate=nn.schedules.CosineDecay(0.1, decay_steps=10_000))

A schedule is called with that number, 0 before the first step, and gives a float; it remembers
nothing, so that training resumes anywhere in it. Names, arguments and formulas are those of
Keras 3, where it has the schedule. Any function of an int will do as one; these can be saved.
"""

import math

from .checks import count_of, number_of


class LearningRateSchedule:
    """Base of schedules: a subclass defines `__call__(step)`, which gives a float of at least 0."""

    def __call__(self, step):
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(self, step)")

    def _rate(self, name, value, low=0, **bounds):
        return number_of(type(self).__name__, name, value, low, **bounds)

    def _count(self, name, value, low=1):
        return count_of(type(self).__name__, name, value, low)


class Constant(LearningRateSchedule):
    """The same rate always.

    learning_rate  above 0
    """

    def __init__(self, learning_rate):
        self.learning_rate = self._rate("learning_rate", learning_rate, open_low=True)

    def __call__(self, step):
        return self.learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and with step boundaries[0], values[1] up to and with boundaries[1], ...

    boundaries  increasing step numbers
    values      rates of at least 0, one more than boundaries
    """

    def __init__(self, boundaries, values):
        self.boundaries = [self._count("boundaries", step, 0) for step in boundaries]
        self.values = [self._rate("values", value) for value in values]
        if self.boundaries != sorted(set(self.boundaries)):
            raise ValueError(
                f"PiecewiseConstantDecay: expected boundaries to increase, got {self.boundaries}"
            )
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                "PiecewiseConstantDecay: expected one value more than boundaries, got "
                f"{len(self.values)} values and {len(self.boundaries)} boundaries"
            )

    def __call__(self, step):
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class StepDecay(LearningRateSchedule):
    """The rate is multiplied by `drop` after every `decay_steps` steps: PyTorch's StepLR.

    initial_learning_rate  above 0
    decay_steps            of at least 1
    drop                   above 0. Default 0.1.
    """

    def __init__(self, initial_learning_rate, decay_steps, drop=0.1):
        name = "initial_learning_rate"
        self.initial_learning_rate = self._rate(name, initial_learning_rate, open_low=True)
        self.decay_steps = self._count("decay_steps", decay_steps)
        self.drop = self._rate("drop", drop, open_low=True)

    def __call__(self, step):
        return self.initial_learning_rate * self.drop ** (step // self.decay_steps)


class _Decay(LearningRateSchedule):
    # What falls from `initial_learning_rate` with step / decay_steps, which staircase rounds down.

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False):
        self.initial_learning_rate = self._rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._rate("decay_steps", decay_steps, open_low=True)
        self.decay_rate = self._rate("decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def _time(self, step):
        time = step / self.decay_steps
        return math.floor(time) if self.staircase else time


class ExponentialDecay(_Decay):
    """initial_learning_rate decay_rate^(step / decay_steps).

    initial_learning_rate  of at least 0
    decay_steps            above 0
    decay_rate             of at least 0
    staircase              round the exponent down. Default False.
    """

    def __call__(self, step):
        return self.initial_learning_rate * self.decay_rate ** self._time(step)


class InverseTimeDecay(_Decay):
    """initial_learning_rate / (1 + decay_rate step / decay_steps).

    The arguments are those of `ExponentialDecay`; staircase rounds step / decay_steps down.
    """

    def __call__(self, step):
        return self.initial_learning_rate / (1 + self.decay_rate * self._time(step))


class PolynomialDecay(LearningRateSchedule):
    """From initial_learning_rate to end_learning_rate as (1 - step / decay_steps)^power falls to 0.

    initial_learning_rate  of at least 0
    decay_steps            of at least 1; from there on the rate stays at its end
    end_learning_rate      of at least 0. Default 0.0001.
    power                  of at least 0. Default 1: a straight line.
    cycle                  instead of staying at the end, go on with the first multiple of
                           decay_steps that is not below the step. Default False.
    """

    def __init__(
        self,
        initial_learning_rate,
        decay_steps,
        end_learning_rate=0.0001,
        power=1.0,
        cycle=False,
    ):
        self.initial_learning_rate = self._rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._count("decay_steps", decay_steps)
        self.end_learning_rate = self._rate("end_learning_rate", end_learning_rate)
        self.power = self._rate("power", power)
        self.cycle = bool(cycle)

    def __call__(self, step):
        whole = self.decay_steps
        if self.cycle:
            whole *= max(1, math.ceil(step / self.decay_steps))
        rest = 1 - min(step, whole) / whole
        fall = self.initial_learning_rate - self.end_learning_rate
        return fall * rest**self.power + self.end_learning_rate


def _cosine(fraction, alpha):
    # From 1 to alpha while fraction goes from 0 to 1, by half a wave
    return (1 - alpha) * 0.5 * (1 + math.cos(math.pi * fraction)) + alpha


class CosineDecay(LearningRateSchedule):
    """Half a cosine wave down to alpha (Loshchilov and Hutter 2017, equation 5), after a warm-up.

    initial_learning_rate  of at least 0
    decay_steps            how many steps the wave takes, of at least 1; then the rate stays
    alpha                  the last rate as a fraction of the first, from 0 to 1. Default 0.
    warmup_target          first the rate goes in a straight line from initial_learning_rate to
                           this, where the wave starts (Goyal et al. 2017, section 2.2). Default
                           None: no warm-up.
    warmup_steps           how many steps that takes. Default 0.
    """

    def __init__(
        self, initial_learning_rate, decay_steps, alpha=0.0, warmup_target=None, warmup_steps=0
    ):
        self.initial_learning_rate = self._rate("initial_learning_rate", initial_learning_rate)
        self.decay_steps = self._count("decay_steps", decay_steps)
        self.alpha = self._rate("alpha", alpha, high=1, closed_high=True)
        is_warm = warmup_target is not None
        self.warmup_target = self._rate("warmup_target", warmup_target) if is_warm else None
        self.warmup_steps = self._count("warmup_steps", warmup_steps, 0)
        if self.warmup_steps and not is_warm:
            raise ValueError(
                "CosineDecay: warmup_steps needs a warmup_target, the rate to warm up to"
            )

    def __call__(self, step):
        start = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return start + (self.warmup_target - start) * step / self.warmup_steps
            step, start = step - self.warmup_steps, self.warmup_target
        return start * _cosine(min(step / self.decay_steps, 1.0), self.alpha)


class CosineDecayRestarts(LearningRateSchedule):
    """Half cosine waves, one after the other (Loshchilov and Hutter 2017, section 3).

    initial_learning_rate  of at least 0
    first_decay_steps      how many steps the first wave takes, of at least 1
    t_mul                  each wave takes so many times the steps of the one before, at least 1.
                           Default 2.
    m_mul                  each wave is so many times as high as the one before. Default 1.
    alpha                  the least rate as a fraction of the first, from 0 to 1. Default 0.
    """

    def __init__(self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0):
        self.initial_learning_rate = self._rate("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = self._count("first_decay_steps", first_decay_steps)
        self.t_mul = self._rate("t_mul", t_mul, low=1)
        self.m_mul = self._rate("m_mul", m_mul)
        self.alpha = self._rate("alpha", alpha, high=1, closed_high=True)

    def __call__(self, step):
        waves, fraction = self._place(step / self.first_decay_steps)
        height = self.m_mul**waves
        wave = 0.5 * height * (1 + math.cos(math.pi * fraction))
        return self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha)

    def _place(self, time):
        # How many waves are over, and what fraction of the next; `time` is in first waves
        if self.t_mul == 1:
            waves = math.floor(time)
            return waves, time - waves
        waves, start, length = 0, 0.0, 1.0
        while time >= start + length:  # the lengths grow, so these are few
            waves, start, length = waves + 1, start + length, length * self.t_mul
        return waves, (time - start) / length


class OneCycle(LearningRateSchedule):
    """Up to a high rate, then down to a tiny one (Smith 2018, section 5): PyTorch's OneCycleLR.

    max_learning_rate  the peak, above 0
    total_steps        of the whole cycle, of at least 2; then the rate stays at its end
    pct_start          the way up's fraction of the cycle, between 0 and 1. Default 0.3.
    div_factor         the first rate is max_learning_rate / div_factor. Default 25.
    final_div_factor   the last rate is the first / final_div_factor. Default 10,000.
    anneal_strategy    the shape of the two ways, "cos" or "linear". Default "cos".
    """

    def __init__(
        self,
        max_learning_rate,
        total_steps,
        pct_start=0.3,
        div_factor=25.0,
        final_div_factor=1e4,
        anneal_strategy="cos",
    ):
        self.max_learning_rate = self._rate("max_learning_rate", max_learning_rate, open_low=True)
        self.total_steps = self._count("total_steps", total_steps, 2)
        self.pct_start = self._rate("pct_start", pct_start, high=1, open_low=True)
        self.div_factor = self._rate("div_factor", div_factor, open_low=True)
        self.final_div_factor = self._rate("final_div_factor", final_div_factor, open_low=True)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycle: expected anneal_strategy to be 'cos' or 'linear', "
                f"got {anneal_strategy!r}"
            )
        self.anneal_strategy = anneal_strategy

    def __call__(self, step):
        first = self.max_learning_rate / self.div_factor
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        step = min(step, last)
        if step < peak:
            return self._between(first, self.max_learning_rate, step / peak)
        fraction = (step - peak) / (last - peak)
        return self._between(self.max_learning_rate, first / self.final_div_factor, fraction)

    def _between(self, start, end, fraction):
        if self.anneal_strategy == "linear":
            return start + (end - start) * fraction
        return end + (start - end) * _cosine(fraction, 0.0)
