"""The step of a chain of Dense layers in one call: beside NumPy, and beside the common way."""

import copy
import pickle

import numpy as np
import pytest

import engine
import nn
from engine.kernels import _jit

from . import smaller_cpus

CLASSES = "sparse_categorical_crossentropy"
LOSSES = {
    CLASSES: "softmax",
    "categorical_crossentropy": "softmax",
    "binary_crossentropy": "sigmoid",
}


def sgd():
    return nn.optimizers.SGD(learning_rate=0.05)


def clipped_sgd():
    return nn.optimizers.SGD(learning_rate=0.05, weight_decay=0.01, clipvalue=0.02)


def adam():
    return nn.optimizers.Adam(learning_rate=0.01)


def clipped_adam():
    return nn.optimizers.Adam(learning_rate=0.01, weight_decay=0.01, clipvalue=0.1)


def model_of(sizes, optimizer=sgd, loss=CLASSES, spelled=False, dtype="float32", metrics=()):
    """Dense layers of these sizes; `spelled`: with the activations as layers of their own."""
    engine.seed(0)
    layers = [nn.Flatten(input_shape=(sizes[0],))]
    for units in sizes[1:-1]:
        layers += [nn.Dense(units), nn.ReLU()] if spelled else [nn.Dense(units, activation="relu")]
    last = LOSSES[loss]
    layers += [nn.Dense(sizes[-1])] if spelled else [nn.Dense(sizes[-1], activation=last)]
    layers += [nn.Activation(last)] if spelled else []
    model = nn.Sequential(layers)
    model.compile(optimizer=optimizer(), loss=loss, metrics=metrics)
    model.ensure_built()
    return model.astype(dtype)


def data_of(rng, count, sizes, loss=CLASSES, dtype="float32"):
    x = rng.normal(size=(count, sizes[0])).astype(dtype)
    y = rng.integers(0, sizes[-1], count)
    if loss == "categorical_crossentropy":
        return x, nn.to_categorical(y, sizes[-1])
    return x, rng.integers(0, 2, (count, sizes[-1])) if loss == "binary_crossentropy" else y


def common_way(model):
    """The model, without the shorter way."""

    def step(x, y, weight=None, index=0, on_gradients=(), check=None):
        model.train()
        x = model._as_input(x)
        loss, outputs = model._step_by_step(x, y, weight, index, on_gradients)
        return loss, y, outputs

    model._train_step = step
    return model


def chained(model, x, y):
    """The model after its first step, which is never by the chain; a common step now fails."""
    model.train_on_batch(x, y)

    def fail(*arguments):
        raise AssertionError("this step was not taken by the chain")

    model._step_by_step = fail
    return model


def parameters(model):
    return [tensor.numpy().copy() for tensor in model.parameters()]


def assert_same_bits(model, other):
    for p, q in zip(parameters(model), parameters(other), strict=True):
        np.testing.assert_array_equal(p, q)


SIZES = [
    (20, 7, 3),
    (64, 10),
    (300, 129, 70, 2, 10),
    (5, 100, 300, 1),  # one unit at the end, so many inputs that it is a dot product
    (30, 9, 260, 5),  # few inputs of many outputs: dot products in the way back
    (40, 2100, 300, 4),  # wider than what a call packs at a time
    (70, 128, 64, 10),  # whole vectors: for one example, one pass over the weights does all
]
COUNTS = (1, 2, 12, 13, 33, 257, 384, 385)  # on both sides of where another way is taken


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [sgd, clipped_sgd, adam, clipped_adam])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_bits_are_those_of_the_common_way(rng, sizes, optimizer, dtype):
    loss = CLASSES if sizes[-1] > 1 else "binary_crossentropy"
    for count in COUNTS:
        x, y = data_of(rng, count, sizes, loss, dtype)
        model = chained(model_of(sizes, optimizer, loss, dtype=dtype), x, y)
        other = common_way(model_of(sizes, optimizer, loss, spelled=True, dtype=dtype))
        other.train_on_batch(x, y)
        for _ in range(3):
            assert model.train_on_batch(x, y) == other.train_on_batch(x, y)
        assert_same_bits(model, other)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_and_its_metrics(rng, loss):
    sizes = 30, 20, 5
    x, y = data_of(rng, 16, sizes, loss)
    model = chained(model_of(sizes, clipped_adam, loss, spelled=True, metrics=["accuracy"]), x, y)
    other = common_way(model_of(sizes, clipped_adam, loss, metrics=["accuracy"]))
    other.train_on_batch(x, y)
    for count in (3, 40, 16):  # among them more than there was room for
        x, y = data_of(rng, count, sizes, loss)
        assert model.train_on_batch(x, y) == other.train_on_batch(x, y)
    assert_same_bits(model, other)


