"""What `fit` costs beside the steps inside it: model A, batch 32, Adam, on data like MNIST.

The time is per step, beside `train_on_batch` on batches that were cut before. At most 1.1 is the
aim.
"""

import numpy as np

import engine
import nn

from .report import Row
from .step import MODELS
from .timing import PAUSE, best_times

STEPS, BATCH = 100, 32


def run(options, table):
    """Add a row for each dtype of images."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, STEPS * BATCH)
    images = {
        "float32": rng.random((len(y), 28, 28), "float32"),
        "float64": rng.random((len(y), 28, 28)),
        "uint8": rng.integers(0, 256, (len(y), 28, 28), "uint8"),
    }
    for dtype, x in images.items():
        check(x, y)
        calls = [fit(model_a(x), x, y), steps(model_a(x), x, y)]
        ours, bare = best_times(calls, 3 * options.turns, samples=1, pause=PAUSE)
        peers = {"train_on_batch": bare / STEPS}
        table.add(Row("fit beside the steps inside it", f"images of {dtype}", ours / STEPS, peers))


def model_a(x):
    """Model A for such images; bytes are scaled by a layer of the model."""
    engine.seed(1)
    first = [nn.Rescaling(1 / 255, input_shape=(28, 28))] if x.dtype == np.uint8 else []
    *hidden, outputs = MODELS["A"][1:]
    layers = [nn.Dense(units, activation="relu") for units in hidden]
    last = nn.Dense(outputs, activation="softmax")
    model = nn.Sequential([*first, nn.Flatten(input_shape=(28, 28)), *layers, last])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model, x, y, **settings):
    return lambda: model.fit(x, y, BATCH, verbose=0, **settings)


def steps(model, x, y):
    batches = [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH)]

    def call():
        for batch in batches:
            model.train_on_batch(*batch)

    return call


def check(x, y):
    """An epoch without shuffling and the steps end with the same weights."""
    models = model_a(x), model_a(x)
    fit(models[0], x, y, shuffle=False)()
    steps(models[1], x, y)()
    for p, q in zip(*(model.parameters() for model in models)):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
