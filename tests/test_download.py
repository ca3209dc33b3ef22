"""MNIST from the network, which here is a server on loopback, good or bad in many ways."""

import gzip
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nn import datasets
from nn.datasets import download

from .mnist_files import (
    NAMES,
    check_is,
    check_is_subset,
    isolate,
    make_files,
    mnist_module,
    sums,
    write,
)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def files(rng):
    return make_files(rng)


class Server(ThreadingHTTPServer):
    """Serves `files`, packed, below any path; /NAME/... behaves as the function NAME says."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.packed = {f"{name}.gz": gzip.compress(files[name]) for name in files}
        self.requests = []
        self.behaviours = {}
        self.over = threading.Event()  # lets a handler go that waits
        self.arrived = threading.Event()  # a handler began to wait
        self.hung_up = threading.Event()  # a client did

    def mirror(self, name="good"):
        return f"http://127.0.0.1:{self.server_port}/{name}/"

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is no news here


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        _, behaviour, name = self.path.split("/")
        self.server.behaviours.get(behaviour, whole)(self, self.server.packed[name])

    def log_message(self, *arguments):
        pass

    def start(self, length):
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()


def whole(handler, content):
    handler.start(len(content))
    handler.wfile.write(content)


def whole_of_unknown_length(handler, content):
    handler.start(None)
    handler.wfile.write(content)


def repacked(handler, content):
    whole(handler, gzip.compress(gzip.decompress(content), 1))


def missing(handler, content):
    handler.send_error(404)


def cut_short(handler, content):
    handler.start(len(content))
    handler.wfile.write(content[:-5])


def cut_short_of_unknown_length(handler, content):
    whole_of_unknown_length(handler, content[:-5])


def not_gzip(handler, content):
    whole(handler, b"<html>Please log in to this network</html>")


def other_content(handler, content):
    whole(handler, gzip.compress(gzip.decompress(content)[:-1] + b"\x07"))


BOMB = gzip.compress(bytes(40_000_000))


def bomb(handler, content):
    whole(handler, BOMB)


def endless(handler, content):
    handler.start(None)
    try:
        for _ in range(500):  # megabytes: no end that matters, but one that a test reaches
            handler.wfile.write(bytes(1 << 20))
    except OSError:
        handler.server.hung_up.set()


def not_http(handler, content):
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")


def silent(handler, content):
    handler.server.over.wait(60)


def stalled(handler, content):
    handler.start(len(content))
    handler.wfile.write(content[: len(content) // 2])
    handler.server.arrived.set()
    handler.server.over.wait(60)


def dripping(handler, content):
    handler.start(10**6)
    while not handler.server.over.wait(0.01):
        handler.wfile.write(b"\x1f")


@pytest.fixture
def server(files, monkeypatch):
    """The one mirror, which has the small set's checksums for the real ones."""
    with Server(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        monkeypatch.setattr(mnist_module, "MIRRORS", [server.mirror()])
        monkeypatch.setattr(mnist_module, "SHA256", sums(files))
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def test_no_download_wanted(server, capsys):
    check_is_subset(datasets.mnist(download=False))
    error = capsys.readouterr().err
    assert error.startswith("hotgrad: mnist: ") and "has no train-images-idx3-ubyte" in error
    assert error.endswith("using the subset of 6,000 + 1,000 images that comes with hotgrad\n")
    assert error.count("\n") == 1 and not server.requests


def test_no_place_for_a_cache(server, tmp_path, monkeypatch, capsys):
    (tmp_path / "caches").write_bytes(b"a file where the folder should be")
    check_is_subset(datasets.mnist())
    assert capsys.readouterr().err.count("\n") == 1

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", no_home)
    check_is_subset(datasets.mnist())
    assert capsys.readouterr().err.startswith("hotgrad: Could not determine home directory.; using")
    assert not server.requests


@pytest.mark.parametrize("behaviour", [whole, whole_of_unknown_length, repacked])
def test_download(server, cache, files, monkeypatch, capsys, behaviour):
    server.behaviours["good"] = behaviour
    check_is(datasets.mnist(), files)
    assert server.requests == [f"/good/{name}.gz" for name in NAMES]
    assert sorted(path.name for path in cache.iterdir()) == sorted(server.packed)
    for path in cache.iterdir():
        assert gzip.decompress(path.read_bytes()) == files[path.name.removesuffix(".gz")]

    check_is(datasets.mnist(), files)  # the cache has them: no further request
    assert len(server.requests) == len(NAMES)
    assert capsys.readouterr().err == ""  # no terminal, no bar


def test_download_of_what_the_cache_lacks(server, cache, files):
    write(cache, {name: files[name] for name in NAMES[:2]})
    check_is(datasets.mnist(), files)
    assert server.requests == [f"/good/{name}.gz" for name in NAMES[2:]]


def test_download_shows_progress(server, files, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    check_is(datasets.mnist(), files)
    for name in NAMES:
        assert f"{name}.gz:   0%" in sys.stderr.getvalue()


FAILURES = {
    missing: "HTTP Error 404: Not Found",
    cut_short: r"the connection ended after [\d,]+ of [\d,]+ bytes|IncompleteRead",
    cut_short_of_unknown_length: "expected a gzip file, got .* a damaged one",
    not_gzip: "expected a gzip file, got something else",
    other_content: "wrong checksum: expected SHA-256 [0-9a-f]{64} of the content, got [0-9a-f]",
    bomb: "wrong checksum",
    endless: "expected at most 1,000,000 bytes, got more",
    not_http: "SSH-2.0-OpenSSH",
    silent: "timed out",
    stalled: "timed out",
    dripping: "timed out",
}


@pytest.mark.parametrize("behaviour", FAILURES)
def test_failed_download_leaves_nothing(server, tmp_path, files, monkeypatch, behaviour):
    monkeypatch.setattr(download, "MAX_BYTES", 1_000_000)
    server.behaviours["bad"] = behaviour
    path = tmp_path / f"{NAMES[0]}.gz"
    path.write_bytes(b"what was there before")
    timeout = 0.3 if behaviour in (silent, stalled, dripping) else download.TIMEOUT
    with pytest.raises(OSError, match=FAILURES[behaviour]):
        download.fetch(
            f"{server.mirror('bad')}{path.name}", path, sums(files)[NAMES[0]], timeout=timeout
        )
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [
        (path.name, b"what was there before")
    ]
    if behaviour is endless:
        assert server.hung_up.wait(60)  # the thread that received has ended too


def test_bomb_takes_little_memory(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 1_000_000)
    server.behaviours["bad"] = bomb
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match="wrong checksum"):
            download.fetch(f"{server.mirror('bad')}{NAMES[0]}.gz", tmp_path / "x.gz", "")
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_endless_name_lookup_is_given_up(tmp_path, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait() and [])
    with pytest.raises(OSError, match="timed out"):
        download.fetch("http://127.0.0.1/x.gz", tmp_path / "x.gz", "", timeout=0.05)
    over.set()


@pytest.mark.parametrize("behaviour", [missing, other_content, stalled])
def test_next_mirror(server, cache, files, monkeypatch, capsys, behaviour):
    """The first mirror has two files right and fails at the third: the second has the rest."""

    def fails_at_test_set(handler, content):
        (behaviour if "t10k" in handler.path else whole)(handler, content)

    server.behaviours["bad"] = fails_at_test_set
    bad, good = server.mirror("bad"), server.mirror("good")
    monkeypatch.setattr(mnist_module, "MIRRORS", [bad, good])
    if behaviour is stalled:
        fetch = download.fetch

        def impatient_with_the_bad(url, *arguments):
            timeout = 0.3 if "/bad/t10k" in url else download.TIMEOUT
            fetch(url, *arguments, timeout=timeout)

        monkeypatch.setattr(download, "fetch", impatient_with_the_bad)
    check_is(datasets.mnist(), files)
    assert server.requests == [
        *(f"/bad/{name}.gz" for name in NAMES[:3]),
        *(f"/good/{name}.gz" for name in NAMES[2:]),
    ]
    error = capsys.readouterr().err
    assert error.startswith(f"hotgrad: {good} served MNIST after others failed ({bad}{NAMES[2]}")
    assert error.count("\n") == 1


def test_no_mirror(server, cache, monkeypatch, capsys):
    server.behaviours.update(bad=missing, worse=other_content)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        refusing = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        mirrors = [server.mirror("bad"), server.mirror("worse"), refusing]
        monkeypatch.setattr(mnist_module, "MIRRORS", mirrors)
        check_is_subset(datasets.mnist())
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("hotgrad: no mirror gave MNIST (")
    for mirror, reason in zip(mirrors, ["404", "wrong checksum", ""]):
        assert f"{mirror}{NAMES[0]}.gz: " in error and reason in error
    assert error.endswith("; using the subset of 6,000 + 1,000 images that comes with hotgrad\n")
    assert not list(cache.iterdir())


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_interrupted_writing_leaves_nothing(server, cache, monkeypatch, call):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, call, interrupted)
        with pytest.raises(KeyboardInterrupt):
            datasets.mnist()
    assert not list(cache.iterdir())