def test_the_mean_of_so_many_losses_that_threads_share_them_out(rng):
    sizes, loss = (3, 700), "binary_crossentropy"
    x, y = data_of(rng, 200, sizes, loss)
    model, other = chained(model_of(sizes, loss=loss), x, y), common_way(model_of(sizes, loss=loss))
    other.train_on_batch(x, y)
    for _ in range(2):
        assert model.train_on_batch(x, y) == other.train_on_batch(x, y)


def textbook_step(weights, x, y, rate):
    """One step of SGD for relu layers and a softmax, in NumPy; changes the weights."""
    inputs = [x]
    for kernel, bias in zip(weights[::2], weights[1::2]):
        z = inputs[-1] @ kernel + bias
        inputs.append(np.maximum(z, 0))
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    g = (p - np.eye(p.shape[1])[y]) / len(x)
    for layer in reversed(range(len(weights) // 2)):
        kernel, bias, a = weights[2 * layer], weights[2 * layer + 1], inputs[layer]
        before = (g @ kernel.T) * (a > 0)
        kernel -= rate * (a.T @ g)
        bias -= rate * g.sum(axis=0)
        g = before
    return -np.log(p[np.arange(len(x)), y]).mean()


@pytest.mark.parametrize(
    "sizes, count",
    [
        *[((50, 70, 300, 40, 6), count) for count in (1, 9, 64, 300)],
        ((130, 400, 6), 64),  # of a gradient whose left matrix is packed tile by tile
    ],
)
def test_the_steps_are_those_of_a_textbook(rng, sizes, count):
    x, y = data_of(rng, count, sizes, dtype="float64")
    model = chained(model_of(sizes, dtype="float64"), x, y)
    weights = parameters(model)
    for _ in range(5):
        expected = textbook_step(weights, x, y, 0.05)
        np.testing.assert_allclose(model.train_on_batch(x, y), expected, rtol=1e-11)
    for p, q in zip(parameters(model), weights):
        np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-12)


@smaller_cpus.on_each("haswell", "x86-64")
def test_right_on_smaller_cpus(cpu, tmp_path):
    textbook = f"{__file__}::test_the_steps_are_those_of_a_textbook"
    smaller_cpus.run(cpu, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", textbook)


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize(
    "sizes, counts",
    [
        ((300, 260, 256, 10), (1, 31, 128, 300)),  # two layers in a row that threads share out
        ((20, 65600, 1), (1, 2)),  # one unit, of so many inputs that they are shared out too
    ],
)
def test_threads_leave_no_trace(sizes, counts, optimizer):
    loss = CLASSES if sizes[-1] > 1 else "binary_crossentropy"
    before, results = engine.get_num_threads(), []
    for threads in (1, 2, 3, 8):
        engine.set_num_threads(threads)
        try:
            model = model_of(sizes, optimizer, loss)
            for count in counts:
                x, y = data_of(np.random.default_rng(count), count, sizes, loss)
                for _ in range(2):
                    model.train_on_batch(x, y)
        finally:
            engine.set_num_threads(before)
        results.append(parameters(model))
    for other in results[1:]:
        for p, q in zip(results[0], other):
            np.testing.assert_array_equal(p, q)


def test_fit_goes_this_way_but_for_the_first_batch(rng, monkeypatch):
    sizes = 30, 20, 5
    x, y = data_of(rng, 70, sizes)
    model, other = model_of(sizes), common_way(model_of(sizes))
    own, taken = type(model)._step_by_step, []

    def noted(self, *arguments):
        taken.append(self)
        return own(self, *arguments)

    monkeypatch.setattr(type(model), "_step_by_step", noted)
    for one in (model, other):
        engine.seed(3)
        one.fit(x, y, batch_size=32, epochs=2, verbose=0)
    assert [taken.count(one) for one in (model, other)] == [1, 6]
    assert model.history.history == other.history.history
    assert_same_bits(model, other)


# ------------------------------------------------------------------------- what is not a chain


def step_is_common(model, x, y):
    """Whether the next step is taken the common way; that step is made."""
    taken = []
    own = type(model)._step_by_step

    def noted(*arguments):
        taken.append(None)
        return own(model, *arguments)

    model._step_by_step = noted
    model.train_on_batch(x, y)
    del model._step_by_step
    return bool(taken)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Dense(8, activation="tanh"), nn.Dense(3, activation="softmax")],
        [nn.Dense(8, "relu", use_bias=False), nn.Dense(3, activation="softmax")],
        [nn.Dense(8, activation="relu"), nn.Dropout(0.5), nn.Dense(3, activation="softmax")],
        [nn.Dense(8), nn.LayerNormalization(), nn.Dense(3, activation="softmax")],
        [nn.LayerNormalization(), nn.Dense(3, activation="softmax")],
        [nn.Dense(8, "relu", kernel_regularizer="l2"), nn.Dense(3, activation="softmax")],
        [nn.Dense(1, "relu"), nn.Dense(3, activation="softmax")],
    ],
)
def test_other_models_go_the_common_way(rng, layers):
    x, y = data_of(rng, 6, (4, 3))
    model = nn.Sequential(copy.deepcopy(layers))
    model.compile(optimizer="sgd", loss=CLASSES)
    for _ in range(2):
        assert step_is_common(model, x, y)


