"""Checks of what users pass, that several places make."""

import math

import numpy as np


def count_of(what, name, value, low=1):
    """`value` as an int. Raises ValueError unless it is an integer of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(
            f"{what}: expected {name} to be an integer of at least {low}, got {value!r}"
        )
    return int(value)


def number_of(what, name, value, low=-math.inf, high=math.inf, open_low=False, closed_high=False):
    """`value` as a float. Raises ValueError unless it is finite and low <= value < high.

    open_low     `low` itself is excluded
    closed_high  `high` itself is included. The default bounds mean any finite number.
    """
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    number = float(value) if is_number else math.nan
    is_inside = low <= number < high or (closed_high and number == high)
    if math.isfinite(number) and is_inside and not (open_low and number == low):
        return number
    bounds = [f"{'above' if open_low else 'of at least'} {low:g}"] if low > -math.inf else []
    bounds += [f"{'at most' if closed_high else 'below'} {high:g}"] if high < math.inf else []
    raise ValueError(
        f"{what}: expected {name} to be a number{' ' if bounds else ''}{' and '.join(bounds)}, "
        f"got {value!r}"
    )
