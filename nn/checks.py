"""Checks of what users pass, that several places make."""

import math

import numpy as np


def count_of(what, name, value):
    """`value` as an int. Raises ValueError unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{what}: expected {name} to be an integer of at least 1, got {value!r}")
    return int(value)


def number_of(what, name, value, low=-math.inf, high=math.inf, open_low=False):
    """`value` as a float. Raises ValueError unless low <= value < high, or low < value < high.

    open_low  whether `low` itself is excluded. The default bounds mean any finite number.
    """
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan
    if math.isfinite(number) and low <= number < high and not (open_low and number == low):
        return number
    bounds = [f"{'above' if open_low else 'of at least'} {low:g}"] if low > -math.inf else []
    bounds += [f"below {high:g}"] if high < math.inf else []
    raise ValueError(
        f"{what}: expected {name} to be a number{' ' if bounds else ''}{' and '.join(bounds)}, "
        f"got {value!r}"
    )
