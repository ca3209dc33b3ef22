"""Shapes, lists of Tensors, indices and reductions: what the table of operations does not say."""

import math

import numpy as np
import pytest

import engine
from engine import Tensor, gradgradcheck, op
from engine.recorder import Node


def leaf(values):
    return Tensor(values, requires_grad=True)


def slope(f, x):
    """The gradient of the sum of f at the numbers x, in float64."""
    x = leaf(np.asarray(x, float))
    return engine.grad(engine.sum(f(x)), x).numpy()


def curve(f, x, direction):
    """The derivative of the gradient of f (a number) at x along a direction."""
    x = leaf(np.asarray(x, float))
    first = engine.grad(f(x), x, create_graph=True)
    return engine.grad(first, x, np.asarray(direction, float)).numpy()


# --------------------------------------------------------------------------- lists of Tensors


def test_concat_takes_tensors_arrays_and_lists_and_gives_each_its_gradient():
    x, y = leaf([[1.0, 2.0]]), leaf([[3.0, 4.0]])
    out = engine.concat([x, np.float32([[5, 6]]), [[7.0, 8.0]], y, x])
    assert out.dtype == np.float32
    assert out.numpy().tolist() == [[1, 2], [5, 6], [7, 8], [3, 4], [1, 2]]
    out.backward(np.arange(10.0).reshape(5, 2))
    assert x.grad.numpy().tolist() == [[8, 10]]
    assert y.grad.numpy().tolist() == [[6, 7]]
    assert engine.grad(engine.concat((x, y)), y, np.ones((2, 2))).numpy().tolist() == [[1, 1]]


def test_concat_and_stack_follow_the_rule_for_dtypes():
    narrow, wide = leaf(np.ones(2, "float32")), leaf(np.ones(2))
    for join in (engine.concat, engine.stack):
        out = join([narrow, wide, np.array([1, 2])])
        assert out.dtype == np.float64
        engine.sum(out * out).backward()
        assert (narrow.grad.dtype, wide.grad.dtype) == (np.float32, np.float64)
        assert join([narrow, np.array([1, 2])]).dtype == np.float32
        assert join([Tensor([1, 2]), np.array([1, 2])]).dtype == np.int64
        assert join([Tensor([True]), np.array([False])]).dtype == bool
    assert engine.stack([1.0, 2.0]).dtype == np.float32


def test_a_list_records_only_when_something_in_it_requires_a_gradient():
    x = leaf([1.0, 2.0])
    assert type(engine.concat([x.numpy(), x.numpy()])) is np.ndarray
    assert engine.concat([x.detach(), x.numpy()]).node is None
    with engine.no_grad():
        assert engine.concat([x, x]).node is None
    kept = engine.concat([x, x]).node.saved
    assert not any(isinstance(value, np.ndarray) for value in kept)
    assert engine.grad(engine.sum(engine.concat([x])), x).numpy().tolist() == [1, 1]


def nodes_behind(tensor):
    found, stack = {tensor.node}, [tensor.node]
    while stack:
        for parent in stack.pop().parents:
            if type(parent) is Node and parent not in found:
                found.add(parent)
                stack.append(parent)
    return found


def test_many_parts_cost_little_more_than_what_they_were_cut_from():
    count = 1024
    x = leaf(np.arange(2.0 * count).reshape(count, 2))
    out = engine.stack(engine.unstack(x))
    # What backward allocates for a node has the size of what that node has read from.
    sizes = [math.prod(parent.shape) for n in nodes_behind(out) for parent in n.parents]
    assert sum(sizes) < 2 * (math.log2(count) + 3) * x.size
    weights = np.arange(out.size).reshape(out.shape)
    np.testing.assert_array_equal(engine.grad(out, x, weights).numpy(), weights)
    many = [leaf([float(n)]) for n in range(5000)]
    out = engine.concat(many)
    assert len(nodes_behind(out)) == 1
    out.backward(np.arange(5000.0))
    assert [t.grad.item() for t in many] == list(range(5000))


