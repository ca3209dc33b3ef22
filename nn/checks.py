"""Checks of what users pass, that several places make."""

import numpy as np


def count_of(what, name, value):
    """`value` as an int. Raises ValueError unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{what}: expected {name} to be an integer of at least 1, got {value!r}")
    return int(value)
