"""Value and gradient of every row that PyTorch has too, in float64: one table, name to function.

The samples and settings are those of the operation table. What the rows do where PyTorch has no
such thing, or another one by that name, is tested elsewhere.
"""

import numpy as np
import pytest

import engine
from engine import Tensor

from .op_table import ENTRIES

torch = pytest.importorskip("torch", reason="PyTorch, the peer of these tests, is not installed")
F = torch.nn.functional


def reduced(function):
    """A reduction of PyTorch's, that takes axes the way ours do."""

    def call(x, axis=None, keepdims=False, **settings):
        if axis == ():
            return x.clone()
        dims = tuple(range(x.ndim)) if axis is None else axis
        return function(x, dim=dims, keepdim=keepdims, **settings)

    return call


def one_by_one(function):
    """The same for a reduction that takes one axis at a time."""

    def call(x, axis=None, keepdims=False):
        axes = range(x.ndim) if axis is None else np.atleast_1d(np.array(axis, int))
        for position in sorted((int(a) % x.ndim for a in axes), reverse=True):
            x = function(x, position, keepdims)
        return x.clone()

    return call


def expand_dims(x, axis=0):
    axes = np.atleast_1d(axis)
    for position in sorted(int(a) % (x.ndim + len(axes)) for a in axes):
        x = x.unsqueeze(position)
    return x


def cumulative_sum(x, axis=0, include_initial=False):
    sums = torch.cumsum(x, axis)
    if include_initial:
        sums = torch.cat([torch.zeros_like(sums.narrow(axis, 0, 1)), sums], axis)
    return sums


def concat(*arrays, axis=0):
    if axis is None:
        return torch.cat([x.flatten() for x in arrays])
    return torch.cat(arrays, axis)


def pad(x, pad_width, constant_values=0):
    widths = np.broadcast_to(pad_width, (x.ndim, 2))[::-1].ravel().tolist()
    return F.pad(x, widths, value=constant_values)


def repeat(x, repeats, axis=None):
    return torch.repeat_interleave(x, torch.tensor(repeats), axis)


def take(x, indices, axis=None):
    if axis is None:
        return x.flatten()[indices]
    return x[(slice(None),) * (axis % x.ndim) + (indices,)]


def getitem(x, index):
    def plain(part):
        return torch.tensor(part) if isinstance(part, (list, np.ndarray)) else part

    return x[tuple(map(plain, index)) if type(index) is tuple else plain(index)]


def batch_norm(x, scale, offset, epsilon):
    if not x.numel():  # PyTorch's fails for no features
        return x * scale + offset
    rows = x.flatten(0, -2)
    out = F.batch_norm(rows, None, None, scale, offset, training=True, eps=epsilon)
    return out.reshape(x.shape)


