"""The whole job, from the start of a process to its end: model A on MNIST, batch 32, 3 epochs.

With Adam, the images shuffled every epoch, and an evaluation on the test images after each. MNIST
is taken from where `nn.datasets` finds it.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from nn import datasets

from .report import Row, say

EPOCHS, BATCH, UNITS = 3, 32, (512, 256, 64, 32)

DATA = f"""
import sys
import numpy as np
data = np.load(sys.argv[1])
x, y, xv, yv = (data[name] for name in ("x", "y", "xv", "yv"))
x, xv = (a.reshape(len(a), -1) / np.float32(255) for a in (x, xv))
EPOCHS, BATCH, UNITS = {EPOCHS}, {BATCH}, {UNITS}
"""

END = """
import json, resource
print(json.dumps([accuracy, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""

OURS = """
import nn
layers = [nn.Dense(units, activation="relu") for units in UNITS]
model = nn.Sequential([nn.Flatten(input_shape=(784,)), *layers, nn.Dense(10, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=2, validation_data=(xv, yv))
accuracy = model.evaluate(xv, yv)[1]
"""

KERAS = """
import keras
layers = [keras.layers.Dense(units, activation="relu") for units in UNITS]
layers.append(keras.layers.Dense(10, activation="softmax"))
model = keras.Sequential([keras.Input((784,)), *layers])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=2, validation_data=(xv, yv))
accuracy = float(model.evaluate(xv, yv, verbose=0)[1])
"""

TORCH = """
import torch
sizes = (784, *UNITS, 10)
layers = []
for inputs, outputs in zip(sizes, sizes[1:]):
    layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
model = torch.nn.Sequential(*layers[:-1])
optimizer = torch.optim.Adam(model.parameters())
x, y, xv, yv = map(torch.from_numpy, (x, y.astype("int64"), xv, yv.astype("int64")))
for epoch in range(EPOCHS):
    total, right = 0.0, 0
    for rows in torch.randperm(len(x)).split(BATCH):
        optimizer.zero_grad()
        outputs = model(x[rows])
        loss = torch.nn.functional.cross_entropy(outputs, y[rows])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
        right += (outputs.argmax(1) == y[rows]).sum().item()
    with torch.no_grad():
        found = [model(part).argmax(1) for part in xv.split(BATCH)]
    accuracy = (torch.cat(found) == yv).float().mean().item()
    print(epoch, total / len(x), right / len(x), accuracy)
"""

# name: (program, packages that it needs, KERAS_BACKEND)
PROGRAMS = {
    "ours": (OURS, [], ""),
    "torch": (TORCH, ["torch"], ""),
    "keras/tf": (KERAS, ["keras", "tensorflow"], "tensorflow"),
    "keras/jax": (KERAS, ["keras", "jax"], "jax"),
}


def save_data(path):
    """Write the images that all of them train on; the least accuracy that they should reach."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        (x, y), (xv, yv) = datasets.mnist()
    if len(x) < 60_000:
        say("job: MNIST is not there, the small subset stands ten times for it")
        x, y, xv, yv = (np.concatenate([a] * 10) for a in (x, y, xv, yv))
    np.savez(path, x=x, y=y, xv=xv, yv=yv)
    return 0.95


def run(options, table):
    """Add a row for the seconds of the whole process and one for its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mnist.npz"
        least = save_data(path)
        times, memory = {}, {}
        for _ in range(max(1, options.turns // 3)):
            for name, (program, needs, backend) in PROGRAMS.items():
                if name != "ours" and options.peers and name not in options.peers:
                    continue
                if any(importlib.util.find_spec(need) is None for need in needs):
                    say(f"job: {name} is left out, {' or '.join(needs)} is not installed")
                    continue
                seconds, (accuracy, peak) = timed(DATA + program + END, path, backend)
                if accuracy < least:
                    raise ValueError(f"job: {name} is right on {accuracy:.1%} only")
                times[name] = min(seconds, times.get(name, seconds))
                memory[name] = min(peak / 1e6, memory.get(name, np.inf))
    group = f"whole job, {EPOCHS} epochs of model A"
    table.add(Row(group, "seconds from start to end", times.pop("ours"), times))
    table.add(Row(group, "peak memory", memory.pop("ours"), memory, unit="MB"))


def timed(program, path, backend):
    """Seconds from the start of its process to its end, and what it prints last."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend:
        environment["KERAS_BACKEND"] = backend
    command = [sys.executable, "-c", program, str(path)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return time.perf_counter() - start, json.loads(done.stdout.splitlines()[-1])
