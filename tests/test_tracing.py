"""Looking into the tape: hooks on gradients, where a nan comes from, the graph as a picture."""

import inspect
import shutil
import threading

import numpy as np
import pytest

import engine
from engine import AnomalyError, Tensor, detect_anomaly, grad


def leaf(values):
    return Tensor(values, requires_grad=True)


# ---------------------------------------------------------------------------------- hooks


def test_hooks_see_and_replace_gradients_of_leaves_and_results():
    x = leaf([1.0, 2.0])
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.numpy().tolist()))
    y.register_hook(lambda g: g * 10)
    z = engine.sum(y * y) + engine.sum(y)
    x.register_hook(lambda g: seen.append(g.numpy().tolist()))
    z.backward()
    assert seen == [[7, 13], [210, 390]]
    assert x.grad.numpy().tolist() == [210, 390]


def test_a_hook_counts_for_grad_and_can_be_taken_away():
    x = leaf([1.0, 2.0])
    y = x * 3
    remove = y.register_hook(lambda g: g * 10)
    assert grad(engine.sum(y), [x, y])[1].numpy().tolist() == [10, 10]
    y = x * 3
    remove = y.register_hook(lambda g: g * 10)
    remove()
    remove()
    assert grad(engine.sum(y), x).numpy().tolist() == [3, 3]


def test_a_hook_is_part_of_the_graph_when_there_is_one():
    x = leaf(np.array([2.0]))
    y = x * x
    y.register_hook(lambda g: g * g)
    (first,) = [grad(engine.sum(3 * y), x, create_graph=True)]
    np.testing.assert_allclose(first.numpy(), [9 * 4])
    np.testing.assert_allclose(grad(engine.sum(first), x).numpy(), [9 * 2])


def test_errors_of_hooks():
    with pytest.raises(ValueError, match="register_hook: this Tensor does not require a gradient"):
        Tensor([1.0]).register_hook(print)
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: g[:1])
    with pytest.raises(ValueError, match=r"the hook to return float32 of shape \(2,\), got .*\(1,"):
        engine.sum(x).backward()


# --------------------------------------------------------------------------------- anomalies


def here():
    """The line that called this, as AnomalyError names it."""
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def test_the_first_operation_that_makes_a_nan_is_named_with_the_line():
    x = leaf([1.0, -1.0])
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        y = x * 2
        line = here().rpartition(":")
        z = engine.log(y)
        engine.sum(z)
    expected = f"log made the first nan, called at {line[0]}:{int(line[2]) + 1}"
    assert str(caught.value) == expected


def test_an_anomaly_on_the_way_back_names_the_recorded_operation_too():
    x = leaf([0.0, 4.0])
    with detect_anomaly():
        line = here().rpartition(":")
        y = engine.sqrt(x)
        with (
            np.errstate(divide="ignore"),
            pytest.raises(
                AnomalyError, match=r"divide made the first inf, .* gradient of sqrt"
            ) as e,
        ):
            engine.sum(y).backward()
    assert str(e.value).endswith(f"recorded at {line[0]}:{int(line[2]) + 1}")


@pytest.mark.parametrize("row", [engine.dense, engine.dense_relu])
def test_an_anomaly_among_gradients_that_are_computed_together_is_seen(row):
    x, kernel = (leaf(np.full(*given, "float32")) for given in (((2, 3), 1e-20), ((3, 4), 1e30)))
    with detect_anomaly():
        out = row(x, kernel, np.zeros(4, "float32"))
        with pytest.raises(AnomalyError, match=f"matmul_rows made .* gradient of {row.__name__},"):
            out.backward(np.full((2, 4), 1e20))
    out.backward(np.full((2, 4), 1e20), retain_graph=True)
    assert np.isinf(x.grad.data).all()


def test_what_only_passes_a_nan_on_is_not_blamed_and_nothing_is_left_behind():
    x = leaf([np.nan, 1.0])
    with detect_anomaly():
        engine.sum(engine.exp(x * 2)).backward()
        with detect_anomaly(), pytest.raises(AnomalyError, match="exp made the first inf"):
            engine.exp(leaf([1e9]))
        with pytest.raises(AnomalyError, match="exp made the first inf"):
            engine.exp(leaf([1e9]))
    assert np.isinf(engine.exp(leaf([1e9])).numpy()).all()
    assert type((x * 2).node) is engine.recorder.Node


# ------------------------------------------------------------------------------------ picture


def test_the_graph_as_graphviz_text():
    x = leaf(np.ones((2, 3), "float32"))
    w = leaf(np.ones((3, 4)))
    text = engine.graph.to_dot(engine.sum(engine.exp(x) @ w))
    assert text.startswith("digraph {\n")
    for part in (
        r'label="leaf\nfloat32 (2, 3)", shape=ellipse',
        r'label="exp\nfloat32 (2, 3)\nkeeps out (24 B)", shape=box',
        r'label="cast\nfloat64 (2, 3)", shape=box',
        r'label="matmul_rows\nfloat64 (2, 4)\nkeeps y (96 B), x (48 B)", shape=box',
        r'label="sum\nfloat64 ()", shape=box',
    ):
        assert part in text, text
    assert text.count(" -> ") == 5
    with pytest.raises(ValueError, match=r"to_dot: .* nothing that requires a gradient"):
        engine.graph.to_dot(Tensor(1.0))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_the_picture_renders():
    graphviz = pytest.importorskip("graphviz", reason="graphviz, an extra, is not installed")
    x = leaf(np.ones(3))
    drawn = graphviz.Source(engine.graph.to_dot(engine.sum(x * x))).pipe("svg").decode()
    for part in ("leaf", "multiply", "keeps y (24 B), x (24 B)", "sum"):
        assert part in drawn


# --------------------------------------------------------------------- what the tape costs


def test_memory_is_flat_over_ten_thousand_steps_without_the_garbage_collector():
    import gc
    import tracemalloc

    w = leaf(np.ones((8, 8)))
    x = np.ones((4, 8))

    def step():
        engine.mean(engine.square(engine.tanh(x @ w))).backward()
        w.grad = None

    for _ in range(2_000):  # until the interpreter's free lists are full
        step()
    gc.collect()
    gc.disable()
    try:
        tracemalloc.start()
        for _ in range(2_000):
            step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10_000):
            step()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    finally:
        gc.enable()
    assert after - before < 10_000


def test_anomalies_and_hooks_do_not_disturb_other_threads():
    x = leaf([1.0])
    results = []

    def work():
        for _ in range(100):
            results.append(grad(engine.sum(engine.exp(x)), x).item())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        with detect_anomaly():
            engine.exp(leaf([1.0]))
    for thread in threads:
        thread.join()
    assert len(results) == 300
    np.testing.assert_allclose(results, np.e, rtol=1e-6)
