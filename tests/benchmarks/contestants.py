"""One library's training step, in a process of its own: `python -m ...contestants NAME`.

Two of these libraries do not always live in one process, and their idle threads disturb each other
in any case. Each reads one JSON object per line and answers with one:

    {"sizes": [784, 512, 10], "batch": 32, "optimizer": "sgd", "steps": 3}  ->  {"losses": [...]}
    {"seconds": 0.3}  ->  {"best": seconds per step}

The first sets the model up, on the weights and data of `problem`, trains some steps and tells their
losses; the second times steps of it.
"""

import contextlib
import json
import os
import sys
import time
from itertools import pairwise

import numpy as np

from .machine import cores

RATES = {"sgd": 0.01, "adam": 0.001}
BETAS, EPSILON = (0.9, 0.999), 1e-7
SAMPLE = 2e-3  # seconds of steps that are timed together, of which only the last one is waited for


def problem(sizes, batch):
    """Kernels by he_uniform and biases, images and labels: the same in every process."""
    rng = np.random.default_rng(0)
    weights = []
    for inputs, outputs in pairwise(sizes):
        limit = np.sqrt(6 / inputs)
        weights.append(rng.uniform(-limit, limit, (inputs, outputs)).astype("float32"))
        weights.append(np.zeros(outputs, "float32"))
    x = rng.random((batch, sizes[0]), dtype="float32")
    return weights, x, rng.integers(0, sizes[-1], batch)


class Step:
    """A training step: call it, get the loss. `wait` returns once all that was begun is done."""

    def __init__(self, sizes, batch, optimizer):
        raise NotImplementedError

    def wait(self):
        """Nothing to wait for, where a call returns when it has finished."""


class Ours(Step):
    def __init__(self, sizes, batch, optimizer):
        import nn

        weights, self.x, self.y = problem(sizes, batch)
        hidden = [nn.Dense(units, activation="relu") for units in sizes[1:-1]]
        last = nn.Dense(sizes[-1], activation="softmax")
        self.model = nn.Sequential([nn.Flatten(input_shape=(sizes[0],)), *hidden, last])
        classes = {"sgd": nn.optimizers.SGD, "adam": nn.optimizers.Adam}
        self.model.compile(
            optimizer=classes[optimizer](learning_rate=RATES[optimizer]),
            loss="sparse_categorical_crossentropy",
        )
        self.model.ensure_built()
        for parameter, value in zip(self.model.parameters(), weights):
            parameter.data[...] = value

    def __call__(self):
        return self.model.train_on_batch(self.x, self.y)


class Numpy(Step):
    """As one writes it by hand, with buffers kept where that is short."""

    def __init__(self, sizes, batch, optimizer):
        self.weights, self.x, self.y = problem(sizes, batch)
        self.rows, self.count = np.arange(batch), 0
        self.rate, self.update = RATES[optimizer], getattr(self, optimizer)
        self.means, self.variances = ([np.zeros_like(w) for w in self.weights] for _ in range(2))

    def __call__(self):
        outputs = [self.x]
        for kernel, bias in zip(self.weights[::2], self.weights[1::2]):
            if len(outputs) > 1:
                np.maximum(outputs[-1], 0, out=outputs[-1])
            outputs.append(outputs[-1] @ kernel)
            outputs[-1] += bias
        g = outputs.pop()
        g -= g.max(axis=1, keepdims=True)
        logits = g[self.rows, self.y]
        np.exp(g, out=g)
        total = g.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - logits))
        g /= total
        g[self.rows, self.y] -= 1
        g /= np.float32(len(g))
        self.count += 1
        for layer in reversed(range(len(outputs))):
            kernel, x = self.weights[2 * layer], outputs[layer]
            slopes = x.T @ g, g.sum(axis=0)
            if layer:
                g = g @ kernel.T
                g *= x > 0
            for i, slope in enumerate(slopes, 2 * layer):
                self.update(i, slope)
        return loss

    def sgd(self, i, slope):
        slope *= np.float32(self.rate)
        self.weights[i] -= slope

    def adam(self, i, slope):
        mean, variance = self.means[i], self.variances[i]
        mean += np.float32(1 - BETAS[0]) * (slope - mean)
        slope *= slope
        slope -= variance
        slope *= np.float32(1 - BETAS[1])
        variance += slope
        rate = self.rate * np.sqrt(1 - BETAS[1] ** self.count) / (1 - BETAS[0] ** self.count)
        self.weights[i] -= np.float32(rate) * mean / (np.sqrt(variance) + np.float32(EPSILON))


