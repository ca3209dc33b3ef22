"""Diagnostics: what goes wrong inside a net while it trains, measured, and said in words.

A net that learns nothing looks like one that learns slowly. What tells them apart is inside: units
that never fire, activations on their flat ends, gradients that fade on the way back, steps too
large or too small for the weights, and the operation that made the first nan.
"""

from typing import NamedTuple

import numpy as np

from engine import AnomalyError, Tensor, detect_anomaly, random

from . import activations
from .callbacks import Callback
from .checks import count_of
from .module import Layer

# Below these an output is on a flat end: there the slope is under 5 % of the greatest it can be.
FLAT = 0.05
FLAT_ENDS = {
    "sigmoid": lambda y: y * (1 - y) < FLAT / 4,
    "tanh": lambda y: 1 - y * y < FLAT,
    "hard_sigmoid": lambda y: (y <= 0) | (y >= 1),
    "hard_tanh": lambda y: (y <= -1) | (y >= 1),
    "softsign": lambda y: (1 - np.abs(y)) ** 2 < FLAT,
}
SILENT_AT_ZERO = {"relu", "relu6"}  # their units can die: where the output is 0, so is the slope

# What is worth saying. A few dead units are normal; Glorot and Bengio (2010, section 3) show how
# saturation stalls a net, and (section 4.2) how the gradient should keep its size from layer to
# layer; that a step changes weights by about 1/1000 is the rule of thumb of Stanford's CS231n.
DEAD_SHARE = 0.4
SATURATED_SHARE = 0.5
FADED, GROWN = 1e-3, 1e3  # the gradient of the first layer over that of the last, root mean square
HUGE_GRADIENT = 1e4  # its norm, in any layer
LARGE_UPDATE, SMALL_UPDATE = 0.1, 1e-6  # the change of a kernel over the kernel, norms
SEEN = 256  # examples that must have passed before a unit is called dead


class Finding(NamedTuple):
    """One thing found.

    kind   "dead", "saturated", "vanishing", "exploding", "large update", "small update" or "nan"
    layer  the name of the layer that it is about
    epoch  counted from 1
    value  the figure behind it: a share, a ratio or a norm; nan for a nan
    text   the finding in words, with what to do
    """

    kind: str
    layer: str
    epoch: int
    value: float
    text: str


