"""The training step of a chain of Dense layers as one call of a kernel, where a model is a chain.

Such a model begins with layers that have nothing to learn, and goes on with Dense layers, without
activation or with relu, up to a softmax or sigmoid with its cross-entropy. Most of a small step is
otherwise the Python between the operations; see `engine.kernels.chain`. The bits are the same.
Whatever is not as it is expected here goes the common way: `Chain.step` then does nothing.
"""

from operator import attrgetter, is_

import numpy as np

import engine
from engine import Tensor, graph
from engine.kernels import chain as kernels

from . import activations, losses
from .labels import integer_labels
from .layers import Activation, Dense, Flatten, Identity, ReLU, Sigmoid, Softmax
from .losses.base import targets_of
from .losses.crossentropy import binary_targets

ACTIVATION_LAYERS = (Activation, Identity, ReLU, Sigmoid, Softmax)
FORMS = {activations.linear: 0, engine.relu: kernels.RELU}
LOSSES = {  # the name of the kernels' loss, and what makes probabilities of that which it takes
    losses.sparse_categorical_crossentropy: ("sparse", engine.softmax),
    losses.categorical_crossentropy: ("dense", engine.softmax),
    losses.binary_crossentropy: ("binary", engine.sigmoid),
}
# What a step depends on and what may be changed between two of them, of each Dense layer
LOOK = attrgetter(
    "_forward_hooks",
    "activation",
    "kernel.data",
    "bias.data",
    "kernel.node",
    "bias.node",
    "kernel.node.grad",
    "bias.node.grad",
)


class Chain:
    """What a model is as a chain, found out at its first step; and that step."""

    def __init__(self):
        self._is_none = False  # whether the model was found to be no chain
        self._plan = None

    def __reduce__(self):
        return Chain, ()  # for copy and pickle: there are addresses in here

    def step(self, model, x, y):
        """A step of training on a batch of arrays: (loss, outputs), or None if nothing was done.

        loss     the mean, an array without axes
        outputs  a Tensor; None where the model has no metrics that are calculated from it

        Raises ValueError or TypeError as the loss does, for labels that it does not take.
        """
        if self._is_none or model.optimizer.parameters is None:  # it is bound at its first step
            return None
        if self._plan is None or not self._is_as_it_was(model):
            self._is_none = not self._find_out(model)
            if self._is_none:
                return None
        if x.shape[1:] != model.input_shape or graph.is_watched(self._nodes):
            return None
        for layer in self._front:
            is_plain = type(layer) is Flatten and type(x) is np.ndarray
            if is_plain and layer._forward_hooks is None:
                x = x.reshape(len(x), -1)  # what a call makes of it, in half the time
            else:
                x = layer(x)
        x = x.data if type(x) is Tensor else x
        if x.dtype is not self._dtype or x.ndim != 2:
            return None
        return self._run(model, x, y)

    def _run(self, model, x, y):
        labels, targets = self._labels_of(y, len(x))
        optimizer, plan = model.optimizer, self._plan
        if plan.run(x, labels, targets, optimizer.rates()) >= 0:
            integer_labels(self._name, y, plan.logits.shape)  # which says what is wrong with them
        optimizer.moved()
        outputs = self._last(Tensor(plan.logits)) if model._metrics else None
        return plan.loss(), outputs

    def _labels_of(self, y, count):
        """The labels as integers, or as targets, as the kernel takes them; the other is None."""
        shape = count, self._units
        if self._loss == "sparse":
            if y.shape != shape[:1] or y.dtype.kind not in "iu":
                y = integer_labels(self._name, y, shape)
            return y.astype(np.int64, copy=False), None
        like = np.broadcast_to(self._dtype.type(0), shape)
        take = binary_targets if self._loss == "binary" else targets_of
        return None, take(self._name, y, like)[0]

    # -------------------------------------------------------------------------------- finding out

    def _is_as_it_was(self, model):
        same = (
            model._loss is self._loss_function
            and model.optimizer.fused_share(kernels.RULES) is self._share
            and model.plain_layers() == self._all
        )
        try:
            return same and all(map(is_, self._look(), self._seen))
        except AttributeError:  # there is no bias, or nothing to be learnt
            return False

    def _look(self):
        seen = []
        for layer in self._layers:
            seen += LOOK(layer)
        return seen

    def _find_out(self, model):
        """Whether the model is a chain; then what a step needs is kept."""
        found = next((LOSSES[known] for known in LOSSES if known is model._loss), None)
        share = model.optimizer.fused_share(kernels.RULES)
        layers = model.plain_layers()
        if found is None or share is None or layers is None or model.regularizers():
            return False
        self._loss, self._last = found
        self._loss_function, self._name = model._loss, model._loss.__name__
        self._share, self._all = share, layers
        first = next((i for i, layer in enumerate(layers) if type(layer) is Dense), len(layers))
        self._front, forms = layers[:first], _forms(layers[first:], self._last)
        if not forms or any(layer.parameters() for layer in self._front):
            return False
        self._layers = list(forms)
        try:
            self._seen = self._look()
        except AttributeError:
            return False
        return self._fits() and self._make_plan(model, [forms[layer] for layer in self._layers])

    def _fits(self):
        """Whether the parameters are just those of the optimizer, and nothing waits or listens."""
        tensors = [tensor for layer in self._layers for tensor in (layer.kernel, layer.bias)]
        arrays = [tensor.data for tensor in tensors]
        self._nodes = [tensor.node for tensor in tensors]
        self._dtype, self._units = arrays[0].dtype, arrays[-1].size
        return (
            {id(tensor) for tensor in tensors} == {id(p) for p in self._share.parameters}
            and len(tensors) == len(self._share.parameters)
            and all(array.flags.carray and array.dtype is self._dtype for array in arrays)
            and all(tensor.grad is None for tensor in tensors)
            and all(layer._forward_hooks is None for layer in self._layers)
            and all(len(kernel) > 1 for kernel in arrays[::2])
        )

    def _make_plan(self, model, forms):
        place = {id(tensor): i for i, tensor in enumerate(self._share.parameters)}
        rows = self._share.bundle.table
        layers = [
            (
                form,
                layer.kernel.data,
                rows[place[id(layer.kernel)]],
                layer.bias.data,
                rows[place[id(layer.bias)]],
            )
            for layer, form in zip(self._layers, forms)
        ]
        self._plan = kernels.Plan(layers, self._loss, model.optimizer.rule())
        return True


def _forms(layers, last):
    """{Dense: its form} of the layers from the first Dense on; {} unless they are a chain.

    last  the activation that has to be the last one, which the form does not contain
    """
    forms, activation = {}, None  # the last one of those that came so far
    for layer in layers:
        if activation not in (None, activations.linear) and type(layer) is not Dense:
            return {}
        if type(layer) is Dense and activation is not last and layer not in forms:
            forms[layer], activation = FORMS.get(layer.activation, 0), layer.activation
        elif type(layer) in ACTIVATION_LAYERS and layer._forward_hooks is None:
            activation = layer.activation
            forms[next(reversed(forms))] = FORMS.get(activation, 0)
        else:
            return {}
        if activation is not last and activation not in FORMS:
            return {}
        if type(layer) is Softmax and layer.axis not in (-1, 1):
            return {}
    return forms if activation is last else {}