class Torch(Step):
    def __init__(self, sizes, batch, optimizer):
        import torch

        torch.set_num_threads(cores())
        weights, x, y = problem(sizes, batch)
        layers = []
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            layer = torch.nn.Linear(inputs, outputs)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weights[2 * i].T))
                layer.bias.copy_(torch.from_numpy(weights[2 * i + 1]))
            layers += [layer, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        self.loss = torch.nn.functional.cross_entropy
        parameters, rate = self.model.parameters(), RATES[optimizer]
        self.optimizer = (
            torch.optim.SGD(parameters, lr=rate, fused=True)
            if optimizer == "sgd"
            else torch.optim.Adam(parameters, lr=rate, betas=BETAS, eps=EPSILON, fused=True)
        )

    def __call__(self):
        self.optimizer.zero_grad()
        loss = self.loss(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class TorchCompile(Torch):
    def __init__(self, sizes, batch, optimizer):
        import torch

        super().__init__(sizes, batch, optimizer)
        model = self.model
        torch._dynamo.reset()  # one model per process is the rule, here it is one after another
        self.loss = torch.compile(
            lambda x, y: torch.nn.functional.cross_entropy(model(x), y), dynamic=False
        )
        self.model = lambda x: x


class Jax(Step):
    """Everything in one compiled function, which may overwrite the weights that it is given."""

    def __init__(self, sizes, batch, optimizer):
        import jax
        import jax.numpy as jnp

        weights, x, y = problem(sizes, batch)
        self.x, self.y = jnp.asarray(x), jnp.asarray(y)

        def loss(weights, x, y):
            for i in range(0, len(weights), 2):
                x = (jnp.maximum(x, 0) if i else x) @ weights[i] + weights[i + 1]
            return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()

        def sgd(state, x, y):
            value, slopes = jax.value_and_grad(loss)(state, x, y)
            return value, [w - RATES["sgd"] * g for w, g in zip(state, slopes)]

        def adam(state, x, y):
            weights, means, variances, count = state
            value, slopes = jax.value_and_grad(loss)(weights, x, y)
            count += 1
            rate = RATES["adam"] * jnp.sqrt(1 - BETAS[1] ** count) / (1 - BETAS[0] ** count)
            means = [m + (1 - BETAS[0]) * (g - m) for m, g in zip(means, slopes)]
            variances = [v + (1 - BETAS[1]) * (g * g - v) for v, g in zip(variances, slopes)]
            moved = zip(weights, means, variances)
            weights = [w - rate * m / (jnp.sqrt(v) + EPSILON) for w, m, v in moved]
            return value, (weights, means, variances, count)

        weights = [jnp.asarray(w) for w in weights]
        zeros = [[jnp.zeros_like(w) for w in weights] for _ in range(2)]
        self.state = weights if optimizer == "sgd" else (weights, *zeros, jnp.float32(0))
        self.step = jax.jit(sgd if optimizer == "sgd" else adam, donate_argnums=0)
        self.ready = jax.block_until_ready

    def __call__(self):
        self.value, self.state = self.step(self.state, self.x, self.y)
        return float(self.value)

    def wait(self):
        self.ready(self.state)


class Keras(Step):
    """With the backend that the environment names."""

    def __init__(self, sizes, batch, optimizer):
        import keras

        weights, self.x, self.y = problem(sizes, batch)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            self.x, self.y = tf.constant(self.x), tf.constant(self.y)
        hidden = [keras.layers.Dense(units, activation="relu") for units in sizes[1:-1]]
        last = keras.layers.Dense(sizes[-1], activation="softmax")
        self.model = keras.Sequential([keras.Input((sizes[0],)), *hidden, last])
        classes = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}
        self.model.compile(
            optimizer=classes[optimizer](learning_rate=RATES[optimizer]),
            loss="sparse_categorical_crossentropy",
        )
        self.model.set_weights(weights)

    def __call__(self):
        # It returns the mean of the losses since it was last asked to forget them.
        self.model.reset_metrics()
        return float(self.model.train_on_batch(self.x, self.y))


# name: (class, package that it needs, environment)
CONTESTANTS = {
    "ours": (Ours, "engine", {}),
    "numpy": (Numpy, "numpy", {}),
    "torch": (Torch, "torch", {}),
    "torch.compile": (TorchCompile, "torch", {}),
    "jax": (Jax, "jax", {}),
    "keras/tf": (Keras, "tensorflow", {"KERAS_BACKEND": "tensorflow"}),
    "keras/jax": (Keras, "jax", {"KERAS_BACKEND": "jax"}),
}


def timed(step, seconds):
    """The best mean time of a step in `seconds` of steps."""
    begin = time.perf_counter()
    step()
    step.wait()
    repeats = max(1, int(SAMPLE / (time.perf_counter() - begin)))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(repeats):
            step()
        step.wait()
        best = min(best, (time.perf_counter() - begin) / repeats)
    return best


def serve(name):
    """Answer the requests that are read, on what was standard output before a library prints."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    step = None
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            request = json.loads(line)
            if "sizes" in request:
                steps = request.pop("steps")
                step = CONTESTANTS[name][0](**request)
                answer = {"losses": [step() for _ in range(steps)]}
            else:
                answer = {"best": timed(step, request["seconds"])}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
