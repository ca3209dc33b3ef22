"""A small set in MNIST's form, written by hand, and a place where only it can be found."""

import hashlib
import importlib
import socket
import struct

import numpy as np

mnist_module = importlib.import_module("nn.datasets.mnist")  # the name is the function's
NAMES = list(mnist_module.SHA256)


def packed(array, *, magic=None, shape=None):
    """An IDX file written by hand."""
    shape = array.shape if shape is None else shape
    magic = 0x800 + array.ndim if magic is None else magic
    return struct.pack(">I", magic) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def make_files(rng):
    """30 + 20 images and their labels: file name -> content."""
    arrays = []
    for count in (30, 20):
        arrays += [rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)]
    return {name: packed(array.astype(np.uint8)) for name, array in zip(NAMES, arrays)}


def sums(files):
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def write(folder, files, suffix="", pack=bytes):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}{suffix}").write_bytes(pack(content))
    return folder


def check_is(result, files):
    """`result` of mnist() holds what `files` hold."""
    arrays = [array for part in result for array in part]
    for array, name, dtype in zip(arrays, NAMES, [np.uint8, np.int64] * 2, strict=True):
        axes = 3 if "images" in name else 1
        content = np.frombuffer(files[name], np.uint8)[4 * (1 + axes) :]
        assert array.dtype == dtype and array.shape == (len(array),) + (28, 28)[: axes - 1]
        np.testing.assert_array_equal(array.ravel(), content)


def check_is_subset(result):
    assert [len(array) for part in result for array in part] == [6000, 6000, 1000, 1000]


def isolate(monkeypatch, tmp_path):
    """Keeps a test from the user's cache and from all but loopback; gives its own cache folder."""
    for name in ("HOTGRAD_MNIST", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(mnist_module, "MIRRORS", ["http://tests.invalid/"])
    look_up = socket.getaddrinfo

    def loopback_only(host, *arguments, **keywords):
        assert host in ("127.0.0.1", "localhost"), f"a test tried to reach {host}"
        return look_up(host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", loopback_only)
    return tmp_path / "caches" / "hotgrad" / "mnist"
