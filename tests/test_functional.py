"""Derivatives of functions: against formulas and finite differences, and nested."""

import gc
import threading
import weakref

import numpy as np
import pytest

import engine
from engine import Tensor, grad, gradgradcheck, no_grad
from engine.ops.shape import stack


def leaf(values):
    return Tensor(np.asarray(values, float), requires_grad=True)


X = np.array([0.5, -1.0, 2.0])
A = np.arange(9.0).reshape(3, 3) / 3


def quadratic(x):
    return engine.sum(x * (A @ x))


def cubic(x):
    return engine.sum(x**3)


# ------------------------------------------------------------------------------ value_and_grad


@pytest.mark.parametrize("make", [np.array, Tensor, leaf], ids=["array", "Tensor", "leaf"])
def test_value_and_grad_of_any_kind_of_input(make):
    x = make(X)
    value, gradient = engine.value_and_grad(cubic)(x)
    np.testing.assert_allclose(value.item(), (X**3).sum())
    np.testing.assert_allclose(gradient, 3 * X**2)
    if make is not np.array:
        assert x.grad is None
        assert x.requires_grad == (make is leaf)
    # What depends on nothing that requires a gradient is not recorded, like any operation.
    assert value.requires_grad == gradient.requires_grad == (make is leaf)


def test_value_and_grad_takes_float32_numbers_and_lists():
    value, gradient = engine.value_and_grad(lambda x: x * x)(3.0)
    assert (value.item(), gradient.item(), gradient.dtype) == (9, 6, np.float32)
    _, gradient = engine.value_and_grad(cubic)([1.0, 2.0])
    assert gradient.numpy().tolist() == [3, 12]


def test_value_and_grad_chooses_arguments():
    def f(x, y, scale=1.0):
        return engine.sum(x * y) * scale

    y = 10 * X
    (_, g0) = engine.value_and_grad(f)(X, y, scale=2.0)
    np.testing.assert_allclose(g0, 2 * y)
    _, (g1, g0) = engine.value_and_grad(f, argnums=(-1, 0))(X, y)
    np.testing.assert_allclose(g1, X)
    np.testing.assert_allclose(g0, y)
    _, (g,) = engine.value_and_grad(f, argnums=[1])(X, y)
    np.testing.assert_allclose(g, X)
    # An argument that is not differentiated may be anything.
    engine.value_and_grad(lambda x, how: how(x))(X, engine.sum)


def test_an_argument_that_is_not_used_gets_zeros():
    _, (gx, gy) = engine.value_and_grad(lambda x, y: engine.sum(x), argnums=(0, 1))(X, X)
    assert gx.numpy().tolist() == [1, 1, 1]
    assert gy.numpy().tolist() == [0, 0, 0]


def test_only_the_argument_is_differentiated_not_another_use_of_the_same_tensor():
    x = leaf(X)
    _, gradient = engine.value_and_grad(lambda t: engine.sum(t * x))(x)
    np.testing.assert_allclose(gradient.numpy(), X)


def test_a_derivative_is_recorded_when_it_depends_on_what_requires_a_gradient():
    w = leaf(X)
    _, gradient = engine.value_and_grad(lambda x: engine.sum((x * w) ** 2))(2 * X)  # 2 x w^2
    engine.sum(gradient).backward()
    np.testing.assert_allclose(w.grad.numpy(), 4 * (2 * X) * X)
    w.grad = None
    x = leaf(X)
    value, gradient = engine.value_and_grad(cubic)(x)
    (value + engine.sum(gradient)).backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * X**2 + 6 * X)
    with no_grad():
        value, gradient = engine.value_and_grad(lambda x: engine.sum(x * w))(x)
    np.testing.assert_allclose(gradient.numpy(), X)
    assert not value.requires_grad
    assert not gradient.requires_grad


# ----------------------------------------------------------------------------------- vjp, jvp


def pair(x, y):
    return engine.exp(x) * y, engine.sum(x * y)


def test_vjp_of_several_arguments_and_results():
    y = X[::-1].copy()
    values, pullback = engine.vjp(pair, X, y)
    np.testing.assert_allclose(values[0], np.exp(X) * y)
    np.testing.assert_allclose(values[1], (X * y).sum())
    c = np.array([1.0, -2.0, 3.0])
    for _ in range(2):  # it can be called again
        gx, gy = pullback((c, 0.5))
        np.testing.assert_allclose(gx.numpy(), c * np.exp(X) * y + 0.5 * y)
        np.testing.assert_allclose(gy.numpy(), c * np.exp(X) + 0.5 * X)


