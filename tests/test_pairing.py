"""The pairing of last activation, loss, labels and decision: every row, every mistake.

What a message tells to write is then written, and has to work.
"""

import re
import warnings

import numpy as np
import pytest

import engine
import nn
from engine import Tensor
from nn import pairing
from nn.suspicions import exploded

K = 4
RNG = np.random.default_rng(5)
X = RNG.normal(size=(24, 6)).astype("float32")
Y = RNG.integers(0, K, 24)
Y[:K] = range(K)
ONE_HOT = np.eye(K)[Y]
SOFT = 0.6 * ONE_HOT + 0.1
BITS = Y % 2
MULTI = RNG.integers(0, 2, (24, K))
MULTI[0] = 1
REAL = RNG.normal(size=(24, K))


def net(units, activation=None, *more):
    return nn.Sequential(
        [
            nn.Dense(8, activation="relu", input_shape=(6,)),
            nn.Dense(units, activation=activation),
            *more,
        ]
    )


class Graph(nn.Model):
    """A model whose last activation cannot be seen before it is called."""

    def __init__(self, units, last):
        self.dense = nn.Dense(units, input_shape=(6,))
        self.last = last

    def forward(self, x):
        return self.last(self.dense(x))


def fits(model, loss, y, **settings):
    """Whether a model trains with a loss on labels: one step, without error or warning."""
    model.compile("sgd", loss, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return np.isfinite(model.fit(X, y, verbose=0).history["loss"][0])


# ------------------------------------------------------------------------------- the rows

ROWS = [
    ("sigmoid", 1, "binary_crossentropy", BITS),
    ("sigmoid", 1, "binary_crossentropy", BITS[:, None]),
    ("sigmoid", 1, "binary_crossentropy", BITS.astype(bool)),
    ("sigmoid", 1, "binary_crossentropy", BITS.astype("float32")),
    ("sigmoid", K, "binary_crossentropy", MULTI),
    ("softmax", K, "categorical_crossentropy", ONE_HOT),
    ("softmax", K, "categorical_crossentropy", SOFT),
    ("softmax", K, "sparse_categorical_crossentropy", Y),
    ("softmax", K, "sparse_categorical_crossentropy", Y[:, None]),
    (None, K, "mean_squared_error", REAL),
    (None, 1, "mean_squared_error", REAL[:, 0]),
]
OTHER_ROWS = [
    ("sigmoid", K, "binary_focal_crossentropy", MULTI),
    ("softmax", K, "categorical_focal_crossentropy", ONE_HOT),
    ("sigmoid", 1, "focal", BITS),
    ("softmax", K, "focal", ONE_HOT),
    ("softmax", K, "kl_divergence", SOFT),
    (None, 1, "hinge", 2 * BITS - 1),
    ("tanh", 1, "squared_hinge", 2 * BITS - 1),
    (None, K, "categorical_hinge", ONE_HOT),
    ("softplus", 1, "poisson", Y),
    (None, K, "mae", REAL),
    (None, K, "huber", REAL),
    (None, K, "log_cosh", REAL),
    (None, K, "cosine_similarity", REAL),
    (None, K, "mape", REAL + 9),
    ("softplus", K, "msle", np.abs(REAL)),
]


@pytest.mark.parametrize("activation, units, loss, y", ROWS + OTHER_ROWS)
def test_what_belongs_together_trains(activation, units, loss, y):
    activation = getattr(engine, activation) if activation == "softplus" else activation
    assert fits(net(units, activation), loss, y)


def test_focal_is_the_form_that_fits_from_compile_on():
    for activation, form in (("softmax", "categorical"), ("sigmoid", "binary")):
        model = net(K, activation)
        model.compile("sgd", "focal")
        assert model.loss is nn.losses.get(f"{form}_focal_crossentropy")


def test_every_loss_is_in_the_table_and_tested():
    names = {nn.losses.get(name).__name__ for name in nn.losses.LOSSES}
    assert names == set(pairing.TABLE)
    assert names == {nn.losses.get(row[2]).__name__ for row in ROWS + OTHER_ROWS}


@pytest.mark.parametrize("activation, units, loss, y", ROWS)
@pytest.mark.parametrize("given", ["auto", None])
def test_auto_chooses_the_row(activation, units, loss, y, given, capsys):
    model = net(units, activation)
    model.compile("sgd", given, metrics=[] if activation is None else ["accuracy"])
    values = model.fit(X, y, epochs=2, verbose=0).history
    assert capsys.readouterr().out == ""
    assert model.loss is nn.losses.get(loss)
    assert f"loss: {loss}, chosen for {activation or 'linear'} over {units}" in model.loss_choice
    stated = net(units, activation)
    stated.compile("sgd", loss, metrics=[] if activation is None else ["accuracy"])
    assert stated.fit(X, y, epochs=2, verbose=0).history.keys() == values.keys()
    assert stated.loss_choice is None


def test_auto_says_what_it_chose_in_one_line(capsys):
    model = net(K, "softmax")
    model.compile()
    model.fit(X, Y, epochs=3, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == model.loss_choice
    assert lines[0] == (
        "loss: sparse_categorical_crossentropy, chosen for softmax over 4 units and labels of "
        "shape (24,) that are integers"
    )
    assert sum("chosen" in line for line in lines) == 1
    again = net(K, "softmax")
    again.compile(loss="auto", metrics=["accuracy", "precision"])
    again.ensure_built()
    assert len(again.evaluate(X, ONE_HOT)) == 3
    assert again.loss is nn.losses.categorical_crossentropy
    by_graph = Graph(1, engine.sigmoid)
    by_graph.compile()
    assert by_graph.train_on_batch(X, BITS) > 0
    assert by_graph.loss is nn.losses.binary_crossentropy


def test_what_auto_chose_tells_the_metrics_the_form_of_the_labels():
    """The first batch of multi-hot rows happens to be one-hot."""
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    model = nn.Sequential([nn.Dense(2, activation="sigmoid", input_shape=(4,))])
    model.compile(nn.optimizers.SGD(learning_rate=1e-9), metrics=["accuracy", "recall"])
    model.ensure_built()
    model.layers[0].kernel.data[...] = np.where(y, 5, -5)
    values = model.fit(np.eye(4, dtype="float32"), y, 2, shuffle=False, verbose=0).history
    assert values["accuracy"] == [1] and values["recall"] == [1]


@pytest.mark.parametrize(
    "activation, units, y, message",
    [
        ("softmax", K, MULTI, "multi-hot; write activation='sigmoid' in the last layer"),
        ("softmax", K, REAL[:, 0], r"are real; write y.astype\(int\) if they are numbers of"),
        ("softmax", 1, BITS, "softmax over one unit is always 1"),
        ("sigmoid", K, Y, "are integers; write activation='softmax' in the last layer"),
        ("sigmoid", 1, 2 * BITS - 1, r"are signs; write \(y \+ 1\) / 2"),
        ("sigmoid", 1, REAL[:, 0], "are real; write activation=None in the last layer for values"),
        (None, 1, BITS, "write activation='sigmoid' in the last layer to tell 0 from 1, or loss="),
        (None, K, Y, "write activation='softmax' in the last layer to tell classes, or loss='mse'"),
        (None, 1, 2 * BITS - 1, "write loss='hinge', or loss='mse' if the numbers themselves"),
    ],
)
def test_auto_does_not_guess(activation, units, y, message):
    model = net(units, activation)
    model.compile()
    before = model.state_dict()
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, verbose=0)
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())


