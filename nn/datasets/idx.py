"""IDX, the format MNIST comes in: a magic number, the length of each axis, then the bytes.

Every number is big-endian and has 32 bits. The magic number is 8 for unsigned bytes, shifted left
by 8, plus the number of axes: 2051 for images (n, rows, columns), 2049 for labels (n,). So it is
specified on the page where MNIST first appeared, yann.lecun.com/exdb/mnist.
"""

import gzip
import os
import struct
import zlib

import numpy as np

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08
# Bounds what a hostile file can make us hold, 784 MB of images. MNIST has 60,000; the largest of
# the sets made in its likeness, EMNIST, has 814,255 (Cohen et al. 2017).
MAX_ITEMS = 1_000_000
DEFLATE_RATIO = 1032  # bytes that one of gzip's can stand for at most, says zlib's documentation
CHUNK = 1 << 20


def read_idx(path, item_shape=()):
    """The file's items, (n, *item_shape) of uint8, in a fresh array; gzip is known by its content.

    Raises ValueError, naming the file, if it is anything but one whole array of such items.
    """
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        most = os.fstat(file.fileno()).st_size * (DEFLATE_RATIO if packed else 1)
        try:
            return _parse(gzip.GzipFile(fileobj=file) if packed else file, item_shape, path, most)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: expected a whole gzip file, found a damaged one: {error}")


def pack_idx(items):
    """The bytes of an IDX file that holds `items`, an array of uint8."""
    magic = UNSIGNED_BYTE << 8 | items.ndim
    return struct.pack(f">{1 + items.ndim}I", magic, *items.shape) + items.tobytes()


def _parse(stream, item_shape, path, most):
    axes = 1 + len(item_shape)
    header = stream.read(4 * (1 + axes))
    if len(header) < 4 * (1 + axes):
        raise ValueError(
            f"{path}: expected a header of {4 * (1 + axes)} bytes, found a file of {len(header)}"
        )
    magic, items, *found_shape = struct.unpack(f">{1 + axes}I", header)
    expected_magic = UNSIGNED_BYTE << 8 | axes
    if magic != expected_magic:
        raise ValueError(f"{path}: expected the magic number {expected_magic}, found {magic}")
    if tuple(found_shape) != item_shape:
        raise ValueError(f"{path}: expected items of {item_shape}, found {tuple(found_shape)}")
    if not 1 <= items <= MAX_ITEMS:
        raise ValueError(f"{path}: expected 1 to {MAX_ITEMS:,} items, found a count of {items:,}")

    shape = (items, *item_shape)
    size = int(np.prod(shape))
    content = np.empty(min(size, most), np.uint8)  # no more than there can be, whatever is promised
    view, found = memoryview(content), 0
    while count := stream.readinto(view[found : found + CHUNK]):
        found += count
    if found < size:
        raise ValueError(
            f"{path}: expected {size:,} bytes after the header, as its count of {items:,} says, "
            f"found {found:,}"
        )
    if stream.read(1):  # at the end of a gzip file, this also checks its checksum
        raise ValueError(f"{path}: expected {size:,} bytes after the header, found more")
    return content.reshape(shape)
