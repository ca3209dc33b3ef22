"""What an activation does, measured from the function itself: range, slope, and dead ends.

The slope is that of `engine.grad`; nothing here knows a formula. It needs no matplotlib.
"""

from typing import NamedTuple

import numpy as np

import engine

from .. import activations

REACH = 7.0  # curves are measured from -REACH to REACH
SATURATED = 0.05  # a slope smaller than this, out to the edge, is called saturated


class Measured(NamedTuple):
    """An activation of single numbers, as `measure_activation` found it.

    points, values, slopes  arrays (n,) of float64: x from -7 to 7, f(x) and f'(x)
    low, high               the range of f, -inf and inf where it grows without end
    dead                    where the slope is exactly 0, a list of (from, to) within -7 to 7: no
                            gradient passes
    saturated               where it is smaller than 0.05 though not 0, out to an edge beyond which
                            f levels off: little gradient passes
    """

    name: str
    points: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    low: float
    high: float
    dead: list
    saturated: list

    def in_words(self):
        """Range and zones in one line, as "0 to ∞; dead below 0"."""
        parts = [f"{_number(self.low, '.2g')} to {_number(self.high, '.2g')}"]
        parts += [f"dead {_where(self.dead)}"] if self.dead else []
        parts += [f"saturated {_where(self.saturated)}"] if self.saturated else []
        return "; ".join(parts)


def measure_activation(activation):
    """An activation of single numbers (a name or a function of a Tensor) as a `Measured`.

    Raises ValueError for an unknown name, and for functions of whole rows, as softmax is.
    """
    function = activations.get(activation)
    name = activations.name_of(function)
    if not is_elementwise(function):
        raise ValueError(
            f"measure_activation: expected a function of single numbers, but {name} of one number "
            "depends on the others of its row"
        )
    points = np.linspace(-REACH, REACH, 2801)
    values, slopes = value_and_slope(function, points)
    near, farther = _far_values(function)
    inner = value_and_slope(function, np.linspace(-20, 20, 40_001))[0]
    low, high = min(inner.min(), *farther), max(inner.max(), *farther)
    levels_off = np.abs(farther - near) <= 0.1
    for x, y in zip(near[~levels_off], farther[~levels_off]):
        low, high = (low, np.inf) if y > x else (-np.inf, high)
    dead, small = slopes == 0, np.abs(slopes) < SATURATED
    # A small slope between steeper ones is a turning point; one that goes on for ever, as that of
    # leaky_relu, still moves.
    left = levels_off[0] & np.logical_and.accumulate(small)
    right = levels_off[1] & np.logical_and.accumulate(small[::-1])[::-1]
    saturated = (left | right) & ~dead
    zones = _intervals(points, dead), _intervals(points, saturated)
    return Measured(name, points, values, slopes, float(low), float(high), *zones)


def is_elementwise(function):
    """Whether an element's value depends on that element alone.

    Raises ValueError for a function that changes the shape of its input.
    """
    row = np.array([[2.0, 1.0, 0.0, -1.0]])
    across, alone = (function(engine.Tensor(x)) for x in (row, row.T))
    if across.shape != row.shape:
        raise ValueError(
            f"expected an activation that keeps the shape of its input, but "
            f"{activations.name_of(function)} made {across.shape} of {row.shape}"
        )
    return np.allclose(across.numpy(), alone.numpy().T)


def value_and_slope(function, points):
    """function(points) and its derivative there, two arrays of float64."""
    x = engine.Tensor(np.asarray(points, dtype=np.float64), requires_grad=True)
    y = function(x)
    return y.numpy(), engine.grad(y, x, np.ones(x.shape)).numpy()


def _far_values(function):
    """The values at -1e3 and 1e3, and at -1e6 and 1e6: an end that differs has not levelled off."""
    with np.errstate(all="ignore"):
        near, farther = (value_and_slope(function, [-far, far])[0] for far in (1e3, 1e6))
    most = np.finfo(float).max
    return np.clip(near, -most / 4, most / 4), np.clip(farther, -most / 2, most / 2)


def _intervals(points, mask):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    pairs = zip(edges[::2], edges[1::2] - 1)
    return [(float(points[a]), float(points[b])) for a, b in pairs if b > a]  # no single points


def _where(intervals):
    if len(intervals) == 2 and np.allclose(intervals[0], np.negative(intervals[1][::-1])):
        return f"beyond ±{_number(intervals[1][0])}"
    texts = []
    for start, end in intervals:
        if start == -REACH:
            texts.append("everywhere" if end == REACH else f"below {_number(end)}")
        else:
            texts.append(
                f"above {_number(start)}"
                if end == REACH
                else f"from {_number(start)} to {_number(end)}"
            )
    return " and ".join(texts)


def _number(value, form=".1f"):
    text = f"{value + 0.0:{form}}".removesuffix(".0")
    return text.replace("inf", "∞")
