"""Every row of the operation table: value, dtype, layouts, first and second derivatives."""

import numpy as np
import pytest

import engine
from engine import Tensor, gradgradcheck

from .op_table import ENTRIES, rows_of_the_engine

SAMPLES = [
    pytest.param(entry, sample, id=f"{entry.id}-{'x'.join(str(a.shape) for a in sample)}")
    for entry in ENTRIES
    for sample in entry.samples
]


def as_type(sample, dtype):
    return [x.astype(dtype) if x.dtype.kind == "f" else x for x in sample]


def test_every_row_has_an_entry():
    tabled = {id(entry.row) for entry in ENTRIES}
    missing = [name for name, row in rows_of_the_engine().items() if id(row) not in tabled]
    assert not missing


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("entry, sample", SAMPLES)
def test_value_dtype_and_untouched_inputs(entry, sample, dtype):
    arguments = as_type(sample, dtype)
    copies = [x.copy() for x in arguments]
    expected = np.asarray(
        entry.oracle(
            *(x.astype(float) if x.dtype.kind == "f" else x for x in arguments), **entry.settings
        )
    )
    result = entry.call(*(Tensor(x) for x in arguments))
    assert type(result) is Tensor
    assert type(result.data) is np.ndarray
    if expected.dtype.kind == "f" and entry.row.__name__ != "cast":
        assert result.dtype == dtype
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(result.data, expected, rtol=tolerance, atol=tolerance)
    raw = entry.call(*arguments)
    assert type(raw) is np.ndarray
    np.testing.assert_array_equal(raw, result.data)
    for x, copy in zip(arguments, copies):
        np.testing.assert_array_equal(x, copy)


def awkward(x):
    """`x` with other strides, and read-only."""
    wide = np.zeros((*x.shape, 2), x.dtype)
    wide[..., 1] = x
    strided = np.asfortranarray(wide)[..., 1] if x.ndim else wide[..., 1]
    strided.flags.writeable = False
    return strided


@pytest.mark.parametrize("entry, sample", SAMPLES)
def test_layout_makes_no_difference(entry, sample):
    sample = as_type(sample, "float32")
    plain = [Tensor(x, requires_grad=x.dtype.kind == "f") for x in sample]
    other = [engine.asarray(awkward(x)) for x in sample]
    results = []
    for tensors in (plain, other):
        for tensor in tensors:
            tensor.requires_grad = tensor.dtype.kind == "f"
        result = entry.call(*tensors)
        gradients = []
        if entry.smooth:
            cotangent = np.linspace(-1, 1, result.size, dtype=result.dtype).reshape(result.shape)
            leaves = [t for t in tensors if t.requires_grad]
            gradients = engine.grad(result, leaves, cotangent)
        results.append([result.data, *(g.data for g in gradients)])
    for expected, got in zip(*results):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("entry, sample", [p for p in SAMPLES if p.values[0].smooth])
def test_first_and_second_derivatives(entry, sample):
    live = [i for i, x in enumerate(sample) if i not in entry.fixed]

    def f(*arguments):
        given = list(sample)
        for i, argument in zip(live, arguments):
            given[i] = argument
        return entry.call(*given)

    assert gradgradcheck(f, [sample[i] for i in live], name=entry.id)


# ------------------------------------------------------------- kinks, ties and other edges


def slope(f, *points):
    """df/dx for each argument, at float32 numbers."""
    tensors = [Tensor(np.float32(p), requires_grad=True) for p in points]
    f(*tensors).sum().backward()
    slopes = [t.grad.numpy() for t in tensors]
    return slopes[0] if len(slopes) == 1 else slopes


def test_documented_slopes_at_kinks():
    assert slope(engine.relu, 0.0) == 0
    assert slope(engine.abs, 0.0) == 0
    assert slope(engine.sign, 0.0) == 0
    assert slope(lambda x: engine.clip(x, 0.0, 1.0), 0.0) == 1
    assert slope(lambda x: engine.clip(x, 0.0, 1.0), 1.0) == 1
    assert slope(engine.maximum, 2.0, 2.0) == [0.5, 0.5]
    assert slope(engine.minimum, 2.0, 2.0) == [0.5, 0.5]


