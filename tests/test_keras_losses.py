"""Losses, regularizers and metrics against Keras, where it is installed: values and gradients."""

import os
import warnings

import numpy as np
import pytest

import engine
import nn
from engine import Tensor

torch = pytest.importorskip("torch", reason="PyTorch, Keras's backend here, is not installed")
os.environ.setdefault("KERAS_BACKEND", "torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its imports, which are not ours
    keras = pytest.importorskip("keras", reason="Keras, the peer of these tests, is not installed")
F = torch.nn.functional
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="these tests take Keras's gradients from PyTorch"
)

N, K = 9, 5


def labels(rng):
    integers = rng.integers(0, K, N)
    soft = rng.random((N, K)) + 0.1
    return {
        "integers": integers,
        "padded": np.where(np.arange(N) % 4 == 0, -1, integers),
        "one-hot": np.eye(K)[integers],
        "soft": soft / soft.sum(axis=1, keepdims=True),
        "bits": rng.integers(0, 2, (N, K)).astype(float),
        "signs": rng.choice([-1.0, 1.0], (N, K)),
        "real": rng.normal(size=(N, K)),
        "counts": rng.integers(1, 6, (N, K)).astype(float),
    }


SOFTMAX, SIGMOID, EXP, NONE = (
    (engine.softmax, lambda x: torch.softmax(x, -1)),
    (engine.sigmoid, torch.sigmoid),
    (engine.exp, torch.exp),
    (lambda x: x, lambda x: x),
)
CASES = [
    ("BinaryCrossentropy", "bits", SIGMOID, {}),
    ("BinaryCrossentropy", "bits", SIGMOID, {"label_smoothing": 0.2}),
    ("BinaryFocalCrossentropy", "bits", SIGMOID, {}),
    (
        "BinaryFocalCrossentropy",
        "bits",
        SIGMOID,
        {"gamma": 3.0, "alpha": 0.4, "apply_class_balancing": True, "label_smoothing": 0.1},
    ),
    ("CategoricalCrossentropy", "one-hot", SOFTMAX, {}),
    ("CategoricalCrossentropy", "soft", SOFTMAX, {"label_smoothing": 0.1}),
    ("SparseCategoricalCrossentropy", "integers", SOFTMAX, {}),
    ("SparseCategoricalCrossentropy", "padded", SOFTMAX, {"ignore_index": -1}),
    ("CategoricalFocalCrossentropy", "one-hot", SOFTMAX, {}),
    ("CategoricalFocalCrossentropy", "one-hot", SOFTMAX, {"gamma": 3.0, "alpha": 0.6}),
    ("KLDivergence", "soft", SOFTMAX, {}),
    ("MeanSquaredError", "real", NONE, {}),
    ("MeanAbsoluteError", "real", NONE, {}),
    ("MeanAbsolutePercentageError", "real", NONE, {}),
    ("MeanSquaredLogarithmicError", "counts", EXP, {}),
    ("Huber", "real", NONE, {"delta": 0.6}),
    ("LogCosh", "real", NONE, {}),
    ("Poisson", "counts", EXP, {}),
    ("CosineSimilarity", "real", NONE, {}),
    ("Hinge", "signs", NONE, {}),
    ("SquaredHinge", "signs", NONE, {}),
    ("CategoricalHinge", "one-hot", NONE, {}),
]


def test_every_loss_is_compared():
    assert {case[0] for case in CASES} == {kind.__name__ for kind in nn.losses.CLASSES.values()}


def renamed(settings):
    return {key.replace("ignore_index", "ignore_class"): v for key, v in settings.items()}


