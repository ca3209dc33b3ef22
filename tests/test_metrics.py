"""Metrics, against their definitions written out one example at a time."""

import numpy as np
import pytest

import nn
from nn import metrics


def in_batches(metric, y, p, weights=None, size=7):
    for start in range(0, len(y), size):
        part = slice(start, start + size)
        metric.update_state(y[part], p[part], None if weights is None else weights[part])
    return metric.result()


@pytest.fixture
def classes(rng):
    """Integer labels of 4 classes, and probabilities with ties among them."""
    y = rng.integers(0, 4, 60)
    p = rng.integers(1, 6, (60, 4)).astype(float)
    return y, p / p.sum(axis=1, keepdims=True), rng.integers(1, 5, 60) / 2


@pytest.fixture
def bits(rng):
    y = rng.integers(0, 2, 50)
    return y, rng.integers(0, 11, 50) / 10, rng.integers(1, 5, 50) / 2


def counts_by_hand(truth, decided, weights):
    right = sum(w for t, d, w in zip(truth, decided, weights) if t and d)
    wrong = sum(w for t, d, w in zip(truth, decided, weights) if d and not t)
    missed = sum(w for t, d, w in zip(truth, decided, weights) if t and not d)
    return right, wrong, missed


RATIOS = {
    metrics.Precision: lambda r, w, m: r / (r + w) if r + w else 0.0,
    metrics.Recall: lambda r, w, m: r / (r + m) if r + m else 0.0,
    metrics.F1Score: lambda r, w, m: 2 * r / (2 * r + w + m) if r + w + m else 0.0,
}


@pytest.mark.parametrize("kind", RATIOS)
@pytest.mark.parametrize("threshold", [0.25, 0.5, 0.7])
@pytest.mark.parametrize("weighted", [False, True])
def test_counts_of_a_binary_decision(bits, kind, threshold, weighted):
    y, p, weights = bits
    expected = RATIOS[kind](
        *counts_by_hand(y == 1, p > threshold, weights if weighted else np.ones(50))
    )
    given = weights if weighted else None
    for labels, outputs in ((y, p), (y[:, None], p[:, None]), (y.astype(bool), p[:, None])):
        got = in_batches(kind(threshold=threshold), labels, outputs, given)
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    signs = in_batches(kind(labels="signs"), 2 * y - 1, 2 * p[:, None] - 2 * threshold, given)
    np.testing.assert_allclose(signs, expected, rtol=1e-12)


@pytest.mark.parametrize("kind", RATIOS)
@pytest.mark.parametrize("form", ["integers", "one-hot"])
@pytest.mark.parametrize("weighted", [False, True])
def test_counts_of_several_classes(classes, kind, form, weighted):
    y, p, weights = classes
    y, p = y.copy(), p.copy()
    y[y == 3] = 2  # class 3 neither occurs nor is decided for
    p[:, 3] = 0
    w = weights if weighted else np.ones(len(y))
    decided = p.argmax(axis=1)
    counts = [counts_by_hand(y == c, decided == c, w) for c in range(4)]
    each = [RATIOS[kind](*c) for c in counts]
    support = [c[0] + c[2] for c in counts]
    expected = {
        "macro": sum(each[:3]) / 3,
        "weighted": sum(e * s for e, s in zip(each, support)) / sum(support),
        "micro": RATIOS[kind](*np.sum(counts, axis=0)),
    }
    labels = y if form == "integers" else np.eye(4)[y]
    given = weights if weighted else None
    for average, value in expected.items():
        got = in_batches(kind(average=average), labels, p, given)
        np.testing.assert_allclose(got, value, rtol=1e-12)
    got = in_batches(kind(average=None), labels, p, given)
    np.testing.assert_allclose(got, each, rtol=1e-12)
    got = in_batches(kind(class_id=2), labels, p, given)
    np.testing.assert_allclose(got, each[2], rtol=1e-12)