def test_a_users_own_row_of_a_list():
    @op(lambda g, shape, out, power: [g * 2 * out] * len(shape), sequence=True)
    def squared_total(parts, power=2):
        return sum(parts) ** power

    x, y = leaf(np.array([1.0, 2.0])), leaf(np.array([3.0, 4.0]))
    assert squared_total([x, y, np.ones(2)]).numpy().tolist() == [25, 49]
    out = squared_total([x, np.ones(2), y], power=1)
    out.backward(np.ones(2))
    assert x.grad.numpy().tolist() == [10, 14]
    assert engine.concat.__doc__.startswith("The arrays")
    with pytest.raises(TypeError, match="op broken: a formula mentions parts"):

        @op(lambda g, parts: parts, sequence=True)
        def broken(parts):
            return parts[0]


def test_what_only_joins_a_nan_is_not_blamed_for_it():
    bad = leaf([np.nan])
    with engine.detect_anomaly():
        assert np.isnan(engine.concat([leaf([1.0]), bad]).numpy()[1])
        assert np.isnan(engine.stack([leaf([1.0]), bad]).numpy()[1])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("where", [1, 2, [1], [2, 3], [0, 1, 1, 9], [-3, 3], [], np.array([1, 2])])
def test_split_cuts_as_numpy_does(axis, where):
    x = np.arange(24.0).reshape(4, 6)
    for parts in (engine.split(x, where, axis), engine.split(leaf(x), where, axis)):
        expected = np.split(x, where, axis)
        assert len(parts) == len(expected)
        for part, wanted in zip(parts, expected):
            np.testing.assert_array_equal(part, wanted)
    x = np.arange(12.0).reshape(2, 6)
    assert gradgradcheck(lambda t: [p * p for p in engine.split(t, [1, 1, 4], 1)], x)


def test_unstack_is_the_reverse_of_stack():
    x = leaf(np.arange(24.0).reshape(2, 3, 4))
    for axis in (0, 1, 2, -1):
        parts = engine.unstack(x, axis)
        assert type(parts) is tuple
        np.testing.assert_array_equal(engine.stack(parts, axis).numpy(), x.numpy())
        assert parts[0].shape == tuple(np.delete(x.shape, axis))
    assert engine.unstack(x[:0]) == ()
    assert [p.tolist() for p in engine.unstack(np.eye(2))] == [[1, 0], [0, 1]]
    assert engine.split([1.0, 2.0], 1)[0].dtype == np.float32
    assert gradgradcheck(lambda t: [p * p for p in engine.unstack(t, 1)], x.numpy())


# -------------------------------------------------------------------------------------- shape


@pytest.mark.parametrize("repetitions", [0, 1, 3, (2,), (2, 3), (2, 1, 3), (1, 2, 1, 2), (0, 2)])
def test_tile_lays_as_numpy_does(repetitions):
    for lengths in ((), (3,), (2, 3), (2, 1, 2), (0, 2)):
        x = np.arange(float(math.prod(lengths))).reshape(lengths)
        np.testing.assert_array_equal(engine.tile(x, repetitions), np.tile(x, repetitions))
        np.testing.assert_allclose(
            slope(lambda t: engine.tile(t, repetitions) * 2.0, x),
            np.full(lengths, 2.0 * np.prod(repetitions)),
        )
    assert gradgradcheck(lambda t: engine.tile(t * t, (2, 3)), [np.arange(3.0)])


def test_integers_and_booleans_keep_their_dtype():
    for x in (np.array([[1, 2], [3, 4]]), np.array([[True, False], [True, True]])):
        t = Tensor(x)
        for result in (
            engine.flip(t),
            engine.roll(t, 1),
            engine.repeat(t, 2),
            engine.tile(t, 2),
            engine.pad(t, 1),
            engine.tril(t),
            engine.diagonal(t),
            engine.take(t, [0], 0),
            engine.concat([t, t]),
            engine.moveaxis(t, 0, 1),
            engine.ravel(t),
            t[[0, 0]],
        ):
            assert result.dtype == x.dtype


