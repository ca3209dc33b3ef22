"""What the pictures share: matplotlib when it is there, new axes, and styles that need no colour.

Lines differ by dashes, markers and lightness, areas by hatching, and what a line means stands at
its end. The sizes, fonts and ground colour are those of the user's matplotlib settings.
"""

import numpy as np

DASHES = ["-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3))]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "*"]
HATCHES = ["", "///", "...", "xx", "\\\\\\", "++", "oo", "---", "**", "||"]
SMALL = 8.5  # points: the smallest text


def pyplot():
    """matplotlib.pyplot. Raises ImportError, which says how to install it, where it is missing."""
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise ImportError(
            f"nn.plots draws with matplotlib, which can not be imported here ({error}): "
            'pip install "hotgrad[plot]"'
        ) from error
    return matplotlib.pyplot


def save(axes, path, dpi=120):
    """Write the figure of `axes`, which a picture returned, to a file, and close it.

    path  its suffix tells the format: .png, .svg, .pdf
    dpi   pixels per inch, for .png. Default 120.
    """
    figure = np.ravel(axes)[0].figure
    figure.savefig(path, dpi=dpi)
    pyplot().close(figure)


def axes_or_new(ax, width, height):
    """`ax`, or the Axes of a new figure of that size in inches."""
    return ax if ax is not None else grid(1, 1, width, height)[0]


def grid(count, columns, width, height):
    """`count` Axes, an array (count,), in rows of `columns`, on a new figure.

    width, height  of one of them in inches, with its labels
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    _, axes = pyplot().subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        squeeze=False,
        layout="constrained",
    )
    for unused in axes.flat[count:]:
        unused.remove()
    return axes.ravel()[:count]


def ink():
    """The colour of text in the user's settings: black, or white on a dark ground."""
    return pyplot().rcParams["text.color"]


def line_styles(count):
    """`count` dicts for `Axes.plot`: no two with the same dashes and marker, from dark to light."""
    get_cmap = pyplot().get_cmap  # first, for its error where matplotlib is missing
    from matplotlib.colors import to_rgb

    on_dark = np.mean(to_rgb(ink())) > 0.5
    darkest, lightest = (0.4, 1) if on_dark else (0, 0.8)
    shades = get_cmap("viridis")(np.linspace(darkest, lightest, count))
    return [
        {
            "color": shades[index],
            "linestyle": DASHES[index % len(DASHES)],
            "marker": MARKERS[index % len(MARKERS)],
        }
        for index in range(count)
    ]


def sparse_markers(length, index=0):
    """`markevery` for a line of `length` points: about eight, at other places for each index."""
    step = max(1, length // 8)
    return (index * max(1, step // 3) % step, step)


def label_ends(ax, lines, texts):
    """Write each text at the right end of its line, moved apart where lines end close together."""
    ax.get_ylim()  # fits the axes to the lines, on which the places depend
    to_axes = ax.transData + ax.transAxes.inverted()
    ends = [to_axes.transform((line.get_xdata()[-1], line.get_ydata()[-1]))[1] for line in lines]
    for text, height in zip(texts, spread(np.nan_to_num(ends), 0.075)):
        ax.annotate(
            text,
            (1.02, height),
            xycoords="axes fraction",
            va="center",
            fontsize=SMALL,
            annotation_clip=False,
        )


def spread(places, gap):
    """`places` in 0..1, moved apart to be at least `gap` apart, or evenly, in their order."""
    if len(places) == 0:
        return np.zeros(0)
    gap = min(gap, 1 / len(places))
    order = np.argsort(places, kind="stable")
    moved = np.clip(np.asarray(places, dtype=float)[order], 0, 1)
    for _ in range(100):  # neighbours push each other, by half of what they lack each
        lack = np.maximum(0, gap - np.diff(moved)) / 2
        moved[1:] += lack
        moved[:-1] -= lack
        moved = np.clip(moved, 0, 1)
    steps = gap * np.arange(len(moved))  # what is still missing: upwards, then down from 1
    moved = np.maximum.accumulate(moved - steps) + steps
    moved = np.minimum.accumulate((moved - steps)[::-1])[::-1] + steps
    moved = np.minimum(moved, 1 - steps[::-1])
    result = np.empty(len(moved))
    result[order] = moved
    return result
