"""The documentation is true: its code runs, and what it quotes is there.

Every ```python block of a page runs; those of one page are one session, in an empty directory.
A comment in a statement, or on the lines between it and the next, says what else it does:

    # raises ValueError: regular expression      it raises that, with such a message
    # warns UserWarning: regular expression      it gives that warning, with such a message

A ```text block right after one of python is what that prints, with `...` for what may differ.
In a ```console block, what follows a line such as "$ hotgrad doctor" is what that prints.
A block with a title, as in ```python title="engine/graph.py", is a quotation and does not run: it
stands in that file, word for word; a line of `...` stands for what is left out.
"""

import ast
import contextlib
import doctest
import gc
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import numpy as np
import pytest

import engine
import nn
from engine.kernels import _jit

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {
    p.relative_to(ROOT).as_posix(): p for p in sorted([*DOCS.rglob("*.md"), *ROOT.glob("C*.md")])
}
BLOCK = re.compile(
    r'^```(?P<language>python|console)(?: title="(?P<title>.*?)")?\n(?P<code>.*?)^```$'
    r"(?:\n+```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
EXPECTED = re.compile(r"# (raises|warns) ([\w.]+): (.*)")
OUTPUT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(name, quoted):
    """(lines before it, match) of the blocks of a page that are quotations, or that are not."""
    text = PAGES[name].read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        if (found["title"] is not None) == quoted:
            yield text[: found.start("code")].count("\n"), found


# ---------------------------------------------------------------------------- the code runs


@pytest.fixture
def session(tmp_path, monkeypatch, threads, ctrl_c):
    """A function that runs the blocks of a page, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_jit, "KERNELS", _jit.KERNELS.copy())  # a page may add some of its own
    monkeypatch.setenv("MPLBACKEND", "agg")
    threads(1)  # the same bits, and no wait for the other cores of a busy machine
    with np.printoptions():
        yield run_page
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    while gc.collect():  # figures go in several rounds, and other tests count what is left
        pass


def run_page(name):
    if "plots." in PAGES[name].read_text(encoding="utf-8"):
        pytest.importorskip("matplotlib", reason="the code of the page draws pictures")
    scope = types.ModuleType("__main__").__dict__
    for line, found in blocks(name, quoted=False):
        if found["language"] == "console":
            run_commands(name, line, found["code"])
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            run_block(name, line, found["code"], scope)
        if found["printed"] is not None:
            compare(name, line, found["printed"], printed.getvalue())


def compare(name, line, wanted, got):
    if not doctest.OutputChecker().check_output(wanted, got, OUTPUT):
        pytest.fail(f"{name}, line {line}: it says\n{wanted}\nbut what is printed is\n{got}")


def run_commands(name, line, text):
    if shutil.which("bash") is None:
        pytest.skip("the commands of this page need bash")
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        hotgrad = f'hotgrad() {{ "{sys.executable}" -W error -m nn "$@"; }}; {command}'
        result = subprocess.run(
            ["bash", "-c", hotgrad],
            env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        compare(name, line, wanted, result.stdout or result.stderr)


def run_block(name, line, code, scope):
    statements = ast.parse(code).body
    starts = [first_line(statement) for statement in statements]
    for statement, start, end in zip(statements, starts, [*starts[1:], None]):
        text = "\n".join(code.splitlines()[start - 1 : end and end - 1])
        expected = EXPECTED.findall(text)
        module = ast.Module([ast.increment_lineno(statement, line)], [])
        with expecting(*expected[0], scope) if expected else contextlib.nullcontext():
            exec(compile(module, name, "exec"), scope)


def first_line(statement):
    decorators = getattr(statement, "decorator_list", [])
    return min(node.lineno for node in (statement, *decorators))


def expecting(manner, kind, message, scope):
    checks = {"raises": pytest.raises, "warns": pytest.warns}
    return checks[manner](eval(kind, scope), match=message)


@pytest.mark.parametrize("name", PAGES)
def test_the_code_of_a_page_runs(name, session):
    session(name)


@pytest.mark.parametrize(
    "page, complaint",
    [
        ("```python\n1 / 0\n```", "division by zero"),
        ("```python\nx = 1  # raises ValueError: no\n```", "DID NOT RAISE"),
        ("```python\nint('x')  # raises ValueError: another\n```", "did not match"),
        ("```python\nx = 1\n# warns UserWarning: no\n```", "DID NOT WARN"),
        ("```python\nprint(1)\n```\n\n```text\n2\n```", "what is printed is"),
        ("```python\nimport warnings\nwarnings.warn('so', UserWarning)\n```", "so"),
    ],
)
def test_a_page_that_is_wrong_is_found_out(page, complaint, session, tmp_path, monkeypatch):
    wrong = tmp_path / "wrong.md"
    wrong.write_text(page + "\n")
    monkeypatch.setitem(PAGES, "wrong.md", wrong)
    with pytest.raises((Exception, pytest.fail.Exception), match=complaint):
        session("wrong.md")


# ------------------------------------------------------------------ what is quoted is there


@pytest.mark.parametrize("name", PAGES)
def test_quotations_stand_in_the_sources_word_for_word(name):
    for line, found in blocks(name, quoted=True):
        source, at = (ROOT / found["title"]).read_text(encoding="utf-8").splitlines(), 0
        for piece in re.split(r"^ *\.\.\.\n", found["code"], flags=re.MULTILINE):
            piece = textwrap.dedent(piece).splitlines()
            at = place_of(piece, source, at)
            assert at is not None, f"{name}, line {line}: not in {found['title']}:\n{piece}"
            at += len(piece)


def place_of(piece, source, start):
    """Where in the lines of a source a piece stands, at any indentation; None if nowhere."""
    for at in range(start, len(source) - len(piece) + 1):
        lines = "\n".join(source[at : at + len(piece)])
        if textwrap.dedent(lines).splitlines() == piece:
            return at
    return None


def test_a_wrong_quotation_is_found_out():
    source = ["def f(x):", "    y = x", "    return y", "", "z = 1"]
    assert place_of(["y = x", "return y"], source, 0) == 1
    assert place_of(["y = x", "return x"], source, 0) is None
    assert place_of(["y = x"], source, 2) is None


def test_every_example_is_listed():
    listed = re.findall(r"^\| `(\w+\.py)`", PAGES["docs/examples.md"].read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "examples").glob("*.py"))


# ----------------------------------------------------------------------------- the pictures


def test_pictures_are_there_and_small_and_used():
    used = set()
    for page in PAGES.values():
        for path in re.findall(r"!\[[^\]]+\]\((.*?)\)", page.read_text(encoding="utf-8")):
            used.add((page.parent / path).resolve())
    assert used == set((DOCS / "pictures").iterdir())
    for picture in used:
        assert picture.stat().st_size < 150_000, picture


# ------------------------------------------------------------------ the reference is complete

PACKAGES = [engine, nn, nn.callbacks, nn.datasets, nn.layers, nn.losses, nn.metrics, nn.plots]
PACKAGES += [nn.optimizers, nn.schedules]
HELPERS = {"nn.checks", "nn.labels", "nn.names"}  # what packages use themselves
DIRECTIVE = re.compile(r"^::: (?P<path>[\w.]+)$(?P<options>(?:\n[ ].*)*)", re.MULTILINE)


def shown():
    """(path, names) of the modules in the reference; names is None for all with a docstring.

    A path ends with a dot where the modules within are shown too.
    """
    found = []
    for name, page in PAGES.items():
        if name.startswith("docs/reference/"):
            for directive in DIRECTIVE.finditer(page.read_text(encoding="utf-8")):
                members = re.search(r"members: \[(.*?)\]", directive["options"], re.DOTALL)
                names = members and {name.strip() for name in members[1].split(",")}
                dot = "." if "show_submodules: true" in directive["options"] else ""
                found.append((directive["path"] + dot, names))
    return found


def public(package):
    """(name, function or class) of the names that a package offers."""
    for name, value in vars(package).items():
        home = getattr(value, "__module__", "")
        own = home.split(".")[0] in ("engine", "nn") and home not in HELPERS
        if own and hasattr(value, "__name__") and not name.startswith("_"):
            yield name, value


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_the_reference_shows_every_public_name(package):
    pages = shown()
    for name, value in public(package):
        assert (value.__doc__ or "").strip(), f"{package.__name__}.{name} has no docstring"
        assert any(shows(path, names, value) for path, names in pages), (
            f"{package.__name__}.{name} is not in the reference: in docs/reference/, on the page "
            f"of its kind, write ::: {value.__module__}"
        )


def shows(path, names, value):
    """Whether a row of `shown` shows a function or class."""
    if names is not None:
        return value.__module__ == path and value.__name__ in names
    exported = getattr(importlib.import_module(path.strip(".")), "__all__", ())
    within = f"{value.__module__}.".startswith(path) if path.endswith(".") else False
    return value.__module__ == path or within or value.__name__ in exported


def test_the_reference_names_what_there_is():
    for path, names in shown():
        module = importlib.import_module(path.strip("."))
        for name in names or ():
            assert hasattr(module, name), f"{path} has no {name}"


# ------------------------------------------------------------------------------- the pages


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the pages that mkdocs makes."""
    for package in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(package, reason="needs the packages of the extra docs")
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return folder


def test_the_pages_are_built_without_complaint_and_need_no_network(site):
    resources = re.compile(
        r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^>]*>'
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES) - 1
    for page in pages:
        from_elsewhere = resources.findall(page.read_text(encoding="utf-8"))
        assert not from_elsewhere, f"{page.name}: {from_elsewhere}"


def test_the_reference_is_laid_out(site):
    text = (site / "reference/functions.html").read_text(encoding="utf-8")
    assert 'id="engine.ops.elementwise.exp"' in text
    assert "<dt><code>logits</code></dt>" in text  # two columns of a docstring are a list
    assert 'id="engine.ops.elementwise.tanh_grad"' not in text  # a row without a docstring


def test_docstrings_become_markdown():
    pytest.importorskip("griffe", reason="needs the packages of the extra docs")
    spec = importlib.util.spec_from_file_location("docstrings", DOCS / "docstrings.py")
    docstrings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docstrings)
    given = """What __it__ is, as `__init__` says.

x       the examples,
        (n, ...)
y, *z   labels
a_name_that_is_long
        and what it means
another_name  with two
        lines

v   = 2 g
p  -= v

Raises nothing."""
    expected = """What `__it__` is, as `__init__` says.


`x`
:   the examples,
    (n, ...)

`y, *z`
:   labels

`a_name_that_is_long`
:   and what it means

`another_name`
:   with two
    lines

    v   = 2 g
    p  -= v

Raises nothing."""
    assert docstrings.to_markdown(given) == expected
