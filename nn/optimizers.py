"""Optimizers: how parameters move by their gradients. Each update is one kernel, in place.

By hand an optimizer is given its parameters, in `compile` the model gives them:

    optimizer = nn.optimizers.Adam(model.parameters(), learning_rate=1e-3)
    model.compile(optimizer=nn.optimizers.Adam(learning_rate=1e-3), ...)
"""

import math

import numpy as np

from engine import Tensor
from engine.kernels import update

from .names import find


class Optimizer:
    """Base of optimizers: `step` moves the parameters, `zero_grad` drops their gradients.

    parameters     Tensors with requires_grad=True; None: `bind` is called later
    learning_rate  a number above 0; may be changed between steps

    A parameter whose gradient is None is left as it is.
    """

    def __init__(self, parameters, learning_rate):
        if isinstance(parameters, (int, float)):
            raise TypeError(
                f"{type(self).__name__}: expected parameters first, got the number {parameters!r}; "
                f"write {type(self).__name__}(learning_rate={parameters!r})"
            )
        self.learning_rate = _number(self, "learning_rate", learning_rate, low=0, open_low=True)
        self.parameters = None
        if parameters is not None:
            self.bind(parameters)

    def bind(self, parameters):
        """Set the parameters to move; what was remembered of others is dropped."""
        parameters = list(parameters)
        for parameter in parameters:
            if type(parameter) is not Tensor or not parameter.requires_grad:
                raise TypeError(
                    f"{type(self).__name__}: expected Tensors with requires_grad=True, "
                    f"got {type(parameter).__name__}"
                )
        if not parameters:
            raise ValueError(f"{type(self).__name__}: there are no parameters to move")
        self.parameters = parameters
        self.reset()

    def reset(self):
        """Forget all but the parameters. For subclasses with a memory."""

    def state_dict(self):
        """What the next step depends on besides parameters and settings: a flat dict."""
        state = {"learning_rate": self.learning_rate}
        for name in ("_velocities", "_means", "_variances"):
            for index, slot in enumerate(getattr(self, name, ())):
                state[f"{name[1:]}.{index}"] = slot.copy()
        if hasattr(self, "iterations"):
            state["iterations"] = self.iterations
        return state

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave."""
        for name, value in state.items():
            if "." in name:
                slots, index = name.split(".")
                getattr(self, f"_{slots}")[int(index)][...] = value
            else:
                setattr(self, name, value)

    def step(self):
        """Move every parameter by its gradient."""
        if self.parameters is None:
            raise ValueError(
                f"{type(self).__name__}: no parameters yet; "
                f"write {type(self).__name__}(model.parameters(), ...)"
            )
        self.begin_step()
        for index, parameter in enumerate(self.parameters):
            gradient = parameter.grad
            if gradient is not None:
                self.update(index, parameter.data, gradient.data)

    def begin_step(self):
        """What is done once for all parameters, before they move."""

    def update(self, index, parameter, gradient):
        """Move one parameter, an array, in place. `index` is its place in `parameters`."""
        raise NotImplementedError(f"{type(self).__name__} does not define update")

    def zero_grad(self):
        """Drop the gradients, so that the next backward starts from nothing."""
        for parameter in self.parameters or ():
            parameter.grad = None


class SGD(Optimizer):
    """p -= learning_rate * gradient; with momentum, the gradients' decaying sum.

    learning_rate  default 0.01
    momentum       how much of the last step is kept, in [0, 1). Default 0.
    nesterov       look ahead by one step of the momentum (Sutskever et al. 2013, section 2).

    The formulas are those of Keras: v = momentum * v - learning_rate * g, p += v; with nesterov
    p += momentum * v - learning_rate * g.
    """

    def __init__(self, parameters=None, *, learning_rate=0.01, momentum=0.0, nesterov=False):
        self.momentum = _number(self, "momentum", momentum, low=0, high=1)
        self.nesterov = bool(nesterov)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        super().__init__(parameters, learning_rate)

    def reset(self):
        self._velocities = [np.zeros_like(p.data) for p in self.parameters] if self.momentum else []

    def update(self, index, parameter, gradient):
        if not self.momentum:
            update.sgd(parameter, gradient, self.learning_rate)
        else:
            velocity = self._velocities[index]
            update.momentum(
                parameter, gradient, velocity, self.learning_rate, self.momentum, self.nesterov
            )


class Adam(Optimizer):
    """Steps scaled by the running mean and variance of each gradient (Kingma and Ba 2015, alg. 1).

    learning_rate  default 0.001
    beta_1         decay of the running mean, in [0, 1). Default 0.9.
    beta_2         decay of the running mean square, in [0, 1). Default 0.999.
    epsilon        keeps the divisor from 0; "epsilon hat" of the paper, as in Keras. Default 1e-7.
    """

    def __init__(
        self, parameters=None, *, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7
    ):
        self.beta_1 = _number(self, "beta_1", beta_1, low=0, high=1)
        self.beta_2 = _number(self, "beta_2", beta_2, low=0, high=1)
        self.epsilon = _number(self, "epsilon", epsilon, low=0)
        super().__init__(parameters, learning_rate)

    def reset(self):
        self.iterations = 0
        self._means = [np.zeros_like(p.data) for p in self.parameters]
        self._variances = [np.zeros_like(p.data) for p in self.parameters]

    def begin_step(self):
        self.iterations += 1

    def update(self, index, parameter, gradient):
        update.adam(
            parameter,
            gradient,
            self._means[index],
            self._variances[index],
            self.learning_rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            self.iterations,
        )


OPTIMIZERS = {"adam": Adam, "sgd": SGD}


def get(optimizer):
    """A new optimizer with default settings for a name; an optimizer as it is."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        raise TypeError(f"expected an optimizer, got the class: write {optimizer.__name__}()")
    return find("optimizer", optimizer, OPTIMIZERS)()


def _number(optimizer, name, value, low, high=math.inf, open_low=False):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (low <= number < high) or (open_low and number == low):
        raise ValueError(
            f"{type(optimizer).__name__}: expected {name} to be a number "
            f"{'above' if open_low else 'of at least'} {low}"
            f"{'' if high == math.inf else f' and below {high}'}, got {value!r}"
        )
    return number