def test_methods_are_the_functions():
    x = leaf(np.arange(6.0).reshape(2, 3))
    assert x.ravel().shape == (6,)
    assert x.transpose().shape == x.transpose(1, 0).shape == x.transpose((1, 0)).shape == (3, 2)
    assert x.transpose(0, 1).shape == (2, 3)
    assert x[0].transpose(0).shape == x[0].transpose((0,)).shape == x[0].T.shape == (3,)
    assert leaf(1.0).transpose().shape == ()
    assert x.diagonal().numpy().tolist() == [0, 4]
    assert x.repeat(2, axis=0).shape == (4, 3)
    assert x.take([2, 0], axis=1).numpy().tolist() == [[2, 0], [5, 3]]
    assert x.prod(axis=0).numpy().tolist() == [0, 4, 10]
    assert x.var().item() == pytest.approx(np.var(x.numpy()))
    assert x.std(correction=1).item() == pytest.approx(np.std(x.numpy(), ddof=1))


# -------------------------------------------------------------------------------------- index


def test_indices_may_be_tensors_and_lists_of_them():
    x = leaf(np.arange(12.0).reshape(3, 4))
    for index, same in (
        (Tensor([2, 0, 2]), [2, 0, 2]),
        (Tensor(1), 1),
        ([Tensor(0), Tensor(2)], [0, 2]),
        ((Tensor([0, 1]), Tensor([1, 1])), ([0, 1], [1, 1])),
        ((slice(None), Tensor([True, False, True, True])), (slice(None), [0, 2, 3])),
        (x > 4.0, x.numpy() > 4),
        (slice(Tensor(1), None), slice(1, None)),
    ):
        got = x[index]
        np.testing.assert_array_equal(got.numpy(), x.numpy()[same])
        expected = np.zeros((3, 4))
        np.add.at(expected, same, 1.0)
        np.testing.assert_array_equal(engine.grad(engine.sum(got), x).numpy(), expected)
    taken = engine.take(x, Tensor([[1], [1]]), axis=0)
    assert taken.shape == (2, 1, 4)
    assert engine.grad(taken.sum(), x).numpy()[:, 0].tolist() == [0, 2, 0]


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_duplicate_indices_accumulate_however_many_there_are(rows, rng):
    x = leaf(np.ones((40, 3), "float32"))
    index = rng.integers(-40, 40, rows)
    weights = rng.normal(size=(rows, 3)).astype("float32")
    expected = np.zeros((40, 3))
    np.add.at(expected, index, weights)
    gradient = engine.grad(x[index], x, weights)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_one_hot():
    assert engine.one_hot(Tensor([1, 0]), 3).numpy().tolist() == [[0, 1, 0], [1, 0, 0]]
    assert engine.one_hot([1], 2).dtype == np.float32
    assert engine.one_hot([1], 2, dtype="float64").dtype == np.float64
    assert engine.one_hot(np.uint8([[3], [0]]), 4).shape == (2, 1, 4)
    assert engine.one_hot(2, 3).tolist() == [0, 0, 1]


# --------------------------------------------------------------------------------- reductions


def test_products_with_zeros():
    assert slope(engine.prod, [2.0, 3.0, 4.0]).tolist() == [12, 8, 6]
    assert slope(engine.prod, [2.0, 0.0, 4.0]).tolist() == [0, 8, 0]
    assert slope(engine.prod, [0.0, 0.0, 4.0]).tolist() == [0, 0, 0]
    assert slope(engine.prod, 5.0).tolist() == 1
    # of x y z the second derivatives are x, y, z and 0
    assert curve(engine.prod, [0.0, 0.0, 4.0], [1, 0, 0]).tolist() == [0, 4, 0]
    assert curve(engine.prod, [0.0, 0.0, 0.0], [1, 2, 3]).tolist() == [0, 0, 0]
    assert curve(engine.prod, [2.0, 0.0, 4.0], [0, 0, 1]).tolist() == [0, 2, 0]
    third = leaf(np.zeros(3))
    g = engine.grad(engine.prod(third), third, create_graph=True)
    g = engine.grad(g[0], third, create_graph=True)
    assert engine.grad(g[1], third).numpy().tolist() == [0, 0, 1]


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("zeros", range(6))
def test_products_with_any_number_of_zeros_are_right_to_second_order(zeros, axis, rng):
    x = rng.normal(size=(5, 2))
    x[rng.permutation(5)[:zeros]] = 0
    assert gradgradcheck(lambda t: engine.prod(t, axis=axis), x)


