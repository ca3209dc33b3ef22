"""Dense and Flatten."""

import math

import engine

from .. import activations, initializers
from ..checks import count_of
from ..module import Layer


class Dense(Layer):
    """Every output is a weighted sum of every input: activation(x @ kernel + bias).

    units               the number of outputs
    activation          a name ("relu", "sigmoid", "softmax", "tanh", ...), a function, or None.
                        `Dense(n, activation="relu")` is the same as `Dense(n), ReLU()`.
    use_bias            whether to add a bias. Default True.
    kernel_initializer  a name or function; None: he_uniform when relu follows (here, or as the
                        next layer of a Sequential), glorot_uniform otherwise
    bias_initializer    a name or function. Default "zeros".
    kernel_regularizer  a function Tensor -> 0-d Tensor that `fit` adds to the loss, or None; so
                        bias_regularizer, and activity_regularizer for the output

    x (n, ..., inputs) -> (n, ..., units). Parameters: kernel (inputs, units), bias (units,).
    Raises ValueError when the last axis of the input is not the one it was built for.
    """

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        kernel_initializer=None,
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        input_shape=None,
        name=None,
    ):
        self.units = count_of("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer and initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
        self.activity_regularizer = activity_regularizer
        self.followed_by = None  # the name of the activation layer after this one, if there is one
        self.kernel = self.bias = None
        super().__init__(input_shape, name)

    def build(self, input_shape):
        if not input_shape:
            raise ValueError(f"{self.label}: expected examples with at least one axis, got numbers")
        follows = self.followed_by or activations.name_of(self.activation)
        initializer = self.kernel_initializer or initializers.suited_to(follows)
        self.add_weight("kernel", (input_shape[-1], self.units), initializer)
        if self.use_bias:
            self.add_weight("bias", (self.units,), self.bias_initializer)

    def output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def forward(self, x):
        if x.ndim < 2 or x.shape[-1] != self.kernel.shape[0]:
            raise ValueError(
                f"{self.label}: expected input of shape (n, ..., {self.kernel.shape[0]}), "
                f"got {x.shape}"
            )
        if self.use_bias:
            return self.activation(engine.dense(x, self.kernel, self.bias))
        return self.activation(engine.matmul(x, self.kernel))

    def __repr__(self):
        name = activations.name_of(self.activation)
        return f"Dense({self.units}{'' if name == 'linear' else f', activation={name!r}'})"


class Flatten(Layer):
    """Each example as one row: (n, a, b, ...) -> (n, a * b * ...)."""

    def output_shape(self, input_shape):
        return (math.prod(input_shape),)

    def forward(self, x):
        return engine.reshape(x, (x.shape[0], *self.output_shape(x.shape[1:])))

    def __repr__(self):
        return "Flatten()" if self.input_shape is None else f"Flatten({self.input_shape})"
