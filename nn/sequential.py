"""Sequential: the model as a list of layers."""

from . import activations
from .layers import Activation
from .module import Layer
from .training import Model


class Sequential(Model, Layer):
    """Layers one after another; the output of each is the input of the next.

    layers  a list of layers and models

    When the first layer has an input_shape, or on the first call, the weights are made, in the
    order of the layers. Layers without a name are named after their type: "dense", "dense_1".
    """

    def __init__(self, layers=(), name=None):
        self.layers = []
        super().__init__(name=name)
        for layer in layers:
            self.add(layer)

    def add(self, layer):
        """Append a layer. TypeError for what is none, ValueError once the weights are made."""
        if not isinstance(layer, Layer):
            hint = f"; write {layer.__name__}()" if isinstance(layer, type) else ""
            raise TypeError(f"Sequential: expected a layer, got {layer!r}{hint}")
        if self.built:
            raise ValueError("Sequential: layers are added before the model is built or called")
        if layer.name is None:
            base = type(layer).__name__.lower()
            taken = sum(type(other) is type(layer) for other in self.layers)
            layer.name = f"{base}_{taken}" if taken else base
        if self.layers and isinstance(layer, Activation):
            self.layers[-1].followed_by = activations.name_of(layer.activation)
        if not self.layers and layer.input_shape is not None:
            self.input_shape = layer.input_shape
        self.layers.append(layer)

    def flat_layers(self):
        """The layers that are no models themselves, in order, those of nested models too."""
        flat = []
        for layer in self.layers:
            flat += layer.flat_layers() if isinstance(layer, Sequential) else [layer]
        return flat

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
        for layer in self.layers:
            x = layer(x)
        return x

    def last_units(self):
        return self.output_shape(self.input_shape)[-1] if self.input_shape else None

    def last_activation(self):
        if not self.layers:
            return "linear"
        last = self.layers[-1]
        if isinstance(last, Model):
            return last.last_activation()
        return activations.name_of(getattr(last, "activation", activations.linear))

    def summary(self, print_fn=print):
        """Print a table of the layers: name and type, shape of the output, parameters.

        print_fn  called with each line. ValueError for a model without weights.
        """
        self.ensure_built()
        rows, shape = [("layer", "output shape", "parameters")], self.input_shape
        for layer in self.layers:
            shape = layer.output_shape(shape)
            printed = f"(None, {', '.join(map(str, shape))})"
            rows.append((f"{layer.name} ({type(layer).__name__})", printed, _size(layer)))
        widths = [max(map(len, column)) for column in zip(*rows)]
        for row in rows:
            print_fn(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}")
        parameters = self.parameters()
        trainable = sum(parameter.size for parameter in parameters)
        size = sum(parameter.data.nbytes for parameter in parameters)
        print_fn(f"{trainable:,} trainable parameters, {size / 2**20:.2f} MiB")

    def __repr__(self):
        return "\n".join(["Sequential([", *(f"    {layer!r}," for layer in self.layers), "])"])


def _size(layer):
    return f"{sum(parameter.size for parameter in layer.parameters()):,}"
