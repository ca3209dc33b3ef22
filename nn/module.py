"""Module: a thing with parameters. They are found by looking at its attributes, by no magic.

Any attribute that is a Tensor belongs to the module's state; one that requires a gradient is a
parameter, any other a buffer. Attributes that are modules, and lists, tuples and dicts of any of
these, are looked into, in the order in which they were set. A Tensor or module that is found in
several places, as tied weights are, counts once, under the path where it is found first.
"""

import math
import threading
from contextlib import contextmanager, nullcontext

import numpy as np

import engine
from engine import Tensor, random
from engine.tensor import dtype_of

from .activations import name_of


class Module:
    """Base of layers and models. A subclass sets Tensors and modules as attributes, and defines
    `forward`; calling the module calls that.

        class Residual(nn.Module):
            def __init__(self, units):
                self.inner = nn.Dense(units, activation="relu", input_shape=(units,))

            def forward(self, x):
                return x + self.inner(x)
    """

    name = None  # what errors and `summary` call it
    training = True
    _trainable = True
    _frozen = ()  # the paths of own Tensors that required a gradient before the module was frozen
    _forward_hooks = None
    _activity = None

    def __call__(self, *inputs):
        output = self.forward(*inputs)
        return output if self._forward_hooks is None else self._hooked(inputs, output)

    def forward(self, *inputs):
        raise NotImplementedError(f"{type(self).__name__} does not define forward(self, x)")

    # -------------------------------------------------------------------------------- what is in it

    def named_tensors(self):
        """(path, Tensor) pairs of the whole state, as ("layers.0.kernel", ...), each Tensor once.

        Raises ValueError when a layer does not know its input shape yet, and so has no weights.
        """
        for module in self.modules():
            module.ensure_built()
        yield from self._tensors_so_far()

    def _tensors_so_far(self):
        for path, value in _walk(self):
            if type(value) is Tensor:
                yield path, value

    def own_tensors(self):
        """(path, Tensor) pairs of the Tensors that hang on this module and on none within it."""
        return [(path, value) for path, value in _walk(self, deep=False) if type(value) is Tensor]

    def modules(self):
        """This module and all modules within it, each once."""
        return [module for _, module in self.named_modules()]

    def named_modules(self):
        """(path, module) pairs of this module, whose path is "", and all within it, each once."""
        return [("", self), *(pair for pair in _walk(self) if isinstance(pair[1], Module))]

    def ensure_built(self, input_shape=None):
        """Make the parameters that have not been made yet. The base makes its own at once.

        input_shape  of one example; where it is given, layers within that do not know theirs learn
                     it from a forward on zeros
        """
        inner = self.modules()[1:]
        if input_shape is not None and any(isinstance(m, Layer) and not m.built for m in inner):
            self._trace(input_shape)

    def output_shape(self, input_shape):
        """The shape of one output example for one input example of `input_shape`.

        The base finds it by a forward on zeros, in inference mode and without recording.
        """
        self.ensure_built(input_shape)
        return self._trace(input_shape).shape[1:]

    def _trace(self, *input_shapes):
        """The output for one example of zeros; of integers, where floats are not taken."""
        with self._inference(), np.errstate(all="ignore"):
            zeros = [engine.zeros((1, *shape)) for shape in input_shapes]
            try:
                return self.forward(*zeros)
            except TypeError:
                return self.forward(*[x.astype("int64") for x in zeros])

    @property
    def label(self):
        """What to call this module in messages."""
        return self.name or type(self).__name__

    def parameters(self):
        """The Tensors that require a gradient, in the order in which they were set, each once."""
        return [tensor for _, tensor in self.named_tensors() if tensor.requires_grad]

    def trainable_parameters(self):
        """The parameters that training changes: those of which no owner is frozen."""
        parameters = self.parameters()
        frozen = {
            id(tensor)
            for module in self.modules()
            if not module.trainable
            for _, tensor in module.own_tensors()
        }
        return [parameter for parameter in parameters if id(parameter) not in frozen]

    # ---------------------------------------------------------------------------------------- modes

    def train(self, mode=True):
        """Set this module and all within it to training (True) or to inference; returns itself."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Set this module and all within it to inference; returns itself."""
        return self.train(False)

    @contextmanager
    def _inference(self):
        """In the `with` block: inference, nothing recorded. Then each module has its mode again."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            with engine.no_grad():
                yield
        finally:
            for module, training in modes:
                module.training = training

    @property
    def trainable(self):
        """Whether training changes this module. Setting it sets all modules that are within.

        A frozen module's Tensors require no gradient, so that none is computed for them, and its
        moving statistics stay as they are. A compiled model is compiled anew after unfreezing.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        for module in self.modules():
            module._trainable = bool(value)
            module._freeze() if not value else module._thaw()

    def _freeze(self):
        live = {path: tensor for path, tensor in self.own_tensors() if tensor.requires_grad}
        for tensor in live.values():
            tensor.requires_grad = False
        self._frozen = (*self._frozen, *live)

    def _thaw(self):
        for path, tensor in self.own_tensors():
            if path in self._frozen:
                tensor.requires_grad = True
        self._frozen = ()

    def astype(self, dtype):
        """Turn every Tensor of floats into float32 or float64, in place; returns the module.

        Gradients are dropped, and an optimizer that has made steps does not fit any more. Raises
        TypeError for another dtype, ValueError for a layer that has no weights yet.
        """
        target = dtype_of(dtype)
        if target.kind != "f":
            raise TypeError(
                f"{type(self).__name__}.astype: expected float32 or float64, got {target}"
            )
        for _, tensor in self.named_tensors():
            if tensor.dtype.kind == "f" and tensor.dtype != target:
                required, tensor.requires_grad = tensor.requires_grad, False
                tensor.data = tensor.data.astype(target)
                tensor.requires_grad = required
        return self

    # ---------------------------------------------------------------------------------------- hooks

    def register_forward_hook(self, hook):
        """Call `hook(module, inputs, output)` after every call of this module.

        hook  `inputs` is the tuple of what the module was called with. What the hook returns,
              unless None, takes the place of the output. Hooks run in the order they came in.

        Returns a function of no arguments that takes the hook away.
        """
        if self._forward_hooks is None:
            self._forward_hooks = _Unlisted({})
        hooks = self._forward_hooks.value
        number = max(hooks, default=0) + 1
        hooks[number] = hook

        def remove():
            hooks.pop(number, None)
            if not hooks and self._forward_hooks is not None and self._forward_hooks.value is hooks:
                self._forward_hooks = None

        return remove

    def _hooked(self, inputs, output):
        for hook in list(self._forward_hooks.value.values()):
            result = hook(self, inputs, output)
            output = output if result is None else result
        return output

    # ------------------------------------------------------------------------------- regularization

    def regularizers(self):
        """(module, attribute, regularizer) of every attribute `..._regularizer` that is not None.

        `kernel_regularizer` is for the attribute `kernel`, and so on; `activity_regularizer` for
        what the module puts out.
        """
        suffix = "_regularizer"
        return [
            (module, name.removesuffix(suffix), value)
            for module in self.modules()
            for name, value in vars(module).items()
            if name.endswith(suffix) and value is not None
        ]

    def regularization(self):
        """The sum of what the regularizers say, as a 0-d Tensor to add to the loss, or None.

        For an activity it is that of the outputs in training mode since this was last asked,
        each divided by its number of examples, as in Keras.
        """
        terms = []
        for module, name, regularizer in self.regularizers():
            if name == "activity":
                if module._activity is not None:
                    terms += module._activity.value
                    module._activity = None
            elif getattr(module, name) is not None:
                terms.append(regularizer(getattr(module, name)))
        total = terms[0] if terms else None
        for term in terms[1:]:
            total = total + term
        return total

    # ---------------------------------------------------------------------------------------- state

    def state_dict(self):
        """The state as a dict from path to array; the arrays are copies."""
        return {path: tensor.data.copy() for path, tensor in self.named_tensors()}

    def load_state_dict(self, state):
        """Set the state from a dict like that of `state_dict`.

        Raises ValueError, with every difference, when names are missing or too many, when shapes
        differ, or where there are no floats for floats; then nothing has been changed.
        """
        own = dict(self.named_tensors())
        problems = [f"missing {path}" for path in own if path not in state]
        problems += [f"unexpected {path}" for path in state if path not in own]
        arrays = {path: np.asarray(state[path]) for path in own.keys() & state.keys()}
        for path, array in arrays.items():
            expected = own[path]
            if expected.shape != array.shape:
                problems.append(f"{path} has shape {array.shape}, expected {expected.shape}")
            if expected.dtype.kind != array.dtype.kind:
                problems.append(f"{path} has dtype {array.dtype}, expected {expected.dtype}")
        if problems:
            raise ValueError(f"load_state_dict: {'; '.join(sorted(problems))}")
        for path, array in arrays.items():
            own[path].data[...] = array

    def summary(self, input_shape=None, print_fn=print):
        """Print a table of what is within: see `nn.summary.summary`."""
        from . import summary  # which builds on this module

        summary.summary(self, input_shape, print_fn)

    def __repr__(self):
        inner = [
            f"  {name}: {value!r}".replace("\n", "\n  ")
            for name, value in vars(self).items()
            if isinstance(value, Module)
        ]
        name = type(self).__name__
        return f"{name}()" if not inner else "\n".join([f"{name}(", *inner, ")"])


