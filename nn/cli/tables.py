"""Tables: CSV with a header, read column by column, and turned into the numbers a net takes.

A column is of numbers or of categories. What makes numbers of the columns, an `Encoding`, is learnt
from the training table and kept with the model: a table to predict on is read by the same one.
"""

import csv
import math
from typing import NamedTuple

import numpy as np

MISSING = {"", "?", "na", "n/a", "nan", "null", "none"}  # in any case
MOST_CATEGORIES = 100
MOST_CLASSES = 50  # a label of whole numbers with more values than that is a quantity
NUMBERS_AT_LEAST = 0.9  # a column of which so much is numbers is meant as one of numbers


class TableError(ValueError):
    """What is wrong with a table, and in which line."""


class Table(NamedTuple):
    """A table as it was read.

    name     of the file, for messages
    columns  a dict from the column's name to its list of texts; None is a missing value
    lines    the line of the file in which each row begins
    """

    name: str
    columns: dict
    lines: list

    def without(self, names):
        """The table without some of its columns. TableError for one that is not there."""
        for name in names:
            self.column(name)
        kept = {name: texts for name, texts in self.columns.items() if name not in names}
        return self._replace(columns=kept)

    def column(self, name):
        """The texts of a column. TableError, with the names there are, for one that is not."""
        if name not in self.columns:
            raise TableError(
                f"{self.name}: there is no column {name!r}; there are "
                f"{', '.join(map(repr, self.columns))}"
            )
        return self.columns[name]

    def rows(self, keep):
        """The table with the rows for which `keep`, a list of booleans, is true."""
        columns = {
            name: [text for text, kept in zip(texts, keep) if kept]
            for name, texts in self.columns.items()
        }
        lines = [line for line, kept in zip(self.lines, keep) if kept]
        return self._replace(columns=columns, lines=lines)


def read(file, name, delimiter=","):
    """A Table from an open text file whose first line is the header.

    Raises TableError for a header with empty or equal names, for a row with more or fewer fields,
    for text that is no CSV, and where there are no rows.
    """
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    try:
        header = [field.strip() for field in next(reader, [])]
        _check_header(header, name)
        columns, lines = [[] for _ in header], []
        line = reader.line_num + 1
        for fields in reader:
            if fields:  # an empty line is none
                if len(fields) != len(header):
                    raise TableError(
                        f"{name}, line {line}: expected {len(header)} fields, as in the header, "
                        f"got {len(fields)}"
                    )
                for column, field in zip(columns, fields):
                    text = field.strip()
                    column.append(None if text.lower() in MISSING else text)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise TableError(f"{name}, line {reader.line_num}: {error}")
    except UnicodeDecodeError as error:
        raise TableError(
            f"{name}: expected text in UTF-8, got a byte 0x{error.object[error.start]:02x}"
        )
    if not lines:
        raise TableError(f"{name}: there are no rows below the header")
    return Table(name, dict(zip(header, columns)), lines)


def _check_header(header, name):
    if not any(header):
        raise TableError(f"{name}, line 1: expected a header with the names of the columns")
    for place, field in enumerate(header, 1):
        if not field:
            raise TableError(f"{name}, line 1: column {place} has no name")
        if header.index(field) != place - 1:
            raise TableError(f"{name}, line 1: two columns are called {field!r}")
    if all(_number(field) is not None for field in header):
        raise TableError(
            f"{name}, line 1: expected a header with the names of the columns, got numbers"
        )


def _number(text):
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# --------------------------------------------------------------------------------- missing values


def missing_report(table):
    """A line for each column with missing values: how many, and where the first is."""
    report = []
    for name, texts in table.columns.items():
        count = texts.count(None)
        if count:
            line = table.lines[texts.index(None)]
            report.append(
                f"column {name!r}: {count} of {len(texts)} values missing, first in line {line}"
            )
    return report


def without_missing(table):
    """The table without the rows in which a value is missing."""
    rows = zip(*table.columns.values())
    kept = table.rows([None not in row for row in rows])
    if not kept.lines:
        raise TableError(f"{table.name}: in every row a value is missing")
    return kept


# -------------------------------------------------------------------------------------- encoding


