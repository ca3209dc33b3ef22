"""Models and graphs as boxes and arrows, drawn by matplotlib alone."""

import numpy as np

from engine.graph import drawn_nodes

from ..sequential import Sequential
from .layout import place
from .sheet import SMALL, axes_or_new, ink

ARROW = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.1}


def plot_model(model, ax=None):
    """Draw the layers of a Sequential from the input down to the output; returns the Axes.

    Every box is a layer, those of models within it too, and every arrow says the shape of what it
    carries, without the batch. The bar beside a box is the layer's part of all parameters, with
    their number.

    Raises TypeError for what is no Sequential and ValueError for one without an input shape.
    """
    if not isinstance(model, Sequential):
        raise TypeError(
            f"plot_model: expected a Sequential, got {type(model).__name__}; "
            "nn.plots.plot_graph(model(x)) draws what any model computes"
        )
    model.ensure_built()
    rows = list(_rows(model, model.input_shape))
    width = 0.083 * max(len(title) for title, _, _ in rows) + 0.2  # all in inches
    bars = width / 2 + 0.25
    ax = axes_or_new(ax, width + 3.6, 0.55 * len(rows) + 0.6)
    total = max(1, sum(parameters for _, _, parameters in rows))
    _draw_arrow(ax, 0.3, model.input_shape)
    for index, (title, shape, parameters) in enumerate(rows):
        middle = -0.55 * index
        _draw_box(ax, 0, middle, width, 0.28, title, rounded=False)
        _draw_arrow(ax, middle - 0.27, shape)
        if parameters:
            length = 1.6 * parameters / total
            ax.barh(middle, length, 0.24, bars, color="0.8", edgecolor=ink(), hatch="//")
            text = f" {parameters:,} ({parameters / total:.0%})"
            ax.text(bars + length, middle, text, va="center", fontsize=SMALL)
    ax.text(bars, 0.3, f"parameters: {total:,}", va="center", fontsize=SMALL)
    ax.set_xlim(-width / 2 - 0.1, bars + 3.1)
    ax.set_ylim(-0.55 * len(rows) + 0.1, 0.5)
    ax.axis("off")
    return ax


def _draw_arrow(ax, middle, shape):
    arrow = {**ARROW, "color": ink()}
    ax.annotate("", (0, middle - 0.14), (0, middle + 0.13), arrowprops=arrow)
    text = " x ".join(map(str, shape)) or "number"
    ax.text(0.1, middle, text, va="center", fontsize=SMALL, style="italic")


def _rows(model, shape, prefix=""):
    """(title, shape of the output, number of parameters) of each layer, in order."""
    for layer in model.layers:
        if isinstance(layer, Sequential):
            yield from _rows(layer, shape, f"{prefix}{layer.name}.")
            shape = layer.output_shape(shape)
            continue
        shape = layer.output_shape(shape)
        parameters = sum(parameter.size for parameter in layer.parameters())
        yield f"{prefix}{layer.name}: {layer!r}", shape, parameters


def plot_graph(tensor, names=None, max_nodes=60, ax=None):
    """Draw the graph behind a Tensor, from the leaves down to the Tensor; returns the Axes.

    A rounded box is a leaf, an angular one an operation, with the shape and dtype of its result
    and what it keeps in memory for the way back. The last box is the Tensor, with a thick frame.

    names      a dict from name to Tensor, as `dict(model.named_tensors())`: their boxes are named
    max_nodes  how many boxes there may be at most. Default 60.

    Raises ValueError for a Tensor that was computed from nothing that requires a gradient, and
    for a larger graph: `engine.graph.to_dot` gives that for Graphviz.
    """
    nodes = drawn_nodes(tensor, names, "plot_graph")
    if len(nodes) > max_nodes:
        raise ValueError(
            f"plot_graph: expected a graph of at most {max_nodes} nodes, got {len(nodes)}; pass "
            f"max_nodes={len(nodes)}, or render engine.graph.to_dot(tensor) with Graphviz"
        )
    places, routes = place([node.parents for node in nodes])
    texts = ["\n".join([node.title, *node.lines]) for node in nodes]
    width = 0.075 * max(len(line) for text in texts for line in text.splitlines()) + 0.25
    spot = np.array([width + 0.3, -1.0])  # inches from one place to the next
    centres = places * spot
    low, high = centres.min(axis=0) - [width, 0.6], centres.max(axis=0) + [width, 0.6]
    ax = axes_or_new(ax, *np.maximum(high - low, 2.5))
    for child, parent, between in routes:
        line = np.array([centres[parent], *(between * spot), centres[child]])
        line[0, 1] -= 0.31
        line[-1, 1] += 0.31
        ax.plot(*line[:-1].T, color=ink(), linewidth=1.1)
        ax.annotate("", line[-1], line[-2], arrowprops={**ARROW, "color": ink()})
    for index, (node, text) in enumerate(zip(nodes, texts)):
        thick = index == len(nodes) - 1
        _draw_box(ax, *centres[index], width, 0.62, text, rounded=node.is_leaf, thick=thick)
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    ax.axis("off")
    return ax


def _draw_box(ax, x, y, width, height, text, rounded, thick=False):
    from matplotlib.patches import FancyBboxPatch

    box = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle=f"round,pad=0,rounding_size={height / 2}" if rounded else "square,pad=0",
        facecolor=ax.get_facecolor(),
        edgecolor=ink(),
        linewidth=2.4 if thick else 1.1,
    )
    ax.add_patch(box)
    ax.text(x, y, text, ha="center", va="center", fontsize=SMALL)