def test_products_of_integers_and_of_nothing():
    assert engine.prod(Tensor([2, 3])).dtype == np.int64
    assert engine.prod(Tensor([])).item() == 1


def test_the_slope_of_std_where_nothing_varies_is_zero():
    assert slope(engine.std, [3.0, 3.0, 3.0]).tolist() == [0, 0, 0]
    x = np.array([[1.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(slope(lambda t: engine.std(t, axis=1), x), [[0, 0], [-0.5, 0.5]])
    assert curve(engine.std, [3.0, 3.0], [1, 0]).tolist() == [0, 0]
    assert curve(engine.var, [3.0, 3.0], [1, 0]).tolist() == [0.5, -0.5]
    assert slope(lambda t: engine.var(t, correction=0.0), [7.0]).tolist() == [0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_at_any_magnitude(dtype):
    huge = np.finfo(dtype).max
    inf = np.inf
    x = leaf(
        np.array(
            [
                [huge, huge, huge],
                [-huge, -huge, huge],
                [-huge, -huge, -huge],
                [1e4, 1e4, 0],
                [-inf, 1, 1],
                [-inf, -inf, -inf],
            ],
            dtype,
        )
    )
    out = engine.logsumexp(x, axis=1)
    assert out.dtype == dtype
    expected = np.array([huge, huge, -huge, 1e4 + math.log(2), 1 + math.log(2), -inf], dtype)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-6)
    gradient = engine.grad(out, x, np.ones(6, dtype), create_graph=True)
    third = [1 / 3] * 3
    expected = [third, [0, 0, 1], third, [0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 0]]
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-6)
    second = engine.grad(gradient[:, 2], x, np.ones(6, dtype)).numpy()
    expected = [[-1 / 9, -1 / 9, 2 / 9], [0, 0, 0], [0, -0.25, 0.25], [0, 0, 0]]
    np.testing.assert_allclose(second[[2, 3, 4, 5]], expected, rtol=1e-5, atol=1e-6)


def test_logsumexp_of_infinities_and_nan():
    assert engine.logsumexp(Tensor([np.inf, 0.0])).item() == np.inf
    assert np.isnan(engine.logsumexp(Tensor([np.nan, 0.0])).item())
    assert engine.logsumexp(Tensor([])).item() == -np.inf


def test_extremes_that_are_nan_have_a_slope_that_is_nan():
    gradient = slope(lambda t: engine.max(t, axis=1), [[1.0, np.nan], [1.0, 2.0]])
    np.testing.assert_array_equal(gradient, [[np.nan, np.nan], [0, 1]])


def test_cumulative_sum_with_the_sum_of_nothing_first():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    got = engine.cumulative_sum(x, axis=-1, include_initial=True)
    assert got.numpy().tolist() == [[0, 1, 3], [0, 3, 7]]
    assert engine.cumulative_sum(Tensor([1, 2]), include_initial=True).numpy().tolist() == [0, 1, 3]
    assert engine.cumulative_sum(Tensor([True, True])).numpy().tolist() == [1, 2]
    assert engine.cumulative_sum(Tensor([]), include_initial=True).numpy().tolist() == [0]


def test_reductions_over_nothing():
    x = leaf(np.ones((0, 2)))
    for f, value in (
        (engine.sum, 0),
        (engine.prod, 1),
        (engine.all, True),
        (engine.any, False),
        (engine.count_nonzero, 0),
        (engine.logsumexp, -np.inf),
    ):
        assert f(x, axis=0).numpy().tolist() == [value, value]
        assert f(x, axis=1).shape == (0,)
    for f in (engine.sum, engine.prod, engine.logsumexp):
        assert engine.grad(engine.sum(f(x, axis=0)), x).shape == (0, 2)
    for f in (engine.mean, engine.max, engine.min, engine.var, engine.std, engine.argmax):
        assert f(x, axis=1).shape == (0,)
        with pytest.raises(ValueError, match=f"{f.__name__}: "):
            f(x, axis=0)


# ------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda x: engine.concat([]), ValueError, "concat: need at least one array"),
        (lambda x: engine.concat(x), TypeError, "concat: expected a list of .*, got Tensor"),
        (
            lambda x: engine.concat([x, np.ones((2, 4))]),
            ValueError,
            r"concat: .*index 1 has size 4 \(got arrays=\[float32 \(2, 3\), float64 \(2, 4\)\]",
        ),
        (lambda x: engine.concat([x] * 9 + [x[0]]), ValueError, r"concat: .*\(2, 3\), \.\.\.\]"),
        (lambda x: engine.concat([x, x], axis=2), ValueError, "concat: axis 2 is out of bounds"),
        (lambda x: engine.stack([]), ValueError, "stack: need at least one array"),
        (
            lambda x: engine.stack([x, x[0]]),
            ValueError,
            r"stack: .*same shape \(got arrays=\[float32 \(2, 3\), float32 \(3,\)\]",
        ),
        (
            lambda x: engine.split(x, 2, axis=1),
            ValueError,
            r"split: 3 elements along axis 1 do not make 2 equal parts \(got shape \(2, 3\)\)",
        ),
        (lambda x: engine.split(x, 0), ValueError, "split: .* do not make 0 equal parts"),
        (lambda x: engine.split(x, [2, 1]), ValueError, r"split: expected .* rising .*\[2, 1\]"),
        (lambda x: engine.split(x, 0.5), TypeError, "split: expected a number of parts .*0.5"),
        (lambda x: engine.split(x, 1, axis=2), ValueError, "split: axis 2 is out of bounds"),
        (lambda x: engine.unstack(x, -3), ValueError, "unstack: axis -3 is out of bounds"),
        (lambda x: engine.flip(x, 2), ValueError, "flip: axis 2 is out of bounds"),
        (lambda x: engine.roll(x, 0.5), TypeError, "roll: expected integer shift, got float64"),
        (lambda x: engine.roll(x, (1, 2, 3), (0, 1)), ValueError, "roll: "),
        (lambda x: engine.moveaxis(x, 0, 2), ValueError, "moveaxis: destination: axis 2 is out"),
        (lambda x: engine.moveaxis(x, (0, 1), 0), ValueError, "moveaxis: .*same number"),
        (lambda x: engine.permute_dims(x, None), TypeError, "permute_dims: "),
        (lambda x: engine.permute_dims(x, (0,)), ValueError, "permute_dims: axes don't match"),
        (lambda x: engine.repeat(x, -1), ValueError, "repeat: negative"),
        (lambda x: engine.repeat(x, 1.5), TypeError, "repeat: expected integer repeats"),
        (lambda x: engine.repeat(x, [1], 2), ValueError, "repeat: axis 2 is out of bounds"),
        (lambda x: engine.tile(x, -1), ValueError, r"tile: expected whole rep.*, got \[-1\]"),
        (lambda x: engine.tile(x, 1.5), ValueError, r"tile: expected whole rep.*, got \[1.5\]"),
        (lambda x: engine.pad(x, -1), ValueError, "pad: .*negative"),
        (lambda x: engine.pad(x, [(1, 1)] * 3), ValueError, r"pad: .*\(got x float32 \(2, 3\)"),
        (lambda x: engine.pad(x, 0.5), TypeError, "pad: expected integer pad_width"),
        (lambda x: engine.pad(x, {0: 1}), TypeError, "pad: expected integer pad_width"),
        (lambda x: engine.pad(x, 1, "mean"), ValueError, "pad: expected mode constant, .* 'mean'"),
        (lambda x: engine.pad(x, 1, constant_values=x), TypeError, "pad: expected a number"),
        (lambda x: engine.tril(x[0]), ValueError, "tril: expected at least 2 axes, got 1"),
        (lambda x: engine.triu(x[0]), ValueError, "triu: expected at least 2 axes, got 1"),
        (lambda x: engine.diagonal(x[0]), ValueError, "diagonal: .*two dimensions"),
        (lambda x: engine.diagonal(x, 0, 1, 1), ValueError, "diagonal: axis1 and axis2"),
        (lambda x: engine.broadcast_to(x, (2, 4)), ValueError, "broadcast_to: .*requested shape"),
        (
            lambda x: x[np.array([True, False, True])],
            IndexError,
            r"getitem: boolean index did not match .*is 2 .*is 3 \(got x .*, index bool \(3,\)\)",
        ),
        (lambda x: x[Tensor([0.5])], IndexError, "getitem: arrays used as indices must be"),
        (lambda x: x[0, 0, 0], IndexError, "getitem: too many indices"),
        (lambda x: x[[0, 2]], IndexError, "getitem: index 2 is out of bounds for axis 0 with"),
        (lambda x: engine.take(x, [0]), ValueError, "take: which axis .* of 2 axes"),
        (lambda x: engine.take(x, [3], 1), IndexError, "take: index 3 is out of bounds"),
        (lambda x: engine.take(x, [0.5], 1), TypeError, "take: expected integer indices"),
        (lambda x: engine.take(x, [0], 2), ValueError, "take: axis 2 is out of bounds"),
        (
            lambda x: engine.take_along_axis(x, np.array([0]), 0),
            ValueError,
            "take_along_axis: .*same number of dimensions",
        ),
        (
            lambda x: engine.take_along_axis(x, np.array([[2]]), 0),
            IndexError,
            "take_along_axis: index 2 is out of bounds",
        ),
        (lambda x: engine.one_hot([0, 3], 3), ValueError, "one_hot: .*from 0 to 2, got 0 to 3"),
        (lambda x: engine.one_hot([-1], 3), ValueError, "one_hot: .*from 0 to 2, got -1 to -1"),
        (lambda x: engine.one_hot(x, 3), TypeError, "one_hot: expected integer labels, got fl"),
        (lambda x: engine.one_hot([0], 2.5), TypeError, "one_hot: expected integer num_classes"),
        (lambda x: engine.one_hot([0], 2, "complex64"), TypeError, "one_hot: .*got complex64"),
        (
            lambda x: engine.var(x, axis=0, correction=2),
            ValueError,
            r"var: expected more than 2 elements .*\(got x float32 \(2, 3\), axis=0",
        ),
        (lambda x: engine.std(x[0, 0], correction=1), ValueError, "std: expected more than 1"),
        (lambda x: engine.prod(x, axis=(0, 0)), ValueError, "prod: duplicate"),
        (lambda x: engine.logsumexp(x, axis=2), ValueError, "logsumexp: axis 2 is out of"),
        (lambda x: engine.var(x, axis=(1, -1)), ValueError, "var: repeated axis"),
        (lambda x: engine.argmax(x, axis=(0, 1)), TypeError, "argmax: 'tuple' object"),
        (lambda x: engine.cumulative_sum(x), ValueError, "cumulative_sum: which axis .* 2 axes"),
        (lambda x: engine.cumulative_sum(x[0, 0]), ValueError, "cumulative_sum: .* of 0 axes"),
        (lambda x: engine.cumulative_sum(x, axis=2), ValueError, "cumulative_sum: axis 2 is out"),
    ],
)
def test_errors_name_the_operation_and_what_it_got(call, kind, message):
    x = Tensor(np.ones((2, 3), "float32"), requires_grad=True)
    with pytest.raises(kind, match=message):
        call(x)
