"""What a classifier decides: regions of the plane, confusions, and its worst mistakes."""

import numpy as np

from ..checks import count_of
from ..labels import class_numbers
from ..metrics import confusion_matrix
from .sheet import HATCHES, MARKERS, SMALL, axes_or_new, grid, ink, pyplot

BATCH = 1024


def probabilities(what, model, x):
    """The probability of each class, (n, k). One sigmoid unit counts as the classes 0 and 1.

    Raises ValueError for a model whose outputs are not the probabilities of classes.
    """
    outputs, activation = model.predict(x, batch_size=BATCH), model.last_activation()
    if activation == "softmax" and outputs.ndim == 2:
        return outputs
    if activation == "sigmoid" and outputs.shape[1:] == (1,):
        return np.concatenate([1 - outputs, outputs], axis=1)
    raise ValueError(
        f"{what}: expected a model that ends with softmax, or with sigmoid over one unit, got "
        f"{activation} with outputs of shape {outputs.shape}"
    )


def class_labels(what, y, examples, classes):
    """Labels of any form as integers (n,). ValueError for a wrong number, and out of range."""
    labels = class_numbers(what, y, classes if classes > 2 else None)
    if labels.shape != (examples,):
        raise ValueError(
            f"{what}: expected {examples} labels, one per example, got shape {np.shape(y)}"
        )
    if examples and not (0 <= labels.min() and labels.max() < classes):
        raise ValueError(
            f"{what}: expected labels from 0 to {classes - 1}, as the model has {classes} classes, "
            f"got {labels.min()} to {labels.max()}"
        )
    return labels


def _named(what, names, classes):
    names = [str(index) for index in range(classes)] if names is None else list(map(str, names))
    if len(names) != classes:
        raise ValueError(f"{what}: expected {classes} names of classes, got {len(names)}")
    return names


def plot_decision_boundary(model, x, y, names=None, steps=200, ax=None):
    """Draw where in the plane a model decides for which class; returns the Axes.

    model  ends with softmax, or with sigmoid over one unit
    x      examples (n, 2), drawn as points
    y      their classes: integers (n,) or (n, 1), or one-hot (n, classes)
    names  of the classes. Default "0", "1", ...
    steps  how many points of the plane are asked along each axis. Default 200.

    Each class has its marker, its hatching and its lightness. The thick line is the boundary; for
    two classes thin dashed ones are where the model gives 10% and 90%.

    Raises ValueError for examples that are not (n, 2) and for labels that do not fit.
    """
    what = "plot_decision_boundary"
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"{what}: expected examples of shape (n, 2), got {x.shape}")
    margin = 0.08 * np.ptp(x, axis=0) + 1e-6
    sides = [
        np.linspace(x[:, i].min() - margin[i], x[:, i].max() + margin[i], steps) for i in (0, 1)
    ]
    across, up = np.meshgrid(*sides)
    points = np.stack([across.ravel(), up.ravel()], axis=1).astype(np.float32)
    p = probabilities(what, model, points).reshape(steps, steps, -1)
    classes = p.shape[-1]
    labels, names = class_labels(what, y, len(x), classes), _named(what, names, classes)
    ax = axes_or_new(ax, 5.2, 4.6)
    _draw_regions(ax, across, up, p)
    for index, name in enumerate(names):
        mine = x[labels == index]
        ax.scatter(
            *mine.T,
            s=26,
            marker=MARKERS[index % len(MARKERS)],
            facecolor=_shade(index, classes),
            edgecolor=ink(),
            linewidth=0.7,
            label=f"class {name}",
        )
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=5, fontsize=SMALL, frameon=False)
    return ax


def _draw_regions(ax, across, up, p):
    classes, decided = p.shape[-1], p.argmax(axis=-1)
    ax.contourf(
        across,
        up,
        decided,
        levels=np.arange(classes + 1) - 0.5,
        colors=[_shade(index, classes) for index in range(classes)],
        hatches=[HATCHES[index % len(HATCHES)] for index in range(classes)],
        alpha=0.35,
    )
    for index in range(classes if classes > 2 else 1):
        others = np.delete(p, index, axis=-1).max(axis=-1)
        ax.contour(across, up, p[..., index] - others, levels=[0], colors=ink(), linewidths=2)
    if classes == 2:
        lines = ax.contour(
            across,
            up,
            p[..., 1],
            levels=[0.1, 0.9],
            colors=ink(),
            linewidths=0.8,
            linestyles="--",
        )
        ax.clabel(lines, fmt=lambda level: f"{level:.0%}", fontsize=SMALL)


