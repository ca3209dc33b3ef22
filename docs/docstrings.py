"""How the sources become the reference: a griffe extension, for `mkdocs build`.

Docstrings are written to be read in a terminal: parameters stand in two columns, formulas in lines
of their own. Markdown would run such lines together. Here the columns become a definition list, the
formulas a block of code; everything else is Markdown as it is.

Of a package such as nn.losses, what is shown is what it offers: the names that its `__init__`
imports from its modules. What else is in these modules is for themselves.
"""

import re

import griffe

PARAMETER = re.compile(r"(\*{0,2}\w+(?:, \*{0,2}\w+)*)  +(?![-+*/]?= )(\S.*)")
DUNDER = re.compile(r"(?<![`\w.])(__\w+__)(?!`)")
FORMULA = re.compile(r"\S+ +[-+*/]?= ")


class Reference(griffe.Extension):
    """Gives every docstring the Markdown that `to_markdown` makes of it; hides what is internal."""

    def on_object(self, *, obj, **keywords):
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)

    def on_package(self, *, pkg, **keywords):
        for package in pkg.modules.values():
            imported = {
                member.target_path for member in package.members.values() if member.is_alias
            }
            modules = dict(package.modules)
            paths = {module.path for module in modules.values()}
            if any(path.rpartition(".")[0] in paths for path in imported):
                for name, module in modules.items():
                    # A function of its module's name has given way to the module in `imported`.
                    hidden = _not_in({*imported, f"{module.path}.{name}"}, module)
                    for member in hidden:
                        del module.members[member]
                    if not module.members:
                        del package.members[name]


def _not_in(paths, module):
    return [name for name in module.members if f"{module.path}.{name}" not in paths]


def to_markdown(docstring):
    """The docstring with its two-column lists and formulas as Markdown."""
    docstring = DUNDER.sub(r"`\1`", docstring)
    return "\n\n".join(_paragraph(text) for text in docstring.split("\n\n"))


def _paragraph(text):
    lines = text.splitlines()
    if lines and all(FORMULA.match(line) for line in lines):
        return "\n".join(f"    {line}" for line in lines)
    if not PARAMETER.match(text):
        return text
    result = []
    for line, following in zip(lines, [*lines[1:], ""]):
        found = PARAMETER.match(line)
        if found:
            result += ["", f"`{found[1]}`", f":   {found[2]}"]
        elif line.isidentifier() and following.startswith("  "):  # a name too long for its column
            result += ["", f"`{line}`", ":"]
        elif line.startswith("  "):
            result.append(f"    {line.strip()}")
        else:  # the list is over
            result += ["", line]
    return "\n".join(result).replace("\n:\n    ", "\n:   ")