TWINS = {
    # arithmetic
    "add": torch.add,
    "subtract": torch.subtract,
    "multiply": torch.multiply,
    "divide": torch.divide,
    "floor_divide": lambda x, y: torch.div(x, y, rounding_mode="floor"),
    "remainder": torch.remainder,
    "negative": torch.negative,
    "positive": torch.positive,
    "pow": torch.pow,
    "square": torch.square,
    "reciprocal": torch.reciprocal,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "trunc": torch.trunc,
    "round": torch.round,
    "zeros_like": torch.zeros_like,
    # comparison, logic and choice
    "equal": torch.eq,
    "not_equal": torch.not_equal,
    "less": torch.less,
    "less_equal": torch.less_equal,
    "greater": torch.greater,
    "greater_equal": torch.greater_equal,
    "isnan": torch.isnan,
    "isinf": torch.isinf,
    "isfinite": torch.isfinite,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "logical_not": torch.logical_not,
    "bitwise_and": torch.bitwise_and,
    "bitwise_or": torch.bitwise_or,
    "bitwise_xor": torch.bitwise_xor,
    "where": torch.where,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "clip": torch.clip,
    # functions
    "sqrt": torch.sqrt,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "log10": torch.log10,
    "logaddexp": torch.logaddexp,
    "erf": torch.erf,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "asin": torch.asin,
    "acos": torch.acos,
    "atan": torch.atan,
    "atan2": torch.atan2,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "asinh": torch.asinh,
    "acosh": torch.acosh,
    "atanh": torch.atanh,
    # activations
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "relu6": F.relu6,
    "hard_tanh": F.hardtanh,
    "hard_sigmoid": lambda x: F.relu6(x + 3) / 6,  # F.hardsigmoid's slope has 7 digits
    "softsign": F.softsign,
    "elu": F.elu,
    "selu": F.selu,
    "celu": lambda x, alpha=1.0: alpha * F.elu(x / alpha),  # F.celu's slope has 7 digits
    "softplus": lambda x: F.softplus(x, threshold=40),  # from there on, x
    "log_sigmoid": F.logsigmoid,
    "silu": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "softmax": lambda x, axis: F.softmax(x, axis),
    "log_softmax": lambda x, axis: F.log_softmax(x, axis),
    # reductions
    "sum": reduced(torch.sum),
    "mean": reduced(torch.mean),
    "max": reduced(torch.amax),
    "min": reduced(torch.amin),
    "var": reduced(lambda x, correction=0.0, **axes: torch.var(x, correction=correction, **axes)),
    "std": reduced(lambda x, correction=0.0, **axes: torch.std(x, correction=correction, **axes)),
    "logsumexp": reduced(torch.logsumexp),
    "prod": one_by_one(torch.prod),
    "all": one_by_one(torch.all),
    "any": one_by_one(torch.any),
    "count_nonzero": lambda x, axis: torch.count_nonzero(x, axis),
    "argmax": lambda x, axis: torch.argmax(x, axis),
    "argmin": lambda x, axis: torch.argmin(x, axis),
    "cumulative_sum": cumulative_sum,
    # shape
    "reshape": torch.reshape,
    "permute_dims": lambda x, axes: torch.permute(x, axes),
    "matrix_transpose": lambda x: x.mT,
    "expand_dims": expand_dims,
    "squeeze": lambda x, axis=None: x.squeeze() if axis is None else x.squeeze(axis),
    "moveaxis": torch.moveaxis,
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "concat": concat,
    "stack": lambda *arrays, axis=0: torch.stack(arrays, axis),
    "flip": lambda x, axis=None: torch.flip(
        x, tuple(np.atleast_1d(range(x.ndim) if axis is None else axis))
    ),
    "roll": lambda x, shift, axis: torch.roll(x, shift, axis),
    "repeat": repeat,
    "pad": pad,
    "tril": lambda x, k: torch.tril(x, k),
    "triu": lambda x, k: torch.triu(x, k),
    "diagonal": lambda x, offset=0, axis1=0, axis2=1: torch.diagonal(x, offset, axis1, axis2),
    # index
    "getitem": getitem,
    "take": take,
    "take_along_axis": lambda x, indices, axis: torch.take_along_dim(
        x, indices % x.shape[axis], axis
    ),
    "one_hot": lambda labels, num_classes, dtype: F.one_hot(labels, num_classes),
    # normalization
    "layer_norm": lambda x, scale, offset, epsilon, centred=True: (
        F.layer_norm(x, scale.shape, scale, offset, epsilon)
        if centred
        else F.rms_norm(x, scale.shape, scale, epsilon) + offset
    ),
    "batch_norm": batch_norm,
    # products and losses
    "matmul_rows": torch.matmul,
    "dense": lambda x, kernel, bias: F.linear(x, kernel.T, bias),
    "sparse_cross_entropy": lambda x, labels: F.cross_entropy(x, labels, reduction="none"),
    "dense_cross_entropy": lambda x, targets: F.cross_entropy(x, targets, reduction="none"),
    "binary_cross_entropy": lambda x, targets: F.binary_cross_entropy_with_logits(
        x, targets, reduction="none"
    ),
}


def torch_can(entry):
    """Whether PyTorch has the settings of an entry, too."""
    name, settings = entry.row.__name__, entry.settings
    if name == "getitem":  # no negative steps, and other rules for what is not an array
        index = settings["index"]
        parts = index if type(index) is tuple else (index,)
        known = (int, np.ndarray, slice, type(None), type(...))
        return all(
            (isinstance(part, known) and (type(part) is not slice or (part.step or 1) > 0))
            or (type(part) is list and part)
            for part in parts
        )
    return name in TWINS and settings.get("mode", "constant") == "constant"


