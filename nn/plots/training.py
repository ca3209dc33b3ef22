"""How a training went: losses and metrics over epochs, and what its layers did over steps."""

import numpy as np

from .sheet import SMALL, axes_or_new, grid, ink, label_ends, line_styles, sparse_markers

PANELS = {  # of the layer statistics: the record's field, and the panel's title
    "activation_mean": "activations: mean",
    "activation_std": "activations: standard deviation",
    "gradient_norm": "gradients: norm",
    "dead": "share of units that are dead",
    "saturated": "share of activations that are saturated",
    "update_ratio": "updates: norm, by the norm of the weights",
}
LOGARITHMIC = ("gradient_norm", "update_ratio")
SHARES = ("dead", "saturated")


def plot_history(history):
    """Draw the loss and each metric over the epochs; returns the Axes, an array (metrics,).

    history  what `fit` returns, or its `.history`, a dict from name to one number per epoch

    Solid with circles is the training set, dashed with squares the validation set ("val_..."),
    and the last values stand at the lines' ends. Where there is a validation loss, its lowest is
    marked: later epochs only learn the training set by heart.

    Raises ValueError when there is no epoch in it.
    """
    values = getattr(history, "history", history)
    names = [name for name in values if not (name.startswith("val_") and name[4:] in values)]
    if not names or not len(values[names[0]]):
        raise ValueError("plot_history: expected at least one epoch, got an empty history")
    epochs = np.asarray(getattr(history, "epoch", np.arange(1, len(values[names[0]]) + 1)))
    axes = grid(len(names), 2, 5.2, 3.4)
    for ax, name in zip(axes, names):
        _draw_metric(ax, name, values, epochs)
    return axes


def _draw_metric(ax, name, values, epochs):
    series = {"training": values[name]}
    if f"val_{name}" in values:
        series["validation"] = values[f"val_{name}"]
    lines = []
    for index, ((label, numbers), style) in enumerate(zip(series.items(), line_styles(2))):
        every = sparse_markers(len(numbers), index)
        lines += ax.plot(
            epochs[-len(numbers) :], numbers, label=label, linewidth=1.8, markevery=every, **style
        )
    if name == "loss" and not np.isnan(series.get("validation", np.nan)).all():
        _mark_lowest(ax, epochs, np.asarray(series["validation"]))
    ax.set_title(name)
    ax.set_xlabel("epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    label_ends(ax, lines, [f"{label} {numbers[-1]:.4g}" for label, numbers in series.items()])


def _mark_lowest(ax, epochs, losses):
    best = int(np.nanargmin(losses))  # nan: where Ctrl-C ended it
    ax.axvline(epochs[best], color=ink(), linewidth=0.8, linestyle=":", label="lowest")
    left = best + 1 > len(losses) / 2
    ax.annotate(
        f"lowest {losses[best]:.4g}\nin epoch {epochs[best]}",
        (epochs[best], 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if left else 4, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        fontsize=SMALL,
    )


def plot_layer_stats(diagnostics):
    """Draw what each layer did over the steps of a training; returns the Axes, an array.

    diagnostics  an `nn.callbacks.Diagnostics` after a training, or its `records`: a list of dicts
                 with "step", "layer", and any of "activation_mean", "activation_std",
                 "gradient_norm", "dead", "saturated" and "update_ratio", numbers or None

    One panel for each of the mean and the standard deviation of activations, gradients, dead units,
    saturated ones and updates, of which there are numbers. Every layer has its own dashes and
    marker, and its name stands at the end of its line. Norms are on a logarithmic axis; a norm of
    0 has no place there and leaves a gap.

    Raises ValueError when there are no records.
    """
    records = list(getattr(diagnostics, "records", diagnostics))
    if not records:
        raise ValueError(
            "plot_layer_stats: there are no records; pass the Diagnostics to "
            "fit(..., callbacks=[diagnostics]) first"
        )
    layers = list(dict.fromkeys(record["layer"] for record in records))
    fields = [field for field in PANELS if any(r.get(field) is not None for r in records)]
    axes = grid(len(fields), 2, 6.0, 3.4)
    for ax, field in zip(axes, fields):
        _draw_field(ax, field, layers, records)
    return axes


def _draw_field(ax, field, layers, records):
    lines, names = [], []
    for index, (layer, style) in enumerate(zip(layers, line_styles(len(layers)))):
        steps, numbers = series_of(records, layer, field)
        if not len(steps):
            continue
        every = sparse_markers(len(steps), index)
        lines += ax.plot(steps, numbers, label=layer, markevery=every, linewidth=1.8, **style)
        names.append(layer)
    if field in LOGARITHMIC:
        ax.set_yscale("log", nonpositive="mask")
    elif field in SHARES:
        ax.set_ylim(-0.03, 1.03)
    ax.set_title(PANELS[field])
    ax.set_xlabel("step")
    ax.grid(alpha=0.3)
    label_ends(ax, lines, names)


def series_of(records, layer, field):
    """(steps, numbers) of one field of one layer, two arrays, without those that are None."""
    pairs = [
        (record["step"], record[field])
        for record in records
        if record["layer"] == layer and record.get(field) is not None
    ]
    return np.array([step for step, _ in pairs]), np.array([number for _, number in pairs], float)


def plot_learning_rate(finder, ax=None):
    """Draw the loss over the learning rates that `nn.find_learning_rate` tried; returns the Axes.

    finder  what `find_learning_rate` returned: its `rates`, `losses` (the thin line), `smoothed`
            (the thick one) and its `suggestion`, which is marked

    The rate has a logarithmic axis. A good one lies where the loss falls fastest, well before the
    rate from which it rises; what rises far above its start is cut off.
    """
    ax = axes_or_new(ax, 6.4, 4.0)
    rates, smoothed = np.asarray(finder.rates), np.asarray(finder.smoothed)
    ax.plot(rates, finder.losses, color=ink(), alpha=0.4, linewidth=0.8, label="loss")
    ax.plot(rates, smoothed, color="C0", linewidth=2.2, label="smoothed")
    ax.set_xscale("log")
    start, lowest = smoothed[0], smoothed[np.isfinite(smoothed)].min()
    height = max(start - lowest, 0.1 * abs(start))
    ax.set_ylim(lowest - 0.2 * height, start + 0.5 * height)
    if finder.suggestion is not None:
        ax.axvline(finder.suggestion, color=ink(), linestyle=":", label="suggested")
        ax.annotate(
            f"suggested: {finder.suggestion:.2g}",
            (finder.suggestion, 0.03),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
        )
    ax.set_xlabel("learning rate")
    ax.set_title("loss of a batch (thin) and its running mean (thick)", fontsize=11)
    ax.grid(alpha=0.3)
    return ax
