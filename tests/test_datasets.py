"""MNIST from files: reading IDX, the folders it may be in, and the subset that is shipped."""

import gzip
import hashlib
import os
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from nn import datasets
from nn.datasets import idx
from nn.datasets.subset import chosen, cut

from .mnist_files import (
    NAMES,
    check_is,
    check_is_subset,
    isolate,
    make_files,
    mnist_module,
    packed,
    sums,
    write,
)

DATA = Path(datasets.__file__).parent / "data"
REAL = os.environ.get("HOTGRAD_MNIST")
needs_real = pytest.mark.skipif(not REAL, reason="no real MNIST: HOTGRAD_MNIST names no folder")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def files(rng):
    return make_files(rng)


# --- reading IDX ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("count", [1, 2, 1337])  # 1337 images are more than one chunk
def test_read_idx(tmp_path, rng, pack, count):
    images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
    path = tmp_path / "any-name"
    path.write_bytes(pack(packed(images)))
    read = idx.read_idx(path, (28, 28))
    np.testing.assert_array_equal(read, images)
    assert read.dtype == np.uint8 and read.flags.writeable and read.flags.c_contiguous
    assert idx.pack_idx(images) == packed(images)


IMAGES = np.zeros((3, 28, 28), np.uint8)
ZIPPED = gzip.compress(packed(IMAGES) * 50)
DAMAGED = {
    "empty": (b"", "expected a header of 16 bytes, found a file of 0"),
    "no whole header": (packed(IMAGES)[:15], "expected a header of 16 bytes, found a file of 15"),
    "labels": (packed(np.zeros(99, np.uint8)), "expected the magic number 2051, found 2049"),
    "floats": (packed(IMAGES, magic=0xD03), "expected the magic number 2051, found 3331"),
    "image size": (
        packed(np.zeros((3, 28, 32), np.uint8)),
        r"expected items of \(28, 28\), found \(28, 32\)",
    ),
    "truncated": (packed(IMAGES)[:-1], "expected 2,352 bytes .* found 2,351"),
    "truncated, packed": (gzip.compress(packed(IMAGES)[:-1]), "expected 2,352 .* found 2,351"),
    "no images": (packed(IMAGES[:0]), "expected 1 to 1,000,000 items, found a count of 0"),
    "too many": (packed(IMAGES, shape=(2**32 - 1, 28, 28)), "found a count of 4,294,967,295"),
    "trailing": (packed(IMAGES) + b"\0", "expected 2,352 bytes after the header, found more"),
    "trailing, packed": (gzip.compress(packed(IMAGES) + b"\0"), "expected 2,352 .* found more"),
    "gzip cut short": (gzip.compress(packed(IMAGES))[:-9], "expected a whole gzip file"),
    "gzip, only magic": (b"\x1f\x8b", "expected a whole gzip file"),
    "gzip checksum": (
        gzip.compress(packed(IMAGES))[:-8] + bytes(4) + struct.pack("<I", 2368),
        "expected a whole gzip file.*CRC",
    ),
    "gzip garbled": (ZIPPED[:12] + b"\xff\xff\xff" + ZIPPED[15:], "expected a whole gzip file"),
    "gzip and rubbish": (gzip.compress(packed(IMAGES)) + b"x", "expected a whole gzip file"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_file(tmp_path, case):
    content, message = DAMAGED[case]
    path = tmp_path / "some-images"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"some-images: .*{message}"):
        idx.read_idx(path, (28, 28))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(packed(IMAGES, shape=(1_000_000, 28, 28)), id="big promise"),
        pytest.param(gzip.compress(packed(IMAGES, shape=(999_999, 28, 28))), id="packed promise"),
        pytest.param(gzip.compress(packed(IMAGES) + bytes(100_000_000)), id="bomb"),
    ],
)
def test_hostile_file_takes_little_memory(tmp_path, content):
    path = tmp_path / "hostile"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="hostile: expected"):
            idx.read_idx(path, (28, 28))
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


