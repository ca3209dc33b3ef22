"""Module: what hangs on it, freezing, hooks, regularization, dtype, tied weights, state."""

import copy

import numpy as np
import pytest

import engine
import nn
from engine import Tensor


def net(**dense):
    return nn.Sequential(
        [
            nn.Dense(4, activation="relu", input_shape=(3,), **dense),
            nn.Sequential([nn.Dense(5), nn.Tanh()]),
            nn.Dense(2),
        ]
    )


def total_squares(x):
    return engine.sum(x * x)


# ------------------------------------------------------------------------------------ freezing


def test_a_frozen_module_and_what_is_in_it_get_no_update():
    model = net()
    model.ensure_built()
    model.layers[1].trainable = False
    assert not model.layers[1].layers[0].trainable
    assert [p.shape for p in model.trainable_parameters()] == [(3, 4), (4,), (5, 2), (2,)]
    before = model.state_dict()
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3), "float32"), np.eye(4, 2, dtype="float32"), epochs=2, verbose=0)
    for path, array in model.state_dict().items():
        assert (array == before[path]).all() == path.startswith("layers.1.")
    assert model.layers[1].layers[0].kernel.grad is None
    model.trainable = False  # the optimizer knows the parameters already
    before = model.state_dict()
    model.layers[2].trainable = True
    model.fit(np.ones((4, 3), "float32"), np.eye(4, 2, dtype="float32"), verbose=0)
    np.testing.assert_array_equal(model.layers[0].kernel.numpy(), before["layers.0.kernel"])
    model.trainable = True
    assert len(model.trainable_parameters()) == len(model.parameters()) == 6


def test_freezing_reaches_weights_that_are_made_later():
    model = nn.Sequential([nn.Dense(4), nn.Dense(2)])
    model.trainable = False
    model.layers[-1].trainable = True
    model(np.ones((1, 3), "float32"))
    assert [p.shape for p in model.trainable_parameters()] == [(4, 2), (2,)]
    assert [p.shape for p in model.parameters()] == [(4, 2), (2,)]
    model.trainable = True
    assert [p.shape for p in model.trainable_parameters()] == [(3, 4), (4,), (4, 2), (2,)]


def test_freezing_leaves_buffers_buffers_and_counts_for_shared_tensors():
    class Block(nn.Module):
        def __init__(self, weight):
            self.weights = [weight, Tensor([1.0])]

    shared = Tensor([2.0], requires_grad=True)
    pair = nn.Module()
    pair.one, pair.other = Block(shared), Block(shared)
    pair.one.trainable = False
    assert pair.trainable_parameters() == [] and not shared.requires_grad
    pair.one.trainable = True
    assert [p is shared for p in pair.trainable_parameters()] == [True]
    assert not pair.one.weights[1].requires_grad
    pair.trainable = False
    pair.one.late = Tensor([3.0], requires_grad=True)  # set after the freezing
    assert pair.trainable_parameters() == []


# --------------------------------------------------------------------------------------- hooks


@pytest.mark.parametrize("make", [lambda: nn.Dense(2), lambda: Doubling()], ids=["layer", "module"])
def test_forward_hooks_see_and_may_replace_the_output(make):
    module, seen = make(), []
    x = Tensor(np.ones((1, 3), "float32"))
    plain = module(x).numpy()
    first = module.register_forward_hook(lambda *given: seen.append(given))
    second = module.register_forward_hook(lambda module, inputs, output: output + 1)
    np.testing.assert_array_equal(module(x).numpy(), plain + 1)
    [(given, inputs, output)] = seen
    assert given is module and inputs == (x,) and (output.numpy() == plain).all()
    first(), first(), second()
    np.testing.assert_array_equal(module(x).numpy(), plain)
    assert len(seen) == 1
    assert [path for path, _ in module.named_tensors()] == (
        ["kernel", "bias"] if isinstance(module, nn.Dense) else []
    )


class Doubling(nn.Module):
    def forward(self, x):
        return x * 2


def test_flat_layers_open_what_is_nested():
    model = net()
    assert [type(layer).__name__ for layer in model.flat_layers()] == [
        *("Dense", "Dense", "Tanh", "Dense"),
    ]


# ------------------------------------------------------------------------------ regularization