def test_jvp_of_several_arguments_and_results():
    y = X[::-1].copy()
    u, v = np.array([1.0, -2.0, 3.0]), np.array([0.5, 0.0, -1.0])
    values, tangents = engine.jvp(pair, (X, y), (u, Tensor(v)))
    np.testing.assert_allclose(values[0], np.exp(X) * y)
    np.testing.assert_allclose(tangents[0], np.exp(X) * (y * u + v))
    np.testing.assert_allclose(tangents[1], (u * y + X * v).sum())
    assert not tangents[0].requires_grad
    value, tangent = engine.jvp(engine.softmax, (X,), (u,))
    p = np.exp(X) / np.exp(X).sum()
    np.testing.assert_allclose(value, p)
    np.testing.assert_allclose(tangent, p * (u - (p * u).sum()))


def test_jvp_of_what_does_not_change_along_the_tangent_is_zero():
    _, tangents = engine.jvp(
        lambda x, y: (engine.sum(x), engine.sum(y), Tensor(7.0)), (X, X), (X, 0 * X)
    )
    assert [t.item() for t in tangents] == [1.5, 0, 0]


def test_vjp_and_jvp_are_adjoint_and_are_differentiated_themselves():
    def f(x):
        return engine.tanh(A @ x)

    u, c = np.array([1.0, -2.0, 3.0]), np.array([0.5, 1.0, -1.0])
    pushed = engine.jvp(f, (X,), (u,))[1]
    (pulled,) = engine.vjp(f, X)[1](c)
    np.testing.assert_allclose(c @ pushed.numpy(), pulled.numpy() @ u)
    assert gradgradcheck(lambda x, u: engine.jvp(f, (x,), (u,))[1], [X, u])
    assert gradgradcheck(lambda x, c: engine.vjp(f, x)[1](c)[0], [X, c])


# ------------------------------------------------------------------- jacobian, hessian and hvp


def test_jacobian_of_any_shapes():
    x = np.arange(6.0).reshape(2, 3) / 7
    sines = engine.jacobian(lambda t: engine.exp(t), x)
    expected = np.zeros((2, 3, 2, 3))
    for i in np.ndindex(2, 3):
        expected[(*i, *i)] = np.exp(x[i])
    np.testing.assert_allclose(sines, expected)
    few = engine.jacobian(lambda t: engine.sum(t**2, axis=1), x)  # by rows: 2 of them
    np.testing.assert_allclose(few, np.eye(2)[:, :, None] * 2 * x)
    many = engine.jacobian(lambda t: t[:, None] * np.ones(4), X[:2])  # by columns: 2 of them
    np.testing.assert_allclose(many, np.ones((1, 4, 1)) * np.eye(2)[:, None])
    assert engine.jacobian(engine.sum, X).shape == (3,)
    assert engine.jacobian(lambda t: t * X, np.float64(2)).numpy().tolist() == X.tolist()
    assert engine.jacobian(lambda t: t[:0], X).shape == (0, 3)
    assert engine.jacobian(lambda t: t * 2, X[:0]).shape == (0, 0)


def test_hessian_and_hvp():
    v = np.array([1.0, -2.0, 3.0])
    np.testing.assert_allclose(engine.hessian(quadratic, X), A + A.T)
    np.testing.assert_allclose(engine.hvp(quadratic, X, v), (A + A.T) @ v)
    np.testing.assert_allclose(engine.hessian(cubic, X), np.diag(6 * X))
    assert engine.hessian(engine.sum, X).numpy().tolist() == np.zeros((3, 3)).tolist()
    assert engine.hvp(engine.sum, X, v).numpy().tolist() == [0, 0, 0]
    x = np.arange(4.0).reshape(2, 2)
    assert engine.hessian(cubic, x).shape == (2, 2, 2, 2)
    w = leaf(X)
    assert not np.any(engine.hessian(lambda x: engine.sum(w * x), X).numpy())