# ---------------------------------------------------------------------- mistakes, and the cure

SCCE, CCE, BCE = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
)
# (units, last activation, loss, labels), message, and what it says to write: the same four
MISTAKES = {
    "softmax over one unit": (
        (1, "softmax", BCE, BITS),
        "softmax over one unit is always 1, .* use one unit with activation='sigmoid' and "
        "loss='binary_crossentropy'",
        (1, "sigmoid", BCE, BITS),
    ),
    "softmax over one unit, one class": (
        (1, "softmax", SCCE, 0 * Y),
        "softmax over one unit is always 1",
        (1, "sigmoid", BCE, BITS),
    ),
    "softmax with binary_crossentropy": (
        (K, "softmax", BCE, ONE_HOT),
        r"binary_crossentropy needs sigmoid .* ends with softmax \(its outputs depend .* or "
        r"loss='categorical_crossentropy' \(one-hot labels\) or loss='sparse_categorical_cros",
        (K, "softmax", CCE, ONE_HOT),
    ),
    "sigmoid with sparse": (
        (K, "sigmoid", SCCE, Y),
        "sparse_categorical_crossentropy needs softmax as the last activation, this model ends "
        r"with sigmoid \(.*do not sum to 1\): write activation='softmax' in the last layer, or ",
        (K, "softmax", SCCE, Y),
    ),
    "one sigmoid with sparse": (
        (1, "sigmoid", SCCE, BITS),
        r"or loss='binary_crossentropy' \(labels: 0 and 1\)",
        (1, "sigmoid", BCE, BITS),
    ),
    "relu with a cross-entropy": (
        (K, "relu", CCE, ONE_HOT),
        r"ends with relu \(its outputs have no upper bound.*: write activation='softmax' in the",
        (K, "softmax", CCE, ONE_HOT),
    ),
    "relu with a binary cross-entropy": (
        (1, "relu", BCE, BITS),
        "ends with relu .*: write activation='sigmoid' in the last layer",
        (1, "sigmoid", BCE, BITS),
    ),
    "linear with a cross-entropy": (
        (K, None, SCCE, Y),
        r"ends with linear \(its outputs are any numbers, no probabilities\): write activation='so",
        (K, "softmax", SCCE, Y),
    ),
    "tanh with a cross-entropy": (
        (1, "tanh", BCE, BITS),
        r"ends with tanh \(its outputs go from -1 to 1.*: write activation='sigmoid'",
        (1, "sigmoid", BCE, BITS),
    ),
    "log_softmax with a cross-entropy": (
        (K, "log_softmax", SCCE, Y),
        r"ends with log_softmax \(.*the loss takes the logarithm itself\): write activation='soft",
        (K, "softmax", SCCE, Y),
    ),
    "softmax with focal of two": (
        (K, "softmax", "binary_focal_crossentropy", ONE_HOT),
        "binary_focal_crossentropy needs sigmoid",
        (K, "softmax", "focal", ONE_HOT),
    ),
    "sigmoid with hinge": (
        (1, "sigmoid", "hinge", 2 * BITS - 1),
        r"hinge needs linear or tanh .* ends with sigmoid \(its outputs cannot be below 0\): "
        "write activation='linear'",
        (1, "linear", "hinge", 2 * BITS - 1),
    ),
    "linear with poisson": (
        (1, None, "poisson", Y),
        "poisson needs softplus or .*: write activation='softplus' in the last layer",
        (1, engine.softplus, "poisson", Y),
    ),
    "one-hot labels, sparse loss": (
        (K, "softmax", SCCE, ONE_HOT),
        r"sparse_categorical_crossentropy: the labels have shape \(24, 4\), which are one-hot "
        r"rows; write loss='categorical_crossentropy', or give integer labels: y.argmax\(axis=1\)",
        (K, "softmax", CCE, ONE_HOT),
    ),
    "one-hot labels, sparse loss, the other cure": (
        (K, "softmax", SCCE, ONE_HOT),
        r"give integer labels: y.argmax\(axis=1\)",
        (K, "softmax", SCCE, ONE_HOT.argmax(axis=1)),
    ),
    "integer labels, dense loss": (
        (K, "softmax", CCE, Y),
        r"the labels have shape \(24,\), which are integers; write "
        "loss='sparse_categorical_crossentropy', or give one-hot labels: nn.to_categorical",
        (K, "softmax", SCCE, Y),
    ),
    "integer labels, dense loss, the other cure": (
        (K, "softmax", CCE, Y),
        r"give one-hot labels: nn.to_categorical\(y, 4\)",
        (K, "softmax", CCE, nn.to_categorical(Y, 4)),
    ),
    "labels start at 1": (
        (K, "softmax", SCCE, Y + 1),
        "from 0 to 3, since there are 4 units, got 1 to 4; they start at 1: write y - 1",
        (K, "softmax", SCCE, (Y + 1) - 1),
    ),
    "more classes than units": (
        (K - 1, "softmax", SCCE, Y),
        r"got 0 to 3; for 4 classes write Dense\(4, activation='softmax'\)",
        (4, "softmax", SCCE, Y),
    ),
    "negative labels": (
        (K, "softmax", SCCE, Y - 1),
        "got -1 to 2; write .* ignore_index=-1 in nn.losses.SparseCategoricalCrossentropy",
        (K, "softmax", nn.losses.SparseCategoricalCrossentropy(ignore_index=-1), Y - 1),
    ),
    "float labels": (
        (K, "softmax", SCCE, Y.astype(float)),
        r"expected integer labels, got float64; write y.astype\(int\)",
        (K, "softmax", SCCE, Y.astype(float).astype(int)),
    ),
    "columns and units differ": (
        (K - 1, "softmax", CCE, ONE_HOT),
        r"4 columns for 3 units; write Dense\(4, ...\) as the last layer",
        (4, "softmax", CCE, ONE_HOT),
    ),
    "labels that do not sum to 1": (
        (K, "softmax", CCE, 2 * SOFT),
        r"rows sum to 1, got sums from 2 to 2; write y / y.sum\(axis=1, keepdims=True\)",
        (K, "softmax", CCE, 2 * SOFT / (2 * SOFT).sum(axis=1, keepdims=True)),
    ),
    "values as probabilities": (
        (K, "softmax", CCE, REAL),
        "labels that are probabilities, got values from .*write loss='mse' and activation=None",
        (K, None, "mse", REAL),
    ),
    "multi-hot labels with softmax": (
        (K, "softmax", CCE, MULTI),
        "rows with several 1s, which are multi-hot; write activation='sigmoid' in the last layer "
        "and loss='binary_crossentropy'",
        (K, "sigmoid", BCE, MULTI),
    ),
    "binary labels -1 and 1": (
        (1, "sigmoid", BCE, 2 * BITS - 1),
        r"labels -1 and 1 belong to loss='hinge': write \(y \+ 1\) / 2",
        (1, "sigmoid", BCE, (2 * BITS - 1 + 1) / 2),
    ),
    "binary labels from 1": (
        (1, "sigmoid", BCE, BITS + 1),
        "got values from 1 to 2; they start at 1: write y - 1",
        (1, "sigmoid", BCE, BITS),
    ),
    "binary labels of pixels": (
        (1, "sigmoid", BCE, 255 * BITS),
        "got values from 0 to 255; write y / 255",
        (1, "sigmoid", BCE, 255 * BITS / 255),
    ),
    "classes for one sigmoid": (
        (1, "sigmoid", BCE, Y),
        r"for 4 classes write Dense\(4, activation='softmax'\) and loss='sparse_categorical_cro",
        (4, "softmax", SCCE, Y),
    ),
    "integers for several sigmoids": (
        (K, "sigmoid", BCE, Y),
        r"for 4 classes write Dense\(4, activation='softmax'\) and loss='sparse_categorical_cro",
        (K, "softmax", SCCE, Y),
    ),
    "two columns for one sigmoid": (
        (1, "sigmoid", BCE, np.eye(2)[BITS]),
        r"one unit takes labels 0 and 1: write y.argmax\(axis=1\)",
        (1, "sigmoid", BCE, np.eye(2)[BITS].argmax(axis=1)),
    ),
    "hinge with 0 and 1": (
        (1, None, "hinge", BITS),
        r"hinge: expected labels -1 and 1, got \[.*\]; write 2 \* y - 1",
        (1, None, "hinge", 2 * BITS - 1),
    ),
    "one column of labels, several units": (
        (K, None, "mse", REAL[:, :1]),
        r"mean_squared_error: expected labels of shape \(24, 4\), got \(24, 1\)",
        (K, None, "mse", REAL),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_an_error_and_its_message_the_cure(mistake):
    wrong, message, right = MISTAKES[mistake]
    units, activation, loss, y = wrong
    model = net(units, activation)
    model.ensure_built()
    before = model.state_dict()
    with pytest.raises((ValueError, TypeError), match=message):
        model.compile("sgd", loss)
        model.fit(X, y, 24, verbose=0)
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())
    units, activation, loss, y = right
    assert fits(net(units, activation), loss, y)


@pytest.mark.parametrize(
    "last, loss, y, message",
    [
        (engine.sigmoid, SCCE, Y, "needs softmax .* ends with sigmoid"),
        (engine.softmax, BCE, MULTI, "needs sigmoid .* ends with softmax"),
        (engine.relu, CCE, ONE_HOT, "needs softmax .* ends with relu"),
        (engine.log_softmax, SCCE, Y, "ends with log_softmax .*takes the logarithm itself"),
        (engine.tanh, BCE, MULTI, "ends with tanh"),
        (lambda x: x, CCE, ONE_HOT, "expected probabilities, the output of softmax, got values"),
        (lambda x: x, BCE, MULTI, "expected probabilities, the output of sigmoid, got values fr"),
        (lambda x: engine.sigmoid(x) * 1, CCE, ONE_HOT, "expected rows that sum to 1, the output"),
        (lambda x: engine.softmax(engine.softmax(x)), SCCE, Y, "softmax is applied to the output "),
        (lambda x: engine.softmax(engine.sigmoid(x)), SCCE, Y, "softmax is applied to the output "),
        (lambda x: engine.softmax(x)[:, :1], SCCE, Y, "expected rows that sum to 1"),
    ],
)
def test_a_model_that_cannot_be_seen_into_is_checked_by_its_first_outputs(last, loss, y, message):
    model = Graph(K, last)
    model.compile("sgd", loss)
    before = model.state_dict()
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, verbose=0)
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())
    with pytest.raises(ValueError, match=message):
        model.train_on_batch(X, y)


