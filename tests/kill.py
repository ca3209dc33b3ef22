"""Kills trainings at random moments while they write checkpoints, and takes them up again.

    python -m tests.kill --times 50

Each time the newest checkpoint has to load, and the resumed training to end with the same bits as
one that nobody disturbed. Trainings run in forks of this process, which has everything loaded.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time

import numpy as np

import engine
import nn

EPOCHS, BATCH_SIZE, SAVE_FREQ = 3, 8, 2


class Noise(nn.Layer):
    """Drops elements at random while it trains."""

    def forward(self, x):
        return x * engine.random.bernoulli(x.shape, 0.9) if self.training else x


def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    return (rng.normal(size=(150, 4)) + y[:, None]).astype("float32"), y


def new_model():
    engine.seed(1)
    layers = [
        nn.Dense(16, activation="relu", input_shape=(4,)),
        Noise(),
        nn.Dense(3, activation="softmax"),
    ]
    model = nn.Sequential(layers)
    optimizer = nn.optimizers.Adam(learning_rate=0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def train(path):
    """The whole training, or the rest of it from the checkpoint at `path`; returns its end."""
    resume = os.path.exists(path)
    model = nn.load(path, {"Noise": Noise}) if resume else new_model()
    callbacks = [
        nn.callbacks.EarlyStopping("loss", patience=EPOCHS),
        nn.callbacks.ModelCheckpoint(path, save_freq=SAVE_FREQ),
    ]
    x, y = data()
    history = model.fit(
        x,
        y,
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        verbose=0,
        callbacks=callbacks,
        validation_split=0.2,
        resume=resume,
    )
    return {name: array.tobytes() for name, array in model.state_dict().items()}, history.history


def killed_after(seconds, path):
    """Train in a fork, and kill it after so many seconds. Whether it was still training."""
    child = os.fork()
    if child == 0:
        train(path)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--times", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; default: %(default)s")
    options = parser.parse_args(argv)
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        train(os.path.join(folder, "warm-up"))
        start = time.perf_counter()
        expected = train(os.path.join(folder, "undisturbed"))
        lasts = time.perf_counter() - start
    killed = begun = torn = 0
    for _ in range(options.times):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model")
            killed += killed_after(moments.uniform(0, lasts), path)
            begun += not os.path.exists(path)
            torn += any(name != "model" for name in os.listdir(folder))
            if train(path) != expected:
                sys.exit("a resumed training ended with other weights, or another history")
            if os.listdir(folder) != ["model"]:
                sys.exit(f"there are files left: {os.listdir(folder)}")
    print(
        f"{options.times} trainings, {killed} of them killed before their end: {begun} before the "
        f"first checkpoint, {torn} while one was written. All loaded and ended with the same bits."
    )


if __name__ == "__main__":
    main()
