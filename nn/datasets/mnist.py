"""MNIST, from wherever it can be had: a folder, the cache, the network, or the subset in here.

60,000 + 10,000 images of handwritten digits, 28 x 28 pixels, by Yann LeCun, Corinna Cortes and
Christopher J.C. Burges; `data/README.md` has their origin and licence.
"""

import os
import sys
from pathlib import Path

import numpy as np

from .idx import read_idx

FOLDER_VARIABLE = "HOTGRAD_MNIST"
IMAGE_SHAPE = (28, 28)
CLASSES = 10
MIRRORS = [
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
]
# Of each file's content, unpacked. The same files have the MD5s that are widely published, such as
# 6bbc9ace898e44ae57da46a324031adb for the first.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def mnist(folder=None, *, download=True):
    """The digits, as `(x, y), (xv, yv)`: to learn from, and to test on.

    x is (60000, 28, 28) of uint8, 0 for the background to 255 for ink; y is (60000,) of int64,
    0 to 9; xv and yv are the same for the 10,000 of the test set. They come from the first of

    - `folder`, with MNIST's four IDX files, plain or .gz;
    - the folder that the environment variable HOTGRAD_MNIST names;
    - the user's cache: hotgrad/mnist in XDG_CACHE_HOME or the platform's folder for caches;
    - the public mirrors, into the cache, unless `download=False`;
    - the subset that the package ships (`mnist_subset`), which one line on standard error says.

    Raises FileNotFoundError if a folder that was named lacks a file, and ValueError, naming the
    file, if one is damaged or is not MNIST's.
    """
    folder = folder or os.environ.get(FOLDER_VARIABLE)
    if folder:
        return _load(Path(folder).expanduser())
    try:
        cache = _cache_folder()
        if download:
            _fill(cache)
        return _load(cache)
    except (OSError, RuntimeError) as error:  # RuntimeError: pathlib's, where there is no home
        _say(f"{error}; using the subset of 6,000 + 1,000 images that comes with hotgrad")
        return mnist_subset()


def mnist_subset():
    """A tenth of MNIST, 6,000 digits to learn from and 1,000 to test on, in the form of `mnist`."""
    return _load(Path(__file__).parent / "data")


def _load(folder):
    paths = [_find(folder, name) for name in SHA256]
    if None in paths:
        name = list(SHA256)[paths.index(None)]
        raise FileNotFoundError(f"mnist: {folder} has no {name}, plain or .gz")
    return _load_part(*paths[:2]), _load_part(*paths[2:])


def _load_part(images_path, labels_path):
    x = read_idx(images_path, IMAGE_SHAPE)
    y = read_idx(labels_path).astype(np.int64)
    if len(y) != len(x):
        raise ValueError(
            f"{labels_path}: expected {len(x):,} labels, one for each image in {images_path}, "
            f"found {len(y):,}"
        )
    if y.max() >= CLASSES:
        first = int(np.argmax(y >= CLASSES))
        raise ValueError(
            f"{labels_path}: expected labels from 0 to {CLASSES - 1}, found {y[first]} at {first}"
        )
    return x, y


def _find(folder, name):
    """The file's path, or None; some copies are called train-images.idx3-ubyte."""
    dotted = name.replace("-idx", ".idx")
    for candidate in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
        if (folder / candidate).is_file():
            return folder / candidate
    return None


def _cache_folder():
    caches = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(caches):  # to be ignored then, says the XDG specification
        if sys.platform == "win32":
            caches = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            caches = Path.home() / "Library" / "Caches"
        else:
            caches = Path.home() / ".cache"
    return Path(caches) / "hotgrad" / "mnist"


def _fill(cache):
    """Downloads what the cache lacks; OSError, with every mirror's failure, if none gives it."""
    from . import download  # not before: HTTP and TLS are a fifth of what importing nn takes

    failures = []
    cache.mkdir(parents=True, exist_ok=True)
    for mirror in MIRRORS:
        try:
            for name, sha256 in SHA256.items():
                if _find(cache, name) is None:
                    download.fetch(f"{mirror}{name}.gz", cache / f"{name}.gz", sha256)
        except OSError as error:
            failures.append(f"{mirror}{name}.gz: {error}")
        else:
            if failures:
                _say(f"{mirror} served MNIST after others failed ({'; '.join(failures)})")
            return
    raise OSError(f"no mirror gave MNIST ({'; '.join(failures)})")


def _say(line):
    print(f"hotgrad: {line}", file=sys.stderr)
