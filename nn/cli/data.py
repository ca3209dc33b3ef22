"""What the commands read: a table, arrays, or the digits, as examples and what to know of them."""

import contextlib
import os
import sys
import zipfile
from typing import NamedTuple

import numpy as np

from .. import datasets
from ..labels import form_of
from . import tables
from .tables import TableError


class Examples(NamedTuple):
    """Data to train on.

    x, y        arrays
    tested      (x, y) to test on, None: a share of the examples is to be held back
    about       what `predict` has to know, JSON-able: the kind of data ("table", "array" or
                "images"), and for a table its encoding, its label and its classes
    """

    x: np.ndarray
    y: np.ndarray
    tested: tuple
    about: dict


def read(options, say):
    """The Examples that `options.data` names. `say` is a function of a line, for remarks.

    Raises TableError for what is wrong with the data, OSError where it can not be read.
    """
    if options.data in ("mnist", "mnist-subset"):
        load = datasets.mnist_subset
        if options.data == "mnist":
            load = lambda: datasets.mnist(options.folder)  # noqa: E731
        (x, y), tested = load()
        return Examples(x, y, tested, {"kind": "images", "classes": [str(n) for n in range(10)]})
    if options.data.endswith(".npz"):
        return _from_arrays(options.data)
    return _from_table(options, say)


# -------------------------------------------------------------------------------------- tables


@contextlib.contextmanager
def opened(path):
    """A text file to read, standard input for "-"."""
    if path == "-":
        yield sys.stdin
    else:
        with open(path, newline="", encoding="utf-8-sig") as file:
            yield file


def read_table(path, delimiter=","):
    """The Table in the file `path`, "-" for standard input."""
    with opened(path) as file:
        return tables.read(file, "standard input" if path == "-" else path, delimiter)


def _from_table(options, say):
    table = read_table(options.data, options.delimiter).without(options.drop)
    label = options.label or list(table.columns)[-1]
    if options.label is None:
        say(f"label: the last column, {label!r}")
    table = _treat_missing(table, label, options.missing, say)
    classes = None if options.task == "regression" else tables.label_classes(table, label)
    if classes is None and options.task == "classification":
        classes = sorted(set(table.column(label)))
    features = table.without([label])
    if not features.columns:
        raise TableError(f"{table.name}: there are no columns besides the label {label!r}")
    encoding = tables.encoding_of(features, say)
    x, _ = tables.encode(features, encoding)
    about = {"kind": "table", "encoding": encoding, "label": label, "classes": classes}
    return Examples(x, tables.labels(table, label, classes), None, about)


def _treat_missing(table, label, treatment, say):
    report = tables.missing_report(table)
    for line in report:
        say(f"{table.name}: {line}")
    if not report:
        return table
    if treatment == "error":
        raise TableError(
            f"{table.name}: values are missing; write --missing drop to leave out their rows, or "
            "--missing fill for the column's mean (a category is then none of the known)"
        )
    if treatment == "drop":
        table = tables.without_missing(table)
        say(f"{table.name}: {len(table.lines)} rows are left")
        return table
    if None in table.column(label):
        table = table.rows([text is not None for text in table.column(label)])
        say(f"{table.name}: {len(table.lines)} rows have a label")
    return table


# -------------------------------------------------------------------------------------- arrays


def read_arrays(path):
    """The arrays of a .npz file, by name. TableError for any other file, and for objects in it."""
    if not os.path.exists(path):
        raise FileNotFoundError(2, "No such file", path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise TableError(f"{path}: expected a .npz file of arrays: {error}")


def features_of(arrays, path):
    """The array of examples among those of a file: "x", "x_train", or the only one."""
    for name in ("x", "x_train", "X"):
        if name in arrays:
            return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise TableError(f"{path}: expected an array x, got {', '.join(arrays) or 'nothing'}")


def _from_arrays(path):
    arrays = read_arrays(path)
    x = features_of(arrays, path)
    y = arrays.get("y", arrays.get("y_train"))
    if y is None:
        raise TableError(f"{path}: expected arrays x and y, got {', '.join(arrays)}")
    for name, values in (("x", x), ("y", y)):
        if values.dtype.kind not in "biuf" or values.ndim == 0:
            raise TableError(f"{path}: expected numbers in {name}, got {values.dtype}")
    if len(x) != len(y) or x.ndim < 2:
        raise TableError(f"{path}: expected x (n, ...) and y (n, ...), got {x.shape} and {y.shape}")
    tested = None
    if "x_test" in arrays and "y_test" in arrays:
        tested = arrays["x_test"], arrays["y_test"]
    classes = None
    if form_of(y) in ("binary", "integers"):
        classes = [str(n) for n in range(int(y.max()) + 1)]
    return Examples(x, y, tested, {"kind": "array", "classes": classes})