def encoding_of(table, say):
    """How the columns of a training table become numbers: JSON-able, a list of dicts.

    say  is told, a line each, of columns of categories in which there are numbers too

    {"column": name, "mean": m} for a column of numbers, whose missing values become the mean;
    {"column": name, "categories": [...]} for one of categories, each of which becomes a column of
    0 and 1; a missing one is 0 in all. Raises TableError for a column of too many categories, for
    text among numbers, and for a column without a value.
    """
    return [_column_encoding(table, name, say) for name in table.columns]


def _column_encoding(table, name, say):
    texts = [text for text in table.column(name) if text is not None]
    if not texts:
        raise TableError(f"{table.name}: column {name!r} is empty; leave it out: --drop {name}")
    numbers = [_number(text) for text in texts]
    share = sum(number is not None for number in numbers) / len(numbers)
    if share == 1:
        return {"column": name, "mean": float(np.mean(numbers))}
    if share >= NUMBERS_AT_LEAST:
        _numbers(table, name)  # raises, for the first that is none
    if share > 0:
        text = next(text for text, number in zip(texts, numbers) if number is None)
        line = table.lines[table.column(name).index(text)]
        say(
            f"{table.name}: column {name!r} is taken for categories, since {text!r} in line {line} "
            "is no number"
        )
    categories = sorted(set(texts))
    if len(categories) > MOST_CATEGORIES:
        raise TableError(
            f"{table.name}: column {name!r} has {len(categories)} different texts in "
            f"{len(texts)} rows, too many for categories; leave it out: --drop {name}"
        )
    return {"column": name, "categories": categories}


def _numbers(table, name, missing=math.nan):
    values = []
    for text, line in zip(table.column(name), table.lines):
        value = missing if text is None else _number(text)
        if value is None:
            raise TableError(f"{table.name}, line {line}: column {name!r}: {text!r} is no number")
        values.append(value)
    return np.array(values)


def encode(table, encoding):
    """(features, notes): the table as (rows, features) float32, and lines about what was unknown.

    A category that was not there in training is 0 in all of its columns, and noted. Raises
    TableError for a column that is missing and for text among numbers.
    """
    parts, notes = [], []
    for entry in encoding:
        name = entry["column"]
        if "mean" in entry:
            parts.append(_numbers(table, name, entry["mean"])[:, None])
            continue
        texts, categories = table.column(name), entry["categories"]
        unknown = [
            line for text, line in zip(texts, table.lines) if text and text not in categories
        ]
        if unknown:
            notes.append(
                f"{table.name}: column {name!r}: {len(unknown)} values that were not there in "
                f"training, first in line {unknown[0]}; known are {', '.join(categories)}"
            )
        parts.append(np.array([[text == c for c in categories] for text in texts], float))
    return np.concatenate(parts, axis=1).astype(np.float32), notes


def label_classes(table, name):
    """The classes of a label column, sorted; None when it is a quantity.

    Text is classes, and so are whole numbers of which there are few. Raises TableError for a label
    that is always the same. None may be missing.
    """
    texts = table.column(name)
    different = {_class_text(text) for text in texts}
    if len(different) == 1:
        raise TableError(f"{table.name}: the label {name!r} is {texts[0]!r} in every row")
    numbers = [_number(text) for text in different]
    if None not in numbers:
        whole = all(number.is_integer() for number in numbers)
        is_few = len(numbers) <= min(MOST_CLASSES, len(texts) // 2)
        return sorted(different, key=int) if whole and is_few else None
    if len(different) > max(2, len(texts) // 2):
        raise TableError(
            f"{table.name}: the label {name!r} has {len(different)} different texts in "
            f"{len(texts)} rows; these are hardly classes"
        )
    return sorted(different)


def _class_text(text):
    """A class as it is called: 1, 1.0 and 01 are one class, "1"."""
    number = _number(text)
    return text if number is None or not number.is_integer() else str(int(number))


def labels(table, name, classes):
    """The labels as class numbers (n,), or for classes None as numbers (n, 1) of float32."""
    if classes is None:
        return _numbers(table, name)[:, None].astype(np.float32)
    texts = [_class_text(text) for text in table.column(name)]
    places = {text: place for place, text in enumerate(classes)}
    unknown = next((i for i, text in enumerate(texts) if text not in places), None)
    if unknown is not None:
        raise TableError(
            f"{table.name}, line {table.lines[unknown]}: the label {texts[unknown]!r} is none of "
            f"the classes {', '.join(classes)}"
        )
    return np.array([places[text] for text in texts])
