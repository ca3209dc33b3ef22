"""`hotgrad train`: a net for a table, for arrays or for the digits, trained and saved."""

import math
import os

import numpy as np

import engine
from engine import random

from .. import callbacks, layers, optimizers
from ..labels import form_of
from ..sequential import Sequential
from . import data
from .tables import TableError

DEFAULT = "default: %(default)s"
LEAST_STEPS = 1000  # of a training by default: a few epochs of a small table are not enough


def add_to(commands, formatted):
    """Add the command to a parser's subparsers; `formatted` gives a parser its examples."""
    parser = formatted(
        commands,
        "train",
        "train a net and save it",
        """
        hotgrad train mnist
        hotgrad train flowers.csv --label species --layers 64,32 --epochs 50
        hotgrad train prices.csv --label price --missing fill --save prices.safetensors
        hotgrad train images.npz --layers 512,256 --dropout 0.2
        grep -v '^#' measures.csv | hotgrad train - --label kind
        """,
    )
    parser.add_argument(
        "data",
        metavar="DATA",
        help="mnist, mnist-subset, a .csv file with a header, a .npz file with arrays x and y "
        "(and x_test and y_test), or - for CSV from standard input",
    )
    parser.add_argument("--save", metavar="FILE", default="model.safetensors", help=DEFAULT)
    parser.add_argument("--force", action="store_true", help="overwrite FILE when it exists")
    _add_net(parser.add_argument_group("the net"))
    _add_training(parser.add_argument_group("the training"))
    _add_data(parser.add_argument_group("the data"))
    parser.set_defaults(run=run)


def _add_net(net):
    net.add_argument("--layers", type=_widths, default=[512, 256], help="default: 512,256")
    net.add_argument("--activation", default="relu", help=DEFAULT)
    net.add_argument("--dropout", type=float, default=0.0, help="after each layer; " + DEFAULT)
    net.add_argument(
        "--loss", default="auto", help="default: what fits the labels and the last activation"
    )


def _add_training(steps):
    steps.add_argument(
        "--epochs", type=int, help=f"default: 5, or as many as make {LEAST_STEPS:,} steps"
    )
    steps.add_argument("--batch", type=int, default=32, help=DEFAULT)
    steps.add_argument("--optimizer", default="adam", help=DEFAULT)
    steps.add_argument("--learning-rate", type=float, help="default: the optimizer's own")
    steps.add_argument(
        "--patience", type=int, help="stop after so many epochs without progress, keep the best"
    )
    steps.add_argument("--seed", type=int, default=0, help=DEFAULT)
    steps.add_argument("--diagnose", action="store_true", help="say what goes wrong in the layers")
    steps.add_argument("--log", metavar="CSV", help="write loss and metrics of each epoch there")
    steps.add_argument("--quiet", action="store_true", help="print the result only")


def _add_data(table):
    table.add_argument("--label", metavar="COLUMN", help="default: the last column")
    table.add_argument(
        "--task",
        choices=["auto", "classification", "regression"],
        default="auto",
        help="default: auto, by the labels",
    )
    table.add_argument("--drop", metavar="COLUMN", action="append", default=[], help="leave it out")
    table.add_argument(
        "--missing",
        choices=["error", "drop", "fill"],
        default="error",
        help="what to do with missing values: refuse them, leave out their rows, or put in the "
        "column's mean; " + DEFAULT,
    )
    table.add_argument("--delimiter", default=",", help="between two fields; " + DEFAULT)
    table.add_argument(
        "--validation", type=float, default=0.2, help="share of rows held back; " + DEFAULT
    )
    table.add_argument(
        "--folder", metavar="FOLDER", help="where MNIST's files are, instead of the cache"
    )


def _widths(text):
    try:
        widths = [int(part) for part in text.split(",")] if text else []
    except ValueError:
        widths = [0]
    if any(width < 1 for width in widths):
        raise ValueError
    return widths


