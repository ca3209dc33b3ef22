"""Small sets that the package ships as text: a medical table, and first names.

`data/README.md` has their origin and licence.
"""

from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"
TEST_EVERY = 5


def breast_cancer():
    """Cell nuclei of 569 breast masses, as `(x, y), (xv, yv)`: to learn from, and to test on.

    x is (455, 30) of float32: the mean, the standard error and the mean of the three greatest of
    ten measures of the nuclei in one image, in the order of `breast_cancer_columns`, as measured
    (not scaled: areas go to 4,254, fractal dimensions to 0.2). y is (455,) of int64, 1 for a
    malignant mass and 0 for a benign one, 172 and 283 of them. xv and yv are the same for every
    fifth row, numbers 0, 5, 10, ..., of the file: 114, of which 40 are malignant.

    The Breast Cancer Wisconsin (Diagnostic) data of Street, Wolberg and Mangasarian (1993).
    """
    table = np.loadtxt(DATA / "breast_cancer.csv", delimiter=",", skiprows=1)
    x, y = table[:, :-1].astype(np.float32), table[:, -1].astype(np.int64)
    tested = np.arange(len(table)) % TEST_EVERY == 0
    return (x[~tested], y[~tested]), (x[tested], y[tested])


def breast_cancer_columns():
    """The names of the 30 columns of `breast_cancer`, such as "worst_radius"."""
    with open(DATA / "breast_cancer.csv", encoding="ascii") as file:
        return file.readline().strip().split(",")[:-1]


def first_names():
    """5,163 first names in lower case, a to z alone, as a list in the order of the alphabet.

    The names of the 1990 census of the United States, each once.
    """
    return (DATA / "first_names.txt").read_text(encoding="ascii").split()