# Keras on PyTorch takes means in float32, whatever comes in; float64 is below, against PyTorch.
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name, form, activation, settings", CASES)
@pytest.mark.filterwarnings("ignore")  # Keras's and PyTorch's own
def test_losses(rng, name, form, activation, settings, weighted, reduction):
    y, x = labels(rng)[form], rng.normal(size=(N, K)).astype("float32")
    weights = rng.random(N).astype("float32") if weighted else None
    cotangent = rng.normal(size=N if reduction == "none" else ()).astype("float32")

    ours_x = Tensor(x, requires_grad=True)
    ours = getattr(nn.losses, name)(reduction=reduction, **settings)(
        y, activation[0](ours_x), weights
    )
    ours.backward(Tensor(cotangent))

    theirs_x = torch.tensor(x, requires_grad=True)
    loss = getattr(keras.losses, name)(reduction=reduction, **renamed(settings))
    theirs = loss(torch.from_numpy(y), activation[1](theirs_x), weights)
    theirs.backward(torch.tensor(cotangent))

    assert ours.dtype == np.float32
    for mine, peer in ((ours, theirs.detach()), (ours_x.grad, theirs_x.grad)):
        np.testing.assert_allclose(mine.numpy(), peer.numpy(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(
    "name, form, activation, settings", [case for case in CASES if case[2] in (SIGMOID, SOFTMAX)]
)
@pytest.mark.filterwarnings("ignore")
def test_losses_of_bare_probabilities(rng, name, form, activation, settings):
    """Where the tape does not know what made them, gradients are in respect of p."""
    y = labels(rng)[form]
    p = activation[0](rng.normal(size=(N, K)).astype("float32"))
    ours_p, theirs_p = Tensor(p, requires_grad=True), torch.tensor(p, requires_grad=True)
    ours = getattr(nn.losses, name)(**settings)(y, ours_p)
    ours.backward()
    theirs = getattr(keras.losses, name)(**renamed(settings))(torch.from_numpy(y), theirs_p)
    theirs.backward()
    np.testing.assert_allclose(ours.item(), theirs.item(), rtol=1e-5)
    np.testing.assert_allclose(ours_p.grad.numpy(), theirs_p.grad.numpy(), rtol=1e-5, atol=2e-6)


def binary_focal(x, y, gamma=2.0, alpha=0.25, apply_class_balancing=False, label_smoothing=0.0):
    y = y * (1 - label_smoothing) + label_smoothing / 2
    p = torch.sigmoid(x)
    values = (1 - (y * p + (1 - y) * (1 - p))) ** gamma * F.binary_cross_entropy(
        p, y, None, None, None, "none"
    )
    if apply_class_balancing:
        values = values * (y * alpha + (1 - y) * (1 - alpha))
    return values.mean(-1)


def categorical_focal(x, y, gamma=2.0, alpha=0.25):
    p = torch.softmax(x, -1)
    return -(alpha * y * (1 - p) ** gamma * torch.log(p)).sum(-1)


NO = {"reduction": "none"}
IN_TORCH = {
    "BinaryCrossentropy": lambda x, y, label_smoothing=0.0: F.binary_cross_entropy_with_logits(
        x, y * (1 - label_smoothing) + label_smoothing / 2, **NO
    ).mean(-1),
    "BinaryFocalCrossentropy": binary_focal,
    "CategoricalCrossentropy": lambda x, y, **s: F.cross_entropy(x, y, **NO, **s),
    "SparseCategoricalCrossentropy": lambda x, y, **s: F.cross_entropy(x, y, **NO, **s),
    "CategoricalFocalCrossentropy": categorical_focal,
    "KLDivergence": lambda x, y: F.kl_div(torch.log_softmax(x, -1), y, **NO).sum(-1),
    "MeanSquaredError": lambda x, y: F.mse_loss(x, y, **NO).mean(-1),
    "MeanAbsoluteError": lambda x, y: F.l1_loss(x, y, **NO).mean(-1),
    "MeanAbsolutePercentageError": lambda x, y: 100 * (abs(x - y) / abs(y)).mean(-1),
    "MeanSquaredLogarithmicError": lambda x, y: F.mse_loss(
        torch.log(1 + torch.exp(x)), torch.log(1 + y), **NO
    ).mean(-1),
    "Huber": lambda x, y, delta: F.huber_loss(x, y, delta=delta, **NO).mean(-1),
    "LogCosh": lambda x, y: torch.log(torch.cosh(x - y)).mean(-1),
    "Poisson": lambda x, y: F.poisson_nll_loss(
        torch.exp(x), y, log_input=False, eps=1e-7, **NO
    ).mean(-1),
    "CosineSimilarity": lambda x, y: -F.cosine_similarity(x, y, dim=-1),
    "Hinge": lambda x, y: torch.clamp(1 - x * y, min=0).mean(-1),
    "SquaredHinge": lambda x, y: (torch.clamp(1 - x * y, min=0) ** 2).mean(-1),
    "CategoricalHinge": lambda x, y: torch.clamp(
        ((1 - y) * x).max(-1).values - (x * y).sum(-1) + 1, min=0
    ),
}


@pytest.mark.parametrize("name, form, activation, settings", CASES)
@pytest.mark.filterwarnings("ignore")
def test_losses_in_float64_against_pytorch(rng, name, form, activation, settings):
    y, x, weights = labels(rng)[form], rng.normal(size=(N, K)), rng.random(N)
    ours_x, theirs_x = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    ours = getattr(nn.losses, name)(reduction="none", **settings)(y, activation[0](ours_x))
    engine.sum(ours * weights).backward()
    theirs = IN_TORCH[name](theirs_x, torch.from_numpy(y), **settings)
    (theirs * torch.from_numpy(weights)).sum().backward()
    assert ours.dtype == np.float64
    for mine, peer in ((ours, theirs.detach()), (ours_x.grad, theirs_x.grad)):
        np.testing.assert_allclose(mine.numpy(), peer.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("spec", ["L1", "L2", "L1L2"])
def test_regularizers(rng, spec):
    w = rng.normal(size=(4, 3)).astype("float32")
    settings = {"L1": {"l1": 0.2}, "L2": {"l2": 0.3}, "L1L2": {"l1": 0.2, "l2": 0.3}}[spec]
    ours, theirs = Tensor(w, requires_grad=True), torch.tensor(w, requires_grad=True)
    ours_value = getattr(nn.regularizers, spec)(**settings)(ours)
    theirs_value = getattr(keras.regularizers, spec)(**settings)(theirs)
    ours_value.backward()
    theirs_value.backward()
    np.testing.assert_allclose(ours_value.item(), theirs_value.item(), rtol=1e-5)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5)
    default = getattr(keras.regularizers, spec)()
    assert getattr(nn.regularizers, spec)().__dict__ == pytest.approx(default.get_config())


def told(metric, y, p, weights):
    for part in (slice(0, 20), slice(20, 50)):
        metric.update_state(y[part], p[part], None if weights is None else weights[part])
    return np.asarray(keras.ops.convert_to_numpy(metric.result()))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_metrics(rng, weighted):
    bits, q = rng.integers(0, 2, (50, 1)), rng.random((50, 1)).astype("float32")
    y, p = rng.integers(0, K, 50), engine.softmax(rng.normal(size=(50, K)).astype("float32"))
    rows, real = np.eye(K)[y], rng.normal(size=(50, K)).astype("float32")
    weights = rng.random(50).astype("float32") if weighted else None
    ours, theirs = nn.metrics, keras.metrics
    for mine, peer, truth, guess in (
        (ours.Accuracy(), theirs.BinaryAccuracy(), bits, q),
        (ours.Accuracy(threshold=0.3), theirs.BinaryAccuracy(threshold=0.3), bits, q),
        (ours.Accuracy(), theirs.CategoricalAccuracy(), rows, p),
        (ours.Accuracy(), theirs.SparseCategoricalAccuracy(), y, p),
        (ours.TopKCategoricalAccuracy(2), theirs.TopKCategoricalAccuracy(2), rows, p),
        (ours.TopKCategoricalAccuracy(2), theirs.SparseTopKCategoricalAccuracy(2), y, p),
        (ours.Precision(), theirs.Precision(), bits, q),
        (ours.Precision(threshold=0.7), theirs.Precision(thresholds=0.7), bits, q),
        (ours.Recall(), theirs.Recall(), bits, q),
        (ours.F1Score(), theirs.F1Score(threshold=0.5), bits, q),
        (ours.F1Score(average="micro"), theirs.F1Score(average="micro"), rows, p),
        (ours.F1Score(average="macro"), theirs.F1Score(average="macro"), rows, p),
        (ours.F1Score(average="weighted"), theirs.F1Score(average="weighted"), rows, p),
        (ours.F1Score(average=None), theirs.F1Score(average=None), rows, p),
        (ours.MeanSquaredError(), theirs.MeanSquaredError(), real, p),
        (ours.MeanAbsoluteError(), theirs.MeanAbsoluteError(), real, p),
        (ours.RootMeanSquaredError(), theirs.RootMeanSquaredError(), real, p),
        (ours.R2Score(), theirs.R2Score(), real, p),
    ):
        expected = told(peer, truth.astype("float32"), guess, weights)
        np.testing.assert_allclose(
            told(mine, truth, guess, weights),
            expected.reshape(-1) if mine.is_number is False else expected.item(),
            rtol=1e-5,
            err_msg=f"{mine.name} {truth.shape}",
        )
    for curve in ("ROC", "PR"):  # at thresholds so many that every score has its own
        peer = theirs.AUC(num_thresholds=20000, curve=curve)
        expected = told(peer, bits, q, weights).item()
        assert told(ours.AUC(curve), bits, q, weights).item() == pytest.approx(expected, abs=0.02)
        if curve == "ROC":
            assert told(ours.AUC(), bits, q, weights).item() == pytest.approx(expected, abs=1e-5)
