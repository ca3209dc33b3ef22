"""Layers of several inputs, for graphs that branch: `Add()([x, inner(x)])`."""

import functools
import math

import numpy as np

import engine

from ..module import Layer


class _Merge(Layer):
    """Base: takes a list of at least two Tensors or arrays, whose shapes broadcast."""

    def __call__(self, inputs):
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise TypeError(
                f"{self.label}: expected a list of at least two inputs, as "
                f"{type(self).__name__}()([x, y]), got {type(inputs).__name__}"
            )
        inputs = [engine.asarray(x) for x in inputs]
        output = self.forward(inputs)
        return output if self._forward_hooks is None else self._hooked((inputs,), output)

    def ensure_built(self, input_shape=None):
        """Nothing: there are no parameters."""

    def flops(self, input_shapes):
        return (len(input_shapes) - 1) * math.prod(np.broadcast_shapes(*input_shapes))


class Add(_Merge):
    """The sum of the inputs."""

    def forward(self, inputs):
        return functools.reduce(engine.add, inputs)


class Subtract(_Merge):
    """The first input minus the second, of exactly two."""

    def forward(self, inputs):
        if len(inputs) != 2:
            raise ValueError(f"{self.label}: expected exactly two inputs, got {len(inputs)}")
        return engine.subtract(*inputs)


class Multiply(_Merge):
    """The product of the inputs, element by element."""

    def forward(self, inputs):
        return functools.reduce(engine.multiply, inputs)


class Average(_Merge):
    """The mean of the inputs, element by element."""

    def flops(self, input_shapes):
        return super().flops([*input_shapes, ()])

    def forward(self, inputs):
        return engine.divide(functools.reduce(engine.add, inputs), len(inputs))


class Maximum(_Merge):
    """The greatest of the inputs, element by element."""

    def forward(self, inputs):
        return functools.reduce(engine.maximum, inputs)


class Minimum(_Merge):
    """The least of the inputs, element by element."""

    def forward(self, inputs):
        return functools.reduce(engine.minimum, inputs)


class Concatenate(_Merge):
    """The inputs side by side along `axis`, the last by default; 0 is the batch's."""

    def __init__(self, axis=-1, input_shape=None, name=None):
        self.axis = axis
        super().__init__(input_shape, name)

    def flops(self, input_shapes):
        return 0

    def forward(self, inputs):
        return engine.concat(inputs, axis=self.axis)