def test_a_model_that_cannot_be_seen_into_and_is_right():
    for last, loss, y in (
        (engine.softmax, SCCE, Y),
        (engine.sigmoid, BCE, MULTI),
        (lambda x: x, "mse", REAL),
        (lambda x: engine.reshape(engine.softmax(x), (-1, K)), CCE, ONE_HOT),  # bare, but right
        (engine.softmax, "focal", ONE_HOT),
    ):
        assert fits(Graph(K, last), loss, y)


@pytest.mark.parametrize(
    "more, message",
    [
        ([nn.Softmax()], "softmax is applied to the output of softmax: .* leave one of them out"),
        ([nn.Sigmoid()], "sigmoid is applied to the output of softmax"),
        ([nn.Flatten(), nn.Softmax()], "softmax is applied to the output of softmax"),
    ],
)
def test_softmax_twice_is_an_error_at_compile(more, message):
    model = net(K, "softmax", *more)
    loss = BCE if isinstance(more[-1], nn.Sigmoid) else SCCE
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", loss)
    with pytest.warns(nn.PairingWarning, match=message):
        model.compile("sgd", loss, strict=False)


def test_a_mistake_in_a_later_label_is_found_before_the_first_update():
    y = Y.copy()
    y[-1] = K
    model = net(K, "softmax")
    model.compile("sgd", SCCE)
    before = model.state_dict()
    with pytest.raises(ValueError, match="got 0 to 4; for 5 classes"):
        model.fit(X, y, 4, shuffle=False, verbose=0)
    assert all((model.state_dict()[name] == value).all() for name, value in before.items())


