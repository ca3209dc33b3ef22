"""`hotgrad predict`: what a saved model says of new data, as CSV on standard output."""

import csv
import os
import sys

import numpy as np

from .. import datasets, pairing, weights
from ..sequential import Sequential
from . import data, tables
from .tables import TableError


def add_to(commands, formatted):
    """Add the command to a parser's subparsers; `formatted` gives a parser its examples."""
    parser = formatted(
        commands,
        "predict",
        "let a saved model predict; prints CSV",
        """
        hotgrad predict model.safetensors new.csv
        hotgrad predict model.safetensors new.csv --probabilities > predicted.csv
        cut -d, -f1-4 flowers.csv | hotgrad predict model.safetensors - | sort | uniq -c
        """,
    )
    parser.add_argument("model", metavar="MODEL", help="a file that `hotgrad train` has saved")
    parser.add_argument(
        "data",
        metavar="DATA",
        help="a .csv or .npz file like the one trained on (with or without labels), - for CSV from "
        "standard input, mnist or mnist-subset for the test images",
    )
    parser.add_argument(
        "--probabilities", action="store_true", help="a column for each class beside the decision"
    )
    parser.add_argument("--threshold", type=float, default=0.5, help="of two classes; default: 0.5")
    parser.add_argument("--delimiter", default=",", help="between two fields; default: a comma")
    parser.add_argument("--folder", metavar="FOLDER", help="where MNIST's files are")
    parser.set_defaults(run=run)


def load(path):
    """The saved Sequential model. OSError or ValueError, naming the file, for anything else."""
    if not os.path.exists(path):
        raise FileNotFoundError(2, "No such file", path)
    model = weights.load(path)
    if not isinstance(model, Sequential):
        raise TableError(f"{path}: expected a Sequential model, got {type(model).__name__}")
    return model


def run(options, say):
    """Print the predictions. Returns the exit code 0."""
    model = load(options.model)
    about = model.notes or {"kind": "array", "classes": None}
    x = _features(options, about, say)
    if x.shape[1:] != model.input_shape:
        raise TableError(
            f"{options.data}: expected examples of shape {model.input_shape}, as the model was "
            f"trained on, got {x.shape[1:]}"
        )
    outputs = model.predict(x)
    header, rows = _told(model, outputs, about, options)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return 0


def _features(options, about, say):
    if options.data in ("mnist", "mnist-subset"):
        if options.data == "mnist":
            return datasets.mnist(options.folder)[1][0]
        return datasets.mnist_subset()[1][0]
    if about["kind"] == "table":
        table = data.read_table(options.data, options.delimiter)
        for line in tables.missing_report(table):
            say(f"{table.name}: {line}")
        x, notes = tables.encode(table, about["encoding"])
        for line in notes:
            say(line)
        return x
    return data.features_of(data.read_arrays(options.data), options.data)


def _told(model, outputs, about, options):
    """(header, rows) of the CSV: the decision, and with it the probabilities; or the values."""
    label = about.get("label", "class")
    activation = model.last_activation()
    if activation not in ("softmax", "sigmoid"):
        outputs = outputs * about.get("deviation", 1) + about.get("mean", 0)
        many = outputs.shape[1] > 1
        names = [f"{about.get('label', 'value')}{f'_{i}' * many}" for i in range(outputs.shape[1])]
        return names, [[f"{value:.6g}" for value in row] for row in outputs]
    decided = pairing.decide(activation, outputs, options.threshold)
    if decided.ndim > 1:  # several answers of yes or no
        names = [f"{label}_{i}" for i in range(decided.shape[1])]
        return names, decided.tolist()
    if activation == "sigmoid":
        outputs = np.concatenate([1 - outputs, outputs], axis=1)
    classes = about.get("classes") or [str(i) for i in range(outputs.shape[1])]
    rows = [[classes[index]] for index in decided]
    if not options.probabilities:
        return [label], rows
    told = [[*row, *(f"{p:.6g}" for p in ps)] for row, ps in zip(rows, outputs)]
    return [label, *(f"p({name})" for name in classes)], told
