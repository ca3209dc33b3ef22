"""Activations at a glance: each one's curve, its slope, and where it stops learning.

Everything is measured from the function: its values, the slope by `engine.grad`, the zones from
the slope. An own function is drawn as the built-in ones are.
"""

import numpy as np

import engine

from .. import activations
from .sheet import HATCHES, SMALL, grid, ink, pyplot

REACH = 7.0  # the curves are drawn from -REACH to REACH
SATURATED = 0.05  # a slope smaller than this, out to the edge, is called saturated
LOGITS = np.array([2.0, 1.0, 0.0, -1.0])
TEMPERATURES = [0.5, 1.0, 3.0]


def plot_activations(names="all"):
    """Draw each activation's curve and slope on one sheet; returns the Axes, an array (n,).

    names  "all" (every activation that nn knows, each once), or a list of names and functions,
           or one of them

    Solid is the curve, dashed its slope, both over -7 to 7. Above each panel stands the range,
    and where it is *saturated* (hatched: out to the edge the slope is smaller than 0.05, so that
    little gradient passes) and where *dead* (cross-hatched: the slope is exactly 0, none does).
    An activation that works on whole rows, as softmax, is drawn as bars over the logits 2, 1, 0
    and -1, at three temperatures: softmax(logits / T).

    Raises ValueError for an unknown name, and for a function that changes the shape of its input.
    """
    functions = _functions(names)
    axes = grid(len(functions), 4, 3.5, 2.75)
    points = np.linspace(-REACH, REACH, 2801)
    for ax, function in zip(axes, functions):
        if _is_elementwise(function):
            _draw_curve(ax, function, points)
        else:
            _draw_rows(ax, function)
    _add_legend(axes[0].figure)
    return axes


def _functions(names):
    if isinstance(names, str) and names == "all":
        names = list(activations.ACTIVATIONS)
    elif isinstance(names, str) or callable(names):
        names = [names]
    functions = list(dict.fromkeys(activations.get(name) for name in names))  # aliases once
    if not functions:
        raise ValueError("plot_activations: expected at least one activation, got none")
    return functions


def _is_elementwise(function):
    """Whether an element's value depends on that element alone."""
    row = LOGITS[None]
    across = np.asarray(engine.asarray(function(engine.Tensor(row))).data)
    if across.shape != row.shape:
        raise ValueError(
            f"plot_activations: expected functions that keep the shape of their input, but "
            f"{activations.name_of(function)} made {across.shape} of {row.shape}"
        )
    alone = np.asarray(engine.asarray(function(engine.Tensor(row.T))).data)
    return np.allclose(across, alone.T)


def value_and_slope(function, points):
    """function(points) and its derivative there, two arrays of float64."""
    x = engine.Tensor(np.asarray(points, dtype=np.float64), requires_grad=True)
    y = function(x)
    return y.numpy(), engine.grad(y, x, np.ones(x.shape)).numpy()


def zones(function, points, slopes):
    """{"dead": intervals, "saturated": intervals}, each a list of (from, to) within `points`.

    Dead is where the slope is exactly 0. Saturated is where it is small, and not dead, out to an
    edge beyond which the function levels off: a small slope between steeper ones is a turning
    point, and one that goes on for ever, as that of leaky_relu, still moves.
    """
    dead, small = slopes == 0, np.abs(slopes) < SATURATED
    left, right = (abs(farther - near) <= 0.1 for near, farther in zip(*_far_values(function)))
    tails = (left & np.logical_and.accumulate(small)) | (
        right & np.logical_and.accumulate(small[::-1])[::-1]
    )
    return {"dead": _intervals(points, dead), "saturated": _intervals(points, tails & ~dead)}


def _far_values(function):
    """The values at -1e3 and 1e3, and at -1e6 and 1e6, by which an end is known to level off."""
    with np.errstate(all="ignore"):
        near, farther = (value_and_slope(function, [-far, far])[0] for far in (1e3, 1e6))
    farther[~np.isfinite(farther)] = np.sign(farther[~np.isfinite(farther)]) * np.finfo(float).max
    return np.nan_to_num(near, posinf=1e300, neginf=-1e300), farther


