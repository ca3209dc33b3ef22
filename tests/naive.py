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


# Each takes the parameter, its gradient, a dict of what it remembers, and the number of the update,
# from 1; the settings are those of the optimizer. It returns the parameter.


def sgd(p, g, memory, t, learning_rate, momentum=0.0, nesterov=False):
    v = memory["velocity"] = momentum * memory.get("velocity", 0) - learning_rate * g
    return p + (momentum * v - learning_rate * g if nesterov else v)


def _moments(g, memory, beta_1, beta_2):
    memory["mean"] = beta_1 * memory.get("mean", 0) + (1 - beta_1) * g
    memory["variance"] = beta_2 * memory.get("variance", 0) + (1 - beta_2) * g**2
    return memory["mean"], memory["variance"]


def adam(p, g, memory, t, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False):
    m, v = _moments(g, memory, beta_1, beta_2)
    if amsgrad:
        v = memory["greatest"] = np.maximum(memory.get("greatest", 0), v)
    rate = learning_rate * np.sqrt(1 - wide(beta_2) ** t) / (1 - wide(beta_1) ** t)
    return p - rate * m / (np.sqrt(v) + epsilon)


def nadam(p, g, memory, t, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m, v = _moments(g, memory, beta_1, beta_2)
    u = beta_1 * (1 - 0.5 * wide(0.96) ** np.arange(1, t + 2))
    m_hat = u[t] * m / (1 - u.prod()) + (1 - u[t - 1]) * g / (1 - u[:t].prod())
    return p - learning_rate * m_hat / (np.sqrt(v / (1 - wide(beta_2) ** t)) + epsilon)


def rmsprop(p, g, memory, t, learning_rate, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    m, v = _moments(g, memory, rho, rho)
    divisor = np.sqrt((v - m**2 if centered else v) + epsilon)
    step = memory["step"] = momentum * memory.get("step", 0) + learning_rate * g / divisor
    return p - step


def adagrad(p, g, memory, t, learning_rate, initial_accumulator_value=0.1, epsilon=1e-7):
    total = memory["total"] = memory.get("total", initial_accumulator_value) + g**2
    return p - learning_rate * g / np.sqrt(total + epsilon)


def adadelta(p, g, memory, t, learning_rate, rho=0.95, epsilon=1e-7):
    square = memory["square"] = rho * memory.get("square", 0) + (1 - rho) * g**2
    past = memory.get("step", 0)
    step = np.sqrt(past + epsilon) / np.sqrt(square + epsilon) * g
    memory["step"] = rho * past + (1 - rho) * step**2
    return p - learning_rate * step


def lion(p, g, memory, t, learning_rate, beta_1=0.9, beta_2=0.99):
    m = memory.get("mean", 0)
    memory["mean"] = beta_2 * m + (1 - beta_2) * g
    return p - learning_rate * np.sign(beta_1 * m + (1 - beta_1) * g)


# ---------------------------------------------------------------------------- matrix product


def matmul(a, b):
    """In float64, where a product of long doubles would take a minute."""
    return np.asarray(a, dtype=np.float64) @ np.asarray(b, dtype=np.float64)


# ----------------------------------------------------------------------------- normalizations


def standard(x, axis, epsilon, centred=True):
    """z and s: the distances from the mean along an axis times s = 1 / sqrt(variance + epsilon)."""
    c = wide(x)
    for _ in range(2 if centred else 0):  # a large mean has digits that only the second one has
        c = c - c.mean(axis, keepdims=True)
    s = 1 / np.sqrt(np.square(c).mean(axis, keepdims=True) + np.longdouble(epsilon))
    return c * s, s


def standard_grad(a, x, axis, epsilon, centred=True):
    z, s = standard(x, axis, epsilon, centred)
    mean = a.mean(axis, keepdims=True) if centred else 0
    return s * (a - mean - z * (a * z).mean(axis, keepdims=True))
