"""Things that are chosen by name: find one, or say which there are and which is nearest."""


def find(kind, name, table):
    """`table[name]`. Raises ValueError with the known names, and the nearest to a misspelt one."""
    if not isinstance(name, str):
        raise TypeError(f"{kind}: expected a name or a {kind}, got {name!r}")
    if name in table:
        return table[name]
    import difflib  # here, since all imports of nn would wait for it

    near = difflib.get_close_matches(name.lower(), table, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"unknown {kind} {name!r}{hint} Known: {', '.join(sorted(table))}")
