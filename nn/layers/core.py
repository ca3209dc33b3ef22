"""Dense, Embedding and Lambda."""

import math

import engine

from .. import activations, initializers, regularizers
from ..checks import count_of
from ..module import Layer


class Dense(Layer):
    """Every output is a weighted sum of every input: activation(x @ kernel + bias).

    units               the number of outputs
    activation          a name ("relu", "sigmoid", "softmax", "tanh", ...), a function, or None.
                        `Dense(n, activation="relu")` is the same as `Dense(n), ReLU()`.
    use_bias            whether to add a bias. Default True.
    kernel_initializer  a name or function; None: the one that suits the activation here, or the
                        activation layer that follows in a Sequential: he_uniform for relu and its
                        like, else glorot_uniform (`nn.initializers.suited_to`)
    bias_initializer    a name or function. Default "zeros".
    kernel_regularizer  a name ("l1", "l2", "l1_l2"), a function Tensor -> 0-d Tensor that `fit`
                        adds to the loss, or None; so bias_regularizer, and activity_regularizer
                        for the output

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
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.suited_to_next = None  # the initializer that an activation layer after this one wants
        self.kernel = self.bias = None
        super().__init__(input_shape, name)

    def build(self, input_shape):
        if not input_shape:
            raise ValueError(f"{self.label}: expected examples with at least one axis, got numbers")
        suited = initializers.suited_to(activations.name_of(self.activation))
        initializer = self.kernel_initializer or self.suited_to_next or suited
        self.add_weight("kernel", (input_shape[-1], self.units), initializer)
        if self.use_bias:
            self.add_weight("bias", (self.units,), self.bias_initializer)

    def output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def flops(self, input_shape):
        each = 2 * input_shape[-1] + self.use_bias + (self.activation is not activations.linear)
        return math.prod(input_shape[:-1]) * self.units * each

    def forward(self, x, followed_by=None):
        shape = x.data.shape
        if len(shape) < 2 or shape[-1] != self.kernel.data.shape[0]:
            raise ValueError(
                f"{self.label}: expected input of shape (n, ..., {self.kernel.shape[0]}), "
                f"got {x.shape}"
            )
        if not self.use_bias:
            return self.activation(engine.matmul(x, self.kernel))
        if self.activation is engine.relu or followed_by is engine.relu:
            return engine.dense_relu(x, self.kernel, self.bias)
        return self.activation(engine.dense(x, self.kernel, self.bias))

    def may_be_followed(self):
        """Whether `forward` may apply, as `followed_by`, the relu of the layer after this one."""
        linear = self.activation is activations.linear
        return linear and self.use_bias and self._forward_hooks is None and self.built

    def __repr__(self):
        name = activations.name_of(self.activation)
        return f"Dense({self.units}{'' if name == 'linear' else f', activation={name!r}'})"


class Embedding(Layer):
    """A row of numbers, which is learnt, for each integer from 0 to input_dim - 1.

    input_dim               how many integers there are
    output_dim              how many numbers stand for each
    embeddings_initializer  a name or function. Default "uniform", in +-0.05.
    embeddings_regularizer  a regularizer (`nn.regularizers`) or None

    Integers of shape (n, ...) -> (n, ..., output_dim). Parameter: embeddings, of shape
    (input_dim, output_dim). Raises TypeError for floats, ValueError for integers out of range.
    """

    def __init__(
        self,
        input_dim,
        output_dim,
        embeddings_initializer="uniform",
        embeddings_regularizer=None,
        input_shape=None,
        name=None,
    ):
        self.input_dim = count_of("Embedding", "input_dim", input_dim)
        self.output_dim = count_of("Embedding", "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings = None
        super().__init__(input_shape, name)

    def build(self, input_shape):
        shape = self.input_dim, self.output_dim
        self.add_weight("embeddings", shape, self.embeddings_initializer)

    def output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def flops(self, input_shape):
        return 0

    def forward(self, x):
        if x.dtype.kind not in "iu":
            raise TypeError(
                f"{self.label}: expected integers from 0 to {self.input_dim - 1}, got {x.dtype}; "
                "write x.astype(int) if they are whole numbers"
            )
        if x.size and not (0 <= x.data.min() and x.data.max() < self.input_dim):
            raise ValueError(
                f"{self.label}: expected integers from 0 to {self.input_dim - 1}, "
                f"got {x.data.min()} to {x.data.max()}"
            )
        return engine.take(self.embeddings, x, 0)

    def __repr__(self):
        return f"Embedding({self.input_dim}, {self.output_dim})"


class Lambda(Layer):
    """A function of a Tensor as a layer.

    function   takes the batch, a Tensor, and returns a Tensor
    arguments  a dict of keywords that it takes too, or None

    The shape of its output is found by one call on zeros. A model that is saved keeps no function:
    to load it one has to give it again.
    """

    def __init__(self, function, arguments=None, input_shape=None, name=None):
        if not callable(function):
            raise TypeError(f"Lambda: expected a function, got {function!r}")
        self.function = function
        self.arguments = arguments
        super().__init__(input_shape, name)

    def forward(self, x):
        return engine.asarray(self.function(x, **(self.arguments or {})))

    def __repr__(self):
        return f"Lambda({getattr(self.function, '__name__', self.function)})"