def test_validation_and_evaluation_are_checked_too():
    model = net(K, "softmax")
    model.compile("sgd", CCE)
    with pytest.raises(ValueError, match="rows sum to 1"):
        model.fit(X, SOFT, validation_data=(X, 2 * SOFT), verbose=0)
    with pytest.raises(ValueError, match="rows sum to 1"):
        model.evaluate(X, 2 * SOFT)


# ----------------------------------------------------------------------------- strict=False


@pytest.mark.parametrize(
    "units, activation, loss, y, message",
    [
        (K, "softmax", BCE, ONE_HOT, "binary_crossentropy needs sigmoid"),
        (K, "sigmoid", SCCE, Y, "sparse_categorical_crossentropy needs softmax"),
        (K, "relu", CCE, ONE_HOT, "ends with relu"),
        (K, None, BCE, MULTI, "ends with linear"),
        (1, "softmax", BCE, BITS, "softmax over one unit"),
        (K, "softmax", CCE, 2 * SOFT, "rows sum to 1"),
        (K, "softmax", CCE, MULTI, "multi-hot"),
        (1, "sigmoid", "hinge", 2 * BITS - 1, "hinge needs linear"),
    ],
)
def test_strict_false_warns_and_trains(units, activation, loss, y, message):
    model = net(units, activation)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        model.compile("sgd", loss, strict=False)
        assert np.isfinite(model.fit(X, y, epochs=2, verbose=0).history["loss"]).all()
    told = [str(warning.message) for warning in given]
    assert len(told) == len(set(told))
    assert all(warning.category is nn.PairingWarning for warning in given)
    assert all(warning.filename == __file__ for warning in given)
    assert any(re.search(message, text) for text in told), told


