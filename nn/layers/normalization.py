"""Layers that bring numbers to mean 0 and variance 1, and then scale and shift them."""

import math

import numpy as np

import engine
from engine.ops.normalization import along, batch_norm, batch_statistics, layer_norm, rms_norm

from .. import initializers, regularizers
from ..checks import count_of, number_of
from ..module import Layer


def _affine(layer, out, shape):
    """`out` times gamma, plus beta, of the lengths `shape`, as far as the layer has them."""
    if layer.scale:
        out = out * engine.reshape(layer.gamma, shape)
    return out + engine.reshape(layer.beta, shape) if layer.center else out


def _flat(weight):
    """A weight as `layer_norm` takes it, or None."""
    return weight if weight is None or weight.ndim == 1 else engine.reshape(weight, (-1,))


class BatchNormalization(Layer):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, over the examples of a batch.

    axis                         the axis of the features; all others are averaged over. Default -1.
    momentum                     how much of the moving statistics a batch leaves. Default 0.99.
    epsilon                      added to the variance. Default 0.001.
    center                       whether beta is added. Default True.
    scale                        whether to multiply by gamma. Default True.
    beta_initializer             a name or function; so gamma_initializer,
                                 moving_mean_initializer, moving_variance_initializer
    beta_regularizer             a regularizer (`nn.regularizers`) or None; so gamma_regularizer

    In training mean and variance are the batch's (Ioffe and Szegedy 2015, alg. 1), and the moving
    ones go towards them; the variance is that over n, not n - 1, in both. In inference, and when
    the layer is frozen (`trainable = False`), the moving ones take their place, and stay.

    Parameters: gamma, beta. Buffers: moving_mean, moving_variance. All have the features' length.
    """

    def __init__(
        self,
        axis=-1,
        momentum=0.99,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        moving_mean_initializer="zeros",
        moving_variance_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        input_shape=None,
        name=None,
    ):
        self.axis = axis
        self.momentum = number_of("BatchNormalization", "momentum", momentum, low=0, high=1)
        self.epsilon = number_of("BatchNormalization", "epsilon", epsilon, low=0)
        self.center, self.scale = center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.gamma = self.beta = self.moving_mean = self.moving_variance = None
        super().__init__(input_shape, name)

    def build(self, input_shape):
        shape = (input_shape[self._axis(len(input_shape) + 1) - 1],)
        if self.scale:
            self.add_weight("gamma", shape, self.gamma_initializer)
        if self.center:
            self.add_weight("beta", shape, self.beta_initializer)
        self.add_weight("moving_mean", shape, self.moving_mean_initializer, trainable=False)
        self.add_weight("moving_variance", shape, self.moving_variance_initializer, trainable=False)

    def _axis(self, ndim):
        axis = self.axis + ndim if self.axis < 0 else self.axis
        if not 1 <= axis < ndim:
            raise ValueError(
                f"{self.label}: expected axis from 1 to {ndim - 1}, or negative, for input with "
                f"{ndim} axes, got {self.axis}"
            )
        return axis

    def output_shape(self, input_shape):
        return input_shape

    def flops(self, input_shape):
        return math.prod(input_shape) * (2 + self.center + self.scale)

    def forward(self, x):
        axis = self._axis(x.ndim)
        if x.shape[axis] != self.moving_mean.shape[0]:
            raise ValueError(
                f"{self.label}: expected {self.moving_mean.shape[0]} features along axis {axis}, "
                f"got input of shape {x.shape}"
            )
        if self.training and self.trainable:
            return along((axis,), self._by_the_batch, x)
        return self._by_the_moving_ones(x, axis)

    def _by_the_batch(self, x):
        statistics = batch_statistics(x.data)
        self._follow(self.moving_mean, statistics[0] + statistics[1])
        self._follow(self.moving_variance, statistics[2])
        return batch_norm(x, self.gamma, self.beta, self.epsilon, statistics)

    def _by_the_moving_ones(self, x, axis):
        shape = tuple(n if other == axis else 1 for other, n in enumerate(x.shape))
        mean, variance = (
            engine.reshape(statistic, shape)
            for statistic in (self.moving_mean, self.moving_variance)
        )
        return _affine(self, (x - mean) / engine.sqrt(variance + self.epsilon), shape)

    def _follow(self, moving, statistic):
        moving.data *= self.momentum
        moving.data += (1 - self.momentum) * statistic

    def __repr__(self):
        return "BatchNormalization()" if self.axis == -1 else f"BatchNormalization({self.axis})"


class _PerExample(Layer):
    """Base of the normalizations that look at each example for itself, along some of its axes."""

    def _found_axes(self, ndim):
        """The axes from 1 to ndim - 1, ascending."""
        axes = [axis + ndim if axis < 0 else axis for axis in np.atleast_1d(self.axis).tolist()]
        if not all(1 <= axis < ndim for axis in axes) or len(set(axes)) < len(axes):
            raise ValueError(
                f"{self.label}: expected axis from 1 to {ndim - 1}, or negative, for input with "
                f"{ndim} axes, got {self.axis}"
            )
        return tuple(sorted(axes))

    def build(self, input_shape):
        self._axes = self._found_axes(len(input_shape) + 1)
        self._lengths = tuple(input_shape[axis - 1] for axis in self._axes)

    def _check(self, x):
        shape = x.data.shape
        if len(shape) <= self._axes[-1] or tuple(shape[a] for a in self._axes) != self._lengths:
            raise ValueError(
                f"{self.label}: expected lengths {self._lengths} along axis {self.axis}, "
                f"got input of shape {shape}"
            )

    def output_shape(self, input_shape):
        return input_shape

    def __repr__(self):
        return f"{type(self).__name__}({'' if self.axis == -1 else f'axis={self.axis}'})"


class LayerNormalization(_PerExample):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, over `axis` of each example.

    axis               an axis or several, not 0, which is the batch's. Default -1.
    epsilon            added to the variance. Default 0.001.
    center             whether beta is added. Default True.
    scale              whether to multiply by gamma. Default True.
    beta_initializer   a name or function; so gamma_initializer
    beta_regularizer   a regularizer (`nn.regularizers`) or None; so gamma_regularizer

    Ba, Kiros and Hinton 2016, eq. 4. Parameters: gamma, beta, with the lengths of `axis`.
    """

    def __init__(
        self,
        axis=-1,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        input_shape=None,
        name=None,
    ):
        self.axis = axis if isinstance(axis, int) else tuple(axis)
        self.epsilon = number_of(type(self).__name__, "epsilon", epsilon, low=0)
        self.center, self.scale = center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.gamma = self.beta = None
        super().__init__(input_shape, name)

    def build(self, input_shape):
        super().build(input_shape)
        if self.scale:
            self.add_weight("gamma", self._lengths, self.gamma_initializer)
        if self.center:
            self.add_weight("beta", self._lengths, self.beta_initializer)

    def flops(self, input_shape):
        # Two for the mean (with the subtraction), two for the variance, one for the quotient.
        return math.prod(input_shape) * (5 + self.center + self.scale)

    def forward(self, x):
        self._check(x)
        gamma, beta = _flat(self.gamma), _flat(self.beta)
        return along(self._axes, lambda x: layer_norm(x, gamma, beta, self.epsilon), x)


