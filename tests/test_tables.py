"""The sets that are shipped as text: what the loaders give, against the files read by csv."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

import nn
from nn import datasets

DATA = Path(nn.__file__).parent / "datasets" / "data"
SHA256 = {
    "breast_cancer.csv": "24e220f06a0844385ea0e0f551c2ee1f9725e248e1dd662fafca95e0c7d1a0bf",
    "first_names.txt": "cba14f452b7768bd7fe093035a67491d4a334061634ccfd51522fb796910e75e",
}


@pytest.mark.parametrize("name", SHA256)
def test_shipped_files_are_as_made(name):
    assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == SHA256[name]


def test_breast_cancer_is_the_table():
    with open(DATA / "breast_cancer.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[-1] == "malignant" and header[:-1] == datasets.breast_cancer_columns()
    assert len(rows) == 569 and {len(row) for row in rows} == {31}
    (x, y), (xv, yv) = datasets.breast_cancer()
    assert x.shape == (455, 30) and xv.shape == (114, 30)
    assert x.dtype == xv.dtype == np.float32 and y.dtype == yv.dtype == np.int64
    assert list(np.bincount(y)) == [283, 172] and list(np.bincount(yv)) == [74, 40]
    for position in (0, 5, 565):
        expected = np.array(rows[position][:-1], dtype=np.float32)
        np.testing.assert_array_equal(xv[position // 5], expected)
        assert yv[position // 5] == int(rows[position][-1])
    np.testing.assert_array_equal(x[0], np.array(rows[1][:-1], dtype=np.float32))
    np.testing.assert_array_equal(x[4], np.array(rows[6][:-1], dtype=np.float32))


def test_breast_cancer_has_the_published_counts_and_ranges():
    (x, y), (xv, yv) = datasets.breast_cancer()
    x, y = np.concatenate([x, xv]), np.concatenate([y, yv])
    assert list(np.bincount(y)) == [357, 212]  # benign, malignant, as UCI says
    ranges = {  # of the table in scikit-learn's description of the set
        "mean_radius": (6.981, 28.11),
        "area_error": (6.802, 542.2),
        "worst_area": (185.2, 4254.0),
        "worst_fractal_dimension": (0.055, 0.208),
    }
    for name, (low, high) in ranges.items():
        column = x[:, datasets.breast_cancer_columns().index(name)]
        assert column.min() == pytest.approx(low, abs=6e-4)
        assert column.max() == pytest.approx(high, abs=6e-4)


def test_first_names():
    names = datasets.first_names()
    assert len(names) == len(set(names)) == 5163 and names == sorted(names)
    assert set("".join(names)) == set("abcdefghijklmnopqrstuvwxyz")
    assert {"mary", "james", "patricia", "john"} <= set(names)
    assert max(map(len, names)) == 11


def test_each_file_has_its_origin_and_licence():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for words in SHA256, ("C5DW2B", "Attribution 4.0", "Census Bureau", "17 U.S.C. 105"):
        assert all(word in readme for word in words)
