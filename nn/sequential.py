"""Sequential: the model as a list of layers."""

import re

from .layers import Activation, Dense, ReLU
from .layers.reshaping import Moving
from .module import Layer, Module
from .training import Model


class Sequential(Model, Layer):
    """Layers one after another; the output of each is the input of the next.

    layers  a list of layers, models, and modules that take one input

    When the first layer has an input_shape, or on the first call, the weights are made, in the
    order of the layers. Layers without a name are named after their type: "dense", "dense_1",
    "layer_normalization".
    """

    def __init__(self, layers=(), name=None):
        self.layers = []
        super().__init__(name=name)
        for layer in layers:
            self.add(layer)

    def add(self, layer):
        """Append a layer. TypeError for what is none, ValueError once the weights are made."""
        if not isinstance(layer, Module):
            hint = f"; write {layer.__name__}()" if isinstance(layer, type) else ""
            raise TypeError(f"Sequential: expected a layer, got {layer!r}{hint}")
        if self.built:
            raise ValueError("Sequential: layers are added before the model is built or called")
        if layer.name is None:
            base, names = _snake_case(type(layer)), {other.name for other in self.layers}
            number = len({id(other) for other in self.layers if type(other) is type(layer)})
            layer.name = f"{base}_{number}" if number else base
            while layer.name in names:
                number += 1
                layer.name = f"{base}_{number}"
        if self.layers and isinstance(layer, Activation):
            self.layers[-1].suited_to_next = layer.suited_initializer()
        if not self.layers and getattr(layer, "input_shape", None) is not None:
            self.input_shape = layer.input_shape
        self.layers.append(layer)

    def flat_layers(self):
        """The layers that are no models themselves, in order, those of nested models too."""
        flat = []
        for layer in self.layers:
            flat += layer.flat_layers() if isinstance(layer, Sequential) else [layer]
        return flat

    def plain_models(self):
        """This model and all Sequentials within, if to call their layers in turn is all they do.

        None where a hook, or a method of a subclass, does more.
        """
        kind, models = type(self), [self]
        is_own = kind.forward is Sequential.forward and kind.__call__ is Sequential.__call__
        if not is_own or self._forward_hooks is not None:
            return None
        for layer in self.layers:
            inner = layer.plain_models() if isinstance(layer, Sequential) else []
            if inner is None:
                return None
            models += inner
        return models

    def build(self, input_shape):
        if not self.layers:
            raise ValueError("Sequential: the model has no layers")
        for layer in self.layers:
            layer.ensure_built(input_shape)
            input_shape = layer.output_shape(input_shape)

    def output_shape(self, input_shape):
        for layer in self.layers:
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def forward(self, x):
        if x.shape[1:] != self.input_shape:
            raise ValueError(
                f"{self.label}: expected input of shape (n, "
                f"{', '.join(map(str, self.input_shape))}), got {x.shape}"
                + ("; for a single example write x[None]" if x.shape == self.input_shape else "")
            )
        waiting = None  # a Dense that does the ReLU after it too, if there is one: to the same bits
        for layer in self.layers:
            if waiting is not None:
                if type(layer) is ReLU and layer._forward_hooks is None:
                    x, waiting = waiting.forward(x, followed_by=layer.activation), None
                    continue
                x, waiting = waiting(x), None
            if type(layer) is Dense and layer.may_be_followed():
                waiting = layer
            else:
                x = layer(x)
        return x if waiting is None else waiting(x)

    def last_units(self):
        return self.output_shape(self.input_shape)[-1] if self.input_shape else None

    def last_activation(self):
        if not self.layers:
            return "linear"
        # What only moves numbers about leaves them what they are.
        last = next((at for at in reversed(self.layers) if not isinstance(at, Moving)), None)
        return last.last_activation() if isinstance(last, (Layer, Model)) else None

    def flops(self, input_shape):
        counts = []
        for layer in self.layers:
            counts.append(layer.flops(input_shape) if isinstance(layer, Layer) else None)
            input_shape = layer.output_shape(input_shape)
        return None if None in counts else sum(counts)

    def __repr__(self):
        lines = (f"    {layer!r},".replace("\n", "\n    ") for layer in self.layers)
        return "\n".join(["Sequential([", *lines, "])"])


def _snake_case(kind):
    """The name of a class as that of a layer: "rms_normalization", "leaky_relu", "prelu"."""
    starts = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z]{2})(?=[A-Z][a-z])"  # of words: RMS|Normalization
    return re.sub(starts, "_", kind.__name__.replace("LU", "lu")).lower()
