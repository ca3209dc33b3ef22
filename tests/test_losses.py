"""Losses and regularizers: their definitions written out, their derivatives, their errors."""

import inspect
import json
import math

import numpy as np
import pytest

import engine
import nn
from engine import Tensor, gradcheck, gradgradcheck
from nn import losses

N, K = 6, 4


def with_logits(activation, loss, y, **settings):
    return lambda x: loss(y, activation(x), **settings)


def cases(rng):
    """(name, y_true, activation, settings) of every loss and of its settings."""
    integers = rng.integers(0, K, N)
    one_hot = np.eye(K)[integers]
    soft = rng.random((N, K)) + 0.1
    soft /= soft.sum(axis=1, keepdims=True)
    bits = rng.integers(0, 2, (N, K))
    real = rng.normal(size=(N, K))
    weights = rng.random(N) + 0.5
    padded = np.where(np.arange(N) % 3 == 0, -1, integers)
    sigmoid, softmax = engine.sigmoid, engine.softmax
    yield "binary_crossentropy", bits, sigmoid, {}
    yield "binary_crossentropy", rng.random((N, K)), sigmoid, {}
    yield "binary_crossentropy", bits, sigmoid, {"label_smoothing": 0.2, "sample_weight": weights}
    yield "binary_focal_crossentropy", bits, sigmoid, {}
    yield "binary_focal_crossentropy", bits, sigmoid, {"gamma": 0.5, "apply_class_balancing": True}
    yield "binary_focal_crossentropy", bits, sigmoid, {"gamma": 0, "label_smoothing": 0.1}
    yield "categorical_crossentropy", one_hot, softmax, {}
    yield "categorical_crossentropy", soft, softmax, {"label_smoothing": 0.1}
    yield "categorical_crossentropy", one_hot, softmax, {"class_weight": {0: 3.0, 2: 0.5}}
    yield "categorical_crossentropy", one_hot, softmax, {"sample_weight": weights}
    yield "sparse_categorical_crossentropy", integers, softmax, {}
    yield "sparse_categorical_crossentropy", integers, softmax, {"label_smoothing": 0.1}
    yield (
        "sparse_categorical_crossentropy",
        padded,
        softmax,
        {"ignore_index": -1, "sample_weight": weights, "class_weight": {1: 2.0}},
    )
    yield "categorical_focal_crossentropy", one_hot, softmax, {}
    yield "categorical_focal_crossentropy", soft, softmax, {"gamma": 1.5, "alpha": [1, 2, 3, 4]}
    yield "kl_divergence", soft, softmax, {"sample_weight": weights}
    yield "mean_squared_error", real, None, {"sample_weight": weights}
    yield "mean_absolute_error", real, None, {}
    yield "mean_absolute_percentage_error", real, None, {}
    yield "mean_squared_logarithmic_error", np.abs(real), engine.exp, {}
    yield "huber", real, None, {"delta": 0.7}
    yield "log_cosh", real, None, {"sample_weight": weights}
    yield "poisson", rng.integers(0, 5, (N, K)), engine.exp, {}
    yield "cosine_similarity", real, None, {"sample_weight": weights}
    yield "hinge", 2 * bits - 1, None, {}
    yield "squared_hinge", 2 * bits - 1, None, {"sample_weight": weights}
    yield "categorical_hinge", one_hot, None, {}


CASES = list(cases(np.random.default_rng(3)))
CLASS_OF = {function.__name__: kind for function, kind in losses.CLASSES.items()}


def test_every_loss_is_a_case():
    assert {case[0] for case in CASES} == set(CLASS_OF)


@pytest.mark.parametrize("name, y, activation, settings", CASES)
def test_first_and_second_derivatives(rng, name, y, activation, settings):
    loss, activation = losses.get(name), activation or (lambda x: x)
    for reduction in ("mean", "none"):
        f = with_logits(activation, loss, y, reduction=reduction, **settings)
        gradgradcheck(f, [rng.normal(size=(N, K))], name=name)


EXTREME = np.array([[1e3, 0, -1e3, 5], [-1e3, 30, 0, 0], [0, 0, 0, 0], [40, -40, 20, 1.0]])


