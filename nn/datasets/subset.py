"""Cuts the subset that the package ships: one of every ten images and labels of the real MNIST.

    python -m nn.datasets.subset FOLDER [TARGET]

FOLDER has MNIST's four files; the cut goes to TARGET, or to where the package reads it. The same
zlib writes the same bytes: the gzip headers have neither time nor name.
"""

import gzip
import io
import sys
from pathlib import Path

import numpy as np

from .idx import pack_idx
from .mnist import SHA256, mnist

EVERY = 10


def chosen(count):
    """Which of `count` items to keep: 0, 11, 22, ..., 99, then 100, 111, ..., from end to end.

    MNIST is in no random order. Its test set has the easier half first, and the even and the odd
    images of its training set differ, as if from different writers: their mean pixels are 31.3 and
    35.4. So taking the first tenth, or 0, 10, 20, ..., would keep one kind alone.
    """
    tens = np.arange(count // EVERY)
    return EVERY * tens + tens % EVERY


def cut(folder, target):
    """Writes the subset of the MNIST in `folder` into `target`, both folders."""
    arrays = [array for part in mnist(folder) for array in part]
    for name, array in zip(SHA256, arrays):
        packed = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
            file.write(pack_idx(array[chosen(len(array))].astype(np.uint8)))
        (Path(target) / f"{name}.gz").write_bytes(packed.getvalue())


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    cut(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else Path(__file__).parent / "data")
