"""The tape: what it records, keeps and frees, and how it is walked."""

import gc
import threading
import weakref

import numpy as np
import pytest

import engine
from engine import Tensor, grad, no_grad, op


def leaf(values):
    return Tensor(values, requires_grad=True)


def test_gradients_accumulate_in_leaves_until_dropped():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    (3 * x).sum().backward()
    assert x.grad.numpy().tolist() == [5, 7]
    x.grad = None
    (3 * x).sum().backward()
    assert x.grad.numpy().tolist() == [3, 3]


def test_a_value_that_is_used_twice_gets_both_gradients():
    a = leaf(1.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4


def test_diamonds_are_linear_in_time():
    x = leaf(1.0)
    y = x
    for _ in range(64):  # path by path this would take 2 ** 64 steps
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**64


def test_deep_chains_neither_recurse_on_the_way_back_nor_when_dropped():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1
    y = x
    for _ in range(20_000):
        y = y * 1.0
    del y


def test_gradients_are_nobody_elses_memory():
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = np.array([1.0, 1.0], "float32")
    (a + b).backward(seed)
    a.grad.data *= 10
    assert b.grad.numpy().tolist() == [1, 1]
    assert seed.tolist() == [1, 1]
    a.grad = None
    a.backward(seed)
    a.grad.data *= 10
    assert seed.tolist() == [1, 1]
    w = leaf(np.ones((2, 3)))
    w.reshape(6).backward(np.ones(6))
    assert w.grad.data.base is None
    w.grad = None
    engine.sum(w).backward(create_graph=True)
    assert w.grad.data.flags.writeable


def test_an_incoming_gradient_is_never_written_to():
    x = leaf([1.0, 2.0])
    y = x * 1.0
    seed = np.array([1.0, 2.0], "float32")
    (y + y + y + y).backward(seed)  # the gradients of y are summed in place
    assert seed.tolist() == [1, 2]
    assert x.grad.numpy().tolist() == [4, 8]


def graphs_that_are_dropped():
    """Make graphs and drop them, after backward or without; returns weak references into them."""
    x = leaf(np.ones((3, 3)))
    y = engine.softmax(engine.exp(engine.tanh(x @ x)))
    used = [weakref.ref(y)]
    loss = engine.sum(y * y)
    del y
    loss.backward()
    z = engine.exp(x)
    return [*used, weakref.ref(z), weakref.ref(z.data)]


def test_a_graph_is_freed_without_the_garbage_collector():
    graphs_that_are_dropped()  # what is made once, such as compiled kernels, is made here
    gc.collect()
    gc.disable()
    try:
        assert [reference() for reference in graphs_that_are_dropped()] == [None] * 3
        assert gc.collect() == 0
    finally:
        gc.enable()


def saved_bytes(tensor):
    return sum(v.nbytes for v in tensor.node.saved or () if isinstance(v, np.ndarray))


def test_the_tape_keeps_only_what_a_live_formula_mentions():
    x, w = leaf(np.ones(100, "float32")), leaf(np.ones(100, "float32"))
    c = Tensor(np.ones(100, "float32"))
    assert saved_bytes(x + w) == 0
    assert saved_bytes(x * c) == 400
    assert saved_bytes(c * x) == 400
    assert saved_bytes(x * w) == 800
    assert saved_bytes(engine.sum(x)) == 0
    y = engine.exp(x)
    assert y.node.saved[0] is y.data
    assert (c * c).node is None


def test_backward_frees_unless_told_to_keep():
    x = leaf(2.0)
    y = engine.exp(x * x)
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.item(), 2 * 4 * np.exp(4), rtol=1e-6)
    with pytest.raises(ValueError, match="has been used and what it saved is freed"):
        y.backward()


def test_backward_on_what_has_no_gradient_is_an_error():
    with pytest.raises(ValueError, match="nothing that requires a gradient"):
        Tensor(1.0).backward()
    with no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(ValueError, match="nothing that requires a gradient"):
        y.backward()
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"shape \(2,\) has no single gradient"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"gradient of the Tensor's shape \(2,\), got \(3,\)"):
        (x * 2).backward(np.ones(3))


def test_what_a_loss_does_not_depend_on_is_left_alone():
    x, idle = leaf([1.0, 2.0]), leaf([5.0])
    engine.sum(x * x).backward()
    assert idle.grad is None
    assert grad(engine.sum(x * x), [x, idle])[1].numpy().tolist() == [0]


def test_the_tape_holds_the_arrays_themselves():
    x = leaf([1.0, 2.0])
    y = engine.sum(x * x)
    x.data[...] = [10, 20]
    y.backward()
    assert x.grad.numpy().tolist() == [20, 40], "the documented rule: backward sees the new numbers"


