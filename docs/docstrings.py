"""How the docstrings of this project become Markdown: a griffe extension, for `mkdocs build`.

They are written to be read in a terminal: parameters stand in two columns, formulas in lines of
their own. Markdown would run such lines together. Here the columns become a definition list, the
formulas a block of code; everything else is Markdown as it is.
"""

import re

import griffe

PARAMETER = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*)  +(?![-+*/]?= )(\S.*)")
FORMULA = re.compile(r"\S+ +[-+*/]?= ")


class Columns(griffe.Extension):
    """Gives every docstring the Markdown that `to_markdown` makes of it."""

    def on_object(self, *, obj, **keywords):
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(docstring):
    """The docstring with its two-column lists and formulas as Markdown."""
    return "\n\n".join(_paragraph(text) for text in docstring.split("\n\n"))


def _paragraph(text):
    lines = text.splitlines()
    if lines and all(FORMULA.match(line) for line in lines):
        return "\n".join(f"    {line}" for line in lines)
    if not PARAMETER.match(text):
        return text
    result, column = [], None
    for line in lines:
        found = PARAMETER.match(line)
        if found:
            column = found.start(2)
            result += ["", f"`{found[1]}`", f":   {found[2]}"]
        elif not line[:column].strip():
            result.append(f"    {line[column:]}")
        else:  # the list is over
            result += ["", line]
            column = 0
    return "\n".join(result)
