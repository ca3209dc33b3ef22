"""The chart of the README: a training step, our time over that of each peer, case by case.

It has to be read in print, in colour or without, and on pages of any colour: the peers differ by
shape and by lightness too, and the ground is opaque. Needs matplotlib.
"""

import itertools
import math

from .machine import PACKAGES
from .step import MODELS

STEPS = "training step"  # the groups that are drawn
WIDTH, TOP, BOTTOM, LINE = 8.3, 0.72, 0.95, 0.225  # inches; the last is the height of a case
SPREAD = 0.16  # of a case's height: so far every other peer lies below its line, the rest above
LEFT, RIGHT = 0.17, 0.97  # of the axes, in parts of the width
GREYS = {"ink": "#1f2328", "soft": "#59636e", "grid": "#d1d9e0"}
# One for each peer, from dark to light and back, by Okabe and Ito's colours.
MARKS = (
    ("s", "#000000"),
    ("o", "#d55e00"),
    ("D", "#e69f00"),
    ("^", "#0072b2"),
    ("v", "#009e73"),
    ("P", "#cc79a7"),
    ("X", "#56b4e9"),
)


def draw(path, machine, rows):
    """Write the chart to a file. ValueError when the part `step` was not measured."""
    figure_of(machine, rows).savefig(path, dpi=180)


def figure_of(machine, rows):
    """The chart as a figure of matplotlib, of the last group of training steps in the rows."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("--chart needs matplotlib: pip install matplotlib") from None
    rows = [row for row in rows if row.group.startswith(STEPS) and row.peers]
    if not rows:
        raise ValueError("--chart draws the part `step`, which was not measured")
    rows = [row for row in rows if row.group == rows[-1].group]
    blocks = [(head, list(cases)) for head, cases in itertools.groupby(rows, key=_head)]
    height = TOP + BOTTOM + LINE * (len(rows) + len(blocks))
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    share = (height - TOP - BOTTOM) / height
    axes = figure.add_axes((LEFT, BOTTOM / height, RIGHT - LEFT, share))
    places = _label_cases(axes, blocks)
    _draw_marks(axes, rows, places)
    _scale(axes, [row.ours / time for row in rows for time in row.peers.values()])
    _say(figure, axes, machine, rows[0].group)
    return figure


def _head(row):
    return row.case.rpartition(" batch ")[0]


def _label_cases(axes, blocks):
    """Name the cases on the left, block by block. Returns the place of each case."""
    places, y = [], 0.0
    for head, cases in blocks:
        own = [y + i for i in range(len(cases))]
        axes.text(
            -0.125,
            sum(own) / len(own),
            head.replace(" ", "\n"),
            transform=axes.get_yaxis_transform(),
            ha="center",
            va="center",
            weight="bold",
            color=GREYS["ink"],
        )
        if places:
            axes.axhline(y - 1, -0.17, color=GREYS["soft"], linewidth=0.8, clip_on=False)
        places += own
        y = own[-1] + 2
    names = [row.case.rpartition(" batch ")[2] for _, cases in blocks for row in cases]
    axes.set_yticks(places, names, fontsize=8.5, color=GREYS["ink"])
    axes.set_ylim(places[-1] + 0.9, -0.9)
    axes.text(
        -0.008,
        -0.75,
        "batch",
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=8.5,
        color=GREYS["soft"],
    )
    return places


def _draw_marks(axes, rows, places):
    for y in places:
        axes.axhline(y, color=GREYS["grid"], linewidth=0.5)
    peers = list(dict.fromkeys(peer for row in rows for peer in row.peers))
    for number, (peer, (shape, colour)) in enumerate(zip(peers, itertools.cycle(MARKS))):
        shift = SPREAD if number % 2 else -SPREAD
        marks = [
            (row.ours / row.peers[peer], y + shift)
            for row, y in zip(rows, places)
            if peer in row.peers
        ]
        style = {"s": 40, "c": colour, "marker": shape, "edgecolors": "white", "linewidths": 0.6}
        axes.scatter(*zip(*marks), label=peer, zorder=3, **style)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        ncols=len(peers),
        frameon=False,
        fontsize=8.5,
        handletextpad=0.1,
        columnspacing=1.2,
        labelcolor=GREYS["ink"],
    )


def _scale(axes, ratios):
    """Powers of two as they are said, and a line where both take the same time."""
    low, high = min(0.5, *ratios) / 1.15, max(2, *ratios) * 1.15
    axes.set_xscale("log", base=2)
    axes.set_xlim(low, high)
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    ticks = [2.0**power for power in powers]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=9, color=GREYS["ink"])
    axes.minorticks_off()
    axes.grid(axis="x", color=GREYS["grid"], linewidth=0.8)
    axes.axvline(1, color=GREYS["ink"], linewidth=1.4)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREYS["grid"])


def _say(figure, axes, machine, group):
    """The title, what left and right of the line mean, and what it was measured on."""
    height = figure.get_figheight()
    figure.text(
        0.02,
        1 - 0.12 / height,
        f"One {group}: hotgrad's time divided by the other's",
        va="top",
        fontsize=11.5,
        weight="bold",
        color=GREYS["ink"],
    )
    below = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "center"}
    for text, x, side in (("\u2190 hotgrad is faster", -8, "right"), ("slower \u2192", 8, "left")):
        axes.annotate(text, (1, 0), (x, -27), ha=side, fontsize=9, color=GREYS["ink"], **below)
    versions = [f"{name} {machine[name]}" for name in PACKAGES if name in machine]
    figure.text(
        0.02,
        0.1 / height,
        f"{machine['cpu']} ({machine['target']}), {machine['cores']} cores; {', '.join(versions)}\n"
        + "; ".join(f"model {name}: {_widths(sizes)}" for name, sizes in MODELS.items()),
        va="bottom",
        fontsize=7.5,
        linespacing=1.4,
        color=GREYS["soft"],
    )


def _widths(sizes):
    return "-".join(map(str, sizes))