def _intervals(points, mask):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    pairs = zip(edges[::2], edges[1::2] - 1)
    return [(float(points[a]), float(points[b])) for a, b in pairs if b > a]  # no single points


def bounds(function):
    """(low, high) of a function of one number, -inf or inf where it grows without end."""
    near, farther = _far_values(function)
    inner = value_and_slope(function, np.linspace(-20, 20, 40_001))[0]
    low, high = min(inner.min(), *farther), max(inner.max(), *farther)
    for x, y in zip(near, farther):
        if abs(y - x) > 0.1:
            low, high = (low, np.inf) if y > x else (-np.inf, high)
    return float(low), float(high)


def _draw_curve(ax, function, points):
    values, slopes = value_and_slope(function, points)
    found = zones(function, points, slopes)
    for kind, intervals in found.items():
        for start, end in intervals:
            ax.axvspan(start, end, label=kind, **_zone_style(kind))
    for at in (ax.axhline, ax.axvline):
        at(0, color=ink(), linewidth=0.6, alpha=0.5)
    ax.plot(points, values, color="C0", linewidth=2.2, label="curve")
    ax.plot(points, slopes, color="C1", linewidth=1.8, linestyle="--", label="slope")
    shown = np.clip(np.concatenate([values, slopes]), -REACH, REACH)
    margin = 0.08 * (shown.max() - shown.min())
    ax.set_ylim(shown.min() - margin, shown.max() + margin)
    ax.set_xlim(-REACH, REACH)
    ax.set_xticks([-6, -4, -2, 0, 2, 4, 6])
    _set_titles(ax, function, _in_words(bounds(function), found))


def _set_titles(ax, function, line):
    ax.set_title(f"{activations.name_of(function)}\n", fontsize=11, fontweight="bold", loc="left")
    text = ax.text(0, 1.03, line, transform=ax.transAxes, fontsize=SMALL, va="bottom")
    text.set_in_layout(False)
    ax.tick_params(labelsize=SMALL)


def _zone_style(kind):
    hatch = "xxxx" if kind == "dead" else "///"
    return {"facecolor": "none", "edgecolor": ink(), "alpha": 0.28, "hatch": hatch, "linewidth": 0}


def _in_words(range_, found):
    """As "0 to ∞; dead below 0"."""
    parts = [" to ".join(_number(end, ".2g") for end in range_)]
    parts += [f"{kind} {_where(intervals)}" for kind, intervals in found.items() if intervals]
    return "; ".join(parts)


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


def _draw_rows(ax, function):
    """A function of whole rows, as bars over a few logits, at several temperatures."""
    width = 0.8 / len(TEMPERATURES)
    shades = pyplot().get_cmap("viridis")(np.linspace(0.25, 0.95, len(TEMPERATURES)))
    for index, temperature in enumerate(TEMPERATURES):
        heights = engine.asarray(function(engine.Tensor(LOGITS / temperature))).data
        places = np.arange(len(LOGITS)) + (index - (len(TEMPERATURES) - 1) / 2) * width
        bars = ax.bar(
            places,
            heights,
            width,
            color=shades[index],
            edgecolor=ink(),
            hatch=HATCHES[index],
            label=f"T = {temperature:g}",
        )
        ax.bar_label(bars, fmt="%.2f", fontsize=SMALL - 1, rotation=90, padding=2)
    ax.axhline(0, color=ink(), linewidth=0.6)
    ax.set_xticks(np.arange(len(LOGITS)), [f"{logit:g}" for logit in LOGITS])
    ax.margins(y=0.25)
    ax.legend(fontsize=SMALL, loc="best", frameon=False)
    name = activations.name_of(function)
    _set_titles(ax, function, f"{name}(logits / T) for the four logits below")


def _add_legend(figure):
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color="C0", linewidth=2.2, label="the activation f(x)"),
        Line2D([], [], color="C1", linewidth=1.8, linestyle="--", label="its slope f'(x)"),
        Patch(label=f"saturated: slope under {SATURATED}", **_zone_style("saturated")),
        Patch(label="dead: slope 0", **_zone_style("dead")),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