# --- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("suffix, pack", [("", bytes), (".gz", gzip.compress), (".gz", bytes)])
def test_folder(tmp_path, files, suffix, pack, dotted):
    spelled = {n.replace("-idx", ".idx") if dotted else n: c for n, c in files.items()}
    folder = write(tmp_path / "digits", spelled, suffix, pack)
    check_is(datasets.mnist(folder), files)
    check_is(datasets.mnist(str(folder), download=False), files)


def test_folder_of_the_environment(tmp_path, files, monkeypatch, capsys):
    folder = write(tmp_path / "digits", files)
    monkeypatch.setenv("HOTGRAD_MNIST", str(folder))
    check_is(datasets.mnist(), files)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("HOTGRAD_MNIST", "~/digits")
    check_is(datasets.mnist(), files)
    monkeypatch.setenv("HOTGRAD_MNIST", str(tmp_path / "nowhere"))
    check_is(datasets.mnist(folder), files)  # the argument comes first
    with pytest.raises(FileNotFoundError, match="nowhere has no train-images-idx3-ubyte"):
        datasets.mnist()
    monkeypatch.setenv("HOTGRAD_MNIST", "")  # as good as not set
    check_is_subset(datasets.mnist(download=False))


@pytest.mark.parametrize("missing", NAMES)
def test_folder_lacks_a_file(tmp_path, files, missing):
    folder = write(tmp_path / "digits", files)
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"digits has no {missing}, plain or \.gz"):
        datasets.mnist(folder)