def test_strict_false_and_a_model_that_cannot_be_seen_into():
    model = Graph(K, engine.sigmoid)
    model.compile("sgd", CCE, strict=False)
    with pytest.warns(nn.PairingWarning, match="needs softmax .* ends with sigmoid"):
        model.fit(X, ONE_HOT, verbose=0)


def test_what_cannot_be_calculated_stays_an_error():
    model = net(K, "softmax")
    model.compile("sgd", SCCE, strict=False)
    with pytest.raises(ValueError, match="which are one-hot rows"):
        model.fit(X, ONE_HOT, verbose=0)


# ----------------------------------------------------------------------------- the decision


@pytest.mark.parametrize(
    "activation, loss, outputs, expected",
    [
        ("softmax", SCCE, [[0.2, 0.8], [0.6, 0.4]], [1, 0]),
        ("sigmoid", BCE, [[0.2], [0.6]], [0, 1]),
        ("sigmoid", BCE, [[0.2, 0.8], [0.6, 0.7]], [[0, 1], [1, 1]]),
        (None, SCCE, [[0.2, 0.8], [0.6, 0.4]], [1, 0]),
        (None, BCE, [[0.2], [0.6]], [0, 1]),
        ("linear", "hinge", [[-0.2], [3.0]], [-1, 1]),
        ("tanh", "categorical_hinge", [[-0.2, -0.1], [3.0, 2.0]], [1, 0]),
    ],
)
def test_decisions(activation, loss, outputs, expected):
    got = pairing.decide(activation, np.array(outputs), loss=nn.losses.get(loss))
    assert got.tolist() == expected


