"""Training steps: forward, loss, backward, update, on data in memory, of two models.

Every library runs in a process of its own, on the same weights and data, and computes the losses of
the first steps, which are compared with those of NumPy in float64 before anything is timed.
"""

import importlib.util
import json
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np

from . import machine
from .contestants import BETAS, CONTESTANTS, EPSILON, RATES, problem
from .report import Row, say

MODELS = {"A": (784, 512, 256, 64, 32, 10), "B": (784, 512, 512, 512, 512, 512, 10)}
BATCHES = (1, 32, 128, 1024)
CHECKED = 4  # steps whose losses are compared
SECONDS = 0.25  # of steps in a turn


class Process:
    """A contestant's process, which is asked one thing at a time."""

    def __init__(self, name, threads):
        environment = {**os.environ, **CONTESTANTS[name][2], "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", f"{__package__}.contestants", name]
        # Not by the libraries' own settings: this one all of them respect.
        bound = None
        if threads < machine.cores():
            bound = lambda: os.sched_setaffinity(0, range(threads))  # noqa: E731
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            preexec_fn=bound,
        )

    def ask(self, **request):
        """The answer to a request. EOFError when the process has died."""
        print(json.dumps(request), file=self.child.stdin, flush=True)
        line = self.child.stdout.readline()
        if not line:
            raise EOFError(f"it ended with status {self.child.wait()}")
        return json.loads(line)

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def present(chosen):
    """The names of the contestants that can run and, if peers are chosen, are among these."""
    names = ["ours"]
    for name, (_, package, _) in CONTESTANTS.items():
        if name == "ours" or (chosen and not any(word in name for word in chosen)):
            continue
        needs = [package, "keras"] if name.startswith("keras") else [package]
        missing = [need for need in needs if importlib.util.find_spec(need) is None]
        if missing:
            say(f"step: {name} is left out, {' and '.join(missing)} is not installed")
        else:
            names.append(name)
    return names


def exact_losses(sizes, batch, optimizer, steps, corrected=False):
    """The losses of the first steps, in float64, written as the formulas of a textbook.

    corrected  Adam's epsilon is added after the bias correction, as PyTorch does
    """
    weights, x, y = problem(sizes, batch)
    weights, rate = [w.astype("float64") for w in weights], RATES[optimizer]
    means, variances = ([np.zeros_like(w) for w in weights] for _ in range(2))
    losses = []
    for step in range(1, steps + 1):
        inputs = [x.astype("float64")]
        for i in range(0, len(weights), 2):
            z = inputs[-1] @ weights[i] + weights[i + 1]
            inputs.append(np.maximum(z, 0))
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        losses.append(-np.log(p[np.arange(batch), y]).mean())
        g = (p - np.eye(sizes[-1])[y]) / batch
        slopes = []
        for i in reversed(range(0, len(weights), 2)):
            slopes = [inputs[i // 2].T @ g, g.sum(axis=0), *slopes]
            g = (g @ weights[i].T) * (inputs[i // 2] > 0)
        for i, slope in enumerate(slopes):
            move = slope
            if optimizer == "adam":
                means[i] = BETAS[0] * means[i] + (1 - BETAS[0]) * slope
                variances[i] = BETAS[1] * variances[i] + (1 - BETAS[1]) * slope**2
                correction = np.sqrt(1 - BETAS[1] ** step) / (1 - BETAS[0] ** step)
                epsilon = EPSILON * np.sqrt(1 - BETAS[1] ** step) if corrected else EPSILON
                move = correction * means[i] / (np.sqrt(variances[i]) + epsilon)
            weights[i] = weights[i] - rate * move
    return losses


def work(sizes, batch):
    """1e9 operations in the products of a step; there is no gradient of the images."""
    layers = [inputs * outputs for inputs, outputs in pairwise(sizes)]
    return 2e-9 * batch * (3 * sum(layers) - layers[0])


def times_of(processes, setting, turns):
    """The best time of each process that could do it; wrong losses are a ValueError."""
    best = {}
    exact = {
        corrected: exact_losses(**setting, steps=CHECKED, corrected=corrected)
        for corrected in (False, True)
    }
    for name, process in list(processes.items()):
        try:
            losses = process.ask(**setting, steps=CHECKED)["losses"]
            process.ask(seconds=SECONDS)
        except (EOFError, BrokenPipeError) as error:
            say(f"step: {name} is left out from here on: {error}")
            del processes[name]
            continue
        expected = exact[CONTESTANTS[name][1] == "torch"]
        if not np.allclose(losses, expected, rtol=2e-3, atol=1e-4):
            raise ValueError(f"step: {name} computes {losses}, exact is {expected}")
        best[name] = float("inf")
    for _ in range(turns):
        for name in best:
            best[name] = min(best[name], processes[name].ask(seconds=SECONDS)["best"])
    return best


def run(options, table):
    """Add a row for each model, optimizer and batch size."""
    for threads in sorted(set(options.threads or [machine.cores()])):
        processes = {name: Process(name, threads) for name in present(options.peers)}
        limit = machine.peak_gflops("float32", threads)
        for model, sizes in MODELS.items():
            for optimizer in RATES:
                for batch in BATCHES:
                    case = f"{model} {optimizer} batch {batch}"
                    if options.cases and options.cases not in case:
                        continue
                    setting = {"sizes": sizes, "batch": batch, "optimizer": optimizer}
                    times = times_of(processes, setting, options.turns)
                    ours = times.pop("ours")
                    group = f"training step, {threads} threads"
                    table.add(Row(group, case, ours, times, work(sizes, batch), "GFLOP/s", limit))
        for process in processes.values():
            process.close()
