"""The READMEs are true: their code runs, as one session, and their commands are those of CI."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMES = ("README.md", "README.ko.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}


def blocks(name):
    return re.findall(r"```python\n(.*?)```", TEXTS[name], flags=re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_the_code_runs(name, capsys):
    scope = {}
    assert len(blocks(name)) == 3
    for block in blocks(name):
        exec(compile(block, name, "exec"), scope)
    out = capsys.readouterr().out
    assert "Epoch 5/5" in out
    assert "[ 3. 12. 27.] [ 6. 12. 18.]" in out
    assert scope["model"].evaluate(scope["xv"], scope["yv"])[1] > 0.93


def test_the_example_has_twenty_lines():
    first = blocks("README.md")[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize("name", NAMES)
def test_the_files_it_names_exist(name):
    text = TEXTS[name]
    named = re.findall(r"`((?:engine|nn|examples|tests)/[\w/.]*)`", text)
    linked = re.findall(r"\]\(([\w/.]+)\)", text)
    assert named
    assert linked
    for path in named + linked:
        assert (ROOT / path).exists(), path


def without_words(text):
    """What does not depend on the language: code without comments, commands, names, links."""
    return {
        "code": [
            re.sub(r" *#.*", "", block) for block in re.findall(r"```.*?```", text, re.DOTALL)
        ],
        "commands": re.findall(r"^    \S.*", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M),
        "names": sorted(
            re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        ),
        "links": sorted(re.findall(r"\]\(([\w/]+\.(?!ko)\w+)\)", text.replace("README.md", ""))),
        "headings": len(re.findall(r"^#+ ", text, re.M)),
        "rows": len(re.findall(r"^\|", text, re.M)),
    }


def test_both_languages_say_the_same():
    english, korean = (without_words(TEXTS[name]) for name in NAMES)
    for part, content in english.items():
        assert content == korean[part], part