def test_the_threshold_is_settable():
    model = net(1, "sigmoid")
    model.compile(metrics=[nn.metrics.Accuracy(threshold=0.9)])
    model.fit(X, BITS, verbose=0)
    p = model.predict(X)[:, 0]
    for threshold in (0.3, 0.5, 0.7):
        assert (model.predict_classes(X, threshold=threshold) == (p > threshold)).all()
    expected = ((p > 0.9) == BITS).mean()
    assert model.evaluate(X, BITS, return_dict=True)["accuracy"] == pytest.approx(expected)
    model = net(1, None)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="ends with linear gives values, not classes"):
        model.predict_classes(X)


def test_accuracy_takes_the_form_of_the_loss():
    for name, form in (
        (BCE, "binary_accuracy"),
        (CCE, "categorical_accuracy"),
        (SCCE, "sparse_categorical_accuracy"),
        ("hinge", "sign_accuracy"),
        ("mean_squared_error", None),
        (nn.losses.Huber(), None),
        (nn.losses.CategoricalCrossentropy(), "categorical_accuracy"),
        (lambda y, p: p, "accuracy"),
    ):
        assert pairing.accuracy_for(name) == form
    for activation, units, loss, y in ROWS + OTHER_ROWS:
        if activation in ("sigmoid", "softmax") or "hinge" in loss:
            model = net(units, activation)
            model.compile("sgd", loss, metrics=["accuracy"])
            got = model.fit(X, y, verbose=0).history["accuracy"][0]
            assert 0 <= got <= 1


# ----------------------------------------------------------------------------- suspicions


def said(layers, x=X, y=Y, loss=SCCE, optimizer="sgd", **settings):
    """The texts of the PairingWarnings of a training."""
    model = nn.Sequential(layers)
    model.compile(optimizer, loss)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("ignore")  # of NumPy, where numbers overflow on purpose
        warnings.simplefilter("always", nn.PairingWarning)
        model.fit(x, y, verbose=0, **settings)
    assert all(warning.filename == __file__ for warning in given)
    return [str(warning.message) for warning in given]


def last():
    return nn.Dense(K, activation="softmax")


