"""The benchmark program: what it compares and what it writes, not what it measures."""

import numpy as np
import pytest

from tests.benchmarks import chart, contestants, publish, report, step
from tests.benchmarks.__main__ import PARTS, parser

MACHINE = {"cpu": "a CPU", "target": "its name", "cores": 2, "python": "3", "blas": "a BLAS"}


def rows():
    return [
        report.Row(
            "training step, 2 threads", "A", 1e-3, {"x": 2e-3, "y": 4e-3}, 0.1, "GFLOP/s", 200
        ),
        report.Row("training step, 2 threads", "B", 4e-3, {"x": 2e-3}),
        report.Row("start", "kernels", 3, unit="kernels"),
    ]


def test_ratios_and_their_mean():
    first, second, alone = rows()
    assert (first.fastest, first.ratio) == ("x", 0.5)
    assert np.isnan(alone.ratio)
    mean, worst = report.summary([first, second])
    assert mean == pytest.approx(1.0)
    assert worst is second


def test_rows_are_kept_as_they_are(tmp_path, capsys):
    table = report.Table()
    for row in rows():
        table.add(row)
    table.finish()
    report.save(tmp_path / "rows.json", MACHINE, table.rows)
    assert report.load(tmp_path / "rows.json") == (MACHINE, rows())
    printed = capsys.readouterr().out
    assert "geometric mean of 2 ratios 1.00, worst 2.00 (B)" in printed
    assert "50% of 200" in printed


def test_the_table_goes_between_the_marks(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("a\n<!-- performance -->\nold\n<!-- /performance -->\nz\n", encoding="utf-8")
    publish.rewrite(path, MACHINE, rows())
    publish.rewrite(path, MACHINE, rows())
    text = path.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- performance -->\nMeasured on a CPU")
    assert text.endswith("\n<!-- /performance -->\nz\n")
    assert "| A | 1 ms | 2 ms | 4 ms | 0.50 |" in text
    assert "| start: kernels | 3 kernels |" in text
    assert "old" not in text
    path.write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="expected one <!-- performance -->"):
        publish.rewrite(path, MACHINE, rows())


def test_a_chart_is_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="it draws the chart")
    steps = [
        report.Row("training step, 2 threads", "A sgd batch 1", 1e-3, {"x": 2e-3, "y": 4e-3}),
        report.Row("training step, 2 threads", "A sgd batch 32", 4e-3, {"x": 2e-3}),
        report.Row("training step, 2 threads", "B sgd batch 1", 1e-3, {"y": 1e-3}),
        report.Row("start", "kernels", 3, unit="kernels"),
    ]
    figure = chart.figure_of(MACHINE, steps)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "32", "1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.25", "0.5", "1", "2"]
    rows_of = axes.get_yticks()
    marks = {points.get_label(): points.get_offsets().tolist() for points in axes.collections}
    for peer, expected in {
        "x": [(0.5, rows_of[0]), (2, rows_of[1])],
        "y": [(0.25, rows_of[0]), (1, rows_of[2])],
    }.items():
        np.testing.assert_allclose(marks[peer], expected, atol=0.2)
    said = [text.get_text() for text in [*axes.texts, *figure.texts]]
    assert {"A\nsgd", "B\nsgd"} <= set(said)
    assert any(text.startswith("a CPU (its name), 2 cores") for text in said)
    chart.draw(tmp_path / "chart.png", MACHINE, steps)
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="draws the part `step`, which was not measured"):
        chart.draw(tmp_path / "chart.png", MACHINE, steps[-1:])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", ["ours", "numpy"])
def test_the_steps_that_are_timed_compute_the_losses_of_the_reference(name, optimizer):
    sizes = (6, 5, 4, 3)
    run = contestants.CONTESTANTS[name][0](sizes, 8, optimizer)
    exact = step.exact_losses(sizes, 8, optimizer, 5)
    np.testing.assert_allclose([run() for _ in range(5)], exact, rtol=1e-4)
    assert exact[0] > exact[-1]


def test_the_help_names_every_part():
    text = parser().format_help()
    assert all(f"\n  {part} " in text for part in PARTS)
