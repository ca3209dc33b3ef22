"""The benchmark program: what it compares and what it writes, not what it measures."""

import numpy as np
import pytest

from tests.benchmarks import contestants, publish, report, step
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
    publish.chart(tmp_path / "chart.png", MACHINE, rows())
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


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