def test_two_dense_layers_with_nothing_between():
    for between, named in (
        ([], "not linear, so"),
        ([nn.Activation("linear")], r"Activation is not enough"),
    ):
        (text,) = said([nn.Dense(3, input_shape=(6,)), *between, last()], epochs=2)
        assert text == (
            "dense and dense_1 have nothing between them that is not linear"
            + (" (Activation is not enough)" if between else "")
            + ", so that together they are one linear layer, with a matrix 6 x 4 of rank at most "
            "3; write Dense(3, activation='relu'), or leave one of them out"
        ), named
    matrix = RNG.normal(size=(6, 3)) @ RNG.normal(size=(3, 4))
    assert np.linalg.matrix_rank(matrix) == 3
    (text,) = said([nn.Dense(8, input_shape=(6,)), nn.Dense(4)], y=REAL, loss="mse")
    assert "rank at most 4" in text
    texts = said([nn.Dense(8, input_shape=(6,)), nn.Dense(7), last()])
    assert [text.split(" have")[0] for text in texts] == [
        "dense and dense_1",
        "dense_1 and dense_2",
    ]
    nested = [nn.Sequential([nn.Dense(8, input_shape=(6,))]), nn.Flatten(), last()]
    (text,) = said(nested)
    assert "(Flatten is not enough)" in text
    assert "rank" not in text


def test_dense_layers_with_something_between_are_left_alone():
    def own(x):
        return x * x

    for between in ([nn.ReLU()], [nn.Activation(own)], [nn.Tanh(), nn.Flatten()], [nn.Softmax()]):
        assert said([nn.Dense(3, input_shape=(6,)), *between, last()]) == []
    assert said([nn.Dense(3, activation="relu", input_shape=(6,)), last()]) == []


def deep(activation, initializer, count=3):
    hidden = [
        nn.Dense(8, activation=activation, kernel_initializer=initializer) for _ in range(count)
    ]
    return [nn.Flatten(input_shape=(6,)), *hidden, last()]


def test_squashing_with_he_in_a_deep_stack():
    for activation in ("sigmoid", "tanh"):
        (text,) = said(deep(activation, "he_normal"))
        assert f"dense, dense_1, dense_2 have {activation} with he_normal" in text
        assert "write activation='relu'" in text
        assert "leave kernel_initializer out (glorot_uniform fits)" in text
        assert said(deep(activation, None)) == []
        assert said(deep(activation, "he_normal", 2)) == []
    assert said(deep("relu", "he_normal")) == []