def test_extremes_share_the_gradient_among_ties():
    x = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]
    np.testing.assert_allclose(
        slope(lambda x: engine.max(x, axis=1), x), [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    )
    np.testing.assert_allclose(slope(engine.min, x), [[1, 0, 0], [0, 0, 0]])


def test_powers_at_zero():
    assert slope(lambda x: x**0, 0.0) == 0
    assert slope(lambda x: x**1, 0.0) == 1
    assert slope(lambda x: x**2, 0.0) == 0
    assert slope(engine.pow, 0.0, 0.0) == [0, 0]
    assert slope(engine.pow, 0.0, 2.0) == [0, 0]
    assert slope(engine.pow, -2.0, 3.0)[0] == 12


def test_nan_is_kept():
    nan = Tensor([np.nan])
    for f in (engine.relu, engine.exp, engine.log, engine.tanh, engine.sigmoid, engine.abs):
        assert np.isnan(f(nan).numpy()).all(), f.__name__
    assert np.isnan(engine.maximum(nan, 0.0).numpy()).all()
    assert np.isnan(engine.max(Tensor([1.0, np.nan])).numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_and_sigmoid_at_any_magnitude(dtype):
    huge = np.finfo(dtype).max
    logits = np.array(
        [[0, 1e4, -1e4], [huge, -huge, 0], [huge, huge, huge], [-huge, -huge, 0], [1e-30, 0, 5]],
        dtype,
    )
    x = Tensor(logits, requires_grad=True)
    p = engine.softmax(x)
    assert np.isfinite(p.numpy()).all()
    assert (p.numpy() >= 0).all()
    np.testing.assert_allclose(p.numpy().sum(axis=1), 1, rtol=1e-6)
    q = engine.sigmoid(x).numpy()
    assert ((q >= 0) & (q <= 1)).all()
    (gradient,) = engine.grad([p], [x], [np.ones_like(logits)])
    assert np.isfinite(gradient.numpy()).all()


@pytest.mark.parametrize("gap", [1e2, 1e4, 1e30])
def test_cross_entropies_when_confidently_wrong(gap):
    logits = Tensor([[gap, 0.0, 0.0]], requires_grad=True)
    for loss in (
        engine.sparse_cross_entropy(logits, np.array([1])),
        engine.dense_cross_entropy(logits, np.eye(3, dtype="float32")[[1]]),
    ):
        np.testing.assert_allclose(loss.numpy(), [gap], rtol=1e-6)
        gradient = engine.grad(loss, logits)
        np.testing.assert_allclose(gradient.numpy(), [[1, -1, 0]], atol=1e-6)
    x = Tensor([gap, -gap], requires_grad=True)
    loss = engine.binary_cross_entropy(x, np.array([0.0, 1.0]))
    np.testing.assert_allclose(loss.numpy(), [gap, gap], rtol=1e-6)
    gradient = engine.grad(loss.sum(), x)
    np.testing.assert_allclose(gradient.numpy(), [1, -1], atol=1e-6)


# -------------------------------------------------------------------------------- dtypes


def test_numbers_and_integers_never_widen_float32():
    x = Tensor([1.0, 2.0])
    for result in (
        x + 1,
        2.5 * x,
        x / 3,
        x**2,
        x ** np.int64(2),
        x * Tensor([1, 2]),
        x + np.arange(2),
        x * np.array([True, False]),
        engine.maximum(x, 0),
        engine.where(np.array([True, False]), x, 0.0),
        engine.where(np.array([True, False]), 1.0, x),
        Tensor([1, 2]) / 2,
        Tensor([1, 2]) * 0.5,
        engine.exp(Tensor([1, 2])),
        engine.mean(Tensor([1, 2])),
        engine.sqrt(Tensor([1, 4])),
    ):
        assert result.dtype == np.float32


def test_float32_with_float64_gives_float64_and_gradients_in_their_own_type():
    x = Tensor([1.0, 2.0], requires_grad=True)
    w = Tensor(np.array([3.0, 4.0]), requires_grad=True)
    y = (x * w).sum()
    assert y.dtype == np.float64
    y.backward()
    assert (x.grad.dtype, w.grad.dtype) == (np.float32, np.float64)
    assert x.grad.numpy().tolist() == [3, 4]
    assert (x @ w).dtype == np.float64
    np.testing.assert_allclose((x @ w).numpy(), 11)


def test_integers_stay_integers_where_the_result_is_whole():
    assert (Tensor([1, 2]) + 1).dtype == np.int64
    assert engine.sum(Tensor([True, False])).dtype == np.int64
    assert engine.argmax(Tensor([1.0, 2.0])).item() == 1


# -------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda x: x + np.zeros(5),
            ValueError,
            r"add: .*broadcast.*x float32 \(2, 3\), y .*\(5,\)",
        ),
        (
            lambda x: x @ x,
            ValueError,
            r"matmul: the last axis of x has 3 elements but the second-last of y has 2 \(x "
            r"\(2, 3\), y \(2, 3\)\)",
        ),
        (lambda x: x @ 2.0, ValueError, "matmul: expected at least 1 axis"),
        (
            lambda x: engine.matmul(np.zeros((2, 3, 4)), np.zeros((5, 4, 2))),
            ValueError,
            "matmul: the leading axes .* do not broadcast",
        ),
        (
            lambda x: engine.dense(x, np.zeros((4, 2)), np.zeros(2)),
            ValueError,
            r"dense: expected x \(\.\.\., k\) and kernel \(k, n\)",
        ),
        (
            lambda x: engine.dense(x, np.zeros((3, 2)), np.zeros(3)),
            ValueError,
            r"dense: expected a bias of \(2,\), got \(3,\)",
        ),
        (lambda x: engine.sum(x, axis=2), ValueError, "sum: axis 2 is out of bounds"),
        (lambda x: engine.sum(x, axis=(0, 0)), ValueError, "sum: repeated axis"),
        (lambda x: engine.softmax(x, axis=2), ValueError, "softmax: axis 2 is out of bounds"),
        (lambda x: engine.mean(x[:0]), ValueError, "mean: there is no mean of no elements"),
        (lambda x: engine.max(x[:0]), ValueError, "max: .*no identity"),
        (lambda x: x.reshape(4), ValueError, "reshape: cannot reshape array of size 6"),
        (lambda x: engine.squeeze(x, 0), ValueError, "squeeze: "),
        (lambda x: engine.permute_dims(x, (0, 0)), ValueError, "permute_dims: repeated axis"),
        (
            lambda x: engine.matrix_transpose(x[0]),
            ValueError,
            "matrix_transpose: expected at least 2",
        ),
        (lambda x: x[5], IndexError, "getitem: index 5 is out of bounds"),
        (lambda x: x["a"], IndexError, "getitem: "),
        (lambda x: engine.where(True, x, np.zeros(7)), ValueError, "where: .*broadcast"),
        (
            lambda x: engine.sparse_cross_entropy(x, [0, 3]),
            ValueError,
            "labels from 0 to 2, got 0 to 3",
        ),
        (
            lambda x: engine.sparse_cross_entropy(x, np.array([0, -1])),
            ValueError,
            "labels from 0 to 2, got -1 to 0",
        ),
        (
            lambda x: engine.sparse_cross_entropy(x, np.array([0.0, 1.0])),
            TypeError,
            "integer labels, got float64",
        ),
        (lambda x: engine.sparse_cross_entropy(x, np.array([0])), ValueError, r"labels \(n,\)"),
        (lambda x: engine.dense_cross_entropy(x, np.zeros((2, 2))), ValueError, "one shape"),
        (lambda x: engine.binary_cross_entropy(x, np.zeros(2)), ValueError, "one shape"),
        (lambda x: x + "a", TypeError, "expected real numbers, got <U1"),
        (lambda x: x + 1j, TypeError, "expected real numbers, got complex"),
        (lambda x: x * object(), TypeError, "expected real numbers, got object"),
        (lambda x: engine.exp([[1.0], [2.0, 3.0]]), ValueError, "ragged"),
    ],
)
def test_errors_name_the_operation_and_what_it_got(call, kind, message):
    x = Tensor(np.ones((2, 3), "float32"), requires_grad=True)
    with pytest.raises(kind, match=message):
        call(x)


def test_a_row_whose_formula_mentions_an_unknown_name_is_refused():
    with pytest.raises(TypeError, match="op broken: a formula mentions z"):

        @engine.op(lambda g, z: g)
        def broken(x):
            return x

    with pytest.raises(TypeError, match="op broken: rename out, which recording uses"):

        @engine.op(lambda g: g)
        def broken(out):
            return out

    with pytest.raises(TypeError, match="op step: rename step"):

        @engine.op(lambda g: g)
        def step(x):
            return x
