"""Finding where a nan or an infinity comes from: the first operation that made one of finite input.

While `detect_anomaly` is active, the forward of every row is wrapped in a check, and every Node
remembers the line that recorded it. Otherwise nothing is checked, and nothing costs anything.
"""

import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .recorder import ROWS, AnomalyError, Node, anomalies

# Frames in these files are ours; a line outside of them is the user's.
_OURS = (str(Path(__file__).parent), str(Path(__file__).parent.parent / "nn"), "<row", "<backward")


@contextmanager
def detect_anomaly():
    """Inside the `with` block, raise AnomalyError at the first operation that makes a nan or inf.

    The message names the operation and the line of the user's code that called it; on the way
    back, also the operation whose gradient it belongs to, and the line that recorded that. What
    only passes on a nan or inf that it was given is not blamed. Inside the block every operation
    of the process is slower, in all threads.
    """
    changed = ("forward", "together", "Node", "new")
    before = [(scope, {key: scope[key] for key in changed}) for _, scope in ROWS]
    for row, scope in ROWS:
        scope.update(forward=_checked(row.name, scope["forward"]), Node=_LocatedNode, new=_located)
        scope["together"] = None  # the formulas instead, whose operations can be told apart
    anomalies.append(None)
    try:
        yield
    finally:
        anomalies.pop()
        for scope, entries in before:
            scope.update(entries)


class _LocatedNode(Node):
    __slots__ = ("line",)


def _located(kind):
    made = object.__new__(kind)
    if kind is _LocatedNode:
        made.line = _users_line()
    return made


def _checked(name, forward):
    def checked(*arguments):
        out = forward(*arguments)
        if not _is_finite(out) and all(_is_finite(argument) for argument in arguments):
            made = "nan" if np.isnan(out).any() else "inf"
            raise AnomalyError(f"{name} made the first {made}, called at {_users_line()}")
        return out

    return checked


def _is_finite(value):
    if isinstance(value, list):  # of arrays
        return all(map(_is_finite, value))
    is_float = isinstance(value, (float, np.ndarray, np.floating))
    return not is_float or bool(np.isfinite(value).all())


def _users_line():
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
