"""The whole job, from the start of a process to its end: model A on MNIST, batch 32, 3 epochs.

With Adam, the images shuffled every epoch, and an evaluation on the test images after each. Ours is
the example as it is; Keras is told the same in the same words, images as bytes that the model's
first layer scales. PyTorch has no such layer: its images are scaled before, all of them. To scale
each batch would take it less memory, but more time.
MNIST is taken from where `nn.datasets` finds it.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from nn import datasets
from nn.datasets.idx import pack_idx
from nn.datasets.mnist import SHA256

from . import machine
from .report import Row, say

EPOCHS, BATCH, UNITS = 3, 32, (512, 256, 64, 32)
EXAMPLE = Path(__file__).parents[2] / "examples" / "mnist.py"
LEAST = 0.93  # the accuracy that all of them should reach, also where the subset has to do

OURS = f"""
import runpy
sys.argv = ["mnist.py", "--data", sys.argv[1], "--epochs", "{EPOCHS}", "--batch", "{BATCH}"]
runpy.run_path({str(EXAMPLE)!r}, run_name="__main__")
"""

# For the peers: the arrays, read from MNIST's files, which begin with 16 and 8 bytes of a header.
DATA = f"""
import numpy as np
names = {list(SHA256)}
read = lambda name, start: np.fromfile(f"{{sys.argv[1]}}/{{name}}", np.uint8, offset=start)
x, y, xv, yv = map(read, names, (16, 8, 16, 8))
x, xv = x.reshape(-1, 28, 28), xv.reshape(-1, 28, 28)
EPOCHS, BATCH, UNITS = {EPOCHS}, {BATCH}, {UNITS}
"""

# The most memory since the program was started. What Unix counts for the process also covers the
# moment before, when it was still a copy of this one.
MEMORY = """
try:
    with open("/proc/self/status") as status:
        peak = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"peak: {peak} KiB")
"""

KERAS = """
import keras
first = [keras.Input((28, 28)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
hidden = [keras.layers.Dense(units, activation="relu") for units in UNITS]
model = keras.Sequential([*first, *hidden, keras.layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=2, validation_data=(xv, yv))
print(f"{model.evaluate(xv, yv, verbose=0)[1]:.2%} right")
"""

TORCH = """
import torch
sizes = (784, *UNITS, 10)
layers = []
for inputs, outputs in zip(sizes, sizes[1:]):
    layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
model = torch.nn.Sequential(*layers[:-1])
optimizer = torch.optim.Adam(model.parameters())
x, xv = (torch.from_numpy(a.reshape(len(a), -1) / np.float32(255)) for a in (x, xv))
y, yv = (torch.from_numpy(a).long() for a in (y, yv))
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
    print(f"{total / len(x):.4f} {right / len(x):.2%}, {accuracy:.2%} right")
"""

# name: (program, packages that it needs, KERAS_BACKEND)
PROGRAMS = {
    "ours": (OURS, [], ""),
    "torch": (DATA + TORCH, ["torch"], ""),
    "keras/tf": (DATA + KERAS, ["keras", "tensorflow"], "tensorflow"),
    "keras/jax": (DATA + KERAS, ["keras", "jax"], "jax"),
}


def save_data(folder):
    """Write the files of MNIST that all of them train on."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        (x, y), (xv, yv) = datasets.mnist()
    arrays = x, y.astype(np.uint8), xv, yv.astype(np.uint8)
    if len(x) < 60_000:
        say("job: MNIST is not there, the small subset stands ten times for it")
        arrays = [np.concatenate([a] * 10) for a in arrays]
    for name, array in zip(SHA256, arrays):
        (Path(folder) / name).write_bytes(pack_idx(array))


def run(options, table):
    """Add a row for the seconds of the whole process and one for its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        save_data(folder)
        times, memory = {}, {}
        for _ in range(max(1, options.turns // 3)):
            for name, (program, needs, backend) in PROGRAMS.items():
                if name != "ours" and options.peers and name not in options.peers:
                    continue
                if any(importlib.util.find_spec(need) is None for need in needs):
                    say(f"job: {name} is left out, {' or '.join(needs)} is not installed")
                    continue
                seconds, accuracy, peak = timed(program, folder, backend)
                if accuracy < LEAST:
                    raise ValueError(f"job: {name} is right on {accuracy:.1%} only")
                times[name] = min(seconds, times.get(name, seconds))
                memory[name] = min(peak / 1e6, memory.get(name, np.inf))
    group = f"whole job, {EPOCHS} epochs of model A"
    table.add(Row(group, "seconds from start to end", times.pop("ours"), times))
    table.add(Row(group, "peak memory", memory.pop("ours"), memory, unit="MB"))


def timed(program, folder, backend):
    """Seconds from the start of its process to its end, its accuracy, and its peak in bytes."""
    environment = machine.as_installed(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND=backend)
    command = [sys.executable, "-c", f"import sys\n{program}{MEMORY}", str(folder)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    seconds = time.perf_counter() - start
    accuracy = re.findall(r"([\d.]+)% right", done.stdout)[-1]
    return seconds, float(accuracy) / 100, 1024 * int(re.findall(r"peak: (\d+)", done.stdout)[-1])