class _Unlisted:
    """What hangs on a module without being part of its state: the walk does not look into it."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def _walk(module, deep=True):
    """(path, value) of each Tensor and Module that hangs on a module, depth first, each once.

    deep  False: do not look into the modules within
    """
    seen = set()
    for path, _, _, value in places(module, deep):
        if id(value) not in seen:
            seen.add(id(value))
            yield path, value


def places(module, deep=True):
    """(path, holder, key, value) of each Tensor and Module that hangs on a module, depth first.

    `value` is the attribute `key` of the holder, where that is a module, else its item. Modules
    come once, Tensors as often as they are found.

    deep  False: do not look into the modules within
    """
    seen = {id(module)}

    def walk(holder, items, path):
        for key, item in items:
            if id(item) in seen:
                continue
            inner = f"{path}{key}"
            if type(item) is Tensor:
                yield inner, holder, key, item
            elif isinstance(item, Module):
                seen.add(id(item))
                yield inner, holder, key, item
                if deep:
                    yield from walk(item, list(vars(item).items()), f"{inner}.")
            elif isinstance(item, (list, tuple, dict)):
                seen.add(id(item))
                parts = item.items() if isinstance(item, dict) else enumerate(item)
                yield from walk(item, parts, f"{inner}.")

    yield from walk(module, list(vars(module).items()), "")


class Layer(Module):
    """A module that makes its parameters when it learns the shape of its first input.

    input_shape  the lengths of one example's axes, without the batch; None: learnt from the
                 first input.
    name         what errors and `summary` call it; by default given by the model.

    A subclass defines `forward` and, where it has parameters, `build(input_shape)`, which makes
    them with `add_weight`. It may define `output_shape(input_shape)`, else that is found by a
    forward on zeros, and `flops(input_shape)`. Every parameter of its constructor is kept as an
    attribute of the same name: from those the layer can be made anew.
    """

    input_shape = None
    built = False
    _key = None

    def __init__(self, input_shape=None, name=None):
        self.input_shape = None if input_shape is None else _checked_shape(self, input_shape)
        self.name = name
        self.built = False
        # What a layer will draw is fixed here, where it is written, not where its shape is learnt.
        self._key = random.key() if type(self).build is not Layer.build else None
        if getattr(self, "activity_regularizer", None) is not None:
            self.register_forward_hook(_keep_activity)

    def __call__(self, x):
        if type(x) is not Tensor:
            x = engine.asarray(x)
        if not self.built:
            self.ensure_built(x.shape[1:])
        output = self.forward(x)
        return output if self._forward_hooks is None else self._hooked((x,), output)

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
        with nullcontext() if self._key is None else random.drawing_from(self._key):
            self.build(self.input_shape)
        self.built = True
        if not self.trainable:
            self._freeze()

    def build(self, input_shape):
        """Make the parameters. The base has none of its own, but maybe layers within."""
        super().ensure_built(input_shape)

    def add_weight(self, name, shape, initializer, trainable=True):
        """Make the Tensor `name`, of float32, unless one has been set there, as tied weights are.

        initializer  a function (shape) -> array
        trainable    False for a buffer: part of the state that the gradient does not change

        Raises ValueError when the Tensor that has been set has another shape.
        """
        tied = getattr(self, name, None)
        if tied is None:
            values = initializer(shape) if _room.left is None else _room.zeros(self, name, shape)
            setattr(self, name, Tensor(values, requires_grad=trainable))
        elif tied.shape != tuple(shape):
            raise ValueError(
                f"{self.label}: expected {name} of shape {tuple(shape)} for input of shape "
                f"{self.input_shape}, the Tensor set there has shape {tied.shape}"
            )

    def flops(self, input_shape):
        """The floating-point operations for one example in inference, None where it is not known.

        A multiplication and an addition count as 2, any function of one number as 1.
        """
        return

    def last_activation(self):
        """The name of the activation that made the output, None where it is not known."""
        activation = getattr(self, "activation", None)
        return None if activation is None else name_of(activation)


class _Room(threading.local):
    """How many elements of weights a thread may still make while it loads; None: no limit."""

    left = None

    def zeros(self, layer, name, shape):
        size = math.prod(shape)
        if size > self.left:
            raise ValueError(
                f"{layer.label}: {name} of shape {tuple(shape)} is more than what there is to load"
            )
        self.left -= size
        return np.zeros(shape, np.float32)


_room = _Room()


@contextmanager
def zeros_as_weights(room):
    """Inside the `with` block `add_weight` makes zeros, and no more than `room` elements in all.

    For weights that are going to be loaded. ValueError, before anything is allocated, for more.
    """
    _room.left = room
    try:
        yield
    finally:
        _room.left = None


def _keep_activity(layer, inputs, output):
    """A forward hook: what the layer's activity_regularizer says of an output in training."""
    if layer.training:
        if layer._activity is None:
            layer._activity = _Unlisted([])
        layer._activity.value.append(layer.activity_regularizer(output) / max(1, output.shape[0]))


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
