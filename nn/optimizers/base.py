"""Optimizer: what all optimizers have in common, which is everything but the rule itself.

A step goes over all parameters of one dtype in one launch: `engine.kernels.update` has the rules,
this module what surrounds them, in the order of Keras 3: gradients are accumulated, clipped, the
weights decay, the rule moves them, their moving average follows.
"""

import inspect
import math
from contextlib import contextmanager

import numpy as np

from engine.kernels import update

from ..checks import count_of, number_of
from ..module import Module
from . import state
from .groups import groups_of, rate_of
from .share import Share

CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


class Optimizer:
    """Base of optimizers: `step` moves the parameters, `zero_grad` drops their gradients.

    parameters     Tensors with requires_grad=True, or (name, Tensor) pairs, or a module; or, as in
                   PyTorch, a list of groups with settings of their own:
                   [{"params": [...], "learning_rate": 1e-4, "weight_decay": 0.0}, ...].
                   None: `bind` is called later.
    learning_rate  a number above 0, or a schedule: a function of the number of steps taken, see
                   `nn.schedules`. May be set between steps.
    weight_decay   w: before each update a parameter is multiplied by 1 - learning_rate w
                   (decoupled: Loshchilov and Hutter 2019, alg. 2). Default None: no decay.
    exclude_from_weight_decay
                   what does not decay, as biases: a list of patterns (regular expressions) that
                   are searched in the parameters' names, or a function of a Tensor, true for
                   what does not: `lambda p: p.ndim < 2`. Default None: everything decays.
    clipnorm       a gradient whose norm is greater is scaled to this norm, each by itself
    clipvalue      elements of gradients are limited to at most this, and at least minus this
    global_clipnorm  as `clipnorm`, but all gradients together, as if they were one (Pascanu et
                   al. 2013, alg. 1). Where that norm is inf or nan all gradients become nan.
                   Only one of the three may be given; default None.
    use_ema        keep a moving average of the parameters, average = ema_momentum average +
                   (1 - ema_momentum) parameter after each update, that starts from the first
                   (Polyak and Juditsky 1992). Default False. A `fit` that comes to its end sets
                   the parameters to their averages, as Keras's does; resumed, it goes on from
                   those that were trained. Until then see `averaged`.
    ema_momentum   from 0 to 1. Default 0.99.
    ema_overwrite_frequency  set the parameters to their averages after every so many updates.
                   Default None: never.
    gradient_accumulation_steps  k, of at least 2: only every k-th step updates, by the mean of the
                   gradients of the last k; a missing one counts as 0. Default None.

    Names, defaults and formulas are Keras 3's. A parameter whose gradient is None is left as it
    is, and does not decay. `iterations` counts the updates, a schedule the calls of `step`.
    """

    def __init__(
        self,
        parameters=None,
        *,
        learning_rate,
        weight_decay=None,
        exclude_from_weight_decay=None,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        gradient_accumulation_steps=None,
    ):
        what = type(self).__name__
        if isinstance(parameters, (int, float)):
            raise TypeError(
                f"{what}: expected parameters first, got the number {parameters!r}; "
                f"write {what}(learning_rate={parameters!r})"
            )
        self.learning_rate = learning_rate
        self.weight_decay = self._optional("weight_decay", weight_decay)
        self.exclude_from_weight_decay = exclude_from_weight_decay
        self.clipnorm = self._optional("clipnorm", clipnorm, open_low=True)
        self.clipvalue = self._optional("clipvalue", clipvalue, open_low=True)
        self.global_clipnorm = self._optional("global_clipnorm", global_clipnorm, open_low=True)
        given = [f"{name}={getattr(self, name)}" for name in CLIPS if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(
                f"{what}: expected only one of {', '.join(CLIPS)}, got {', '.join(given)}"
            )
        self.use_ema = bool(use_ema)
        self.ema_momentum = self._number("ema_momentum", ema_momentum, high=1, closed_high=True)
        for name, value, least in (
            ("ema_overwrite_frequency", ema_overwrite_frequency, 1),
            ("gradient_accumulation_steps", gradient_accumulation_steps, 2),
        ):
            setattr(self, name, None if value is None else count_of(what, name, value, least))
        self.parameters = self.groups = None
        self.iterations = self._waiting = 0  # steps whose gradients wait for the next update
        if parameters is not None:
            self.bind(parameters)

    def _number(self, name, value, low=0, **bounds):
        return number_of(type(self).__name__, name, value, low, **bounds)

    def _optional(self, name, value, **bounds):
        return None if value is None else self._number(name, value, **bounds)

    @property
    def learning_rate(self):
        """The number or the schedule, as it was set."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self._learning_rate = rate_of(type(self).__name__, value)

    @property
    def current_learning_rate(self):
        """The number that the next step uses."""
        return self._now(self._learning_rate)

    def _now(self, rate):
        if not callable(rate):
            return rate
        steps = self.iterations * (self.gradient_accumulation_steps or 1) + self._waiting
        return self._number(f"the learning rate of step {steps}", rate(steps))

    def get_config(self):
        """The settings by name: what the constructor is called with for another one like this."""
        kinds = [kind for kind in type(self).__mro__ if "__init__" in vars(kind)]
        names = [
            name
            for kind in kinds
            for name, parameter in inspect.signature(kind.__init__).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        ]
        return {name: getattr(self, name) for name in names}

    # ------------------------------------------------------------------ what a subclass defines

    def rule(self):
        """The name of the rule in `engine.kernels.update`, by the settings."""
        raise NotImplementedError(f"{type(self).__name__} does not define rule")

    def numbers(self, rate):
        """The numbers of the rule for the learning rate `rate`; the update is `iterations` + 1."""
        raise NotImplementedError(f"{type(self).__name__} does not define numbers")

    def initial_value(self, slot):
        """What the elements of that slot are before the first update."""
        return 0.0

    # --------------------------------------------------------------------------- the parameters

    def bind(self, parameters):
        """Set the parameters to move; what was remembered of others is dropped.

        parameters  as for the constructor

        Raises TypeError for what is no Tensor with requires_grad=True, ValueError for none at all,
        for one that is given twice, and for unknown settings of a group.
        """
        if isinstance(parameters, Module):
            trainable = {id(parameter) for parameter in parameters.trainable_parameters()}
            named = parameters.named_tensors()
            parameters = [(name, tensor) for name, tensor in named if id(tensor) in trainable]
        self.groups = groups_of(type(self).__name__, parameters, self.exclude_from_weight_decay)
        self.parameters = [parameter for group in self.groups for parameter in group.params]
        kinds = [(group, decays) for group in self.groups for decays in group.decaying]
        self._rows = list(dict.fromkeys(kinds))
        rows = [self._rows.index(kind) for kind in kinds]
        self._rates = np.zeros((len(self._rows), update.WIDTH))
        self._rule = self.rule()
        self._shares = []
        for dtype in dict.fromkeys(parameter.dtype for parameter in self.parameters):
            indices = [i for i, p in enumerate(self.parameters) if p.dtype == dtype]
            parameters = [self.parameters[i] for i in indices]
            share = Share(parameters, indices, [rows[i] for i in indices], self._slot_names())
            for name, arrays in share.slots.items():
                for array in arrays:
                    array.fill(self.initial_value(name))
            self._shares.append(share)
        self.iterations = self._waiting = 0

    def _slot_names(self):
        accumulated = ["accumulated"] if self.gradient_accumulation_steps else []
        average = ["average"] if self.use_ema else []
        return [*update.RULES[self._rule].slots, *accumulated, *average]

    def zero_grad(self):
        """Drop the gradients, so that the next backward starts from nothing."""
        for parameter in self.parameters or ():
            parameter.grad = None

    def _require_parameters(self):
        if self.parameters is None:
            what = type(self).__name__
            raise ValueError(f"{what}: no parameters yet; write {what}(model.parameters(), ...)")

    # --------------------------------------------------------------------------------- the step

    def step(self):
        """Move every parameter by its gradient.

        Raises ValueError for a parameter that can not be written to in place; then none of its
        dtype has moved.
        """
        self._require_parameters()
        if self.gradient_accumulation_steps:
            self._step_of_many()
        else:
            self._update([(share, share.pairs()) for share in self._shares])

    def _step_of_many(self):
        for share in self._shares:
            share.accumulate()
        if self._waiting + 1 < self.gradient_accumulation_steps:
            self._waiting += 1
            return
        self._update([(share, share.accumulated_pairs()) for share in self._shares])
        for share in self._shares:
            share.forget_accumulated()
        self._waiting = 0

    def _update(self, work):
        # `work` has for each share the parameters and gradients, as arrays
        rates = self.rates()
        if self.gradient_accumulation_steps or self.clipnorm or self.global_clipnorm:
            self._set_scales(work)
        for share, arrays in work:
            update.move(share.bundle, self._rule, arrays, rates, share.scales)
        self.moved()

    def fused_share(self, rules):
        """The Share of all parameters, for a kernel that moves each as soon as it has its gradient.

        rules  the rules that the kernel knows

        None where a step is more than that: where it needs all gradients first, or several Shares.
        """
        if self.gradient_accumulation_steps or self.clipnorm or self.global_clipnorm:
            return None
        if type(self).step is not Optimizer.step:
            return None
        is_one = self.parameters is not None and len(self._shares) == 1
        return self._shares[0] if is_one and self._rule in rules else None

    def rates(self):
        """The numbers of the next update, (kinds of parameters, `update.WIDTH`) of float64."""
        for row, (group, decays) in enumerate(self._rows):
            rate = self._learning_rate if group.learning_rate is None else group.learning_rate
            rate = self._now(rate)
            decay = self.weight_decay if group.weight_decay is None else group.weight_decay
            kept = 1 - rate * decay if decay and decays else 1.0
            numbers = kept, self.clipvalue or math.inf, *self.numbers(rate)
            self._rates[row, : len(numbers)] = numbers
        return self._rates

    def moved(self):
        """Every parameter has moved: the update is counted, and the averages follow."""
        self.iterations += 1
        if self.use_ema:
            self._follow()

    def _set_scales(self, work):
        # By what the gradients are multiplied: sums to means, and norms to at most the limit
        mean = 1 / (self.gradient_accumulation_steps or 1)
        scales = [np.full(len(share.parameters), mean) for share, _ in work]
        if self.clipnorm or self.global_clipnorm:
            squares = [update.squares(share.bundle, arrays) for share, arrays in work]
            if self.global_clipnorm:
                total = math.fsum(square for part in squares for square in part)
                squares = [np.full(len(part), total) for part in squares]
            limit = self.clipnorm or self.global_clipnorm
            for scale, square in zip(scales, squares):
                norm = mean * np.sqrt(square)
                if self.global_clipnorm:
                    norm[np.isinf(norm)] = np.nan  # as in Keras
                scale *= limit / np.maximum(norm, limit)
        for (share, _), scale in zip(work, scales):
            share.scales = scale

    # ---------------------------------------------------------------------- the moving averages

    def _follow(self):
        for share in self._shares:
            share.average(self.ema_momentum if self.iterations > 1 else 0.0)
        every = self.ema_overwrite_frequency
        if every and self.iterations % every == 0:
            self.finalize_variable_values()

    def _averages(self, what):
        self._require_parameters()
        if not self.use_ema:
            name = type(self).__name__
            raise ValueError(f"{what}: there are no averages; write {name}(..., use_ema=True)")
        if self.iterations == 0:  # nothing has moved yet
            return [parameter.data.copy() for parameter in self.parameters]
        return self.slot("average")

    def slot(self, name):
        """The arrays of the slot of that name, in the order of the parameters; not copies."""
        arrays = [None] * len(self.parameters)
        for share in self._shares:
            for index, array in zip(share.indices, share.slots[name]):
                arrays[index] = array
        return arrays

    def finalize_variable_values(self):
        """Set the parameters to their moving averages, for good. ValueError without use_ema."""
        averages = self._averages("finalize_variable_values")
        for parameter, average in zip(self.parameters, averages):
            parameter.data[...] = average

    @contextmanager
    def averaged(self):
        """In the `with` block the parameters are their moving averages, as to evaluate with them.

            with optimizer.averaged():
                model.evaluate(x, y)

        Afterwards they are bit for bit what they were. Raises ValueError without use_ema.
        """
        averages = self._averages("averaged")
        kept = [parameter.data.copy() for parameter in self.parameters]
        try:
            for parameter, average in zip(self.parameters, averages):
                parameter.data[...] = average
            yield
        finally:
            for parameter, array in zip(self.parameters, kept):
                parameter.data[...] = array

    # -------------------------------------------------------------------------------- the state

    def state_dict(self):
        """What the next step depends on besides parameters and settings: a flat dict of copies.

        "iterations" and "learning_rate" (None for a schedule), where they apply
        "groups.0.learning_rate", ... and, of accumulated gradients, the "waiting" steps and the
        indices of the parameters that have one, "pending"; then the slots, arrays for each
        parameter, as "velocity.0", also "accumulated.0" and "average.0". Raises ValueError
        without parameters.
        """
        self._require_parameters()
        return state.state_of(self)

    def load_state_dict(self, state_dict):
        """Go on from a state like that of `state_dict`, bit for bit.

        Raises ValueError, with every difference, for names that are missing or too many, for
        arrays of other shapes or dtypes, and for numbers out of range; then nothing has changed.
        """
        self._require_parameters()
        state.load(self, state_dict)