@pytest.mark.parametrize(
    "name, y, activation, settings",
    [case for case in CASES if case[2] in (engine.sigmoid, engine.softmax)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_logits_are_finite_and_right(name, y, activation, settings, dtype):
    loss = losses.get(name)
    settings = {**settings, "reduction": "none"}
    if "sample_weight" in settings:
        settings["sample_weight"] = settings["sample_weight"][:4]
    f = with_logits(activation, loss, y[:4], **settings)
    x = Tensor(EXTREME.astype(dtype), requires_grad=True)
    value = f(x)
    slope = engine.grad(engine.sum(value), x, create_graph=True)
    slope = slope[0] if isinstance(slope, (list, tuple)) else slope
    engine.sum(slope * slope).backward()
    for result in (value, slope, x.grad):
        assert np.isfinite(result.numpy()).all()
    if dtype == "float64":
        gradcheck(f, [EXTREME], name=name)


def test_sure_and_wrong_costs_what_the_logit_says():
    x = Tensor([[1000.0, 0, 0, 0]], requires_grad=True)
    for loss, y in (
        (losses.categorical_crossentropy, [[0, 0, 1, 0]]),
        (losses.sparse_categorical_crossentropy, [2]),
        (losses.KLDivergence(), [[0, 0, 1, 0]]),
        (losses.CategoricalFocalCrossentropy(alpha=1), [[0, 0, 1, 0]]),
    ):
        assert loss(np.array(y), engine.softmax(x)).item() == 1000
    for loss in (losses.binary_crossentropy, losses.binary_focal_crossentropy):
        assert loss([0], engine.sigmoid(Tensor([1000.0]))).item() == 1000
    smooth = losses.SparseCategoricalCrossentropy(label_smoothing=0.4)
    assert smooth([2], engine.softmax(x)).item() == pytest.approx(1000 * (0.6 + 0.3), rel=1e-6)


def test_focal_loss_keeps_its_digits_where_p_rounds_to_1():
    """(1 - p)^2 is exp(-40)^2 to all digits, though 1 - p is 0 in float32."""
    for loss, y, p in (
        (losses.binary_focal_crossentropy, [1], engine.sigmoid(Tensor([20.0]))),
        (
            losses.CategoricalFocalCrossentropy(alpha=1),
            [[1, 0]],
            engine.softmax(Tensor([[20.0, 0.0]])),
        ),
    ):
        expected = math.exp(-20) ** 2 * math.log1p(math.exp(-20))
        assert loss(np.array(y), p).item() == pytest.approx(expected, rel=1e-5, abs=0)


def test_label_smoothing_written_out(rng):
    x, y = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    p = engine.softmax(Tensor(x))
    logs = np.log(p.numpy())
    s = 0.3
    expected = -((1 - s) * logs[np.arange(5), y] + s / 3 * logs.sum(axis=1)).mean()
    for loss, labels in (
        (losses.sparse_categorical_crossentropy, y),
        (losses.categorical_crossentropy, np.eye(3)[y]),
    ):
        for given in (p, p.numpy()):
            got = loss(labels, given, label_smoothing=s).item()
            np.testing.assert_allclose(got, expected, rtol=1e-10)
    q = engine.sigmoid(Tensor(x))
    bits = rng.integers(0, 2, (5, 3))
    t = np.where(bits, 1 - s / 2, s / 2)
    expected = -(t * np.log(q.numpy()) + (1 - t) * np.log(1 - q.numpy())).mean()
    got = losses.binary_crossentropy(bits, q, label_smoothing=s).item()
    np.testing.assert_allclose(got, expected, rtol=1e-10)


@pytest.mark.parametrize("name, y, activation, settings", CASES)
def test_weights_and_reductions(rng, name, y, activation, settings):
    settings = {k: v for k, v in settings.items() if k != "sample_weight"}
    loss, weights = losses.get(name), rng.random(N)
    p = (activation or (lambda x: x))(Tensor(rng.normal(size=(N, K))))
    each = loss(y, p, reduction="none", **settings).numpy()
    assert each.shape == (N,)
    count = N - (y == -1).sum() if "ignore_index" in settings else N
    for w, given in ((1.0, None), (weights, weights), (weights, weights[:, None].tolist())):
        for reduction, expected in (
            ("mean", (w * each).sum() / count),
            ("sum", (w * each).sum()),
            ("none", w * each),
        ):
            got = loss(y, p, given, reduction=reduction, **settings)
            np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10, atol=1e-15)
    of_class = CLASS_OF[name](**settings)
    np.testing.assert_allclose(of_class(y, p, weights).item(), (weights * each).sum() / count)


def test_class_weights_and_ignored_labels(rng):
    y, p = np.array([0, 2, 1, 2]), engine.softmax(Tensor(rng.normal(size=(4, 3))))
    each = -np.log(p.numpy()[np.arange(4), y])
    weights = np.array([5, 0.5, 1, 0.5])
    for labels, loss in (
        (y, losses.SparseCategoricalCrossentropy),
        (np.eye(3)[y], losses.CategoricalCrossentropy),
    ):
        got = loss(class_weight={0: 5.0, 2: 0.5})(labels, p).item()
        np.testing.assert_allclose(got, (weights * each).mean(), rtol=1e-6)
    padded = np.array([0, -100, 1, -100])
    got = losses.sparse_categorical_crossentropy(padded, p, ignore_index=-100).item()
    np.testing.assert_allclose(got, (each[0] + each[2]) / 2, rtol=1e-6)
    assert losses.sparse_categorical_crossentropy([7] * 4, p, ignore_index=7).item() == 0
    q = engine.sigmoid(Tensor(rng.normal(size=(4, 1))))
    bits = np.array([0, 1, 1, 0])
    each = -np.log(np.where(bits, q.numpy()[:, 0], 1 - q.numpy()[:, 0]))
    got = losses.binary_crossentropy(bits, q, class_weight={1: 3}).item()
    np.testing.assert_allclose(got, (np.array([1, 3, 3, 1]) * each).mean(), rtol=1e-6)


def test_axes_between_the_examples_and_the_classes(rng):
    x, y = rng.normal(size=(2, 5, 3)), rng.integers(0, 3, (2, 5))
    p = engine.softmax(Tensor(x))
    expected = -np.log(np.take_along_axis(p.numpy(), y[..., None], -1))[..., 0]
    weights = rng.random((2, 5))
    for loss, labels in (
        (losses.sparse_categorical_crossentropy, y),
        (losses.categorical_crossentropy, np.eye(3)[y]),
    ):
        for given in (p, p.numpy()):
            np.testing.assert_allclose(loss(labels, given).item(), expected.mean(), rtol=1e-6)
            got = loss(labels, given, weights, reduction="none").numpy()
            np.testing.assert_allclose(got, weights * expected, rtol=1e-6)
        got = loss(labels, p, weights[:, 0], reduction="sum").item()
        np.testing.assert_allclose(got, (weights[:, :1] * expected).sum(), rtol=1e-6)


def test_a_target_that_is_recorded_gets_its_gradient(rng):
    a, b = (Tensor(rng.normal(size=(3, 2)), requires_grad=True) for _ in range(2))
    losses.mean_squared_error(a, b).backward()
    np.testing.assert_allclose(a.grad.numpy(), (a.numpy() - b.numpy()) / 3, rtol=1e-6)
    np.testing.assert_allclose(b.grad.numpy(), -a.grad.numpy())


def test_focal_picks_the_form_that_fits(rng):
    x, y = Tensor(rng.normal(size=(4, 3))), np.eye(3)[[0, 1, 2, 1]]
    for activation, form in (
        (engine.softmax, losses.categorical_focal_crossentropy),
        (engine.sigmoid, losses.binary_focal_crossentropy),
    ):
        p = activation(x)
        assert losses.get("focal")(y, p, gamma=3).item() == form(y, p, gamma=3).item()
    with pytest.raises(ValueError, match="write loss='categorical_focal_crossentropy' or"):
        losses.focal(y, y)


def test_lenient_losses_take_any_numbers(rng):
    x = Tensor(rng.normal(size=(4, 3)), requires_grad=True)
    y = np.eye(3)[[0, 1, 2, 1]]
    p = np.clip(x.numpy() / x.numpy().sum(axis=1, keepdims=True), 1e-7, 1 - 1e-7)
    got = losses.lenient(losses.categorical_crossentropy)(y, x)
    np.testing.assert_allclose(got.item(), -(y * np.log(p)).sum(axis=1).mean(), rtol=1e-6)
    kept = losses.lenient(losses.BinaryCrossentropy(label_smoothing=0.1))
    assert (kept.strict, kept.label_smoothing) == (False, 0.1)
    twice = engine.softmax(x)
    got = losses.lenient(losses.binary_crossentropy)(y, twice).item()
    p = twice.numpy()
    np.testing.assert_allclose(got, -np.where(y, np.log(p), np.log(1 - p)).mean(), rtol=1e-5)
    assert losses.lenient(losses.huber) is losses.huber
    huber = losses.Huber(delta=2.0)
    assert losses.lenient(huber) is huber


def test_classes_keep_their_settings():
    loss = losses.SparseCategoricalCrossentropy(ignore_index=-1, class_weight={0: 2, 1: 1})
    assert loss.name == losses.name_of(loss) == "sparse_categorical_crossentropy"
    assert repr(losses.Huber(delta=2.0)) == "Huber(delta=2.0)"
    config = json.loads(json.dumps(loss.get_config()))
    again = losses.SparseCategoricalCrossentropy(**config)
    assert again.class_weight == {0: 2, 1: 1}
    assert again.get_config() == loss.get_config()
    for name, kind in CLASS_OF.items():
        assert kind().name == name
        assert list(inspect.signature(kind).parameters) == list(kind().get_config())
        assert "sample_weight" in inspect.signature(kind()).parameters
        assert kind(**kind().get_config()).get_config() == kind().get_config()


def test_names_and_aliases():
    for name, function in (
        ("bce", losses.binary_crossentropy),
        ("mape", losses.mean_absolute_percentage_error),
        ("msle", losses.mean_squared_logarithmic_error),
        ("kld", losses.kl_divergence),
        ("logcosh", losses.log_cosh),
    ):
        assert losses.get(name) is function
    assert losses.get(losses.huber) is losses.huber


P = np.full((2, 3), 1 / 3)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: losses.Huber(sigma=1), TypeError, "Huber: unknown setting sigma; it takes delta"),
        (lambda: losses.get(losses.Huber), TypeError, r"got the class; write Huber\(\)"),
        (lambda: losses.Huber(reduction="avg"), ValueError, "huber: expected reduction to be"),
        (lambda: losses.huber(P, P, reduction="avg"), ValueError, "huber: expected reduction to"),
        (lambda: losses.huber(P, P, delta=0), ValueError, "huber: expected delta > 0, got 0"),
        (
            lambda: losses.BinaryCrossentropy(label_smoothing=1.5),
            ValueError,
            "label_smoothing from 0 to below 1, got 1.5",
        ),
        (
            lambda: losses.hinge([0, 1], P[:, :1]),
            ValueError,
            r"hinge: expected labels -1 and 1, got \[0.0, 1.0\]; write 2 \* y - 1",
        ),
        (
            lambda: losses.binary_crossentropy([-1, 1], P[:, :1]),
            ValueError,
            r"labels -1 and 1 belong to loss='hinge': write \(y \+ 1\) / 2",
        ),
        (
            lambda: losses.binary_crossentropy([1, 2], P[:, :1]),
            ValueError,
            "they start at 1: write y - 1",
        ),
        (
            lambda: losses.binary_crossentropy([[0, 1], [1, 0]], P[:, :1]),
            ValueError,
            r"one unit takes labels 0 and 1: write y.argmax\(axis=1\)",
        ),
        (
            lambda: losses.binary_crossentropy([0, 2], P),
            ValueError,
            "write activation='softmax' in the last layer and loss='sparse_categorical_cr",
        ),
        (
            lambda: losses.categorical_crossentropy(np.eye(4)[:2], P),
            ValueError,
            r"4 columns for 3 units; write Dense\(4, ...\) as the last layer",
        ),
        (
            lambda: losses.sparse_categorical_crossentropy([1, 3], P),
            ValueError,
            "they start at 1: write y - 1",
        ),
        (
            lambda: losses.sparse_categorical_crossentropy([0, 4], P),
            ValueError,
            r"for 5 classes write Dense\(5, activation='softmax'\)",
        ),
        (
            lambda: losses.sparse_categorical_crossentropy([-1, 2], P),
            ValueError,
            "ignore_index=-1 in nn.losses.SparseCategoricalCrossentropy to leave them out",
        ),
        (
            lambda: losses.categorical_crossentropy(P, engine.softmax(Tensor(P), 0)),
            ValueError,
            "got softmax along another axis than the last",
        ),
        (
            lambda: losses.poisson(P, P - 1),
            ValueError,
            "predictions of at least 0, got -0.6.*write activation='softplus' in the last layer",
        ),
        (lambda: losses.poisson(P - 1, P), ValueError, "labels of at least 0.*they are counts"),
        (lambda: losses.cosine_similarity(P[0], P[0]), ValueError, r"rows, of shape \(n, units\)"),
        (lambda: losses.huber(P, P, [1, 2, 3]), ValueError, r"of shape \(2,\), got \(3,\)"),
        (
            lambda: losses.SparseCategoricalCrossentropy(class_weight=[1, 2])([0, 1], P),
            TypeError,
            None,
        ),
        (
            lambda: losses.sparse_categorical_crossentropy([0, 1], P, class_weight={0.5: 1}),
            TypeError,
            "class_weight: expected integers as classes, got 0.5",
        ),
        (
            lambda: losses.sparse_categorical_crossentropy([0, 1], P, class_weight=3),
            TypeError,
            r"class_weight: expected a dict \{class: weight\}, got 3",
        ),
        (
            lambda: losses.sparse_categorical_crossentropy([0, 1], P, class_weight={0: -1}),
            ValueError,
            "weights of at least 0, got -1 for 0",
        ),
        (
            lambda: losses.binary_crossentropy([[1, 1, 0], [0, 1, 0]], P, class_weight={0: 1}),
            ValueError,
            "are multi-hot, so that an example has no single class",
        ),
        (lambda: nn.regularizers.get("l3"), ValueError, "unknown regularizer 'l3'; did you mean"),
        (lambda: nn.regularizers.get(nn.regularizers.L2), TypeError, r"write L2\(\)"),
        (lambda: nn.regularizers.L2(-1), ValueError, "L2: expected l2 to be at least 0, got -1"),
        (lambda: nn.regularizers.L1("a"), TypeError, "L1: expected l1 to be a number, got 'a'"),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_regularizers(rng):
    w = rng.normal(size=(3, 4))
    l1, l2 = np.abs(w).sum(), np.square(w).sum()
    for spec, expected in (
        ("l1", 0.01 * l1),
        ("l2", 0.01 * l2),
        ("l1_l2", 0.01 * l1 + 0.01 * l2),
        (nn.regularizers.l1(0.3), 0.3 * l1),
        (nn.regularizers.L2(0.2), 0.2 * l2),
        (nn.regularizers.L1L2(l1=0.3), 0.3 * l1),
        (nn.regularizers.L1L2(l2=0.3), 0.3 * l2),
        (nn.regularizers.L1L2(0.1, 0.2), 0.1 * l1 + 0.2 * l2),
    ):
        regularizer = nn.regularizers.get(spec)
        np.testing.assert_allclose(regularizer(Tensor(w)).item(), expected, rtol=1e-12)
        gradgradcheck(regularizer, [w])
    assert nn.regularizers.get(None) is None
    assert nn.regularizers.get(engine.sum) is engine.sum
    assert repr(nn.regularizers.L2(0.5)) == "L2(l2=0.5)"
    with pytest.raises(NotImplementedError, match="Regularizer does not define __call__"):
        nn.regularizers.Regularizer()(w)


def test_softplus_and_exp_are_never_below_0_for_poisson(rng):
    for activation in (engine.softplus, engine.exp, engine.relu):
        p = activation(Tensor(rng.normal(size=(4, 2))))
        assert np.isfinite(losses.poisson(np.ones((4, 2)), p).item())