@pytest.mark.parametrize(
    "settings",
    [{"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"gradient_accumulation_steps": 2}],
)
def test_what_needs_all_gradients_goes_the_common_way(rng, settings):
    x, y = data_of(rng, 6, (4, 8, 3))
    model = model_of((4, 8, 3), lambda: nn.optimizers.SGD(**settings))
    for _ in range(3):
        assert step_is_common(model, x, y)


def test_an_optimizer_of_ones_own_is_asked(rng):
    class Twice(nn.optimizers.SGD):
        def step(self):
            super().step()
            super().step()

    x, y = data_of(rng, 6, (4, 8, 3))
    model, once = (model_of((4, 8, 3), kind) for kind in (Twice, nn.optimizers.SGD))
    for one in (model, once):
        one.train_on_batch(x, y)
        one.train_on_batch(x, y)
    assert model.optimizer.iterations == 2 * once.optimizer.iterations == 4


def test_sample_weights_go_the_common_way(rng):
    x, y = data_of(rng, 6, (4, 8, 3))
    model, other = model_of((4, 8, 3)), common_way(model_of((4, 8, 3)))
    for one in (model, other):
        one.train_on_batch(x, y)
        one.train_on_batch(x, y, sample_weight=np.arange(6.0))
        one.train_on_batch(x, y)
    assert_same_bits(model, other)


def changes():
    """(what is changed between two steps, as a function of the model) by a name."""

    def hook_of_layer(model):
        model.layers[1].register_forward_hook(lambda module, inputs, output: output * 0.5)

    def hook_of_model(model):
        model.register_forward_hook(lambda module, inputs, output: None)

    def hook_of_parameter(model):
        model.parameters()[0].register_hook(lambda g: g * 0)

    def freeze(model):
        model.layers[1].trainable = False

    def gradient(model):
        parameter = model.parameters()[0]
        parameter.grad = engine.ones(parameter.shape)

    def clip(model):
        model.optimizer.clipnorm = 0.01

    def activation(model):
        model.layers[1].activation = engine.tanh

    def layer(model):
        other = nn.Dense(8, activation="relu", input_shape=(4,))
        other.ensure_built()
        model.layers[1] = other

    return {change.__name__: change for change in list(locals().values())}


@pytest.mark.parametrize("change", changes().values(), ids=changes())
def test_what_changes_between_two_steps_is_seen(rng, change):
    x, y = data_of(rng, 6, (4, 8, 3))
    model, other = model_of((4, 8, 3)), common_way(model_of((4, 8, 3)))
    for one in (model, other):
        for _ in range(2):
            one.train_on_batch(x, y)
        engine.seed(5)
        change(one)
    assert step_is_common(model, x, y)
    other.train_on_batch(x, y)
    assert_same_bits(model, other)


def changes_of_layers():
    """The same for a model whose activations are layers of their own, within another model."""

    def hook_of_activation(model):
        model.layers[0].layers[2].register_forward_hook(lambda module, inputs, output: output * 2)

    def other_activation(model):
        model.layers[0].layers[2].activation = engine.tanh

    def hook_of_inner_model(model):
        model.layers[0].register_forward_hook(lambda module, inputs, output: output * 2)

    def layer_of_inner_model(model):
        model.layers[0].layers[2] = nn.Activation("tanh")

    return {change.__name__: change for change in list(locals().values())}


@pytest.mark.parametrize("change", changes_of_layers().values(), ids=changes_of_layers())
def test_what_changes_in_layers_between_two_steps_is_seen(rng, change):
    x, y = data_of(rng, 6, (4, 8, 3))
    pair = []
    for _ in range(2):
        inner = model_of((4, 8, 3), spelled=True)
        model = nn.Sequential([nn.Sequential(inner.layers[:3]), *inner.layers[3:]])
        model.compile(optimizer=sgd(), loss=CLASSES)
        pair.append(model)
    model, other = pair
    common_way(other)
    for one in pair:
        for _ in range(2):
            one.train_on_batch(x, y)
        change(one)
    assert step_is_common(model, x, y)
    other.train_on_batch(x, y)
    assert_same_bits(model, other)


def test_another_axis_of_softmax_is_seen(rng):
    x, y = data_of(rng, 6, (4, 3))
    model = nn.Sequential([nn.Dense(3, input_shape=(4,)), nn.Softmax()])
    model.compile(optimizer=sgd(), loss=CLASSES)
    chained(model, x, y)
    model.train_on_batch(x, y)
    del model._step_by_step
    before = parameters(model)
    model.layers[-1].axis = 0
    with pytest.raises(ValueError, match="got softmax along another axis than the last"):
        model.train_on_batch(x, y)
    for p, q in zip(parameters(model), before):
        np.testing.assert_array_equal(p, q)


def test_arrays_that_are_replaced_are_found_again(rng):
    x, y = data_of(rng, 6, (4, 8, 3))
    model, other = chained(model_of((4, 8, 3)), x, y), common_way(model_of((4, 8, 3)))
    other.train_on_batch(x, y)
    for one in (model, other):
        one.train_on_batch(x, y)
        kernel = one.layers[1].kernel
        kernel.data = kernel.data * 2
        one.train_on_batch(x, y)
        one.optimizer.learning_rate = 0.3
        one.train_on_batch(x, y)
    assert_same_bits(model, other)


def test_the_averages_follow(rng):
    x, y = data_of(rng, 6, (4, 8, 3))
    model, other = (model_of((4, 8, 3), lambda: nn.optimizers.Adam(use_ema=True)) for _ in range(2))
    common_way(other)
    for one in (model, other):
        for _ in range(3):
            one.train_on_batch(x, y)
    for p, q in zip(model.optimizer.slot("average"), other.optimizer.slot("average")):
        np.testing.assert_array_equal(p, q)


def test_frozen_recording_and_anomalies_are_respected(rng):
    x, y = data_of(rng, 6, (4, 8, 3))
    model = model_of((4, 8, 3))
    for _ in range(2):
        model.train_on_batch(x, y)
    before = parameters(model)
    with engine.no_grad(), pytest.raises(ValueError, match="under no_grad"):
        model.train_on_batch(x, y)
    with pytest.raises(engine.AnomalyError, match="dense_relu made"), engine.detect_anomaly():
        model.train_on_batch(np.full_like(x, 3e38), y)
    for p, q in zip(parameters(model), before):
        np.testing.assert_array_equal(p, q)


def test_copies_train_their_own_weights(rng):
    x, y = data_of(rng, 6, (4, 8, 3))
    model = chained(model_of((4, 8, 3)), x, y)
    del model._step_by_step
    model.train_on_batch(x, y)
    before = parameters(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.train_on_batch(x, y)
        for p, q in zip(parameters(model), before):
            np.testing.assert_array_equal(p, q)
        twin = copy.deepcopy(model)
        twin.train_on_batch(x, y)
        assert_same_bits(other, twin)
        assert np.abs(parameters(other)[0] - before[0]).max() > 0


@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_a_label_out_of_range_moves_nothing(rng, label):
    x, y = data_of(rng, 6, (4, 8, 3))
    model = chained(model_of((4, 8, 3)), x, y)
    before, steps = parameters(model), model.optimizer.iterations
    y[4] = label
    with pytest.raises(ValueError, match="expected labels from 0 to 2"):
        model.train_on_batch(x, y)
    for p, q in zip(parameters(model), before):
        np.testing.assert_array_equal(p, q)
    assert model.optimizer.iterations == steps


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 6, 400])  # the last is looked at by all threads
def test_examples_that_are_not_finite_move_nothing(rng, count, dtype, bad):
    sizes = (201, 8, 3)
    x, y = data_of(rng, count, sizes, dtype=dtype)
    model = model_of(sizes, adam, dtype=dtype)
    for _ in range(2):
        model.train_on_batch(x, y)
    before, steps = parameters(model), model.optimizer.iterations
    for row, column in {(0, 0), (0, 200), (count // 2, 100), (count - 1, 0), (count - 1, 200)}:
        broken = x.copy()
        broken[row, column] = bad
        message = f"train_on_batch: x holds nan or inf, first in example {row}$"
        with pytest.raises(ValueError, match=message):
            model.train_on_batch(broken, y)
    for p, q in zip(parameters(model), before):
        np.testing.assert_array_equal(p, q)
    assert model.optimizer.iterations == steps
    kernel, bias = model.layers[1].parameters()
    kernel.data[...], bias.data[...] = 0, -1
    model.train_on_batch(np.full_like(x, np.finfo(dtype).max), y)  # which is finite
    assert model.optimizer.iterations == steps + 1


def test_examples_are_looked_at_before_a_layer_hides_what_they_are(rng):
    class Tidy(nn.Layer):
        def output_shape(self, input_shape):
            return input_shape

        def forward(self, x):
            return engine.where(engine.isfinite(x), x, 0.0)

    model = nn.Sequential([Tidy(input_shape=(4,)), nn.Dense(3, activation="softmax")])
    model.compile("sgd", CLASSES)
    x, y = data_of(rng, 6, (4, 3))
    for _ in range(2):
        model.train_on_batch(x, y)
    before = parameters(model)
    x[5, 3] = np.nan
    with pytest.raises(ValueError, match="train_on_batch: x holds nan or inf, first in example 5"):
        model.train_on_batch(x, y)
    for p, q in zip(parameters(model), before):
        np.testing.assert_array_equal(p, q)


def test_labels_and_examples_of_any_layout(rng):
    sizes = 8, 6, 3
    x, y = data_of(rng, 5, sizes)
    fixed = x.copy()
    fixed.flags.writeable = False
    expected = None
    for examples in (x, fixed, np.asfortranarray(x), x.astype(np.float64)):
        for labels in (y, y[:, None], y.astype(np.uint8), np.repeat(y, 2)[::2]):
            model = chained(model_of(sizes), x, y)
            model.train_on_batch(examples, labels)
            expected = expected or parameters(model)
            for p, q in zip(parameters(model), expected):
                np.testing.assert_array_equal(p, q)
    model = chained(model_of(sizes), x, y)
    with pytest.raises(TypeError, match="expected integer labels"):
        model.train_on_batch(x, y.astype(float))
    del model._step_by_step
    with pytest.raises(ValueError, match="expected input of shape"):
        model.train_on_batch(x[:, :4], y)


def test_layers_in_front_and_models_within(rng):
    x, y = data_of(rng, 12, (6, 3))
    x = np.abs(x * 60).astype(np.uint8)

    def build():
        engine.seed(2)
        front = nn.Sequential([nn.Rescaling(1 / 255, input_shape=(6,)), nn.GaussianNoise(0.1)])
        body = nn.Sequential([nn.Dense(9, activation="relu"), nn.Dense(3)])
        model = nn.Sequential([front, body, nn.Softmax()])
        model.compile(optimizer="adam", loss=CLASSES)
        return model

    model, other = build(), common_way(build())
    for one in (model, other):
        engine.seed(4)
        one.train_on_batch(x, y) if one is other else chained(one, x, y)
        for _ in range(3):
            one.train_on_batch(x, y)
    assert_same_bits(model, other)


def test_a_step_is_one_launch(rng, monkeypatch):
    from engine.kernels import chain

    x, y = data_of(rng, 64, (200, 100, 10))
    model = chained(model_of((200, 100, 10)), x, y)
    launches = []

    def counted(kernel, *arguments):
        launches.append(kernel)
        return _jit.launch(kernel, *arguments)

    monkeypatch.setattr(chain, "launch", counted)
    model.train_on_batch(x, y)
    assert launches == [chain.chain_step]
