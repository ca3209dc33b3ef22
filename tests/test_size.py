"""How big the project is, and may become: code lines per layer, per file and per function.

A code line holds code: no blank, no comment, no docstring. What outgrows a limit is to be split, or
something has to go; a limit is raised by someone who says why, here.
"""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE, FUNCTION = 400, 40  # code lines

# Per folder, without those below that have a row of their own: the limit, and what it is for.
BUDGETS = {
    "engine": (1520, "Tensor, recorder, walk, checks, derivatives of functions, random numbers"),
    "engine/ops": (1450, "some 150 rows of 2 to 8 lines, and their checks of what they are given"),
    # 3350 until variances and sums of exponentials read their array once (pairs.py), and large
    # results were written past the caches; 3620 until narrow products were dot products; 3720 until
    # what is linked into kernels was no longer compiled by itself, which took half of the build;
    # 3740 until threads shared out the weights of one example as they have written them; 3800 until
    # what is read again and again began where a cache line does, and AVX2 had squares and tiles of
    # dot products of its own; 3880 until tiles moved weights by the gradients that they have just
    # added up, one pass over the weights did all that one example needs, and large results of
    # NumPy's functions got kept memory too; 4010 until kernels were kept as machine code alone;
    # 4020 until parameters were moved beside the products of the next tile, and large tiles of dot
    # products could be a row lower; 4110 until the left matrix was packed tile by tile, and some
    # panels of the right one at once (in a file that gemm.py was cut in two for: 20 lines);
    # 4145 until a step looked itself whether the examples are finite, and was one parallel region
    "engine/kernels": (4270, "GEMM, vectors, softmax, normalizations, sums, updates, memory, step"),
    "nn": (3650, "modules, training, data, saving, pairing, diagnostics, first weights, schedules"),
    "nn/callbacks": (370, "what a training calls: stopping, saving, telling"),
    "nn/cli": (750, "the command line: options, tables in CSV, and what it says of them"),
    "nn/datasets": (280, "MNIST in three forms, and the sets that come with the package"),
    "nn/layers": (820, "some 45 layers: a constructor, a forward, and what each says when misused"),
    "nn/losses": (600, "a formula and the checks of its labels, some 17 times"),
    "nn/metrics": (520, "numbers that people read, gathered over batches"),
    "nn/optimizers": (650, "eight rules in numbers, and groups, clipping, averages and state"),
    "nn/plots": (700, "pictures, which are for the most part placing of text and lines"),
}
LONGER_FUNCTIONS = {
    "engine/graph.py _walk": "every gradient goes through it: one more call per node is felt",
}

SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for name in ("engine", "nn")
    for path in (ROOT / name).rglob("*.py")
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
IGNORED = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source):
    """The numbers of the lines that hold code."""
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in IGNORED:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            lines.difference_update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def functions(source):
    """(name, code lines of the body, with what is defined inside of it) of every function."""
    lines = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = range(node.body[0].lineno, node.end_lineno + 1)
            yield node.name, len(lines.intersection(body))


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_what_counts_as_code():
    source = '''"""Docstring,
of two lines."""

# A comment
def f(
    x,
):
    """Docstring."""

    text = """a string
    of two lines"""
    return text  # with a comment
'''
    assert sorted(code_lines(source)) == [5, 6, 7, 10, 11, 12]
    assert list(functions(source)) == [("f", 3)]


@pytest.mark.parametrize("folder", BUDGETS)
def test_a_layer_keeps_to_its_budget(folder):
    def home(name):
        return max((f for f in BUDGETS if name.startswith(f"{f}/")), key=len)

    size = sum(len(code_lines(read(name))) for name in SOURCES if home(name) == folder)
    limit, purpose = BUDGETS[folder]
    assert size <= limit, f"{folder} has {size} code lines, of {limit} for: {purpose}"


@pytest.mark.parametrize("name", SOURCES)
def test_files_and_functions_stay_short(name):
    source = read(name)
    assert len(code_lines(source)) <= FILE
    for function, size in functions(source):
        limit = size if f"{name} {function}" in LONGER_FUNCTIONS else FUNCTION
        assert size <= limit, f"{name}: {function} has {size} code lines, the limit is {FUNCTION}"


def test_exceptions_are_still_needed():
    for exception in LONGER_FUNCTIONS:
        name, function = exception.split()
        assert dict(functions(read(name)))[function] > FUNCTION, f"{exception} is short by now"
