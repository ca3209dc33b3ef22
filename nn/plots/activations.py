"""Activations at a glance: each one's curve, its slope, and where it stops learning.

All is measured from the function (`nn.plots.measure`): own ones are drawn as the built-in ones are.
"""

import numpy as np

import engine

from .. import activations
from .measure import REACH, SATURATED, is_elementwise, measure_activation
from .sheet import HATCHES, SMALL, grid, ink, pyplot

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
    for ax, function in zip(axes, functions):
        if is_elementwise(function):
            _draw_curve(ax, function)
        else:
            _draw_rows(ax, function)
    if any(is_elementwise(function) for function in functions):
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


def _draw_curve(ax, function):
    found = measure_activation(function)
    for kind in ("dead", "saturated"):
        for start, end in getattr(found, kind):
            ax.axvspan(start, end, label=kind, **_zone_style(kind))
    for at in (ax.axhline, ax.axvline):
        at(0, color=ink(), linewidth=0.6, alpha=0.5)
    ax.plot(found.points, found.values, color="C0", linewidth=2.2, label="curve")
    ax.plot(found.points, found.slopes, color="C1", linewidth=1.8, linestyle="--", label="slope")
    shown = np.clip(np.concatenate([found.values, found.slopes]), -REACH, REACH)
    margin = 0.08 * (shown.max() - shown.min())
    ax.set_ylim(shown.min() - margin, shown.max() + margin)
    ax.set_xlim(-REACH, REACH)
    ax.set_xticks([-6, -4, -2, 0, 2, 4, 6])
    _set_titles(ax, found.name, found.in_words())


def _set_titles(ax, name, line):
    ax.set_title(f"{name}\n", fontsize=11, fontweight="bold", loc="left")
    text = ax.text(0, 1.03, line, transform=ax.transAxes, fontsize=SMALL, va="bottom")
    text.set_in_layout(False)
    ax.tick_params(labelsize=SMALL)


def _zone_style(kind):
    hatch = "xxxx" if kind == "dead" else "///"
    return {"facecolor": "none", "edgecolor": ink(), "alpha": 0.28, "hatch": hatch, "linewidth": 0}


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
    _set_titles(ax, name, f"{name}(logits / T) for the four logits below")


def _add_legend(figure):
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color="C0", linewidth=2.2, label="the activation f(x)"),
        Line2D([], [], color="C1", linewidth=1.8, linestyle="--", label="its slope f'(x)"),
        Patch(label=f"saturated: slope under {SATURATED}", **_zone_style("saturated")),
        Patch(label="dead: slope 0", **_zone_style("dead")),
    ]
    columns = {1: 1, 2: 2}.get(len(figure.axes), 4)  # as many as there is room for
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False)
