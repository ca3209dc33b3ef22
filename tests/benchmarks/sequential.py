"""A step of a dense net by Sequential beside the same written by hand on the engine."""

import numpy as np

import engine
import nn
from engine import Tensor

from .report import Row
from .timing import best_times

SIZES = (784, 512, 256, 64, 32, 10)
RATE = 0.01


def run(options, table):
    """Add a row for each size of batch; ours is `train_on_batch`, the peer the hand-written one."""
    rng = np.random.default_rng(0)
    for count in (1, 32, 128):
        x = rng.normal(size=(count, SIZES[0])).astype("float32")
        y = rng.integers(0, SIZES[-1], count)
        model = by_sequential()
        step = by_hand([parameter.numpy().copy() for parameter in model.parameters()])
        for _ in range(3):
            if model.train_on_batch(x, y) != step(x, y):
                raise ValueError("sequential: the two nets give different losses")
        calls = (lambda: model.train_on_batch(x, y)), (lambda: step(x, y))  # noqa: B023
        ours, by_engine = best_times(calls, 4 * options.turns, samples=4, sample=2e-3)
        table.add(Row("step of a dense net", f"batch {count}", ours, {"by hand": by_engine}))


def by_sequential():
    engine.seed(0)
    layers = [nn.Dense(units, activation="relu") for units in SIZES[1:-1]]
    model = nn.Sequential([*layers, nn.Dense(SIZES[-1], activation="softmax")])
    model.ensure_built(SIZES[:1])
    model.compile(nn.optimizers.SGD(learning_rate=RATE), "sparse_categorical_crossentropy")
    return model


def by_hand(arrays):
    parameters = [Tensor(array, requires_grad=True) for array in arrays]
    kernels, biases = parameters[::2], parameters[1::2]
    optimizer = nn.optimizers.SGD(parameters, learning_rate=RATE)

    def step(x, y):
        for kernel, bias in zip(kernels[:-1], biases[:-1]):
            x = engine.relu(engine.dense(x, kernel, bias))
        p = engine.softmax(engine.dense(x, kernels[-1], biases[-1]))
        loss = nn.losses.sparse_categorical_crossentropy(y, p)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step
