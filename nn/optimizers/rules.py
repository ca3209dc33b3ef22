"""The optimizers: their settings, and the numbers that their rules take at each update.

The rules themselves, one formula each, are in `engine.kernels.update`. `t` counts the updates from
1, `g` is the gradient of the parameter `p`; all operations are element by element.
"""

import math

from .base import Optimizer


class SGD(Optimizer):
    """p -= learning_rate g; with momentum, the gradients' decaying sum.

    learning_rate  default 0.01
    momentum       how much of the last step is kept, in [0, 1). Default 0.
    nesterov       look ahead by one step of the momentum (Sutskever et al. 2013, section 2).
    common         see `Optimizer`

    v = momentum v - learning_rate g, p += v (Sutskever et al. 2013, equations 1 and 2, in Keras's
    form); with nesterov p += momentum v - learning_rate g.
    """

    def __init__(
        self, parameters=None, *, learning_rate=0.01, momentum=0.0, nesterov=False, **common
    ):
        self.momentum = self._number("momentum", momentum, high=1)
        self.nesterov = bool(nesterov)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        super().__init__(parameters, learning_rate=learning_rate, **common)

    def rule(self):
        if not self.momentum:
            return "sgd"
        return "nesterov" if self.nesterov else "momentum"

    def numbers(self, rate):
        return (rate, self.momentum) if self.momentum else (rate,)


class Adam(Optimizer):
    """Steps scaled by the running mean and variance of each gradient (Kingma and Ba 2015, alg. 1).

    learning_rate  default 0.001
    beta_1         decay of the running mean, in [0, 1). Default 0.9.
    beta_2         decay of the running mean square, in [0, 1). Default 0.999.
    epsilon        keeps the divisor from 0; "epsilon hat" of the paper, as in Keras. Default 1e-7.
    amsgrad        divide by the greatest mean square so far (Reddi et al. 2018, alg. 2), here, as
                   in Keras, before the correction. Default False.
    common         see `Optimizer`

    mean = beta_1 mean + (1 - beta_1) g, variance = beta_2 variance + (1 - beta_2) g^2,
    p -= rate mean / (sqrt(variance) + epsilon) with
    rate = learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t).

    That is the form at the end of the paper's section 2: epsilon is added before the correction
    for the bias of the first steps, not after it as in their algorithm 1 and in PyTorch.
    """

    def __init__(
        self,
        parameters=None,
        *,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        **common,
    ):
        self.beta_1 = self._number("beta_1", beta_1, high=1)
        self.beta_2 = self._number("beta_2", beta_2, high=1)
        self.epsilon = self._number("epsilon", epsilon)
        self.amsgrad = bool(amsgrad)
        super().__init__(parameters, learning_rate=learning_rate, **common)

    def rule(self):
        return "amsgrad" if self.amsgrad else "adam"

    def numbers(self, rate):
        t = self.iterations + 1
        rate *= math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        return rate, 1 - self.beta_1, 1 - self.beta_2, self.epsilon


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, alg. 2), as Keras has it.

    weight_decay  default 0.004; the decay per update is learning_rate weight_decay
    settings      see `Adam`
    """

    def __init__(self, parameters=None, *, weight_decay=0.004, **settings):
        if weight_decay is None:
            raise ValueError("AdamW: expected weight_decay to be a number; without it, write Adam")
        super().__init__(parameters, weight_decay=weight_decay, **settings)


class Nadam(Optimizer):
    """Adam that looks ahead as Nesterov's momentum does (Dozat 2016, alg. 2).

    learning_rate  default 0.001
    beta_1         decay of the running mean, in [0, 1). Default 0.9.
    beta_2         decay of the running mean square, in [0, 1). Default 0.999.
    epsilon        keeps the divisor from 0. Default 1e-7.
    common         see `Optimizer`

    With u(t) = beta_1 (1 - 0.96^t / 2), the schedule of the paper's section 3, U(t) the product
    u(1) ... u(t), mean and variance as in Adam,
    p -= learning_rate m / (sqrt(variance / (1 - beta_2^t)) + epsilon) with
    m = u(t + 1) mean / (1 - U(t + 1)) + (1 - u(t)) g / (1 - U(t)).
    """

    def __init__(
        self,
        parameters=None,
        *,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        **common,
    ):
        self.beta_1 = self._number("beta_1", beta_1, high=1)
        self.beta_2 = self._number("beta_2", beta_2, high=1)
        self.epsilon = self._number("epsilon", epsilon)
        self._product = 0, 1.0  # t and U(t)
        super().__init__(parameters, learning_rate=learning_rate, **common)

    def rule(self):
        return "nadam"

    def _decay(self, t):
        return self.beta_1 * (1 - 0.5 * 0.96**t)

    def numbers(self, rate):
        t = self.iterations + 1
        last, product = self._product if self._product[0] <= t else (0, 1.0)
        while last < t:
            last += 1
            product *= self._decay(last)
        self._product = t, product
        after = self._decay(t + 1)
        return (
            rate * after / (1 - product * after),
            rate * (1 - self._decay(t)) / (1 - product),
            1 - self.beta_1,
            1 - self.beta_2,
            1 / (1 - self.beta_2**t),
            self.epsilon,
        )


class RMSprop(Optimizer):
    """Steps divided by the root of the gradients' running mean square (Hinton 2012, lecture 6e).

    learning_rate  default 0.001
    rho            decay of the running mean square, in [0, 1). Default 0.9.
    momentum       how much of the last step is kept, in [0, 1). Default 0.
    epsilon        added to the mean square, within the root, as in Keras. Default 1e-7.
    centered       divide by the root of the variance: from the mean square that of the running
                   mean is taken away (Graves 2013, equations 38 to 41). Default False.
    common         see `Optimizer`

    square = rho square + (1 - rho) g^2, step = learning_rate g / sqrt(square + epsilon), p -= step;
    with momentum v = momentum v + step, p -= v.
    """

    def __init__(
        self,
        parameters=None,
        *,
        learning_rate=0.001,
        rho=0.9,
        momentum=0.0,
        epsilon=1e-7,
        centered=False,
        **common,
    ):
        self.rho = self._number("rho", rho, high=1)
        self.momentum = self._number("momentum", momentum, high=1)
        self.epsilon = self._number("epsilon", epsilon)
        self.centered = bool(centered)
        super().__init__(parameters, learning_rate=learning_rate, **common)

    def rule(self):
        centered = "_centered" if self.centered else ""
        return f"rmsprop{centered}{'_momentum' if self.momentum else ''}"

    def numbers(self, rate):
        numbers = rate, 1 - self.rho, self.epsilon
        return (*numbers, self.momentum) if self.momentum else numbers


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of squared gradients (Duchi et al. 2011, section 1.1).

    learning_rate  default 0.001
    initial_accumulator_value  where the sums start, at least 0. Default 0.1.
    epsilon        added to the sum, within the root, as in Keras. Default 1e-7.
    common         see `Optimizer`

    square += g^2, p -= learning_rate g / sqrt(square + epsilon).
    """

    def __init__(
        self,
        parameters=None,
        *,
        learning_rate=0.001,
        initial_accumulator_value=0.1,
        epsilon=1e-7,
        **common,
    ):
        name = "initial_accumulator_value"
        self.initial_accumulator_value = self._number(name, initial_accumulator_value)
        self.epsilon = self._number("epsilon", epsilon)
        super().__init__(parameters, learning_rate=learning_rate, **common)

    def rule(self):
        return "adagrad"

    def numbers(self, rate):
        return rate, self.epsilon

    def initial_value(self, slot):
        return self.initial_accumulator_value if slot == "square" else 0.0


