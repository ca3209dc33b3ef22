"""The pictures, by what stands in their Axes: lines, bars, texts, hatches."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import engine
import nn
from engine import Tensor
from nn import plots
from nn.plots.layout import place
from nn.plots.sheet import spread

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib, the extra `plot`, is missing")
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _figures_closed_and_settings_kept():
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    yield
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        figure.canvas.draw()  # it can be drawn, without a warning
    pyplot.close("all")
    assert dict(matplotlib.rcParams) == before


def texts(ax):
    return [text.get_text() for text in ax.texts]


def line(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


# ---------------------------------------------------------------------------------- activations


def zones(ax):
    found = {"dead": [], "saturated": []}
    for patch in ax.patches:
        if patch.get_label() in found:
            start, width = patch.get_x(), patch.get_width()
            found[patch.get_label()].append((round(start, 1), round(start + width, 1)))
    return found


def test_activations_draw_value_and_slope():
    ax = plots.plot_activations("sigmoid")[0]
    x, y = line(ax, "curve").get_data()
    s = 1 / (1 + np.exp(-x))
    assert x[0] == -7 and x[-1] == 7
    np.testing.assert_allclose(y, s, rtol=1e-12)
    np.testing.assert_allclose(line(ax, "slope").get_ydata(), s * (1 - s), rtol=1e-9)
    assert line(ax, "curve").get_linestyle() != line(ax, "slope").get_linestyle()
    assert ax.get_title(loc="left") == "sigmoid\n"
    # s (1 - s) = 0.05 at s = (1 - sqrt(0.8)) / 2, which is at -2.887
    assert zones(ax) == {"dead": [], "saturated": [(-7, -2.9), (2.9, 7)]}
    assert texts(ax) == ["0 to 1; saturated beyond ±2.9"]


def with_hole(x):
    """Its slope is 0 in the middle, from -1 to 1, only."""
    return engine.where(engine.abs(x) < 1, 0.0 * x, x)


def turning(x):
    """Its slope is small at 0, between steep sides."""
    return x**2


@pytest.mark.parametrize(
    ("activation", "dead", "saturated", "words"),
    [
        ("linear", [], [], "-∞ to ∞"),
        ("relu", [(-7, 0)], [], "0 to ∞; dead below 0"),
        (engine.relu6, [(-7, 0), (6, 7)], [], "0 to 6; dead below 0 and above 6"),
        ("tanh", [], [(-7, -2.2), (2.2, 7)], "-1 to 1; saturated beyond ±2.2"),
        (engine.leaky_relu, [], [], "-∞ to ∞"),
        (engine.gelu, [], [(-7, -2.3)], "-0.17 to ∞; saturated below -2.3"),
        (engine.exp, [], [(-7, -3)], "0 to ∞; saturated below -3"),
        (engine.log_sigmoid, [], [(2.9, 7)], "-∞ to 0; saturated above 2.9"),
        (engine.asinh, [], [], "-∞ to ∞"),
        (with_hole, [(-1, 1)], [], "-∞ to ∞; dead from -1 to 1"),
        (turning, [], [], "0 to ∞"),
        (engine.sign, [(-7, 7)], [], "-1 to 1; dead everywhere"),
    ],
)
def test_zones_and_range(activation, dead, saturated, words):
    ax = plots.plot_activations(activation)[0]
    found = zones(ax)
    assert np.allclose(found["dead"], dead, atol=0.11)
    assert np.allclose(found["saturated"], saturated, atol=0.11)
    assert {kind: len(v) for kind, v in found.items()} == {
        "dead": len(dead),
        "saturated": len(saturated),
    }
    assert texts(ax) == [words]


def test_softmax_is_bars_at_three_temperatures():
    ax = plots.plot_activations(["softmax"])[0]
    logits = np.array([2.0, 1.0, 0.0, -1.0])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "1", "0", "-1"]
    for bars, temperature in zip(ax.containers, [0.5, 1, 3], strict=True):
        e = np.exp(logits / temperature)
        np.testing.assert_allclose([bar.get_height() for bar in bars], e / e.sum(), rtol=1e-6)
        assert bars.get_label() == f"T = {temperature:g}"
    assert len({bars[0].get_hatch() for bars in ax.containers}) == 3
    assert not ax.figure.legends  # of curves and slopes, of which there are none


def test_all_activations_are_on_the_sheet_once():
    axes = plots.plot_activations()
    functions = set(nn.activations.ACTIVATIONS.values())
    titles = [ax.get_title(loc="left").strip() for ax in axes]
    assert len(axes) == len(set(titles)) == len(functions)
    assert {"linear", "relu", "sigmoid", "softmax", "tanh"} <= set(titles)
    assert len(plots.plot_activations(["relu", engine.relu])) == 1
    assert len(axes[0].figure.axes) == len(axes)  # no empty panel is left over


def test_wrong_activations():
    with pytest.raises(ValueError, match=r"unknown activation 'rulu'; did you mean 'relu'\?"):
        plots.plot_activations(["rulu"])
    with pytest.raises(ValueError, match=r"plot_activations: expected at least one activation"):
        plots.plot_activations([])
    with pytest.raises(ValueError, match=r"measure_activation: .* softmax of one number depends"):
        plots.measure_activation("softmax")
    with pytest.raises(ValueError, match=r"keeps the shape .* halves made \(1, 2\) of \(1, 4\)"):

        def halves(x):
            return x[:, :2]

        plots.plot_activations(halves)


# ------------------------------------------------------------------------------------- training

HISTORY = {"loss": [3.0, 1.0, 0.5], "accuracy": [0.2, 0.5, 0.9], "val_loss": [2.0, 1.5, 1.75]}


def test_history_draws_training_and_validation():
    loss, accuracy = plots.plot_history(HISTORY)
    np.testing.assert_array_equal(line(loss, "training").get_data(), [[1, 2, 3], [3, 1, 0.5]])
    np.testing.assert_array_equal(line(loss, "validation").get_ydata(), [2, 1.5, 1.75])
    assert line(loss, "training").get_linestyle() != line(loss, "validation").get_linestyle()
    assert line(loss, "training").get_marker() != line(loss, "validation").get_marker()
    assert line(loss, "lowest").get_xdata()[0] == 2
    assert texts(loss) == ["lowest 1.5\nin epoch 2", "training 0.5", "validation 1.75"]
    assert accuracy.get_title() == "accuracy"
    assert texts(accuracy) == ["training 0.9"]


def test_history_of_fit_and_of_nothing(rng):
    model = nn.Sequential([nn.Dense(1, input_shape=(2,))])
    model.compile(loss="mean_squared_error", optimizer="sgd")
    history = model.fit(rng.normal(size=(8, 2)), rng.normal(size=(8, 1)), epochs=1, verbose=0)
    ax = plots.plot_history(history)[0]
    np.testing.assert_array_equal(line(ax, "training").get_ydata(), history.history["loss"])
    later = plots.plot_history(SimpleNamespace(history=HISTORY, epoch=[6, 7, 8]))[0]
    assert list(line(later, "training").get_xdata()) == [6, 7, 8]
    assert texts(later)[0] == "lowest 1.5\nin epoch 7"
    broken_off = plots.plot_history({"loss": [3.0, 1.0], "val_loss": [2.0, np.nan]})[0]
    assert texts(broken_off)[0] == "lowest 2\nin epoch 1"
    at_once = plots.plot_history({"loss": [3.0], "val_loss": [np.nan]})[0]
    assert not [text for text in texts(at_once) if "lowest" in text]
    with pytest.raises(ValueError, match=r"plot_history: expected at least one epoch"):
        plots.plot_history({})


def test_lines_stand_out_from_the_ground():
    from matplotlib import pyplot

    for ink, ground in (("black", 1), ("white", 0)):
        with pyplot.rc_context({"text.color": ink}):
            shades = [np.mean(style["color"][:3]) for style in plots.line_styles(5)]
        assert min(abs(shade - ground) for shade in shades) > 0.3


def records():
    found = []
    for step in (0, 10, 20):
        for layer, dead in [("dense", 0.25), ("relu", None)]:
            found.append(
                {
                    "step": step,
                    "layer": layer,
                    "dead": dead,
                    "saturated": None,
                    "activation_mean": step / 10,
                    "activation_std": 1.0,
                    "gradient_norm": 0.0 if step == 10 else 10.0 ** -(1 + step / 10),
                    "update_ratio": 1e-3,
                }
            )
    return found


def test_layer_stats_have_a_panel_per_field_and_a_line_per_layer():
    axes = plots.plot_layer_stats(SimpleNamespace(records=records()))
    by_title = {ax.get_title(): ax for ax in axes}
    assert len(axes) == 5 and "share of activations that are saturated" not in by_title
    gradients = by_title["gradients: norm"]
    assert gradients.get_yscale() == "log"
    np.testing.assert_allclose(line(gradients, "relu").get_ydata(), [0.1, 0, 1e-3])
    dead = by_title["share of units that are dead"]
    assert [ln.get_label() for ln in dead.lines] == ["dense"] and texts(dead) == ["dense"]
    np.testing.assert_array_equal(line(dead, "dense").get_data(), [[0, 10, 20], [0.25] * 3])
    means = by_title["activations: mean"]
    styles = {(str(ln.get_linestyle()), ln.get_marker()) for ln in means.lines}
    assert len(styles) == 2
    with pytest.raises(ValueError, match=r"there are no records; pass the Diagnostics to fit"):
        plots.plot_layer_stats([])


def test_layer_stats_of_a_training(rng):
    x = rng.normal(size=(64, 4)).astype("float32")
    model = nn.Sequential([nn.Dense(8, activation="relu", input_shape=(4,)), nn.Dense(1)])
    model.compile(loss="mean_squared_error", optimizer="sgd")
    diagnostics = nn.diagnostics.Diagnostics(samples=4, verbose=False)
    model.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[diagnostics])
    by_title = {ax.get_title(): ax for ax in plots.plot_layer_stats(diagnostics)}
    steps, norms = line(by_title["gradients: norm"], "dense").get_data()
    expected = [r for r in diagnostics.records if r["layer"] == "dense"]
    assert list(steps) == [record["step"] for record in expected] and len(steps) >= 4
    assert list(norms) == [record["gradient_norm"] for record in expected]
    assert texts(by_title["share of units that are dead"]) == ["dense"]


def test_learning_rate_marks_the_suggestion_and_cuts_off_what_diverged():
    rates, losses = [1e-4, 1e-3, 1e-2, 1.0], [2.1, 1.5, 1.0, np.nan]
    finder = SimpleNamespace(
        rates=rates, losses=losses, smoothed=[2.0, 1.75, 1.0, np.inf], suggestion=1e-3
    )
    ax = plots.plot_learning_rate(finder)
    np.testing.assert_array_equal(line(ax, "loss").get_data(), [rates, losses])
    np.testing.assert_array_equal(line(ax, "smoothed").get_data(), [rates, finder.smoothed])
    assert line(ax, "smoothed").get_linewidth() > 2 * line(ax, "loss").get_linewidth()
    assert ax.get_xscale() == "log" and ax.get_ylim() == (0.8, 2.5)
    assert line(ax, "suggested").get_xdata()[0] == 1e-3
    assert texts(ax) == ["suggested: 0.001"]
    finder.suggestion = None
    given = ax.figure.add_subplot()
    assert plots.plot_learning_rate(finder, ax=given) is given and texts(given) == []


def test_labels_are_spread_within_the_axes(rng):
    for count in (1, 2, 5, 13, 40):
        places = rng.uniform(0.2, 0.3, count)
        moved = spread(places, 0.075)
        assert moved.min() >= -1e-12 and moved.max() <= 1 + 1e-12
        assert np.array_equal(np.argsort(moved), np.argsort(places))
        assert (np.diff(np.sort(moved)) >= min(0.075, 1 / count) - 1e-9).all()
    np.testing.assert_array_equal(spread([0.9, 0.1], 0.075), [0.9, 0.1])  # nothing moves in vain
    np.testing.assert_allclose(spread([0.5, 0.5], 0.1), [0.45, 0.55])


# ------------------------------------------------------------------------------------ decisions


def linear_model(kernel, activation):
    kernel = np.array(kernel, dtype="float32")
    model = nn.Sequential(
        [nn.Dense(kernel.shape[1], activation=activation, input_shape=(kernel.shape[0],))]
    )
    model.ensure_built()
    model.layers[0].kernel.data[...] = kernel
    return model


def test_decision_boundary_is_where_the_model_changes_its_mind():
    model = linear_model([[4.0], [-4.0]], "sigmoid")  # decides by x > y
    x = np.array([[-1.0, 1.0], [1.0, -1.0], [0.5, 0.0]])
    ax = plots.plot_decision_boundary(model, x, [[0], [1], [1]], steps=41)
    boundary = ax.collections[1].get_paths()[0].vertices
    assert len(boundary) > 10
    np.testing.assert_allclose(boundary[:, 0], boundary[:, 1], atol=1e-6)
    points = ax.collections[-2:]
    np.testing.assert_array_equal(points[0].get_offsets(), x[:1])
    np.testing.assert_array_equal(points[1].get_offsets(), x[1:])
    assert [text.get_text() for text in ax.get_legend().texts] == ["class 0", "class 1"]
    assert {text.get_text() for text in ax.texts} <= {"10%", "90%"} and ax.texts
    assert ax.get_xlim()[0] == pytest.approx(-1.16)


def test_decision_boundary_of_three_classes_uses_hatches():
    model = linear_model([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]], "softmax")
    x = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], dtype="float32")
    ax = plots.plot_decision_boundary(model, x, np.eye(3), names="abc", steps=20)
    assert len(set(ax.collections[0].hatches)) == 3
    assert [text.get_text() for text in ax.get_legend().texts] == ["class a", "class b", "class c"]
    markers = ax.collections[-3:]
    assert len({markers[i].get_paths()[0].vertices.tobytes() for i in range(3)}) == 3


def test_confusion_counts():
    model = linear_model(np.eye(3) * 5, "softmax")  # decides for the greatest of three inputs
    x = np.eye(3, dtype="float32")[[0, 0, 0, 1, 1, 2, 2, 2, 2]]
    y = [0, 0, 1, 1, 1, 2, 2, 2, 0]
    ax = plots.plot_confusion(model, x, y, names=["cat", "dog", "bird"])
    assert texts(ax) == ["2", "·", "1", "1", "2", "·", "·", "·", "3"]
    assert ax.get_title() == "2 of 9 wrong: 22.2%"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["cat", "dog", "bird"]
    np.testing.assert_allclose(np.square(ax.images[0].get_array())[0], [2 / 3, 0, 1 / 3])
    one_hot = plots.plot_confusion(model, x, np.eye(3)[y])
    assert texts(one_hot) == texts(ax)


def test_predictions_begin_with_the_worst_mistake():
    model = nn.Sequential([nn.Flatten(input_shape=(1, 2)), nn.Dense(1, activation="sigmoid")])
    model.ensure_built()
    model.layers[1].kernel.data[...] = [[1.0], [0.0]]
    logits = np.array([3.0, -4.0, 0.5, 1.0, -0.2])
    images = np.zeros((5, 1, 2), dtype="float32")
    images[:, 0, 0] = logits
    axes = plots.plot_predictions(model, images, [0, 1, 1, 0, 0], count=4)
    p = 1 / (1 + np.exp(-logits))
    assert [ax.get_title() for ax in axes] == [
        f"✗ 0, {1 - p[1]:.0%} sure\nis 1 ({p[1]:.1%})",
        f"✗ 1, {p[0]:.0%} sure\nis 0 ({1 - p[0]:.1%})",
        f"✗ 1, {p[3]:.0%} sure\nis 0 ({1 - p[3]:.1%})",
        f"✓ 0, {1 - p[4]:.0%} sure",
    ]
    np.testing.assert_array_equal(axes[3].images[0].get_array(), images[4])
    widths = [ax.spines["left"].get_linewidth() for ax in axes]
    assert widths[0] == widths[2] > widths[3]
    assert axes[0].figure.get_suptitle() == "3 of 5 wrong; the worst first"
    assert len(plots.plot_predictions(model, images, [0, 1, 1, 0, 0])) == 5


def test_a_mistake_comes_before_what_is_right_though_less_sure():
    model = linear_model(np.eye(3), "softmax")
    model = nn.Sequential([nn.Flatten(input_shape=(1, 3)), model])
    images = np.log([[[0.55, 0.45, 1e-6]], [[0.4, 0.3, 0.3]]]).astype("float32")
    titles = [ax.get_title() for ax in plots.plot_predictions(model, images[::-1], [0, 1])]
    assert titles == ["✗ 0, 55% sure\nis 1 (45.0%)", "✓ 0, 40% sure"]


def test_wrong_examples_labels_and_models():
    two = linear_model([[1.0], [1.0]], "sigmoid")
    x = np.zeros((4, 2), dtype="float32")
    with pytest.raises(ValueError, match=r"plot_confusion: expected 4 labels, .* got shape \(3,\)"):
        plots.plot_confusion(two, x, [0, 1, 0])
    with pytest.raises(ValueError, match=r"labels from 0 to 1, as the model has 2 .* got 0 to 2"):
        plots.plot_confusion(two, x, [0, 1, 0, 2])
    with pytest.raises(ValueError, match=r"plot_confusion: expected 2 names of classes, got 3"):
        plots.plot_confusion(two, x, [0, 1, 0, 1], names="abc")
    with pytest.raises(ValueError, match=r"plot_decision_boundary: expected .* \(n, 2\), got \(4,"):
        plots.plot_decision_boundary(two, np.zeros((4, 3)), [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"plot_predictions: expected images .* got \(4, 2\)"):
        plots.plot_predictions(two, x, [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"ends with softmax, or with sigmoid .* got linear"):
        plots.plot_confusion(linear_model([[1.0], [1.0]], None), x, [0, 1, 0, 1])


# ------------------------------------------------------------------------------------- diagrams


def test_model_is_drawn_with_shapes_and_parameters():
    inner = nn.Sequential([nn.Dense(3, activation="relu"), nn.ReLU()], name="block")
    model = nn.Sequential([nn.Flatten(input_shape=(2, 5)), inner, nn.Dense(2)])
    ax = plots.plot_model(model)
    shown = texts(ax)
    assert [text for text in shown if ":" in text and "parameters" not in text] == [
        "flatten: Flatten((2, 5))",
        "block.dense: Dense(3, activation='relu')",
        "block.relu: ReLU()",
        "dense: Dense(2)",
    ]
    assert [text for text in shown if text in ("2 x 5", "10", "3", "2")] == [
        "2 x 5",
        "10",
        "3",
        "3",
        "2",
    ]
    assert "parameters: 41" in shown and " 33 (80%)" in shown and " 8 (20%)" in shown
    lengths = [bars[0].get_width() for bars in ax.containers]
    assert lengths[0] / lengths[1] == pytest.approx(33 / 8)


def test_shapes_go_on_after_a_model_within_a_model():
    inner = nn.Sequential([nn.Dense(3, input_shape=(2, 5))])
    shown = texts(plots.plot_model(nn.Sequential([inner, nn.Flatten(), nn.Dense(1)])))
    assert [text for text in shown if text in ("2 x 5", "2 x 3", "6", "10", "1")] == [
        "2 x 5",
        "2 x 3",
        "6",
        "1",
    ]


def test_what_can_not_be_drawn_as_a_model():
    with pytest.raises(TypeError, match=r"plot_model: expected a Sequential, got Dense; .*graph"):
        plots.plot_model(nn.Dense(1))
    with pytest.raises(ValueError, match=r"does not know its input shape yet"):
        plots.plot_model(nn.Sequential([nn.Dense(1)]))


def test_graph_is_drawn_with_names():
    x, w = (Tensor(np.ones((2, 2)), requires_grad=True) for _ in range(2))
    loss = engine.sum(engine.exp(x) * w)
    ax = plots.plot_graph(loss, {"x": x, "w": w, "loss": loss})
    assert sorted(text.split("\n")[0] for text in texts(ax) if text) == [
        "exp",
        "loss = sum",
        "multiply",
        "w",
        "x",
    ]
    assert any("keeps out (32 B)" in text for text in texts(ax))
    assert 'label="w\\nfloat64' in engine.graph.to_dot(loss, {"w": w})


def test_graphs_that_are_not_drawn():
    with pytest.raises(ValueError, match=r"plot_graph: .* nothing that requires a gradient"):
        plots.plot_graph(Tensor(1.0))
    x = y = Tensor(1.0, requires_grad=True)
    for _ in range(70):
        y = engine.sin(y)
    with pytest.raises(ValueError, match=r"at most 60 nodes, got 71; pass max_nodes=71, or .*dot"):
        plots.plot_graph(y)
    with pytest.raises(ValueError, match=r"at most 70 nodes, got 71"):
        plots.plot_graph(y, max_nodes=70)
    assert len(plots.plot_graph(y, {"x": x}, max_nodes=71).patches) == 71


def test_places_of_a_graph(rng):
    parents = [[]]
    for node in range(1, 40):
        chosen = rng.choice(node, size=min(node, int(rng.integers(0, 3))), replace=False)
        parents.append([int(parent) for parent in chosen])
    places, routes = place(parents)
    used = {parent for above in parents for parent in above}
    for child, above in enumerate(parents):
        assert all(places[parent][1] < places[child][1] for parent in above)
        if not above and child in used:
            nearest = min(places[user][1] for user, a in enumerate(parents) if child in a)
            assert places[child][1] == nearest - 1
    for row in set(places[:, 1]):
        across = np.sort(places[places[:, 1] == row, 0])
        assert (np.diff(across) >= 1 - 1e-9).all()
    assert len(routes) == sum(map(len, parents))
    for child, parent, bends in routes:
        rows = [places[parent][1], *bends[:, 1], places[child][1]]
        assert list(np.diff(rows)) == [1] * (len(rows) - 1)


def test_a_chain_is_a_straight_line():
    places, _ = place([[], [0], [1], [2]])
    np.testing.assert_array_equal(places, [[0, 0], [0, 1], [0, 2], [0, 3]])


def test_a_leaf_is_above_its_first_use():
    places, routes = place([[], [0], [1], [], [2, 3]])
    assert list(places[:, 1]) == [0, 1, 2, 2, 3]
    assert sorted(places[2:4, 0]) == [-0.5, 0.5]
    assert all(len(bends) == 0 for _, _, bends in routes)


# ----------------------------------------------------------------------------------- matplotlib


def test_importing_nn_does_not_import_matplotlib():
    code = "import sys, nn; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_picture_is_saved_and_closed(tmp_path):
    from matplotlib import pyplot

    plots.save(plots.plot_history(HISTORY), tmp_path / "history.png", dpi=50)
    assert not pyplot.get_fignums()
    pixels = pyplot.imread(tmp_path / "history.png")
    assert pixels.shape[:2] == (170, 520) and pixels[..., :3].std() > 0.05


def test_missing_matplotlib_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'nn\.plots .* pip install "hotgrad\[plot\]"'):
        plots.plot_history(HISTORY)