def test_they_nest_to_any_order():
    def derivative(f):
        return lambda x: engine.value_and_grad(f)(x)[1]

    def f(x):
        return x**5

    for expected in (5 * 0.7**4, 20 * 0.7**3, 60 * 0.7**2, 120 * 0.7, 120.0):
        f = derivative(f)
        np.testing.assert_allclose(f(np.array(0.7)), expected, rtol=1e-12)
    third = engine.jacobian(lambda x: engine.hessian(cubic, x), X)
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 6
    np.testing.assert_allclose(third, expected)
    assert gradgradcheck(lambda x: engine.hessian(cubic, x), X)
    assert gradgradcheck(lambda x, v: engine.hvp(lambda t: engine.sum(t**4), x, v), [X, X])


def test_inside_no_grad_they_work_and_are_not_recorded():
    x, w = leaf(X), leaf(X)
    with no_grad():
        for result in (
            engine.jacobian(lambda t: t * w, x),
            engine.hessian(lambda t: engine.sum(t**2 * w), x),
            engine.hvp(lambda t: engine.sum(t**2 * w), x, w),
            engine.jvp(lambda t: t * w, (x,), (w,))[1],
            engine.vjp(lambda t: t * w, x)[1](X)[0],
        ):
            assert not result.requires_grad
            assert np.any(result.numpy())
    assert x.grad is None
    assert w.grad is None


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (
            lambda: engine.value_and_grad(engine.exp)(X),
            ValueError,
            r"one element, got shape \(3,\)",
        ),
        (
            lambda: engine.value_and_grad(engine.sum)(np.arange(3)),
            TypeError,
            "floats as argument 0, got int64",
        ),
        (
            lambda: engine.value_and_grad(engine.sum, 1)(X),
            ValueError,
            "no argument 1, the function got 1",
        ),
        (
            lambda: engine.value_and_grad(lambda x: (x, x))(1.0),
            TypeError,
            "value_and_grad: .*one result, got a tuple",
        ),
        (
            lambda: engine.value_and_grad(lambda x: 1.0)(1.0),
            TypeError,
            "returns Tensors, got float",
        ),
        (
            lambda: engine.value_and_grad(lambda x: x.detach())(1.0),
            ValueError,
            "value_and_grad: the result is not computed",
        ),
        (
            lambda: engine.hessian(lambda x: x.detach(), 1.0),
            ValueError,
            "hessian: the result is not computed from the arguments",
        ),
        (lambda: engine.hvp(engine.exp, X, X), ValueError, r"hvp: .*one element, got shape"),
        (
            lambda: engine.jacobian(lambda x: (x, x), X),
            TypeError,
            "jacobian: expected a function with one",
        ),
        (lambda: engine.vjp(pair, X, X)[1](X), ValueError, "vjp: expected a tuple of 2 gradients"),
        (
            lambda: engine.vjp(engine.exp, X)[1](X[:2]),
            ValueError,
            r"vjp: expected a gradient of shape \(3,\), got \(2,\)",
        ),
        (
            lambda: engine.hvp(cubic, X, X[:2]),
            ValueError,
            r"hvp: expected a gradient of shape \(3,\), got \(2,\)",
        ),
        (lambda: engine.jvp(engine.exp, X, X), TypeError, "jvp: expected a tuple of primals"),
        (
            lambda: engine.jvp(engine.exp, (X,), (X[:2],)),
            ValueError,
            r"tangents of the primals' shapes \[\(3,\)\], got \[\(2,\)\]",
        ),
    ],
)
def test_mistakes_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


# ---------------------------------------------------------------------------------- checkpoint


def gradients(f, *leaves):
    for x in leaves:
        x.grad = None
    y = f()
    y.backward()
    return [y.numpy(), *(x.grad.numpy() for x in leaves)]


def same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_checkpoint_changes_no_number_and_finds_what_the_function_refers_to():
    x, w, b = leaf(X), leaf(A), leaf(X)
    for early in (False, True):

        def layer(h):
            return engine.tanh(w @ h + b)

        def model(run, early=early):
            scaled = x * 2.0  # not a leaf, and used inside
            h = run(lambda h: layer(h) * scaled, scaled if early else x)
            return engine.sum(run(layer, h) * scaled)

        plain = gradients(lambda: model(lambda f, *args: f(*args)), x, w, b)
        same(gradients(lambda: model(engine.checkpoint), x, w, b), plain)