def test_regularization_is_the_sum_over_the_layers():
    model = net(kernel_regularizer=total_squares, bias_initializer="ones")
    assert net().regularization() is None
    model.layers[1].layers[0].bias_regularizer = lambda b: engine.sum(b) * 3
    model.ensure_built()
    model.layers[1].layers[0].bias.data[:] = 2
    kernel = model.layers[0].kernel
    total = model.regularization()
    assert total.shape == ()
    np.testing.assert_allclose(total.item(), (kernel.numpy() ** 2).sum() + 30, rtol=1e-6)
    total.backward()
    np.testing.assert_allclose(kernel.grad.numpy(), 2 * kernel.numpy(), rtol=1e-6)
    assert [(type(m).__name__, name) for m, name, _ in model.regularizers()] == [
        ("Dense", "kernel"),
        ("Dense", "bias"),
    ]


def test_activity_regularization_is_that_of_the_outputs_per_example():
    layer = nn.Dense(2, activity_regularizer=total_squares)
    x = np.ones((5, 3), "float32")
    assert layer.regularization() is None
    once = (layer(x).numpy() ** 2).sum() / 5
    layer(x)
    np.testing.assert_allclose(layer.regularization().item(), 2 * once, rtol=1e-6)
    assert layer.regularization() is None
    layer.eval()(x)
    assert layer.regularization() is None
    layer.train()(x)
    engine.grad(layer.regularization(), layer.kernel)  # it is recorded
    assert len(layer.state_dict()) == 2


# --------------------------------------------------------------------------------------- dtype


def test_astype_turns_floats_into_another_type_in_place():
    model = net()
    model.ensure_built()
    model.layers[0].counts = Tensor([1, 2])
    kernel = model.layers[0].kernel
    first = kernel.numpy()
    assert model.astype("float64") is model
    assert kernel.dtype == np.float64 and kernel.requires_grad
    np.testing.assert_array_equal(kernel.numpy(), first)
    assert model.layers[0].counts.dtype == np.int64
    out = model(np.ones((2, 3)))
    engine.sum(out).backward()
    assert out.dtype == kernel.grad.dtype == np.float64
    assert model.astype(np.float32)(np.ones((2, 3), "float32")).dtype == np.float32


# -------------------------------------------------------------------------------- tied weights


def test_a_layer_that_is_used_twice_counts_once_and_gets_both_gradients():
    shared = nn.Dense(3, input_shape=(3,))
    model = nn.Sequential([shared, nn.Tanh(), shared])
    assert list(model.state_dict()) == ["layers.0.kernel", "layers.0.bias"]
    assert len(model.parameters()) == 2
    x = np.random.default_rng(0).normal(size=(2, 3))
    model.astype("float64")
    engine.gradcheck(
        lambda kernel, x: engine.dense(
            engine.tanh(engine.dense(x, kernel, shared.bias)), kernel, shared.bias
        ),
        [shared.kernel, Tensor(x, requires_grad=True)],
    )
    engine.sum(model(x)).backward()
    copied = Tensor(shared.kernel.numpy(), requires_grad=True)
    first = engine.tanh(engine.dense(x, shared.kernel, shared.bias))
    out = engine.sum(engine.dense(first, copied, shared.bias))
    expected = sum(g.numpy() for g in engine.grad(out, [shared.kernel, copied]))
    np.testing.assert_allclose(shared.kernel.grad.numpy(), expected, rtol=1e-12)


def test_a_tensor_in_two_layers_stays_tied():
    one = nn.Dense(3, input_shape=(3,))
    one.ensure_built()
    other = nn.Dense(3)
    other.kernel = one.kernel
    model = nn.Sequential([one, nn.ReLU(), other])
    model.ensure_built()
    assert other.kernel is one.kernel
    state = model.state_dict()
    assert list(state) == ["layers.0.kernel", "layers.0.bias", "layers.2.bias"]
    state["layers.0.kernel"] += 1
    model.load_state_dict(state)
    np.testing.assert_array_equal(other.kernel.numpy(), state["layers.0.kernel"])
    twin = copy.deepcopy(model)
    assert twin.layers[2].kernel is twin.layers[0].kernel


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: net().astype("int64"), TypeError, "astype: expected float32 or float64, got int"),
        (lambda: nn.Dense(2).astype("float64"), ValueError, "does not know its input shape"),
        (lambda: tied_wrongly(), ValueError, r"top: expected kernel of shape \(3, 2\) for input"),
        (
            lambda: net().load_state_dict({**net().state_dict(), "layers.2.bias": [1, 2]}),
            ValueError,
            "layers.2.bias has dtype int64, expected float32",
        ),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def tied_wrongly():
    layer = nn.Dense(2, input_shape=(3,), name="top")
    layer.kernel = Tensor(np.ones((4, 2)))
    layer.ensure_built()