class Adadelta(Optimizer):
    """Steps in the parameter's own unit, by the mean square of past steps (Zeiler 2012, alg. 1).

    learning_rate  default 0.001; the paper has 1
    rho            decay of the running mean squares, in [0, 1). Default 0.95.
    epsilon        added to the mean squares, within the roots. Default 1e-7.
    common         see `Optimizer`

    square = rho square + (1 - rho) g^2, s = sqrt(step + epsilon) g / sqrt(square + epsilon),
    step = rho step + (1 - rho) s^2, p -= learning_rate s.
    """

    def __init__(self, parameters=None, *, learning_rate=0.001, rho=0.95, epsilon=1e-7, **common):
        self.rho = self._number("rho", rho, high=1)
        self.epsilon = self._number("epsilon", epsilon)
        super().__init__(parameters, learning_rate=learning_rate, **common)

    def rule(self):
        return "adadelta"

    def numbers(self, rate):
        return rate, 1 - self.rho, self.epsilon


class Lion(Optimizer):
    """Steps of one size, with the sign of a running mean (Chen et al. 2023, alg. 2).

    learning_rate  default 0.001; the paper advises a tenth to a third of that for Adam
    beta_1         the running mean's part in the sign, in (0, 1). Default 0.9.
    beta_2         decay of the running mean, in [0, 1). Default 0.99.
    common         see `Optimizer`

    p -= learning_rate sign(beta_1 mean + (1 - beta_1) g), mean = beta_2 mean + (1 - beta_2) g.
    """

    def __init__(self, parameters=None, *, learning_rate=0.001, beta_1=0.9, beta_2=0.99, **common):
        self.beta_1 = self._number("beta_1", beta_1, high=1, open_low=True)
        self.beta_2 = self._number("beta_2", beta_2, high=1)
        super().__init__(parameters, learning_rate=learning_rate, **common)

    def rule(self):
        return "lion"

    def numbers(self, rate):
        return rate, 1 - self.beta_1, 1 - self.beta_2