class Diagnostics(Callback):
    """Looks into the layers while a model trains: `fit(..., diagnose=True)`, or as a callback.

    samples      how many batches of an epoch are looked at, evenly spread. Default 10. Whether
                 the gradients are finite is asked at every batch.
    verbose      whether to print each finding when it is first made, and a line where there is
                 none at the end; in a `fit` with verbose=0 nothing is printed. Default True.
    stop_on_nan  what to do at a nan or infinite gradient. True: end the training. False: go on.
                 In both cases that batch leaves the weights as they are. Default True.

    `findings` is a list of `Finding`; `records` a list of dicts, one for each layer and sample:

        step            the batch, counted over the whole training from 0
        epoch           counted from 1
        layer           the layer's name; where two share it, its place in the model
        dead            share of the ReLU units that were 0 for every example that this epoch's
                        samples have shown so far; None for other activations
        saturated       share of the outputs on a flat end of sigmoid, tanh and their like (where
                        the slope is under 5 % of the greatest); None for other activations
        activation_mean, activation_std   of the outputs
        gradient_norm   Euclidean norm of the gradient of the layer's parameters; None without any
        gradient_rms    the same over the root of their number
        update_ratio    norm of the change of the layer's kernel over the norm of the kernel; None
                        without one, and at a batch without an update
    """

    def __init__(self, samples=10, verbose=True, stop_on_nan=True):
        self.samples = count_of("Diagnostics", "samples", samples)
        self.verbose = verbose
        self.stop_on_nan = stop_on_nan
        self.records = []
        self.findings = []
        self._step = -1

    # ---------------------------------------------------------------------------- the callback

    def on_train_begin(self, logs=None):
        self.model.history.diagnostics = self
        self._step = -1
        self._sampling = False
        self._watches = [_Watch(name, module) for name, module in _watched(self.model)]

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch + 1
        for watch in self._watches:
            watch.forget()

    def on_train_batch_begin(self, batch, logs=None):
        self._step += 1
        self._random = random.state()
        steps = self.params["steps"]
        every = max(1, steps // self.samples) if steps else self.samples
        self._sampling = batch % every == 0
        if self._sampling:
            for watch in self._watches:
                watch.open()

    def on_gradients(self, batch):
        gradients = [p.grad.data for p in self.model.optimizer.parameters if p.grad is not None]
        if not all(np.isfinite(g).all() for g in gradients):
            self._find_nan(batch)
        elif self._sampling:
            for watch in self._watches:
                watch.measure_gradient()

    def on_train_batch_end(self, batch, logs=None):
        if self._sampling:
            place = {"step": self._step, "epoch": self._epoch}
            closed = [watch.close() for watch in self._watches]
            self.records += [{**place, **record} for record in closed if record is not None]
            self._sampling = False

    def on_epoch_end(self, epoch, logs=None):
        records = [record for record in self.records if record["epoch"] == self._epoch]
        for kind, layer, value, text in judge(records, {w.name: w for w in self._watches}):
            self._say(kind, layer, value, text)

    def on_train_end(self, logs=None):
        for watch in self._watches:
            watch.stop()
        if not self.findings:
            self._print("Diagnostics: nothing to report.")

    def _say(self, kind, layer, value, text):
        if any(found.kind == kind and found.layer == layer for found in self.findings):
            return  # once is enough
        self.findings.append(Finding(kind, layer, self._epoch, value, text))
        self._print(f"Diagnostics, epoch {self._epoch}: {text}")

    def _print(self, text):
        if self.verbose and self.params["verbose"]:
            print(text, flush=True)

    def state_dict(self):
        findings = [list(finding) for finding in self.findings]
        return {"step": self._step, "records": self.records, "findings": findings}

    def load_state_dict(self, state):
        self._step, self.records = state["step"], state["records"]
        self.findings = [Finding(*finding) for finding in state["findings"]]

    # ----------------------------------------------------------------------------------- a nan

    def _find_nan(self, batch):
        layer, cause = self._cause_of_nan()
        where = f"batch {batch + 1} of epoch {self._epoch}"
        self.model.optimizer.zero_grad()  # without a gradient no weight moves
        end = ""
        if self.stop_on_nan:
            self.model.stop_training = True
            end = " The training ends here, with the weights as they were before this batch."
        text = f"the gradient is not finite at {where}: {cause}.{end}"
        self._say("nan", layer, np.nan, text)

    def _cause_of_nan(self):
        """(layer, sentence) about where a nan comes from: the same step, made again and checked."""
        x, y, sample_weight = self.model.current_batch
        for name, values in (("x", x), ("y", y)):
            broken = np.argwhere(~np.isfinite(values)) if values.dtype.kind == "f" else ()
            if len(broken):
                return "", f"{name} holds nan or inf, first in example {broken[0][0]} of the batch"
        for path, tensor in self.model.named_tensors():
            if not np.isfinite(tensor.data).all():
                return path.rpartition(".")[0], f"{path} holds nan or inf since an earlier step"
        try:
            with random.drawing_from(self._random), detect_anomaly():
                self.model._loss_of(y, self.model(x), sample_weight).backward()
        except AnomalyError as error:
            layer = _layer_in(error.__traceback__)
            return layer, f"{f'in {layer}, ' if layer else ''}{error}"
        return "", "made again, the step is finite: an earlier gradient was still there"


def _layer_in(traceback):
    """The label of the innermost layer that an error passed through, "" where there is none."""
    label = ""
    while traceback is not None:
        module = traceback.tb_frame.f_locals.get("self")
        label = module.label if isinstance(module, Layer) else label
        traceback = traceback.tb_next
    return label


# ------------------------------------------------------------------------------- the measurements


def _watched(model):
    """(name, module) for the modules of a model that hold no others, or hold Tensors of their own.

    A name is the module's label, or its place in the model where two have the same one.
    """
    found = [
        (path, module)
        for path, module in model.named_modules()
        if module.own_tensors() or len(module.modules()) == 1
    ]
    labels = [getattr(module, "label", path) for path, module in found]
    return [
        (label if labels.count(label) == 1 and label else path, module)
        for label, (path, module) in zip(labels, found)
    ]


class _Watch:
    """What is measured of one layer in one sampled batch."""

    def __init__(self, name, module):
        self.name, self.module = name, module
        self.activation = activations.name_of(getattr(module, "activation", activations.linear))
        self.remove = None
        self.forget()

    def forget(self):
        """Begin an epoch: nothing has been seen of it."""
        self.fired, self.examples = None, 0

    def open(self):
        """Begin a batch: look at what the layer puts out from now on."""
        self.outputs, self.before = {}, None
        self.gradient_norm = self.gradient_rms = None
        self.remove = self.module.register_forward_hook(self._look)

    def _look(self, module, inputs, output):
        if type(output) is not Tensor or output.dtype.kind != "f" or output.size == 0:
            return
        y = output.data
        with np.errstate(all="ignore"):  # at a nan or overflow, which is found at the gradients
            self.outputs = {"activation_mean": float(y.mean()), "activation_std": float(y.std())}
        if self.activation in SILENT_AT_ZERO and y.ndim >= 2:
            fired = (y > 0).any(axis=tuple(range(y.ndim - 1)))
            self.fired = fired if self.fired is None else self.fired | fired
            self.examples += len(y)
        if self.activation in FLAT_ENDS:
            self.outputs["saturated"] = float(FLAT_ENDS[self.activation](y).mean())

    def measure_gradient(self):
        """Between backward and the update."""
        parameters = [t for _, t in self.module.own_tensors() if t.grad is not None]
        gradients = [p.grad.data for p in parameters]
        if gradients:
            self.gradient_norm = norm(gradients)
            self.gradient_rms = self.gradient_norm / sum(g.size for g in gradients) ** 0.5
        self.kernel = next((p.data for p in parameters if p.ndim >= 2), None)
        if self.kernel is not None:
            self.before = self.kernel.copy()

    def stop(self):
        """Look no more."""
        if self.remove is not None:
            self.remove()
            self.remove = None

    def close(self):
        """End a batch, after the update. Returns its record, None for a layer that was not used."""
        self.stop()
        if not self.outputs and self.gradient_norm is None:
            return None
        change = None if self.before is None else norm([self.kernel - self.before])
        size = norm([self.before]) if change else 0.0
        return {
            "layer": self.name,
            "dead": None if self.fired is None else float(1 - self.fired.mean()),
            "saturated": None,
            "activation_mean": None,
            "activation_std": None,
            **self.outputs,
            "gradient_norm": self.gradient_norm,
            "gradient_rms": self.gradient_rms,
            "update_ratio": change / size if size else None,
        }


def norm(arrays):
    """The Euclidean norm of all arrays together, summed in float64."""
    return float(np.sqrt(sum(np.square(a, dtype=np.float64).sum() for a in arrays)))


# ----------------------------------------------------------------------------------- the findings


def judge(records, watches):
    """Yield (kind, layer, value, text) for what is worth saying about the records of an epoch.

    watches  from the name of a layer to its _Watch
    """
    layers = {}
    for record in records:
        layers.setdefault(record["layer"], []).append(record)
    last = next(reversed(layers), None)
    for layer, rows in layers.items():
        yield from _about_outputs(layer, rows, watches[layer], layer == last)
        yield from _about_updates(layer, rows)
    yield from _about_gradients(layers)


def _about_outputs(layer, rows, watch, is_last):
    dead = rows[-1]["dead"]
    if dead is not None and dead >= DEAD_SHARE and watch.examples >= SEEN:
        yield (
            "dead",
            layer,
            dead,
            f"{dead:.0%} of the {watch.fired.size} {watch.activation} units of {layer} are dead: "
            f"they were 0 for each of the {watch.examples:,} examples looked at, and so get no "
            "gradient. Lower the learning rate, or write activation='leaky_relu'",
        )
    share = _median(rows, "saturated")
    if share is not None and share >= SATURATED_SHARE and not is_last:
        yield (
            "saturated",
            layer,
            share,
            f"{share:.0%} of the outputs of {layer} are on a flat end of {watch.activation}, where "
            "next to no gradient comes through. Scale the inputs, start from smaller weights "
            "(kernel_initializer='glorot_uniform'), or write activation='relu' between layers",
        )


def _about_updates(layer, rows):
    ratio = _median(rows, "update_ratio")
    if ratio is None:
        return
    if ratio > LARGE_UPDATE:
        yield (
            "large update",
            layer,
            ratio,
            f"a step changes the kernel of {layer} by {ratio:.0%} of its norm, where about 0.1 % "
            "is usual: lower the learning rate",
        )
    elif ratio < SMALL_UPDATE:
        yield (
            "small update",
            layer,
            ratio,
            f"a step changes the kernel of {layer} by {ratio:.1e} of its norm, where about 1e-3 is "
            "usual: raise the learning rate, or see why its gradient is small",
        )


def _about_gradients(layers):
    for layer, rows in layers.items():
        size = _median(rows, "gradient_norm")
        if size is not None and size > HUGE_GRADIENT:
            yield (
                "exploding",
                layer,
                size,
                f"the gradient of {layer} has norm {size:.1e}. Scale inputs and targets, lower the "
                "learning rate, or give the optimizer global_clipnorm=1.0",
            )
    sizes = {layer: _median(rows, "gradient_rms") for layer, rows in layers.items()}
    sizes = {layer: size for layer, size in sizes.items() if size is not None}
    if len(sizes) < 2:
        return
    (first, near_input), (last, near_output) = list(sizes.items())[:: len(sizes) - 1]
    ratio = near_input / near_output if near_output else 1.0
    if ratio < FADED:
        yield (
            "vanishing",
            first,
            ratio,
            f"the gradient vanishes on the way back: per weight, that of {first} is {ratio:.1e} "
            f"times that of {last}. Write activation='relu' between layers rather than sigmoid or "
            "tanh, or add BatchNormalization or skip connections",
        )
    elif ratio > GROWN:
        yield (
            "exploding",
            first,
            ratio,
            f"the gradient grows on the way back: per weight, that of {first} is {ratio:.1e} times "
            f"that of {last}. Start from smaller weights (kernel_initializer='he_normal'), or give "
            "the optimizer global_clipnorm=1.0",
        )


def _median(rows, key):
    values = [row[key] for row in rows if row[key] is not None]
    return float(np.median(values)) if values else None
