"""Fetching a published file: the right content, whole, or nothing at all."""

import gzip
import hashlib
import io
import os
import queue
import threading
import urllib.error
import urllib.request
import uuid
import zlib

from tqdm import tqdm

CHUNK = 1 << 16
TIMEOUT = 10.0  # seconds to answer, and then for each chunk: slower than 6.5 kB/s is given up
MAX_BYTES = 1 << 26  # of a file, packed or unpacked: MNIST's largest has 47 MB


def fetch(url, path, sha256, timeout=TIMEOUT):
    """Puts the gzip file at `url` into `path`, atomically.

    `sha256` is that of its content, in hex: the same images are right however they were packed,
    and mirrors differ in that. Raises OSError, saying why, and then leaves `path` as it was.
    """
    packed = _receive(url, timeout)
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(packed)).read(MAX_BYTES)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise OSError(f"expected a gzip file, got something else or a damaged one: {error}")
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise OSError(f"wrong checksum: expected SHA-256 {sha256} of the content, got {found}")
    _write(path, packed)


def _receive(url, timeout):
    """The body of the answer; OSError if it fails, stalls or has no end."""
    # In a thread of its own, since only so is the waiting bounded: the time-out that urllib takes
    # holds for each address of a host and each packet anew, and not for looking up the name.
    parts, given_up = queue.SimpleQueue(), threading.Event()
    threading.Thread(target=_send_parts, args=(url, timeout, parts, given_up), daemon=True).start()
    body = bytearray()
    try:
        length = _next_part(parts, timeout)
        with tqdm(
            total=length,
            desc=url.rpartition("/")[2],
            unit="B",
            unit_scale=True,
            leave=False,
            disable=None,  # where standard error is no terminal
        ) as bar:
            while chunk := _next_part(parts, timeout):
                body += chunk
                bar.update(len(chunk))
                if len(body) > MAX_BYTES:
                    raise OSError(f"expected at most {MAX_BYTES:,} bytes, got more")
    finally:
        given_up.set()
    if length is not None and len(body) < length:
        raise OSError(f"the connection ended after {len(body):,} of {length:,} bytes")
    return bytes(body)


def _next_part(parts, timeout):
    try:
        part = parts.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError(f"timed out: too little came within {timeout:g} s")
    if isinstance(part, Exception):
        raise OSError(str(part) or type(part).__name__)
    return part


def _send_parts(url, timeout, parts, given_up):
    """Puts into the queue `parts`: the length or None, then chunks, then b""; or an exception."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            parts.put(response.length)
            while not given_up.is_set():
                chunk = response.read(CHUNK)
                parts.put(chunk)
                if not chunk:
                    break
    except urllib.error.HTTPError as error:
        error.close()
        parts.put(error)
    except urllib.error.URLError as error:
        parts.put(OSError(str(error.reason)))
    except Exception as error:  # whatever it is, the waiting thread has to hear of it
        parts.put(error)


def _write(path, content):
    # A name of its own for each writer, in the same folder; the last of several replaces equals.
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(partial, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
