"""Slow, obvious twins of the kernels, in NumPy and in more digits than the kernels have.

A twin takes what its kernel takes and calculates in long double where the machine has one, else in
float64; it returns what it calculates in, for the caller to compare in the kernel's own ulps.
"""

import numpy as np


def wide(x):
    return np.asarray(x, dtype=np.longdouble)


def ulps(got, expected):
    """How far `got` is from the exact result, in units of its type's last place there."""
    expected = wide(expected)
    with np.errstate(over="ignore"):
        rounded = np.abs(expected).astype(got.dtype)
    finite = np.isfinite(rounded) & np.isfinite(got)
    same = (got == rounded * np.sign(expected)) | (np.isnan(got) & np.isnan(expected))
    unit = np.spacing(np.where(finite, rounded, 1)).astype(np.longdouble)
    distance = np.abs(wide(np.where(finite, got, 0)) - np.where(finite, expected, 0)) / unit
    return np.where(finite, distance, np.where(same, 0, np.inf))


# ------------------------------------------------------------------------- element by element


def exp(x):
    return np.exp(wide(x))


def log(x):
    return np.log(wide(x))


def tanh(x):
    return np.tanh(wide(x))


def sigmoid(x):
    return 1 / (1 + np.exp(-wide(x)))


def relu(x):
    return np.maximum(wide(x), 0)


def relu_grad(g, out):
    return np.where(out > 0, wide(g), 0)


def sigmoid_grad(g, out):
    return wide(g) * wide(out) * (1 - wide(out))


def tanh_grad(g, out):
    return wide(g) * (1 - wide(out) ** 2)


def binary_cross_entropy(x, t):
    x, t = wide(x), wide(t)
    return t * np.log1p(np.exp(-x)) + (1 - t) * np.log1p(np.exp(x))


def binary_cross_entropy_grad(g, x, t):
    return wide(g) * ((1 - wide(t)) * sigmoid(x) - wide(t) * sigmoid(-x))


# -------------------------------------------------------------------------------- row by row


def log_softmax(x):
    x = wide(x)
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def softmax(x):
    return np.exp(log_softmax(x))


def softmax_grad(g, out):
    g, out = wide(g), wide(out)
    return out * (g - (g * out).sum(axis=-1, keepdims=True))


def log_softmax_grad(g, out):
    g, out = wide(g), wide(out)
    return g - np.exp(out) * g.sum(axis=-1, keepdims=True)


def dense_cross_entropy(logits, targets):
    # 0 for a target of 0, whatever its logarithm
    return np.where(targets == 0, 0, -wide(targets) * log_softmax(logits)).sum(axis=-1)


def dense_cross_entropy_grad(g, logits, targets):
    t = wide(targets)
    return wide(g)[:, None] * (softmax(logits) * t.sum(axis=-1, keepdims=True) - t)


def sparse_cross_entropy(logits, labels):
    return dense_cross_entropy(logits, np.eye(logits.shape[1])[labels])


def sparse_cross_entropy_grad(g, logits, labels):
    return dense_cross_entropy_grad(g, logits, np.eye(logits.shape[1])[labels])


# ------------------------------------------------------------------- one step of an optimizer


def sgd(p, g, learning_rate):
    return (wide(p) - learning_rate * wide(g),)


def momentum(p, g, velocity, learning_rate, momentum, nesterov):
    v = momentum * wide(velocity) - learning_rate * wide(g)
    return wide(p) + (momentum * v - learning_rate * wide(g) if nesterov else v), v


def adam(p, g, mean, variance, learning_rate, beta1, beta2, epsilon, step):
    m = beta1 * wide(mean) + (1 - beta1) * wide(g)
    v = beta2 * wide(variance) + (1 - beta2) * wide(g) ** 2
    rate = learning_rate * np.sqrt(1 - beta2**step) / (1 - beta1**step)
    return wide(p) - rate * m / (np.sqrt(v) + epsilon), m, v


# ---------------------------------------------------------------------------- matrix product


def matmul(a, b):
    """In float64, where a product of long doubles would take a minute."""
    return np.asarray(a, dtype=np.float64) @ np.asarray(b, dtype=np.float64)