def test_folder_is_none(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in ("nowhere", "file"):
        with pytest.raises(FileNotFoundError, match=f"{folder} has no train-images-idx3-ubyte"):
            datasets.mnist(tmp_path / folder)


def test_wrong_counts(tmp_path, files):
    files[NAMES[3]] = packed(np.zeros(21, np.uint8))
    folder = write(tmp_path / "digits", files)
    message = "t10k-labels-idx1-ubyte: expected 20 labels, .*t10k-images-idx3-ubyte, found 21"
    with pytest.raises(ValueError, match=message):
        datasets.mnist(folder)


def test_wrong_label(tmp_path, files):
    labels = np.full(30, 9, np.uint8)
    labels[[17, 23]] = 10
    files[NAMES[1]] = packed(labels)
    folder = write(tmp_path / "digits", files)
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: .*0 to 9, found 10 at 17"):
        datasets.mnist(folder)


def test_images_and_labels_swapped(tmp_path, files):
    files[NAMES[0]], files[NAMES[1]] = files[NAMES[1]], files[NAMES[0]]
    with pytest.raises(ValueError, match=r"train-images.*expected the magic number 2051, found"):
        datasets.mnist(write(tmp_path / "digits", files))


# --- the cache -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "platform, variables, expected",
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/hotgrad/mnist"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/hotgrad/mnist"),
        ("linux", {}, "/home/me/.cache/hotgrad/mnist"),
        ("darwin", {}, "/home/me/Library/Caches/hotgrad/mnist"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/hotgrad/mnist"),
        ("win32", {}, "/home/me/AppData/Local/hotgrad/mnist"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="the paths are spelled in POSIX's way")
def test_cache_folder(monkeypatch, platform, variables, expected):
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert mnist_module._cache_folder() == Path(expected)


def test_cache_is_used_without_download(cache, files, capsys):
    write(cache, files, ".gz", gzip.compress)
    check_is(datasets.mnist(download=False), files)
    check_is(datasets.mnist(), files)
    assert capsys.readouterr().err == ""


def test_damaged_file_in_the_cache_is_named(cache, files):
    write(cache, files)
    (cache / NAMES[2]).write_bytes(files[NAMES[2]][:100])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte: expected 15,680 bytes"):
        datasets.mnist()


# --- the subset, and the real set ----------------------------------------------------------------

# Of the unpacked content of each file; they change only if the subset is cut in another way.
SUBSET_SHA256 = {
    "train-images-idx3-ubyte": "3cff9626e56a4a5e236d95db88977532a6c2d738393ac49899053f247571ea7f",
    "train-labels-idx1-ubyte": "78b4ffe961670304e03d74e6e8eece42f77fb8171a7b52424967dc6333a59d12",
    "t10k-images-idx3-ubyte": "a4a720231f40ad3020ac17c50465723ec032eae316f965dc01c851e51f078bb4",
    "t10k-labels-idx1-ubyte": "97d182991faf4db073060f6444a6dc26c5cb1af7fbb6bf0f89970dc5cb6bcf35",
}
PLAIN_GZIP_HEADER = b"\x1f\x8b\x08" + bytes(5)  # no time, no name: RFC 1952, section 2.3


def test_subset():
    (x, y), (xv, yv) = datasets.mnist_subset()
    assert x.shape == (6000, 28, 28) and xv.shape == (1000, 28, 28)
    assert y.shape == (6000,) and yv.shape == (1000,)
    assert x.dtype == xv.dtype == np.uint8 and y.dtype == yv.dtype == np.int64
    assert list(np.bincount(y)) == [568, 637, 587, 642, 597, 572, 575, 658, 564, 600]
    assert list(np.bincount(yv)) == [90, 117, 87, 80, 95, 97, 115, 120, 94, 105]
    # Even images alone would have a mean of 31.3, odd ones of 35.4, and the first tenth 33.5.
    assert x.max() == 255 and abs(x.mean() - 33.3) < 0.1
    x[:] = 0  # whose arrays are the caller's own
    assert datasets.mnist_subset()[0][0].any()


def test_subset_files():
    paths = [DATA / f"{name}.gz" for name in NAMES]
    assert sum(path.stat().st_size for path in paths) < 1_600_000
    content = {path.stem: gzip.decompress(path.read_bytes()) for path in paths}
    assert sums(content) == SUBSET_SHA256
    for path in paths:
        assert path.read_bytes()[:8] == PLAIN_GZIP_HEADER
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert "Attribution-Share Alike 3.0" in readme and "Yann LeCun" in readme


def test_cut(tmp_path, files):
    folder = write(tmp_path / "digits", files)
    for target in ("once", "again"):
        (tmp_path / target).mkdir()
        cut(folder, tmp_path / target)
    (x, y), (xv, yv) = datasets.mnist(folder)
    check = datasets.mnist(tmp_path / "once")
    for array, expected in zip([a for part in check for a in part], [x, y, xv, yv]):
        kept = [0, 11, 22][: len(array)]
        np.testing.assert_array_equal(array, expected[kept])
    kept = chosen(60_000)
    assert len(kept) == 6000 and kept[-1] == 59_999 and list(kept[9:12]) == [99, 100, 111]
    assert np.array_equal(kept // 10, np.arange(6000)) and np.sum(kept % 2) == 3000
    for name in NAMES:
        once, again = (tmp_path / target / f"{name}.gz" for target in ("once", "again"))
        assert once.read_bytes() == again.read_bytes()
        assert once.read_bytes()[:8] == PLAIN_GZIP_HEADER


@needs_real
def test_real_set():
    (x, y), (xv, yv) = datasets.mnist(REAL)
    assert x.shape == (60000, 28, 28) and xv.shape == (10000, 28, 28)
    assert list(y[:10]) == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert list(yv[:10]) == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    found = {
        name: hashlib.sha256(packed(array.astype(np.uint8))).hexdigest()
        for name, array in zip(NAMES, [x, y, xv, yv])
    }
    assert found == mnist_module.SHA256


@needs_real
def test_subset_is_the_cut_of_the_real_set(tmp_path):
    cut(REAL, tmp_path)
    for name in NAMES:  # unpacked, since another zlib may pack in another way
        shipped, fresh = (folder / f"{name}.gz" for folder in (DATA, tmp_path))
        assert gzip.decompress(shipped.read_bytes()) == gzip.decompress(fresh.read_bytes())