def test_grad_of_intermediates_lists_and_unused_inputs():
    x, unused = leaf([1.0, 2.0]), leaf([5.0])
    y = x * x
    z = engine.sum(y * 3)
    dx, dy, du = grad(z, [x, y, unused])
    assert dx.numpy().tolist() == [6, 12]
    assert dy.numpy().tolist() == [3, 3]
    assert du.numpy().tolist() == [0]
    assert x.grad is None
    y = x * x
    assert grad([engine.sum(y), y], x, [None, np.array([1.0, 0.0])]).numpy().tolist() == [4, 4]
    y = x * 2
    assert grad([y, y], x, [np.ones(2), np.ones(2)]).numpy().tolist() == [4, 4]
    with pytest.raises(ValueError, match="input 0 does not require a gradient"):
        grad(engine.sum(x), Tensor([1.0]))
    with pytest.raises(ValueError, match="one of grad_outputs per output, 2, got 1"):
        grad([y, y], x, [np.ones(2)])


def test_grad_runs_no_formula_that_leads_nowhere():
    calls = []

    @op(lambda g: calls.append("x") or g, lambda g: calls.append("y") or g)
    def both(x, y):
        return x + y

    x, y = leaf(1.0), leaf(2.0)
    grad(both(x, y * 1.0), x)
    assert calls == ["x"]


def test_derivatives_of_any_order():
    x = leaf(np.array(0.7))
    y = engine.sum(x**5)
    for expected in (5 * 0.7**4, 20 * 0.7**3, 60 * 0.7**2, 120 * 0.7, 120.0):
        y = grad(y, x, create_graph=True)
        np.testing.assert_allclose(y.item(), expected, rtol=1e-12)


def test_create_graph_leaves_gradients_that_can_be_differentiated():
    x = leaf(np.array([1.0, 2.0]))
    engine.sum(x**3).backward(create_graph=True)
    assert x.grad.requires_grad
    second = grad(engine.sum(x.grad * x.grad), x)
    np.testing.assert_allclose(second.numpy(), 2 * 3 * np.array([1, 4.0]) * 6 * np.array([1, 2.0]))


def test_no_grad_and_enable_grad_nest_and_decorate():
    x = leaf(1.0)

    @no_grad()
    def f(inside):
        return inside()

    assert not f(lambda: x * 2).requires_grad
    with no_grad():
        assert not (x * 2).requires_grad
        with engine.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with pytest.raises(RuntimeError, match="inside"), no_grad():
        raise RuntimeError("inside")
    assert (x * 2).requires_grad


def test_no_grad_is_per_thread():
    x = leaf(1.0)
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_with_their_own_graphs_get_their_own_gradients():
    results = {}

    def work(number):
        x = leaf(np.full(50, float(number)))
        for _ in range(200):
            x.grad = None
            engine.sum(engine.exp(x / 10.0) * x).backward()
        results[number] = x.grad.numpy()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, gradient in results.items():
        expected = np.exp(number / 10) * (1 + number / 10)
        np.testing.assert_allclose(gradient, expected, rtol=1e-12)


def test_origin_is_kept_recorded_or_not():
    x = Tensor([[1.0, 2.0]])
    with no_grad():
        y = engine.softmax(x)
    assert y.origin[0] is engine.softmax
    assert y.origin[1][0] is x


def test_a_users_own_op():
    @op(lambda g, x: g * 3 * x**2)
    def cube(x):
        """x * x * x"""
        return x**3

    x = leaf(np.array([1.0, 2.0]))
    engine.sum(cube(x)).backward()
    assert x.grad.numpy().tolist() == [3, 12]
    assert cube.__doc__ == "x * x * x"
    assert engine.gradgradcheck(cube, [np.array([1.0, -2.0])])
    assert cube(np.array([2.0])).tolist() == [8]


def test_grad_leaves_what_it_did_not_walk_through():
    x = leaf(np.array([1.0, 2.0]))
    y = x * x
    assert grad(engine.sum(3 * y), y).numpy().tolist() == [3, 3]
    engine.sum(y).backward()  # from y on nothing was used
    assert x.grad.numpy().tolist() == [2, 4]


def test_grad_through_a_freed_graph_is_an_error_and_not_zero():
    x, w = leaf(np.array([1.0, 2.0])), leaf(3.0)
    y = x * x
    engine.sum(y).backward()
    with pytest.raises(ValueError, match="has been used and what it saved is freed"):
        grad(engine.sum(y * w), x)
    z = y * w
    assert grad(engine.sum(z * z), z).numpy().tolist() == [6, 24]
    assert grad(engine.sum(y * y), y).numpy().tolist() == [2, 8]