def _shade(index, classes):
    return pyplot().get_cmap("viridis")(0.2 + 0.75 * index / max(1, classes - 1))


def plot_confusion(model, x, y, names=None, ax=None):
    """Draw how often the class of a row was decided to be that of a column; returns the Axes.

    model  ends with softmax, or with sigmoid over one unit
    x, y   examples and their classes: integers (n,) or (n, 1), or one-hot (n, classes)
    names  of the classes. Default "0", "1", ...

    Every cell holds its count, and is the darker the greater its share of its row: right
    decisions are on the diagonal, which is framed.
    """
    p = probabilities("plot_confusion", model, x)
    classes = p.shape[1]
    labels = class_labels("plot_confusion", y, len(p), classes)
    names = _named("plot_confusion", names, classes)
    counts = confusion_matrix(labels, p.argmax(axis=1), classes)
    size = max(3.6, 1.6 + 0.5 * classes)
    ax = axes_or_new(ax, size, size)
    # The root, so that a mistake of a hundredth of the row can still be seen.
    shades = np.sqrt(counts / np.maximum(1, counts.sum(axis=1, keepdims=True)))
    ax.imshow(shades, cmap="Greys", vmin=0, vmax=1)
    for row, column in np.ndindex(counts.shape):
        dark = shades[row, column] > 0.5
        count = f"{counts[row, column]:,}" if counts[row, column] else "·"
        color = "white" if dark else "black"
        ax.text(column, row, count, ha="center", va="center", color=color, fontsize=SMALL)
    for index in range(classes):
        frame = pyplot().Rectangle((index - 0.5, index - 0.5), 1, 1, fill=False, edgecolor="black")
        ax.add_patch(frame)
    too_long = 0.09 * max(map(len, names)) > (size - 1.4) / classes  # inches
    ax.set_xticks(range(classes), names, rotation=90 if too_long else 0)
    ax.set_yticks(range(classes), names)
    ax.set_xlabel("decided")
    ax.set_ylabel("is")
    wrong = len(p) - int(np.trace(counts))
    ax.set_title(f"{wrong:,} of {len(p):,} wrong: {wrong / max(1, len(p)):.1%}", fontsize=11)
    return ax


def plot_predictions(model, images, labels, count=20, names=None):
    """Draw images with what the model says of them, the worst mistakes first; returns the Axes.

    model   ends with softmax, or with sigmoid over one unit
    images  (n, height, width), or with a last axis of 1, or of 3 for red, green and blue; numbers
            from 0 to 1 or from 0 to 255
    labels  their classes: integers (n,) or (n, 1), or one-hot (n, classes)
    count   how many to draw. Default 20; fewer where there are fewer.
    names   of the classes. Default "0", "1", ...

    The order is that of the probability given to the true class, the smallest first, mistakes
    before what is right. A mistake has a thick frame and a cross. Returns an array (count,).
    """
    what = "plot_predictions"
    images = np.asarray(images)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise ValueError(
            f"{what}: expected images of shape (n, height, width), or with a last axis of 1 or 3, "
            f"got {images.shape}"
        )
    p = probabilities(what, model, images)
    labels = class_labels(what, labels, len(p), p.shape[1])
    names = _named(what, names, p.shape[1])
    decided, of_true = p.argmax(axis=1), p[np.arange(len(p)), labels]
    order = np.lexsort([of_true, decided == labels])[: count_of(what, "count", count)]
    axes = grid(len(order), 5, 1.75, 2.2)
    for ax, index in zip(axes, order):
        guess, truth = decided[index], labels[index]
        text = f"{'✓' if guess == truth else '✗'} {names[guess]}, {p[index, guess]:.0%} sure"
        if guess != truth:
            text += f"\nis {names[truth]} ({of_true[index]:.1%})"
        _draw_image(ax, images[index], text, guess != truth)
    wrong = int(np.sum(decided != labels))
    axes[0].figure.suptitle(f"{wrong:,} of {len(p):,} wrong; the worst first", fontsize=11)
    return axes


def _draw_image(ax, image, text, wrong):
    image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
    top = 255 if image.max() > 1 else 1
    ax.imshow(image / top, cmap="gray_r", vmin=0, vmax=1)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set(linewidth=3 if wrong else 0.6, edgecolor=ink())
    ax.set_title(text, fontsize=SMALL)
