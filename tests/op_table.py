"""One entry per row of the operation table: how to call it, an oracle in NumPy, and samples.

The tests walk over this table; a row that has no entry here fails the suite.
"""

from dataclasses import dataclass, field

import numpy as np

from engine import functional, recorder
from engine.ops import (
    activations,
    elementwise,
    fused,
    index,
    linalg,
    normalization,
    reduce,
    shape,
)


@dataclass
class Entry:
    row: object  # the function that @op made
    oracle: object  # the same on float64 arrays, by NumPy
    samples: list  # tuples of arrays
    settings: dict = field(default_factory=dict)
    smooth: bool = True  # whether first and second derivatives are checked
    fixed: tuple = ()  # positions of arguments that are not differentiated
    sequence: bool = False  # whether the row takes its arguments as a list

    @property
    def id(self):
        settings = ",".join(f"{k}={v}" for k, v in self.settings.items())
        return f"{self.row.__name__}({settings})".replace(" ", "")

    def call(self, *arguments):
        arguments = [list(arguments)] if self.sequence else arguments
        return self.row(*arguments, **self.settings)


_rng = np.random.default_rng(3)


def real(*lengths):
    return np.asarray(_rng.normal(size=lengths))


def positive(*lengths):
    return np.asarray(_rng.uniform(0.5, 2.0, size=lengths))


def apart(*lengths):
    """Numbers no two of which are near each other or near 0: no kink is close."""
    count = int(np.prod(lengths))
    values = (np.arange(count) + 1.0) * np.where(np.arange(count) % 2, 1, -1) * 0.37
    return _rng.permutation(values).reshape(lengths)


UNARY = [(real(3, 4),), (real(),), (real(0, 3),), (real(2, 1, 5),), (real(70),)]
UNARY_APART = [(apart(3, 4),), (np.array(0.7),), (apart(0, 3),), (apart(2, 1, 5),)]
UNARY_POSITIVE = [(positive(3, 4),), (positive(),), (positive(0, 3),), (positive(2, 1, 5),)]
BINARY = [
    (real(3, 4), real(3, 4)),
    (real(3, 4), real(4)),
    (real(3, 1), real(1, 4)),
    (real(), real(2, 3)),
    (real(), real()),
    (real(0, 3), real(3)),
]
BINARY_POSITIVE = [tuple(np.abs(x) + 0.5 for x in pair) for pair in BINARY]
BINARY_APART = [
    (apart(3, 4), apart(3, 4) + 0.11),
    (apart(3, 4), apart(4) + 0.11),
    (np.array(0.3), apart(2, 3)),
    (apart(0, 3), apart(3)),
]
REDUCED = [(real(2, 3, 4),)]
REDUCED_APART = [(apart(2, 3, 4),)]


def standard(x, epsilon, axes, centred=True):
    c = x - x.mean(axes, keepdims=True) if centred else x
    return c / np.sqrt(np.square(c).mean(axes, keepdims=True) + epsilon)


def standard_slope(a, x, epsilon, axes, centred=True):
    # By the chain rule through the mean and the variance, each step for itself.
    n = x.size // x.mean(axes).size
    c = x - x.mean(axes, keepdims=True) if centred else x
    s = 1 / np.sqrt(np.square(c).mean(axes, keepdims=True) + epsilon)
    of_variance = (a * c * -0.5 * s**3).sum(axes, keepdims=True)
    of_c = a * s + of_variance * 2 * c / n
    return of_c - of_c.mean(axes, keepdims=True) if centred else of_c


def normalized(axes_of):
    """The oracles of a normalization, of its slope in x, and of that in the scale.

    axes_of  gives the axes that are averaged over, from the number of axes
    """

    def forward(x, scale, offset, epsilon, **settings):
        return standard(x, epsilon, axes_of(x.ndim), **settings) * scale + offset

    def slope(g, x, scale, epsilon, **settings):
        return standard_slope(g * scale, x, epsilon, axes_of(x.ndim), **settings)

    def scale_slope(g, x, epsilon, **settings):
        z = standard(x, epsilon, axes_of(x.ndim), **settings)
        return (g * z).sum(tuple(range(x.ndim - 1)))

    return forward, slope, scale_slope


LAYER = normalized(lambda ndim: (-1,))
BATCH = normalized(lambda ndim: tuple(range(ndim - 1)))