def test_full_disk_gives_the_subset(server, cache, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    check_is_subset(datasets.mnist())
    assert "No space left on device" in capsys.readouterr().err
    assert not list(cache.iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_download_leaves_nothing(server, cache, files):
    """The process dies in the middle of the second file; the first is there, and whole."""

    def stalls_at_labels(handler, content):
        (stalled if NAMES[1] in handler.path else whole)(handler, content)

    server.behaviours["bad"] = stalls_at_labels
    script = (
        "import importlib; m = importlib.import_module('nn.datasets.mnist'); "
        f"m.MIRRORS = [{server.mirror('bad')!r}]; m.SHA256 = {sums(files)!r}; m.mnist()"
    )
    root = str(Path(datasets.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "no_proxy": "*"}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as process:
        try:
            assert server.arrived.wait(timeout=60)
        finally:
            process.kill()
    assert [path.name for path in cache.iterdir()] == [f"{NAMES[0]}.gz"]
    check_is(datasets.mnist(), files)
    assert server.requests[-3:] == [f"/good/{name}.gz" for name in NAMES[1:]]


def test_many_at_once(server, cache, files):
    """Four download the same files at once: the server lets none finish before all have begun."""
    all_here = threading.Barrier(4)

    def together(handler, content):
        if NAMES[0] in handler.path:
            all_here.wait(timeout=60)
        whole(handler, content)

    server.behaviours["good"] = together
    results = []
    threads = [threading.Thread(target=lambda: results.append(datasets.mnist())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        check_is(result, files)
    assert sorted(path.name for path in cache.iterdir()) == sorted(server.packed)
