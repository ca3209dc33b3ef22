"""Module: a thing with parameters. They are found by looking at its attributes, by no magic.

Any attribute that is a Tensor belongs to the module's state; one that requires a gradient is a
parameter. Attributes that are modules, and lists, tuples and dicts of any of these, are looked
into, in the order in which they were set.
"""

import numpy as np

import engine
from engine import Tensor, random


class Module:
    """Base of layers and models. A subclass sets Tensors and modules as attributes, and defines
    `forward`; calling the module calls that.

        class Residual(nn.Module):
            def __init__(self, units):
                self.inner = nn.Dense(units, activation="relu", input_shape=(units,))

            def forward(self, x):
                return x + self.inner(x)
    """

    training = True

    def __call__(self, *inputs):
        return self.forward(*inputs)

    def forward(self, *inputs):
        raise NotImplementedError(f"{type(self).__name__} does not define forward(self, x)")

    def named_tensors(self):
        """(path, Tensor) pairs of the whole state, as ("layers.0.kernel", ...), each Tensor once.

        Raises ValueError when a layer does not know its input shape yet, and so has no weights.
        """
        for module in self.modules():
            module.ensure_built()
        yield from self._tensors_so_far()

    def _tensors_so_far(self):
        for path, value in _walk(self, (), set()):
            if type(value) is Tensor:
                yield ".".join(path), value

    def modules(self):
        """This module and all modules within it, each once."""
        inner = (value for _, value in _walk(self, (), set()) if isinstance(value, Module))
        return [self, *inner]

    def ensure_built(self):
        """Make the parameters that have not been made yet. The base makes its own at once."""

    def parameters(self):
        """The Tensors that training changes, in the order in which they were set, each once."""
        return [tensor for _, tensor in self.named_tensors() if tensor.requires_grad]

    def train(self, mode=True):
        """Set this module and all within it to training (True) or to inference; returns itself."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Set this module and all within it to inference; returns itself."""
        return self.train(False)

    def state_dict(self):
        """The state as a dict from path to array; the arrays are copies."""
        return {path: tensor.data.copy() for path, tensor in self.named_tensors()}

    def load_state_dict(self, state):
        """Set the state from a dict like that of `state_dict`.

        Raises ValueError, with every difference, when names are missing or too many or when
        shapes differ; then nothing has been changed.
        """
        own = dict(self.named_tensors())
        problems = [f"missing {path}" for path in own if path not in state]
        problems += [f"unexpected {path}" for path in state if path not in own]
        for path in own.keys() & state.keys():
            expected, got = own[path].shape, np.shape(state[path])
            if expected != got:
                problems.append(f"{path} has shape {got}, expected {expected}")
        if problems:
            raise ValueError(f"load_state_dict: {'; '.join(sorted(problems))}")
        for path, tensor in own.items():
            tensor.data[...] = state[path]

    def __repr__(self):
        inner = [
            f"  {name}: {value!r}".replace("\n", "\n  ")
            for name, value in vars(self).items()
            if isinstance(value, Module)
        ]
        name = type(self).__name__
        return f"{name}()" if not inner else "\n".join([f"{name}(", *inner, ")"])


def _walk(value, path, seen):
    """(path, value) of each Tensor and Module that hangs on a module, depth first, each once."""
    seen.add(id(value))
    if isinstance(value, Module):
        items = vars(value).items()
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return
    for name, item in items:
        if id(item) in seen:
            continue
        inner = (*path, str(name))
        if type(item) is Tensor or isinstance(item, Module):
            seen.add(id(item))
            yield inner, item
        yield from _walk(item, inner, seen)


class Layer(Module):
    """A module that makes its parameters when it learns the shape of its input.

    input_shape  the lengths of one example's axes, without the batch; None: learnt from the
                 first input.
    name         what errors and `summary` call it; by default given by the model.

    A subclass defines `forward` and, where it has parameters, `build(input_shape)`; where the
    output has another shape than the input, `output_shape(input_shape)`.
    """

    def __init__(self, input_shape=None, name=None):
        self.input_shape = None if input_shape is None else _checked_shape(self, input_shape)
        self.name = name
        self.built = False
        # What a layer will draw is fixed here, where it is written, not where its shape is learnt.
        self._key = random.key() if type(self).build is not Layer.build else None

    def __call__(self, x):
        x = engine.asarray(x)
        if not self.built:
            self.ensure_built(x.shape[1:])
        return self.forward(x)

    def ensure_built(self, input_shape=None):
        """Make the parameters for examples of `input_shape`, if that has not been done.

        Raises ValueError when neither this nor the constructor was given the shape.
        """
        if self.built:
            return
        if self.input_shape is None and input_shape is None:
            raise ValueError(
                f"{self.label} does not know its input shape yet, so it has no weights: give the "
                "first layer input_shape=..., as (28, 28), or call the model on data first"
            )
        if self.input_shape is None:
            self.input_shape = tuple(input_shape)
        with random.drawing_from(self._key):
            self.build(self.input_shape)
        self.built = True

    def build(self, input_shape):
        """Make the parameters. The base has none."""

    def output_shape(self, input_shape):
        """The shape of one output example for one input example of `input_shape`."""
        return input_shape

    @property
    def label(self):
        """What to call this layer in messages."""
        return self.name or type(self).__name__


def _checked_shape(layer, shape):
    try:
        lengths = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if all(isinstance(n, (int, np.integer)) and n > 0 for n in lengths):
            return tuple(int(n) for n in lengths)
    except TypeError:
        pass
    raise ValueError(
        f"{type(layer).__name__}: expected input_shape to be a tuple of lengths of at least 1, "
        f"as (28, 28), got {shape!r}"
    )