def soft(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_soft(x, axis=-1):
    z = x - x.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


def logistic(x):
    return 1 / (1 + np.exp(-x))


def put(g, index, shape):
    out = np.zeros(shape)
    np.add.at(out, index, g)
    return out


def rows(*lengths):
    return soft(real(*lengths))


LABELS = np.array([0, 2, 1])
ONE_HOT = np.eye(4)[LABELS]
e = elementwise

LAYER_ROWS = (
    normalization.layer_norm,
    normalization.layer_norm_grad,
    normalization.layer_norm_scale_grad,
)
BATCH_ROWS = (
    normalization.batch_norm,
    normalization.batch_norm_grad,
    normalization.batch_norm_scale_grad,
)

ENTRIES = [
    # arithmetic
    Entry(e.add, np.add, BINARY),
    Entry(e.subtract, np.subtract, BINARY),
    Entry(e.multiply, np.multiply, BINARY),
    Entry(e.divide, np.divide, BINARY_POSITIVE),
    Entry(e.negative, np.negative, UNARY),
    Entry(e.pow, np.power, BINARY_POSITIVE),
    Entry(e.square, np.square, UNARY),
    Entry(e.sqrt, np.sqrt, UNARY_POSITIVE),
    Entry(e.abs, np.abs, UNARY_APART),
    Entry(e.sign, np.sign, UNARY_APART),
    Entry(e.zeros_like, np.zeros_like, UNARY),
    # comparison and choice
    *(
        Entry(getattr(e, name), getattr(np, name), [*BINARY, (LABELS, LABELS[::-1])], smooth=False)
        for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    ),
    Entry(
        e.where,
        np.where,
        [(apart(3, 4) > 0, real(3, 4), real(4)), (np.array(True), real(2), real(3, 1))],
        fixed=(0,),
    ),
    Entry(e.maximum, np.maximum, BINARY_APART),
    Entry(e.minimum, np.minimum, BINARY_APART),
    Entry(e.clip, lambda x, min, max: np.clip(x, min, max), UNARY_APART, {"min": -1.0, "max": 1.1}),
    Entry(e.clip, lambda x, min: np.clip(x, min, None), UNARY_APART, {"min": -1.0}),
    # functions
    Entry(e.exp, np.exp, UNARY),
    Entry(e.log, np.log, UNARY_POSITIVE),
    Entry(e.tanh, np.tanh, UNARY),
    Entry(e.tanh_grad, lambda g, y: g * (1 - y * y), [(real(3, 4), real(3, 4)), (real(), real())]),
    Entry(e.sigmoid, logistic, UNARY),
    Entry(e.sigmoid_grad, lambda g, y: g * y * (1 - y), [(real(3, 4), real(3, 4))]),
    # reductions
    *(
        Entry(row, oracle, samples, {"axis": axis, "keepdims": keepdims})
        for row, oracle, samples in (
            (reduce.sum, np.sum, REDUCED),
            (reduce.mean, np.mean, REDUCED),
            (reduce.max, np.max, REDUCED_APART),
            (reduce.min, np.min, REDUCED_APART),
        )
        for axis, keepdims in ((None, False), (1, False), (-1, True), ((0, 2), False), ((), True))
    ),
    Entry(reduce.sum, np.sum, [(real(0, 3),), (real(),)]),
    *(
        Entry(getattr(reduce, name), getattr(np, name), REDUCED_APART, {"axis": axis}, smooth=False)
        for name in ("argmax", "argmin", "all", "any")
        for axis in (None, 1, -1)
    ),
    # shape
    Entry(shape.reshape, np.reshape, [(real(3, 4),), (real(2, 6),)], {"shape": (-1, 2)}),
    Entry(shape.reshape, np.reshape, [(real(0, 4),)], {"shape": (2, 0)}),
    Entry(shape.permute_dims, np.transpose, [(real(2, 3, 4),)], {"axes": (2, 0, 1)}),
    Entry(shape.matrix_transpose, lambda x: np.swapaxes(x, -1, -2), [(real(2, 3, 4),)]),
    Entry(shape.expand_dims, np.expand_dims, [(real(2, 3),)], {"axis": (0, -1)}),
    Entry(shape.squeeze, np.squeeze, [(real(2, 1, 3, 1),)], {"axis": (1, -1)}),
    Entry(recorder.broadcast_to, np.broadcast_to, [(real(2, 1),), (real(),)], {"shape": (4, 2, 3)}),
    Entry(
        recorder.sum_to,
        lambda x, shape: x.sum((0, 2))[:, None],
        [(real(4, 2, 3),)],
        {"shape": (2, 1)},
    ),
    Entry(
        recorder.cast,
        lambda x, source, target: x,
        [(real(3),)],
        dict.fromkeys(("source", "target"), np.dtype(float)),
    ),
    Entry(functional.alias, lambda x: x, UNARY),
    # index
    *(
        Entry(index.getitem, lambda x, index: x[index], [(real(3, 4),)], {"index": where})
        for where in (
            1,
            (slice(None, None, -1), 2),
            (Ellipsis, slice(1, 3)),
            (None, slice(0, 0)),
            ([0, 0, 2], [1, 1, 3]),
            np.array([True, False, True]),
            (slice(1, None), np.array([[0, 3], [3, 3]])),
        )
    ),
    Entry(index.put_index, put, [(real(3),)], {"index": ([0, 0, 1],), "shape": (2,)}),
    Entry(index.put_index, put, [(real(2, 2),)], {"index": slice(1, 3), "shape": (4, 2)}),
    # products
    Entry(
        linalg.matmul_rows,
        np.matmul,
        [
            (real(3, 4), real(4, 2)),
            (real(1, 4), real(4, 1)),
            (real(2, 1, 3, 4), real(5, 4, 2)),
            (real(0, 4), real(4, 2)),
            (real(2, 0), real(0, 3)),
            (real(17, 33), real(33, 50)),
        ],
    ),
    Entry(
        linalg.dense,
        lambda x, kernel, bias: x @ kernel + bias,
        [
            (real(5, 3), real(3, 2), real(2)),
            (real(2, 5, 3), real(3, 2), real(2)),
            (real(0, 3), real(3, 2), real(2)),
        ],
    ),
    # normalization
    *(
        Entry(row, oracle, samples, {"epsilon": 0.1, **settings})
        for rows, oracles, variants in (
            (LAYER_ROWS, LAYER, ({}, {"centred": False})),
            (BATCH_ROWS, BATCH, ({},)),
        )
        for settings in variants
        for row, oracle, samples in zip(
            rows,
            oracles,
            (
                [(real(3, 4), real(4), real(4)), (real(5, 2, 3), real(3), real(3))],
                [(real(3, 4), real(3, 4), real(4)), (real(4, 2, 3), real(4, 2, 3), real(3))],
                [(real(3, 4), real(3, 4)), (real(4, 2, 3), real(4, 2, 3))],
            ),
        )
    ),
    Entry(normalization.layer_norm, LAYER[0], [(real(0, 3), real(3), real(3))], {"epsilon": 0.1}),
    Entry(normalization.batch_norm, BATCH[0], [(real(4, 0), real(0), real(0))], {"epsilon": 0.1}),
    Entry(
        linalg.dense_relu,
        lambda x, kernel, bias: np.maximum(x @ kernel + bias, 0),
        [
            (real(5, 3), real(3, 2), real(2)),
            (real(2, 5, 3), real(3, 2), real(2)),
            (real(0, 3), real(3, 2), real(2)),
        ],
    ),
    # softmax and cross-entropies
    *(
        Entry(row, oracle, [(real(3, 4),), (real(2, 5, 3),)], {"axis": axis})
        for row, oracle in ((fused.softmax, soft), (fused.log_softmax, log_soft))
        for axis in (-1, 0, 1)
    ),
    *(
        Entry(
            fused.softmax_grad,
            lambda g, y, axis: y * (g - (g * y).sum(axis, keepdims=True)),
            [(real(3, 4), rows(3, 4))],
            {"axis": axis},
        )
        for axis in (-1, 0)
    ),
    Entry(
        fused.log_softmax_grad,
        lambda g, y, axis: g - np.exp(y) * g.sum(axis, keepdims=True),
        [(real(3, 4), log_soft(real(3, 4)))],
        {"axis": -1},
    ),
    Entry(
        fused.sparse_cross_entropy,
        lambda x, labels: -log_soft(x)[np.arange(len(x)), labels],
        [(real(3, 4), LABELS), (real(0, 4), LABELS[:0])],
        fixed=(1,),
    ),
    Entry(
        fused.sparse_cross_entropy_grad,
        lambda g, x, labels: g[:, None] * (soft(x) - np.eye(4)[labels]),
        [(real(3), real(3, 4), LABELS)],
        fixed=(2,),
    ),
    Entry(
        fused.dense_cross_entropy,
        lambda x, t: -(t * log_soft(x)).sum(-1),
        [(real(3, 4), ONE_HOT), (real(3, 4), rows(3, 4)), (real(3, 4), positive(3, 4))],
    ),
    Entry(
        fused.dense_cross_entropy_grad,
        lambda g, x, t: g[:, None] * (soft(x) * t.sum(-1, keepdims=True) - t),
        [(real(3), real(3, 4), positive(3, 4))],
    ),
    Entry(
        fused.binary_cross_entropy,
        lambda x, t: -(t * np.log(logistic(x)) + (1 - t) * np.log(1 - logistic(x))),
        [(real(3, 1), positive(3, 1)), (real(6), np.array([0.0, 1, 1, 0, 0.3, 1]))],
    ),
    Entry(
        fused.binary_cross_entropy_grad,
        lambda g, x, t: g * (logistic(x) - t),
        [(real(3, 2), real(3, 2), positive(3, 2))],
    ),
]

MODULES = (
    activations,
    elementwise,
    functional,
    fused,
    index,
    linalg,
    normalization,
    recorder,
    reduce,
    shape,
)


def rows_of_the_engine():
    """Every function that @op has made within the engine."""
    found = {}
    for module in MODULES:
        for value in vars(module).values():
            if (
                callable(value)
                and hasattr(value, "__wrapped__")
                and value.__module__.startswith("engine")
            ):
                found[f"{value.__module__}.{value.__name__}"] = value
    return found


# The rest of the table: these use what is above.
from .op_entries_elementwise import ENTRIES as ELEMENTWISE  # noqa: E402
from .op_entries_shape import ENTRIES as SHAPE  # noqa: E402

ENTRIES += ELEMENTWISE + SHAPE