SAMPLES = [
    pytest.param(entry, sample, id=f"{entry.id}-{'x'.join(str(a.shape) for a in sample)}")
    for entry in ENTRIES
    if torch_can(entry)
    for sample in entry.samples
]


@pytest.mark.parametrize("entry, sample", SAMPLES)
def test_value_and_gradients(entry, sample, rng):
    live = [
        i
        for i, x in enumerate(sample)
        if entry.smooth and i not in entry.fixed and x.dtype.kind == "f"
    ]
    ours = [Tensor(x, requires_grad=i in live) for i, x in enumerate(sample)]
    theirs = [torch.tensor(x.copy(), requires_grad=i in live) for i, x in enumerate(sample)]
    result, expected = entry.call(*ours), TWINS[entry.row.__name__](*theirs, **entry.settings)
    assert result.shape == tuple(expected.shape)
    same(result, expected)
    if not live:
        return
    cotangent = np.asarray(rng.normal(size=result.shape))
    gradients = engine.grad(result, [ours[i] for i in live], cotangent)
    wanted = [theirs[i] for i in live]
    slopes = [None] * len(live)
    if expected.requires_grad:
        slopes = torch.autograd.grad(expected, wanted, torch.tensor(cotangent), allow_unused=True)
    for gradient, slope, x in zip(gradients, slopes, wanted):
        same(gradient, torch.zeros_like(x) if slope is None else slope)


def same(ours, theirs):
    # Where digits cancel in PyTorch, as in the far tail of gelu, it is only that near.
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-10, atol=1e-13)


def test_every_row_that_pytorch_has_by_that_name_is_compared():
    names = {entry.row.__name__ for entry in ENTRIES}
    namesakes = {name for name in names if hasattr(torch, name) or hasattr(F, name)}
    assert not namesakes - TWINS.keys()


KINKS = {
    "relu": [0.0],
    "leaky_relu": [0.0],
    "relu6": [0.0, 6.0],
    "hard_tanh": [-1.0, 1.0],
    "hard_sigmoid": [-3.0, 3.0],
    "elu": [0.0],
    "selu": [0.0],
    "celu": [0.0],
    "softsign": [0.0],
    "abs": [0.0],
    "sign": [0.0],
    "floor": [-1.0, 0.0, 2.0],
    "ceil": [-1.0, 0.0, 2.0],
    "trunc": [-1.0, 0.0, 2.0],
    "round": [-0.5, 0.5, 2.0],
    "sqrt": [0.0],
    "square": [0.0],
}


@pytest.mark.parametrize("name", KINKS)
def test_slopes_at_kinks_and_steps(name):
    x, t = Tensor(np.array(KINKS[name]), requires_grad=True), torch.tensor(KINKS[name]).double()
    t.requires_grad = True
    (slope,) = torch.autograd.grad(TWINS[name](t).sum(), t)
    same(engine.grad(engine.sum(getattr(engine, name)(x)), x), slope)


@pytest.mark.parametrize(
    "name, pairs",
    [
        ("maximum", [(2.0, 2.0), (-1.0, -1.0)]),
        ("minimum", [(2.0, 2.0), (-1.0, -1.0)]),
        ("remainder", [(4.0, 2.0), (-4.0, 2.0), (5.5, -2.0), (0.0, 3.0)]),
        ("pow", [(0.0, 2.0), (0.0, 1.0), (0.0, 0.0), (-2.0, 3.0), (2.0, 0.0)]),
        ("atan2", [(0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (0.0, 0.0)]),
    ],
)
def test_slopes_of_pairs_at_kinks_and_steps(name, pairs):
    for pair in pairs:
        ours = [Tensor(np.array(v), requires_grad=True) for v in pair]
        theirs = [torch.tensor(v).double().requires_grad_() for v in pair]
        slopes = torch.autograd.grad(TWINS[name](*theirs), theirs)
        if name == "pow" and pair[0] < 0:
            slopes = slopes[:1]  # in respect of the exponent there is none
        gradients = engine.grad(getattr(engine, name)(*ours), ours)
        for gradient, slope in zip(gradients, slopes):
            same(gradient, slope)
