"""Files of tensors: safetensors, with a checksum over every byte, written so that none is torn.

The file is what the safetensors library writes: 8 bytes that tell the length of the header, the
header in JSON, the tensors. The header's metadata holds one entry, "hotgrad", which is JSON as
well, with the SHA-256 of the whole file, where the place of the digest itself counts as zeros.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

try:
    import fcntl
except ImportError:  # not on Windows, where an open file can not be removed anyway
    fcntl = None

MAX_HEADER = 100_000_000  # bytes, the limit of the safetensors library
MAX_DEPTH = 64  # of lists and dicts in the header, and in its metadata
MAX_ITEMS = 2_000_000  # in the lists and dicts
CHUNK = 1 << 20  # bytes
NO_DIGEST = "0" * 64
DTYPES = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64")

_DIGEST = re.compile(rb'\\"sha256\\":\\"([0-9a-f]{64})\\"')


def write(path, arrays, about):
    """Write arrays, a dict from name to array, and `about`, JSON-able, to the file `path`.

    The file at `path` is the old one or the new one at any moment, whatever happens: what is
    written is synchronized to the disk under another name in the same directory, and renamed.
    """
    path = os.path.abspath(os.fspath(path))
    text = json.dumps({"sha256": NO_DIGEST, **about}, separators=(",", ":"))
    dense = {name: a if a.flags.c_contiguous else a.copy("C") for name, a in arrays.items()}
    content = memoryview(save(dense, metadata={"hotgrad": text}))
    if int.from_bytes(content[:8], "little") > MAX_HEADER:
        raise ValueError(f"{path}: the header would be longer than {MAX_HEADER:,} bytes")
    place = _DIGEST.search(content[: CHUNK * 4]).start(1)
    digest = hashlib.sha256(content).hexdigest().encode()
    parts = content[:place], digest, content[place + len(digest) :]
    directory = os.path.dirname(path)
    remove_abandoned(path)
    temporary, file = _new_beside(path)
    try:
        with file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise
    _sync_directory(directory)


def _new_beside(path):
    """(path, file) of a new file in the same directory, locked as long as it is open."""
    directory, name = os.path.split(path)
    while True:
        temporary = os.path.join(directory, f".{name}.{secrets.token_hex(8)}.tmp")
        file = os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "wb")
        if fcntl is None:
            return temporary, file
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # else another writer took it for abandoned
            return temporary, file
        file.close()


def remove_abandoned(path):
    """Remove what writers of `path` that were killed have left behind: what nobody has locked."""
    directory, name = os.path.split(os.path.abspath(os.fspath(path)))
    pattern = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{16}\.tmp")
    for entry in os.listdir(directory):
        if pattern.fullmatch(entry):
            with contextlib.suppress(OSError):
                _remove_unlocked(os.path.join(directory, entry))


def _remove_unlocked(temporary):
    with open(temporary, "rb") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError where it is in use
            os.remove(temporary)
    if fcntl is None:
        os.remove(temporary)


def _sync_directory(directory):
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path):
    """(arrays, about) of a file that `write` has written.

    Raises ValueError for any other file, and for one of which a single bit is another; OSError
    where it can not be read. Nothing is allocated beyond the size of the file.
    """
    header = _checked_header(path)
    about = _parsed(path, header["__metadata__"]["hotgrad"])
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    return arrays, about


def _checked_header(path):
    """The header, after the checksum and everything that is known beforehand were checked."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            raise ValueError(
                f"{path} is damaged or no safetensors file: it says that its header is of "
                f"{length:,} bytes, and it is of {size:,} itself"
            )
        if length > MAX_HEADER:
            raise ValueError(f"{path}: the header is longer than {MAX_HEADER:,} bytes")
        header = file.read(length)
        digests = _DIGEST.findall(header)
        if not digests:
            raise ValueError(
                f"{path} was not written by hotgrad, or is damaged: it has no checksum. Weights of "
                "others: model.load_state_dict(safetensors.numpy.load_file(path))"
            )
        total = hashlib.sha256(start + header.replace(digests[0], NO_DIGEST.encode(), 1))
        while chunk := file.read(CHUNK):
            total.update(chunk)
    if total.hexdigest().encode() != digests[0]:
        raise ValueError(f"{path} is damaged: its content is not what its checksum tells")
    header = _parsed(path, header)
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("hotgrad"), str):
        raise ValueError(f"{path}: the header has no metadata 'hotgrad'")
    for name, tensor in header.items():
        dtype = tensor.get("dtype") if isinstance(tensor, dict) else None
        if name != "__metadata__" and dtype not in DTYPES:
            raise ValueError(f"{path}: {name} has an unknown dtype, {dtype!r}")
    return header


def _parsed(path, text):
    """JSON, where it is a dict without doubled keys, of no more than MAX_DEPTH levels."""
    separators = (b",", b"[", b"{") if isinstance(text, bytes) else (",", "[", "{")
    if sum(map(text.count, separators)) > MAX_ITEMS:
        raise ValueError(f"{path}: the header has more than {MAX_ITEMS:,} items")
    try:
        value = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: the header can not be read: {error}") from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"{path}: the header is nested deeper than {MAX_DEPTH} levels")
        inner = [item.values() if isinstance(item, dict) else item for item in level]
        level = [item for items in inner for item in items if isinstance(item, (list, dict))]
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected the header to be a JSON object")
    return value


def _without_doubles(pairs):
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"it has several {', '.join(map(repr, twice[:5]))}")
    return result
