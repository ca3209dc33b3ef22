"""Layers that give the numbers of an example another shape."""

import math

import engine

from ..module import Layer


class Moving(Layer):
    """Base of the layers that only move numbers about."""

    def flops(self, input_shape):
        return 0


class Flatten(Moving):
    """Each example as one row: (n, a, b, ...) -> (n, a * b * ...)."""

    def output_shape(self, input_shape):
        return (math.prod(input_shape),)

    def forward(self, x):
        return engine.reshape(x, (x.shape[0], math.prod(x.shape[1:])))

    def __repr__(self):
        return "Flatten()" if self.input_shape is None else f"Flatten({self.input_shape})"


class Reshape(Moving):
    """Each example in another shape.

    target_shape  a tuple of lengths, without the batch; one may be -1: what is left

    Raises ValueError where the numbers of elements differ.
    """

    def __init__(self, target_shape, input_shape=None, name=None):
        lengths = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        is_length = [isinstance(n, int) and (n > 0 or n == -1) for n in lengths]
        if not all(is_length) or lengths.count(-1) > 1:
            raise ValueError(
                "Reshape: expected target_shape to be a tuple of lengths of at least 1, of which "
                f"one may be -1, got {target_shape!r}"
            )
        self.target_shape = lengths
        super().__init__(input_shape, name)

    def output_shape(self, input_shape):
        size = math.prod(input_shape)
        rest = math.prod(n for n in self.target_shape if n != -1)
        if size % rest or (size != rest and -1 not in self.target_shape):
            raise ValueError(
                f"{self.label}: an example of shape {tuple(input_shape)} has {size} elements, "
                f"which do not fit into {self.target_shape}"
            )
        return tuple(size // rest if n == -1 else n for n in self.target_shape)

    def forward(self, x):
        return engine.reshape(x, (x.shape[0], *self.output_shape(x.shape[1:])))

    def __repr__(self):
        return f"Reshape({self.target_shape})"


class Permute(Moving):
    """The axes of each example in another order.

    dims  the axes as they are to follow, 1 being the first after the batch's: (2, 1) transposes
    """

    def __init__(self, dims, input_shape=None, name=None):
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute: expected dims to hold each of 1, 2, ... once, as (2, 1), got {dims!r}"
            )
        super().__init__(input_shape, name)

    def output_shape(self, input_shape):
        if len(input_shape) != len(self.dims):
            raise ValueError(
                f"{self.label}: expected examples with {len(self.dims)} axes, got shape "
                f"{tuple(input_shape)}"
            )
        return tuple(input_shape[axis - 1] for axis in self.dims)

    def forward(self, x):
        self.output_shape(x.shape[1:])
        return engine.permute_dims(x, (0, *self.dims))

    def __repr__(self):
        return f"Permute({self.dims})"
