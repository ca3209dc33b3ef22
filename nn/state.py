"""State as JSON and arrays: what a training remembers, taken apart for a file and put together.

State is numbers, strings, bools, None, arrays, and lists, tuples and dicts of these. Taken apart,
an array is {"tensor": its name}, a tuple {"tuple": [...]}, a dict {"dict": [[key, value], ...]}.
"""

import numpy as np

ATOMS = (bool, int, float, str, type(None))


def is_data(value):
    """Whether a value is state: nothing but numbers, strings, arrays and containers of them."""
    if isinstance(value, (list, tuple)):
        return all(is_data(item) for item in value)
    if isinstance(value, dict):
        return all(type(key) in ATOMS and is_data(item) for key, item in value.items())
    return isinstance(value, (*ATOMS, np.number, np.bool_)) or (
        isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    )


def pack(value, name, arrays):
    """`value` as JSON; its arrays are put into the dict `arrays`, under names that begin so.

    Raises TypeError, with the name, for what is no state.
    """
    if isinstance(value, (np.number, np.bool_)):
        return value.item()
    if type(value) in ATOMS:
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[name] = value
        return {"tensor": name}
    if isinstance(value, (list, tuple)):
        packed = [pack(item, f"{name}.{index}", arrays) for index, item in enumerate(value)]
        return packed if isinstance(value, list) else {"tuple": packed}
    if isinstance(value, dict) and all(type(key) in ATOMS for key in value):
        return {"dict": [[key, pack(item, f"{name}.{key}", arrays)] for key, item in value.items()]}
    raise TypeError(f"{name}: expected numbers, strings and arrays, got {type(value).__name__}")


def unpack(packed, arrays):
    """What `pack` took apart. Raises ValueError for JSON that it did not make."""
    if type(packed) in ATOMS:
        return packed
    if isinstance(packed, list):
        return [unpack(item, arrays) for item in packed]
    try:
        ((kind, inner),) = packed.items()
        if kind == "tensor":
            return arrays[inner]
        if kind == "tuple":
            return tuple(unpack(item, arrays) for item in inner)
        if kind == "dict":
            return {key: unpack(item, arrays) for key, item in inner}
    except (KeyError, TypeError, ValueError):
        pass
    raise ValueError(f"the saved state holds {str(packed)[:80]}, which is no state")


def names_in(packed):
    """The names of the arrays that packed state refers to."""
    if isinstance(packed, list):
        return {name for item in packed for name in names_in(item)}
    if isinstance(packed, dict):
        tensor = packed.get("tensor")
        return {tensor} if isinstance(tensor, str) else names_in(list(packed.values()))
    return set()