def run(options, say):
    """Train and save. Returns the exit code: 0, or 130 when Ctrl-C ended the training."""
    if os.path.exists(options.save) and not options.force:
        raise FileExistsError(
            17, "exists; --save another FILE, or --force to overwrite it", options.save
        )
    engine.seed(options.seed)
    examples = data.read(options, say)
    (x, y), tested = _split(examples, options)
    model, y, tested = _model(examples, x, y, tested, options)
    shown = 0 if options.quiet else 1
    if shown:
        model.summary()
    try:
        history = model.fit(
            x,
            y,
            batch_size=options.batch,
            epochs=_epochs(options, len(x)),
            validation_data=tested,
            callbacks=_callbacks(options),
            diagnose=options.diagnose,
            verbose=shown,
        )
    except BaseException:
        if model.optimizer.parameters is not None:  # what was learnt before is kept
            model.save(options.save)
        raise
    model.save(options.save)
    values = model.evaluate(*tested, return_dict=True)
    text = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
    how = "Interrupted; trained" if history.interrupted else "Trained"
    print(
        f"{how} on {len(x):,} examples, tested on {len(tested[0]):,}: {text}. "
        f"Saved in {options.save}"
    )
    return 130 if history.interrupted else 0


def _epochs(options, count):
    if options.epochs is not None:
        return options.epochs
    return max(5, math.ceil(LEAST_STEPS / math.ceil(count / max(1, options.batch))))


def _split(examples, options):
    """The examples to train on, and to test on; those held back are drawn at random."""
    if examples.tested is not None:
        return (examples.x, examples.y), examples.tested
    count = len(examples.x)
    held = round(options.validation * count)
    if not 1 <= held < count:
        raise TableError(
            f"--validation {options.validation}: expected a share that leaves some of the {count} "
            "examples on both sides"
        )
    order = random.generator().permutation(count)
    test, train = np.sort(order[:held]), np.sort(order[held:])
    x, y = examples.x, examples.y
    return (x[train], y[train]), (x[test], y[test])


def _callbacks(options):
    chosen = []
    if options.patience is not None:
        chosen.append(callbacks.EarlyStopping(patience=options.patience))
    if options.log is not None:
        chosen.append(callbacks.CSVLogger(options.log))
    return chosen


# --------------------------------------------------------------------------------------- the net


def _model(examples, x, y, tested, options):
    """(model, y, tested), compiled; targets that are quantities are brought to scale."""
    about = dict(examples.about)
    units, activation = _output(about["classes"], y)
    model = Sequential(_scaling(x))
    if x.ndim > 2:
        model.add(layers.Flatten())
    for width in options.layers:
        model.add(layers.Dense(width, activation=options.activation))
        if options.dropout:
            model.add(layers.Dropout(options.dropout))
    model.add(layers.Dense(units, activation=activation))
    is_quantity = activation is None
    if is_quantity:
        y = y.reshape(len(y), -1).astype(np.float32)
        mean, deviation = y.mean(axis=0), np.maximum(y.std(axis=0), 1e-7)
        about |= {"mean": mean.tolist(), "deviation": deviation.tolist()}
        tests = tested[1].reshape(len(tested[1]), -1)
        y, tested = (y - mean) / deviation, (tested[0], (tests - mean) / deviation)
    optimizer = optimizers.get(options.optimizer)
    if options.learning_rate is not None:
        optimizer.learning_rate = options.learning_rate
    metrics = ["mae"] if is_quantity else ["accuracy"]
    model.compile(optimizer=optimizer, loss=options.loss, metrics=metrics)
    model.notes = about
    return model, y, tested


def _output(classes, y):
    """(units, activation) of the last layer for such labels."""
    if classes is None:
        rows = y.reshape(len(y), -1)
        return rows.shape[1], {"one-hot": "softmax", "multi-hot": "sigmoid"}.get(form_of(rows))
    return (1, "sigmoid") if len(classes) == 2 else (len(classes), "softmax")


def _scaling(x):
    """The first layer, which brings the data to scale: bytes to [0, 1], the rest to deviations."""
    if x.dtype == np.uint8:
        return [layers.Rescaling(1 / 255, input_shape=x.shape[1:])]
    scaling = layers.Normalization(input_shape=x.shape[1:])
    scaling.adapt(x)
    return [scaling]