@pytest.mark.parametrize("kind", RATIOS)
def test_counts_of_multi_hot_labels_are_decided_each(rng, kind):
    y, p = rng.integers(0, 2, (40, 3)), rng.random((40, 3))
    each = [
        RATIOS[kind](*counts_by_hand(y[:, c] == 1, p[:, c] > 0.5, np.ones(40))) for c in range(3)
    ]
    np.testing.assert_allclose(in_batches(kind(), y, p), np.mean(each), rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_roc_area_is_the_share_of_pairs_in_order(bits, weighted):
    y, p, weights = bits
    w = weights if weighted else np.ones(50)
    won = total = 0.0
    for i in np.flatnonzero(y == 1):
        for j in np.flatnonzero(y == 0):
            won += w[i] * w[j] * ((p[i] > p[j]) + 0.5 * (p[i] == p[j]))
            total += w[i] * w[j]
    got = in_batches(metrics.AUC(), y, p[:, None], weights if weighted else None)
    np.testing.assert_allclose(got, won / total, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_average_precision_goes_from_threshold_to_threshold(bits, weighted):
    y, p, weights = bits
    w = weights if weighted else np.ones(50)
    area, recall_before = 0.0, 0.0
    for cut in sorted(set(p), reverse=True):
        above = p >= cut
        recall = w[above & (y == 1)].sum() / w[y == 1].sum()
        area += (recall - recall_before) * w[above & (y == 1)].sum() / w[above].sum()
        recall_before = recall
    got = in_batches(metrics.AUC(curve="PR"), y, p[:, None], weights if weighted else None)
    np.testing.assert_allclose(got, area, rtol=1e-12)


def test_auc_of_several_classes_is_each_against_the_rest(classes):
    y, p, _ = classes
    each = [metrics.AUC()(y == c, p[:, c]) for c in range(4)]
    for labels in (y, np.eye(4)[y]):
        np.testing.assert_allclose(in_batches(metrics.AUC(), labels, p), np.mean(each), rtol=1e-12)


def test_auc_of_one_class_alone_is_nan():
    for curve in ("ROC", "PR"):
        assert np.isnan(metrics.AUC(curve)([0, 0], np.array([0.1, 0.2])))
    assert np.isnan(metrics.AUC().result())


def test_confusion_matrix(classes, bits):
    y, p, weights = classes
    decided = p.argmax(axis=1)
    expected = np.zeros((4, 4), int)
    for truth, guess in zip(y, decided):
        expected[truth, guess] += 1
    for labels in (y, y[:, None], np.eye(4)[y]):
        for given in (p, decided):
            got = metrics.confusion_matrix(labels, given)
            assert got.dtype == np.int64
            np.testing.assert_array_equal(got, expected)
    heavy = metrics.confusion_matrix(y, p, sample_weight=weights)
    assert heavy[1, 2] == weights[(y == 1) & (decided == 2)].sum()
    np.testing.assert_array_equal(in_batches(metrics.ConfusionMatrix(4), y, p), expected)
    assert metrics.confusion_matrix([0, 1], [0, 1], num_classes=5).shape == (5, 5)
    y, p, _ = bits
    np.testing.assert_array_equal(
        metrics.confusion_matrix(y, p[:, None], threshold=0.3),
        [[((y == t) & ((p > 0.3) == g)).sum() for g in (0, 1)] for t in (0, 1)],
    )


def test_top_k(classes):
    y, p, weights = classes
    hits = [label in sorted(range(4), key=lambda c: (-row[c], c))[:2] for label, row in zip(y, p)]
    assert metrics.sparse_top_k_categorical_accuracy(y, p, k=2).tolist() == hits
    assert metrics.top_k_categorical_accuracy(np.eye(4)[y], p, k=2).tolist() == hits
    for labels in (y, np.eye(4)[y]):
        assert in_batches(metrics.TopKCategoricalAccuracy(2), labels, p) == np.mean(hits)
    got = in_batches(metrics.TopKCategoricalAccuracy(2), y, p, weights)
    np.testing.assert_allclose(got, np.average(hits, weights=weights), rtol=1e-12)


def test_regression_metrics(rng):
    y = rng.normal(1e6, 1, (30, 2))  # far from 0, where sums of squares lose all digits
    p, weights = y + rng.normal(size=(30, 2)) / 3, rng.integers(1, 4, 30)
    for w in (None, weights):
        mean = np.average(y, axis=0, weights=w)
        error = np.average((p - y) ** 2, axis=0, weights=w)
        spread = np.average((y - mean) ** 2, axis=0, weights=w)
        expected = {
            "mse": error.mean(),
            "rmse": error.mean() ** 0.5,
            "mae": np.average(np.abs(p - y), axis=0, weights=w).mean(),
            "r2": (1 - error / spread).mean(),
        }
        for name, value in expected.items():
            _, metric = metrics.get(name, None)
            np.testing.assert_allclose(in_batches(metric, y, p, w), value, rtol=1e-9)
    assert metrics.R2Score()(np.ones(3), np.ones((3, 1))) == 1
    assert metrics.R2Score()(np.ones(3), np.array([[1.0], [1], [2]])) == 0


def test_accuracy_finds_the_form_of_the_labels(classes):
    y, p, weights = classes
    right = y == p.argmax(axis=1)
    for labels in (y, y[:, None], np.eye(4)[y], 0.7 * np.eye(4)[y] + 0.075):
        assert metrics.Accuracy()(labels, p) == right.mean()
    got = metrics.Accuracy()(y, p, weights)
    np.testing.assert_allclose(got, np.average(right, weights=weights), rtol=1e-12)
    p = np.array([[0.4], [0.6], [0.8]])
    assert metrics.Accuracy()([0, 0, 1], p) == pytest.approx(2 / 3)
    assert metrics.Accuracy(threshold=0.7)([0, 0, 1], p) == 1
    assert metrics.Accuracy()([-1, -1, 1], p - 0.7) == 1
    two = np.array([[0.6, 0.4], [0.2, 0.8]])
    assert metrics.Accuracy()([0, 1], two) == 1  # two outputs: 0 and 1 are numbers of classes
    assert metrics.Accuracy()([[1, 1], [0, 0]], two) == 0.5


def test_what_came_in_before_is_forgotten_by_reset(bits):
    y, p, _ = bits
    for name in metrics.METRICS:
        if "categorical" in name or name == "top_k":
            continue
        _, metric = metrics.get(name, None)
        first = in_batches(metric, y, p[:, None])
        metric.update_state(1 - y, p[:, None])
        metric.reset_state()
        assert in_batches(metric, y, p[:, None]) == first, name


def test_metrics_of_a_model_are_those_of_its_predictions(rng):
    x = rng.normal(size=(90, 4)).astype("float32")
    y = rng.integers(0, 3, 90)
    model = nn.Sequential([nn.Dense(3, activation="softmax", input_shape=(4,))])
    chosen = ["accuracy", "precision", metrics.Recall(average="micro"), "f1", "auc", "top_k"]
    model.compile(loss="sparse_categorical_crossentropy", metrics=chosen)
    values = model.evaluate(x, y, return_dict=True)
    p = model.predict(x)
    assert list(values) == ["loss", "accuracy", "precision", "recall", "f1", "auc", "top_k"]
    assert values["accuracy"] == pytest.approx((y == p.argmax(axis=1)).mean())
    assert values["precision"] == metrics.Precision()(y, p)
    assert values["recall"] == pytest.approx(values["accuracy"])
    assert values["auc"] == metrics.AUC()(y, p)
    assert values["top_k"] == 1
    history = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0).history
    assert len(history["val_f1"]) == 2
    assert history["val_auc"][-1] == pytest.approx(metrics.AUC()(y, model.predict(x)))


def test_a_metric_takes_the_form_that_the_loss_tells():
    """A batch in which each row happens to have one 1 is multi-hot all the same."""
    x = np.eye(4, dtype="float32")
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    model = nn.Sequential([nn.Dense(2, activation="sigmoid", input_shape=(4,))])
    model.compile(loss="binary_crossentropy", metrics=["precision", "recall"])
    model.ensure_built()
    model.layers[0].kernel.data[...] = np.where(y, 5, -5)
    assert model.evaluate(x, y, batch_size=2)[1:] == [1, 1]
    with pytest.raises(
        ValueError, match=r"looked one-hot .* write Precision\(labels='multi-hot'\)"
    ):
        in_batches(metrics.Precision(), y, y.astype(float), size=2)
    assert in_batches(metrics.Precision(labels="multi-hot"), y, y.astype(float), size=2) == 1


def test_labels_that_the_loss_ignores_count_in_no_metric(classes):
    y, p, weights = classes
    padded = np.where(np.arange(60) % 3 == 0, -1, y)
    rows = padded != -1
    loss = nn.losses.SparseCategoricalCrossentropy(ignore_index=-1)
    for name in ("accuracy", "precision", "auc", "top_k"):
        _, metric = metrics.get(name, nn.pairing.accuracy_for(loss), loss.ignore_index)
        for labels, outputs, w in (
            (padded, p, weights),
            (padded[:, None], p, weights),
            (padded.reshape(6, 10), p.reshape(6, 10, 4), weights.reshape(6, 10)),
        ):
            _, plain = metrics.get(name, nn.pairing.accuracy_for(loss))
            expected = plain(y[rows], p[rows], weights[rows])
            np.testing.assert_allclose(metric(labels, outputs, w), expected, rtol=1e-12)
    model = nn.Sequential([nn.Dense(4, activation="softmax", input_shape=(4,))])
    model.compile(loss=loss, metrics=["accuracy"])
    history = model.fit(p, padded, verbose=0).history
    got = model.evaluate(p, padded)[1]
    assert got == pytest.approx((model.predict(p).argmax(axis=1) == y)[rows].mean())
    assert 0 <= history["accuracy"][0] <= 1


P = np.full((2, 3), 1 / 3)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: metrics.Precision(average="mean"), ValueError, "precision: expected average"),
        (lambda: metrics.Recall(labels="onehot"), ValueError, "recall: expected labels to be one"),
        (lambda: metrics.Accuracy(labels="real"), ValueError, "accuracy: expected labels to be"),
        (lambda: metrics.AUC("roc"), ValueError, "curve to be 'ROC' or 'PR', got 'roc'"),
        (lambda: metrics.TopKCategoricalAccuracy(0), ValueError, "k to be an integer of at least"),
        (lambda: metrics.Precision()([0.5, 0.7], P), ValueError, "are real numbers, which name no"),
        (
            lambda: metrics.AUC()([0.5, 0.7], P),
            ValueError,
            r"auc: labels of shape .* are real numbers",
        ),
        (
            lambda: metrics.Accuracy()([0.5, 0.7], P),
            ValueError,
            "accuracy: labels of .* are real numbers, which name no",
        ),
        (lambda: metrics.Precision()([0, 3], P), ValueError, "labels from 0 to 2, since there are"),
        (
            lambda: metrics.categorical_accuracy([0, 1], P),
            ValueError,
            "for integer labels use sparse_categorical_accuracy",
        ),
        (lambda: metrics.binary_accuracy([0, 1], P), ValueError, r"labels of shape \(2, 3\)"),
        (lambda: metrics.mean_squared_error([0, 1], P), ValueError, r"labels of shape \(2, 3\)"),
        (lambda: metrics.confusion_matrix([0, 1], [0, 1, 1]), ValueError, "as many labels as"),
        (lambda: metrics.confusion_matrix([0, 2], [0, 1], 2), ValueError, "labels from 0 to 1"),
        (lambda: metrics.get(metrics.Precision, None), TypeError, r"write Precision\(\)"),
        (lambda: metrics.get(3, None), TypeError, "expected a name, a function or a Metric"),
        (
            lambda: metrics.get(metrics.ConfusionMatrix(3), None),
            ValueError,
            r"confusion_matrix gives several numbers.*call it on predictions",
        ),
        (
            lambda: metrics.get(metrics.Precision(average=None), None),
            ValueError,
            "precision gives several numbers",
        ),
        (
            lambda: metrics.Accuracy()([0, 1], P, [1, 2, 3]),
            ValueError,
            r"accuracy: expected a sample_weight for each example, of shape \(2,\), got \(3,\)",
        ),
        (
            lambda: metrics.Accuracy()([0, 1], P, [1, -1]),
            ValueError,
            "weights of at least 0, got -1",
        ),
        (lambda: metrics.AUC()([0, 1], P, ["a", "b"]), TypeError, "numbers in sample_weight"),
    ],
)
def test_errors_of_metrics(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
