"""The training step of a chain of Dense layers as one call of a kernel, where a model is a chain.

Such a model begins with layers that have nothing to learn, and goes on with Dense layers, without
activation or with relu, up to a softmax or sigmoid with its cross-entropy. Most of a small step is
otherwise the Python between the operations; see `engine.kernels.chain`. The bits are the same.
Whatever is not as it is expected here goes the common way: `Chain.step` then does nothing.
"""

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


class Chain:
    """What a model is as a chain, found out at its first step; and that step."""

    def __init__(self):
        self._is_none = False  # whether the model was found to be no chain
        self._plan = None

    def __reduce__(self):
        return Chain, ()  # for copy and pickle: there are addresses in here

    def step(self, model, x, y, check=None):
        """A step of training on a batch of arrays: (loss, outputs), or None if nothing was done.

        check    where it is not known that `x` is finite: raises an error if it is not; called
                 before anything but the kernel, which looks too, sees `x`

        loss     the mean, an array without axes
        outputs  a Tensor; None where the model has no metrics that are calculated from it

        Raises ValueError or TypeError as the loss does, for labels that it does not take.
        """
        optimizer = model.optimizer
        if self._is_none or optimizer.parameters is None:  # it is bound at its first step
            return None
        if self._plan is None or not self._is_as_it_was(model, optimizer):
            self._is_none = not self._find_out(model, optimizer)
            if self._is_none:
                return None
        if x.shape[1:] != model.input_shape or graph.is_watched(self._nodes):
            return None
        for layer in self._front:
            is_plain = type(layer) is Flatten and type(x) is np.ndarray
            if is_plain and layer._forward_hooks is None:
                x = x.reshape(len(x), -1)  # what a call makes of it, in half the time
                continue
            if check is not None:
                check()
            x, check = layer(x), None
        x = x.data if type(x) is Tensor else x
        if x.dtype is not self._dtype or x.ndim != 2:
            return None
        labels, targets = self._labels_of(y, len(x))
        done = self._plan.run(x, labels, targets, optimizer.rates(), check is not None)
        if done == kernels.NOT_FINITE:
            return None
        if done != kernels.STEPPED:  # which says what is wrong with the labels
            integer_labels(self._name, y, self._plan.logits.shape)
        optimizer.moved()
        outputs = self._last(Tensor(self._plan.logits)) if model._metrics else None
        return self._plan.loss(), outputs

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

    def _is_as_it_was(self, model, optimizer):
        # At every step, and a fifth of its Python: plain loops are the fastest.
        if model._loss is not self._loss_function:
            return False
        if optimizer.fused_share(kernels.RULES) is not self._share:
            return False
        for part, layers in self._models:
            if part._forward_hooks is not None or part.layers != layers:
                return False
        for layer, activation in self._activations:
            if layer._forward_hooks is not None or layer.activation is not activation:
                return False
        for layer, kernel, bias in self._dense:
            if layer.kernel is not kernel or layer.bias is not bias:
                return False
        for tensor, array, node in self._tensors:
            if tensor.data is not array or tensor.node is not node or node.grad is not None:
                return False
        return all(layer.axis in (-1, 1) for layer in self._softmaxes)

    def _find_out(self, model, optimizer):
        """Whether the model is a chain; then what a step needs is kept."""
        found = next((LOSSES[known] for known in LOSSES if known is model._loss), None)
        share = optimizer.fused_share(kernels.RULES)
        models = model.plain_models()
        if found is None or share is None or models is None or model.regularizers():
            return False
        self._loss, self._last = found
        self._loss_function, self._name, self._share = model._loss, model._loss.__name__, share
        self._models = [(part, list(part.layers)) for part in models]
        layers = model.flat_layers()
        first = next((i for i, layer in enumerate(layers) if type(layer) is Dense), len(layers))
        self._front, forms = layers[:first], _forms(layers[first:], self._last)
        if not forms or any(layer.parameters() for layer in self._front):
            return False
        self._activations = [(layer, layer.activation) for layer in layers[first:]]
        self._softmaxes = [layer for layer in layers[first:] if type(layer) is Softmax]
        self._dense = [(layer, layer.kernel, layer.bias) for layer in forms]
        tensors = [tensor for _, *both in self._dense for tensor in both]
        if not self._fits(tensors) or not self._is_as_it_was(model, optimizer):
            return False
        self._plan = self._make_plan(optimizer, forms)
        return True

    def _fits(self, tensors):
        """Whether the parameters are just those of the optimizer, and lie as the kernel needs."""
        if {id(tensor) for tensor in tensors} != {id(p) for p in self._share.parameters}:
            return False
        self._tensors = [(tensor, tensor.data, tensor.node) for tensor in tensors]
        self._nodes = [tensor.node for tensor in tensors]
        arrays = [tensor.data for tensor in tensors]
        self._dtype, self._units = arrays[0].dtype, arrays[-1].size
        return (
            len(tensors) == len(self._share.parameters)
            and all(array.flags.carray and array.dtype is self._dtype for array in arrays)
            and all(tensor.requires_grad for tensor in tensors)
            and all(len(kernel) > 1 for kernel in arrays[::2])
        )

    def _make_plan(self, optimizer, forms):
        rows = self._share.bundle.table
        row_of = {id(tensor): row for tensor, row in zip(self._share.parameters, rows)}
        layers = [
            (form, kernel.data, row_of[id(kernel)], bias.data, row_of[id(bias)])
            for form, (_, kernel, bias) in zip(forms.values(), self._dense)
        ]
        return kernels.Plan(layers, self._loss, optimizer.rule())


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
        elif type(layer) in ACTIVATION_LAYERS:
            activation = layer.activation
            forms[next(reversed(forms))] = FORMS.get(activation, 0)
        else:
            return {}
        if activation is not last and activation not in FORMS:
            return {}
    return forms if activation is last else {}
