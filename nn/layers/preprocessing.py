"""Layers that bring raw data to a scale that a net learns from."""

import math

import numpy as np

import engine
from engine import Tensor

from ..checks import number_of
from ..module import Layer

# The least deviation that Normalization divides by: Keras's backend.epsilon().
_LEAST = 1e-7
_CHUNK = 1 << 22  # elements that `adapt` turns into float64 at a time


class Rescaling(Layer):
    """x * scale + offset: `Rescaling(1 / 255)` takes the bytes of an image to [0, 1].

    scale   a number
    offset  a number. Default 0.
    """

    def __init__(self, scale, offset=0.0, input_shape=None, name=None):
        self.scale = number_of("Rescaling", "scale", scale)
        self.offset = number_of("Rescaling", "offset", offset)
        super().__init__(input_shape, name)

    def output_shape(self, input_shape):
        return input_shape

    def flops(self, input_shape):
        return math.prod(input_shape) * (1 if self.offset == 0 else 2)

    def forward(self, x):
        # Integers times a number are calculated in float64, which takes three times as long.
        scale = np.float32(self.scale) if x.dtype.kind in "iu" else self.scale
        x = engine.multiply(x, scale)
        return x if self.offset == 0 else engine.add(x, self.offset)

    def __repr__(self):
        offset = "" if self.offset == 0 else f", {self.offset:g}"
        return f"Rescaling({self.scale:g}{offset})"


class Normalization(Layer):
    """(x - mean) / max(sqrt(variance), 1e-7): each feature with mean 0 and variance 1.

    axis      the axis, or axes, that features lie along, not 0, which is the batch's; None: one
              mean for everything. Default -1.
    mean      numbers of the shape of the features, with `variance`; None: `adapt` finds them
    variance  as `mean`
    invert    True: the way back, x * sqrt(variance) + mean. Default False.

    Buffers: data_mean, data_variance and data_count, how many numbers each feature was seen with.
    Raises ValueError when it is called before `adapt`.
    """

    def __init__(
        self, axis=-1, mean=None, variance=None, invert=False, input_shape=None, name=None
    ):
        if (mean is None) != (variance is None):
            raise ValueError("Normalization: expected both mean and variance, or neither")
        self.axis = axis if axis is None or isinstance(axis, int) else tuple(axis)
        self.mean, self.variance, self.invert = mean, variance, invert
        self.data_mean = self.data_variance = self.data_count = None
        super().__init__(input_shape, name)

    def build(self, input_shape):
        kept = self._kept_axes(len(input_shape))
        shape = tuple(n if axis in kept else 1 for axis, n in enumerate(input_shape, 1))
        self.add_weight(
            "data_mean", shape, lambda shape: self._values("mean", 0.0, shape), trainable=False
        )
        self.add_weight(
            "data_variance", shape, lambda shape: self._values("variance", 1.0, shape), False
        )
        if self.data_count is None:
            self.data_count = Tensor(int(self.mean is not None))

    def _values(self, name, default, shape):
        given = getattr(self, name)
        value = np.asarray(default if given is None else given, "float32")
        if value.size not in (1, math.prod(shape)):
            raise ValueError(
                f"{self.label}: expected {name} for {math.prod(shape)} features, got shape "
                f"{value.shape}"
            )
        return np.broadcast_to(value.ravel(), math.prod(shape)).reshape(shape)

    def _kept_axes(self, count):
        """The axes of the features, from 1 to `count`, for examples with `count` axes."""
        axes = () if self.axis is None else np.atleast_1d(self.axis).tolist()
        kept = [axis + count + 1 if axis < 0 else axis for axis in axes]
        if not all(1 <= axis <= count for axis in kept):
            raise ValueError(
                f"{self.label}: expected axis from 1 to {count}, or negative, for examples with "
                f"{count} axes, got {self.axis}"
            )
        return kept

    def adapt(self, data):
        """Set mean and variance to those of `data`; what was found before is dropped.

        data  an array (n, ...), which may be larger than memory (numpy.memmap): it is read once,
              in parts; or an iterable of such arrays, as batches

        The parts are summed up in float64 by the formulas of Chan, Golub and LeVeque (1979),
        which lose no digits where the mean is large beside the deviation. Raises ValueError for no
        data, and for data that are not finite.
        """
        is_array = hasattr(data, "shape") or isinstance(data, (list, tuple))
        batches = [data] if is_array else data
        count, mean, squares = 0, 0.0, 0.0
        for batch in batches:
            for part in self._parts(batch):
                axes = self._summed_axes(part.ndim)
                size = math.prod(part.shape[axis] for axis in axes)
                part_mean = part.mean(axes, keepdims=True)
                part_squares = np.square(part - part_mean).sum(axes, keepdims=True)
                total, apart = count + size, part_mean - mean
                squares = squares + part_squares + apart * apart * (count * size / total)
                mean, count = mean + apart * (size / total), total
        self._check_adapted(count, mean, squares)
        self.data_mean.data[...] = mean[0]
        self.data_variance.data[...] = squares[0] / count
        self.data_count.data[...] = count

    def _parts(self, batch):
        """`batch` in parts of some rows, as float64; the first makes the buffers."""
        batch = batch.data if type(batch) is Tensor else np.asanyarray(batch)
        if batch.ndim < 2:
            raise ValueError(
                f"{self.label}: expected data of shape (n, ...) to adapt to, got {batch.shape}"
            )
        self.ensure_built(batch.shape[1:])
        if batch.shape[1:] != self.input_shape:
            raise ValueError(
                f"{self.label}: expected examples of shape {self.input_shape} to adapt to, "
                f"got {batch.shape[1:]}"
            )
        rows = max(1, _CHUNK // max(1, math.prod(batch.shape[1:])))
        for start in range(0, len(batch), rows):
            yield np.asarray(batch[start : start + rows], dtype=np.float64)

    def _summed_axes(self, ndim):
        kept = self._kept_axes(ndim - 1)
        return tuple(axis for axis in range(ndim) if axis not in kept)

    def _check_adapted(self, count, mean, squares):
        if count == 0:
            raise ValueError(f"{self.label}: there are no data to adapt to")
        if not (np.isfinite(mean).all() and np.isfinite(squares).all()):
            raise ValueError(f"{self.label}: the data to adapt to hold nan or inf")

    def output_shape(self, input_shape):
        return input_shape

    def flops(self, input_shape):
        return 2 * math.prod(input_shape)

    def forward(self, x):
        if self.data_count.data == 0:
            raise ValueError(
                f"{self.label}: the mean is not known yet: call adapt(x) with the training data "
                "before the model is used, or give mean and variance"
            )
        deviation = np.maximum(np.sqrt(self.data_variance.data), _LEAST)
        if self.invert:
            return engine.add(engine.multiply(x, deviation), self.data_mean)
        return engine.divide(engine.subtract(x, self.data_mean), deviation)

    def __repr__(self):
        return f"Normalization(axis={self.axis})"