def test_inputs_that_are_not_scaled():
    images = RNG.integers(0, 256, (24, 4, 4)).astype("uint8")
    start = [nn.Flatten(input_shape=(4, 4)), nn.Dense(8, activation="relu"), last()]
    slow = nn.optimizers.SGD(learning_rate=1e-6)
    for x in (images, images.astype("float32")):
        (text,) = said(start, x, optimizer=slow)
        assert text.startswith("the inputs are whole numbers from 0 to 25")
        assert "write x / 255, or nn.Rescaling(1 / 255) as the first layer" in text
        start = [nn.Flatten(input_shape=(4, 4)), nn.Dense(8, activation="relu"), last()]
        slow = nn.optimizers.SGD(learning_rate=1e-6)
    start = [nn.Flatten(input_shape=(4, 4)), nn.Dense(8, activation="relu"), last()]
    assert said(start, images / 255) == []
    start = [nn.Flatten(input_shape=(4, 4)), nn.Dense(8, activation="relu"), last()]
    assert said(start, images // 16) == []  # from 0 to 15 is near enough to 1
    scaling = [nn.Rescaling(1 / 255, input_shape=(4, 4)), nn.Flatten()]
    assert said([*scaling, nn.Dense(8, activation="relu"), last()], images) == []
    few = [nn.Dense(8, activation="relu", input_shape=(6,)), last()]
    assert said(few, RNG.integers(0, 200, (24, 6)) * 1.0, optimizer=slow) == []


def test_labels_that_tell_nothing():
    start = [nn.Dense(8, activation="relu", input_shape=(6,)), last()]
    (text,) = said(start, y=0 * Y + 2)
    assert text == "all 24 labels are 2: there is nothing to learn from them"
    start = [nn.Dense(8, activation="relu", input_shape=(6,)), last()]
    (text,) = said(start, y=np.clip(Y, 1, None))
    assert (
        "the labels are 1 to 3, and class 0 never occurs; if they start at 1, write y - 1" in text
    )
    start = [nn.Dense(8, activation="relu", input_shape=(6,)), last()]
    assert said(start, y=np.sort(Y), batch_size=4, shuffle=False) == []  # a batch, but not all


def test_a_loss_for_values_on_classes():
    (text,) = said(
        [nn.Dense(8, activation="relu", input_shape=(6,)), last()], y=ONE_HOT, loss="mse"
    )
    assert "mean_squared_error with softmax hardly learns" in text
    assert "write loss='categorical_crossentropy'" in text
    one = [nn.Dense(8, activation="relu", input_shape=(6,)), nn.Dense(1, activation="sigmoid")]
    (text,) = said(one, y=BITS, loss="mae")
    assert "write loss='binary_crossentropy'" in text
    one = [nn.Dense(8, activation="relu", input_shape=(6,)), nn.Dense(1, activation="sigmoid")]
    assert said(one, y=RNG.random(24), loss="mse") == []


def test_relu_right_before_softmax():
    (text,) = said([nn.Dense(K, activation="relu", input_shape=(6,)), nn.Softmax()])
    assert "relu stands right before softmax" in text
    assert text.endswith("leave relu out")
    assert said([nn.Dense(K, input_shape=(6,)), nn.Softmax()]) == []


def test_a_learning_rate_at_which_the_loss_explodes():
    def line(rate, epochs=12):
        y = X[:, 0] * 3
        model = [nn.Dense(1, input_shape=(6,))]
        optimizer = nn.optimizers.SGD(learning_rate=rate)
        return said(model, y=y, loss="mse", optimizer=optimizer, epochs=epochs, batch_size=24)

    (text,) = line(2.0)
    assert "in the first steps: the learning rate 2 is too great; write learning_rate=0.01" in text
    (text,) = line(1e30)
    assert "to inf in the first steps" in text or "to nan in the first steps" in text
    assert line(0.01) == []
    assert line(2.0, epochs=5) == []  # too few steps to tell


@pytest.mark.parametrize(
    "name, first, later, found",
    [
        ("mean_squared_error", 1.0, [1.0] * 9, False),
        ("mean_squared_error", 1.0, [1.0] * 6 + [11, 12, 13], True),
        ("mean_squared_error", 1.0, [1.0] * 6 + [5, 9, 12], False),
        ("mean_squared_error", 1.0, [1.0] * 5 + [11, 12, 13], False),
        ("mean_squared_error", 1.0, [float("nan")], True),
        ("binary_crossentropy", 1e-3, [0.02] * 9, False),  # a trained model meets a hard batch
        ("binary_crossentropy", 1e-3, [8.0] * 9, True),
    ],
)
def test_when_a_loss_explodes(name, first, later, found):
    assert (exploded(name, first, later, 0.1) is not None) == found


def test_a_training_that_goes_on_is_not_suspected_again():
    model = nn.Sequential([nn.Dense(1, input_shape=(6,))])
    model.compile("sgd", "mse")
    model.fit(X, X[:, 0], verbose=0)
    model.layers[0].kernel.data[...] *= 1000
    model.fit(X, 1e3 * X[:, 0], verbose=0, epochs=12)


def test_the_form_of_labels():
    for y, units, form in (
        ([0, 1], 1, "binary"),
        ([0, 1], 2, "integers"),
        ([[True], [False]], None, "binary"),
        ([-1, 1], 1, "signs"),
        ([0, 3], None, "integers"),
        ([0.0, 1.0], 1, "binary"),
        ([0.0, 3.0], 1, "real"),
        ([[0, 1], [1, 0]], 2, "one-hot"),
        ([[1, 1], [1, 0]], 2, "multi-hot"),
        ([[0, 0], [1, 0]], 2, "multi-hot"),
        ([[0.3, 0.7]], 2, "probabilities"),
        ([[0.3, 0.8]], 2, "real"),
        ([[-1, 1]], 2, "signs"),
        ([[2, 3]], 2, "real"),
    ):
        assert nn.labels.form_of(np.array(y), units) == form, y
    with pytest.raises(TypeError, match="labels: expected numbers as labels, got <U1"):
        nn.labels.form_of(["a"])


def test_what_a_tensor_knows_of_what_made_it():
    x = Tensor(X, requires_grad=True)
    for function in (engine.relu, engine.tanh, engine.softmax, engine.sigmoid, engine.log_softmax):
        assert pairing.made_by(function(x)) == function.__name__
    assert pairing.made_by(x) is None
    assert pairing.made_by(x * 2) is None
    with engine.no_grad():
        assert pairing.made_by(engine.softmax(x)) == "softmax"
        assert pairing.made_by(engine.relu(x)) is None
