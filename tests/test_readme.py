"""The README is true: its code runs, as one session, and its commands are the ones that CI runs."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_code_runs(capsys):
    scope = {}
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    out = capsys.readouterr().out
    assert "Epoch 5/5" in out
    assert "[ 3. 12. 27.] [ 6. 12. 18.]" in out
    assert scope["model"].evaluate(scope["xv"], scope["yv"])[1] > 0.93


def test_the_example_has_twenty_lines():
    first = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL)[1]
    assert len([line for line in first.splitlines() if line.strip()]) <= 20


def test_the_files_it_names_exist():
    root = Path(__file__).parent.parent
    for name in re.findall(r"`((?:engine|nn|examples|tests)/[\w/.]*)`", README):
        assert (root / name).exists(), name