class RMSNormalization(_PerExample):
    """scale * x / sqrt(mean(x^2) + epsilon), over `axis` of each example.

    axis     an axis or several, not 0, which is the batch's. Default -1.
    epsilon  added to the mean square. Default 1e-6.

    Zhang and Sennrich 2019, eq. 4. Parameter: scale, with the lengths of `axis`, at first 1.
    """

    def __init__(self, axis=-1, epsilon=1e-6, input_shape=None, name=None):
        self.axis = axis if isinstance(axis, int) else tuple(axis)
        self.epsilon = number_of("RMSNormalization", "epsilon", epsilon, low=0)
        self.scale = None
        super().__init__(input_shape, name)

    def build(self, input_shape):
        super().build(input_shape)
        self.add_weight("scale", self._lengths, initializers.ones)

    def flops(self, input_shape):
        return 4 * math.prod(input_shape)

    def forward(self, x):
        self._check(x)
        scale = _flat(self.scale)
        return along(self._axes, lambda x: rms_norm(x, scale, self.epsilon), x)


class GroupNormalization(LayerNormalization):
    """`LayerNormalization` over groups of features, and all other axes (Wu and He 2018, eq. 2-7).

    groups  how many groups the features along `axis` are cut into, one beside the other; -1: as
            many as there are features. Default 32.
    axis    the axis of the features, not 0. Default -1.

    The further settings are those of LayerNormalization. Parameters: gamma, beta, one per feature.
    """

    def __init__(
        self,
        groups=32,
        axis=-1,
        epsilon=1e-3,
        center=True,
        scale=True,
        beta_initializer="zeros",
        gamma_initializer="ones",
        beta_regularizer=None,
        gamma_regularizer=None,
        input_shape=None,
        name=None,
    ):
        self.groups = groups if groups == -1 else count_of("GroupNormalization", "groups", groups)
        settings = beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer
        super().__init__(axis, epsilon, center, scale, *settings, input_shape, name)

    def build(self, input_shape):
        super().build(input_shape)
        (length,) = self._lengths
        groups = length if self.groups == -1 else self.groups
        if length % groups:
            raise ValueError(
                f"{self.label}: expected a number of features that {groups} groups can share "
                f"equally, got {length}"
            )
        self._parts = groups, length // groups

    def forward(self, x):
        self._check(x)
        (axis,) = self._axes
        split = engine.reshape(x, (*x.shape[:axis], *self._parts, *x.shape[axis + 1 :]))
        axes = tuple(other for other in range(1, split.ndim) if other != axis)
        out = along(axes, lambda x: layer_norm(x, None, None, self.epsilon), split)
        shape = tuple(n if other == axis else 1 for other, n in enumerate(x.shape))
        return _affine(self, engine.reshape(out, x.shape), shape)