def test_checkpoint_of_arguments_one_of_which_is_computed_from_another():
    x = leaf(X)

    def f(h, x):
        return engine.sum(h * x)

    same(
        gradients(lambda: engine.checkpoint(f, engine.exp(x), x), x),
        gradients(lambda: f(engine.exp(x), x), x),
    )


def test_checkpoint_with_several_results_of_several_kinds():
    x, z = leaf(X), Tensor(X, dtype="float32", requires_grad=True)
    count = []

    def f(x, z):
        count.append(1)
        y = x * x
        return y, engine.exp(z), y, x, engine.argmax(x), None, x.reshape(1, 3)

    y, e, again, same_x, where, nothing, row = engine.checkpoint(f, x, z)
    assert (e.dtype, y.dtype, row.shape) == (np.float32, np.float64, (1, 3))
    assert where.item() == 2
    assert nothing is None
    np.testing.assert_allclose(e.numpy(), np.exp(X), rtol=1e-6)
    c = np.array([1.0, 2.0, 3.0])
    loss = engine.sum(y * c) + engine.sum(e) + engine.sum(again) + engine.sum(same_x * row)
    loss.backward()
    assert len(count) == 2  # once more for all of the results
    np.testing.assert_allclose(x.grad.numpy(), 2 * X * c + 2 * X + 2 * X)
    np.testing.assert_allclose(z.grad.numpy(), np.exp(X), rtol=1e-6)
    assert type(engine.checkpoint(lambda x: [x, x], x)) is list


def test_checkpoint_keeps_nothing_but_its_arguments():
    x, w = leaf(np.ones((50, 50))), leaf(np.ones((50, 50)))
    made = []

    def f(x):
        h = x
        for _ in range(5):
            h = engine.tanh(h @ w)
            made.append(weakref.ref(h.data))
        return h

    y = engine.checkpoint(f, x)
    assert [ref() for ref in made] == [None] * 4 + [y.data]
    saved, stack = [], [y.node]
    while stack:
        node = stack.pop()
        stack += node.parents
        saved += [v for v in (node.saved or ()) if isinstance(v, np.ndarray)] if node.step else []
    assert saved == []
    engine.sum(y).backward()
    assert x.grad is not None
    assert sum(ref() is not None for ref in made) <= 1


def test_checkpoint_to_second_order():
    w = leaf(A)

    def f(x, w):
        return engine.tanh(w @ x) * x

    assert gradgradcheck(lambda x, w: engine.checkpoint(f, x, w), [X, A])
    assert gradgradcheck(lambda x, w: engine.checkpoint(lambda x: f(x, w), x), [X, A])
    assert gradgradcheck(lambda x: engine.checkpoint(lambda x: (f(x, w), x * x), x), X)
    x = leaf(X)
    y = engine.sum(engine.checkpoint(f, x, w))
    slope = grad(y, x, create_graph=True)
    mixed = grad(engine.sum(slope), w)
    expected = grad(engine.sum(grad(engine.sum(f(x, w)), x, create_graph=True)), w)
    np.testing.assert_allclose(mixed.numpy(), expected.numpy())


def test_checkpoints_nest():
    x, w = leaf(X), leaf(A)

    def inner(h):
        return engine.tanh(w @ h)

    def outer(run):
        return lambda h: run(inner, run(inner, h) * x) + w[0]

    def model(run):
        return engine.sum(run(outer(run), x * 2.0))

    plain = gradients(lambda: model(lambda f, *args: f(*args)), x, w)
    same(gradients(lambda: model(engine.checkpoint), x, w), plain)
    assert gradgradcheck(lambda x: engine.checkpoint(outer(engine.checkpoint), x), X)


def test_checkpoint_runs_only_the_formulas_that_are_asked_for():
    calls = []

    @engine.op(lambda g: calls.append("x") or g, lambda g: calls.append("y") or g)
    def both(x, y):
        return x + y

    x, y = leaf(1.0), leaf(2.0)
    grad(engine.checkpoint(both, x, y), x)
    assert calls == ["x"]


def test_checkpoint_can_be_walked_twice_and_a_freed_one_says_so():
    x = leaf(X)
    y = engine.sum(engine.checkpoint(engine.exp, x))
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(X))
    with pytest.raises(ValueError, match="has been used"):
        y.backward()


