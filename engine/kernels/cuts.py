"""Where the parts of a size start and end."""

from ._jit import inner


@inner
def cut(size, unit, part, parts):
    """Where a part of `size`, cut only at multiples of `unit`, starts and ends."""
    units = (size + unit - 1) // unit
    return min(size, units * part // parts * unit), min(size, units * (part + 1) // parts * unit)


@inner
def whole(size, unit):
    """The size, rounded up to a multiple of `unit`."""
    return (size + unit - 1) // unit * unit