def test_checkpoint_draws_the_same_numbers_again():
    def dropout(x):
        return x * engine.random.bernoulli(x.shape, 0.5) * 2.0

    x = leaf(np.ones(100))
    engine.seed(3)
    plain = [*gradients(lambda: engine.sum(dropout(x)), x), engine.random.normal((3,)).numpy()]
    engine.seed(3)
    x.grad = None
    y = engine.checkpoint(dropout, x)
    following = engine.random.normal((3,)).numpy()
    engine.random.normal((7,))  # whatever is drawn between the two
    before = engine.random.state()
    engine.sum(y).backward()
    assert engine.random.state() == before
    same([engine.sum(y).numpy(), x.grad.numpy(), following], plain)
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_checkpoint_draws_the_same_numbers_again_though_other_threads_draw():
    stop = threading.Event()

    def noise():
        while not stop.is_set():
            engine.random.normal((10,))

    def dropout(x):
        for _ in range(20):
            x = x * engine.random.uniform(x.shape, 0.5, 1.5)
        return x

    thread = threading.Thread(target=noise)
    thread.start()
    try:
        x = leaf(np.ones(5))
        for _ in range(10):
            x.grad = None
            y = engine.checkpoint(dropout, x)
            y.backward(np.ones(5))
            np.testing.assert_allclose(x.grad.numpy(), y.numpy())
    finally:
        stop.set()
        thread.join()


def test_checkpoint_without_recording_just_runs():
    x = leaf(X)
    with no_grad():
        y = engine.checkpoint(engine.exp, x)
    assert not y.requires_grad
    assert not engine.checkpoint(engine.exp, Tensor(X)).requires_grad
    assert engine.checkpoint(engine.exp, X).tolist() == np.exp(X).tolist()


def test_checkpoint_is_freed_without_the_garbage_collector():
    x = leaf(X)

    def run(use):
        y = engine.checkpoint(lambda x: (engine.exp(x), x * x), x)
        if use:
            engine.sum(y[0] + y[1]).backward()
        return weakref.ref(y[0].node), weakref.ref(y[0].data)

    run(True)
    gc.collect()
    gc.disable()
    try:
        for use in (False, True):
            assert [ref() for ref in run(use)] == [None, None]
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_chain_of_checkpoints_is_linear():
    x = leaf(X)
    visits = []

    @engine.op(lambda g: visits.append(1) or g)
    def increment(x):
        return x + 1.0

    y = x
    for _ in range(300):
        y = engine.checkpoint(increment, y)
    engine.sum(y).backward(retain_graph=True)
    assert len(visits) == 300
    assert x.grad.numpy().tolist() == [1, 1, 1]
    second = grad(engine.sum(engine.checkpoint(engine.exp, y)), x, create_graph=True)
    np.testing.assert_allclose(second.numpy(), np.exp(X + 300))


def test_grad_does_not_look_below_what_is_wanted():
    x = leaf(X)
    below = x * 2.0
    y = below * 3.0 * 4.0
    del below.node.parents  # so that looking at them is an error
    assert grad(engine.sum(y * y), y).shape == (3,)
    with pytest.raises(AttributeError):
        grad(engine.sum(y * y), x)


def test_a_function_that_does_something_else_when_run_again_is_an_error():
    x, weights = leaf(X), iter([leaf(X), leaf(X)])
    y = engine.checkpoint(lambda x: x * next(weights), x)
    with pytest.raises(ValueError, match="checkpoint: the function used other Tensors"):
        engine.sum(y).backward()
    lengths = iter([2, 3])
    y = engine.checkpoint(lambda x: x[: next(lengths)] * 1.0, x)
    with pytest.raises(ValueError, match="gave other shapes"):
        engine.sum(y).backward()


def test_errors_inside_a_checkpoint_pass_through():
    with pytest.raises(ValueError, match="matmul"):
        engine.checkpoint(lambda x: A[:2] @ (A[:2] @ x), leaf(X))


def test_a_jacobian_with_respect_to_few_of_many_columns_stacks_in_order():
    x = leaf(X)
    result = engine.jacobian(lambda t: stack([t[0] * t[1], t[2] * x[0]]), x)
    np.testing.assert_allclose(result.numpy(), [[X[1], X[0], 0], [0, 0, X[0]]])
    engine.sum(result).backward()
    np.testing.assert_allclose(x.grad.numpy(), [2, 1, 0])
