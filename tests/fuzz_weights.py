"""Damages files of weights and of models in every way, and loads them: an error each time.

    python -m tests.fuzz_weights --rounds 5000

Runs under a limit of memory, so that a header that asks for much fails. Files that were damaged and
sealed again with a right checksum get past it, and test what comes behind.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import tempfile

import numpy as np

import engine
import nn
from nn import files

SPARE = 2**26  # bytes that loading may allocate beyond what the process has at the start


def model_file(path):
    """A whole model with tied weights, in the middle of a training, as bytes."""
    engine.seed(1)
    tied = [nn.Dense(3, activation="relu", input_shape=(3,)), nn.Dense(3, activation="relu")]
    model = nn.Sequential([*tied, nn.Dense(2, activation="softmax")])
    model.ensure_built()
    tied[1].kernel = tied[0].kernel
    optimizer = nn.optimizers.SGD(learning_rate=0.1, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    stopping = nn.callbacks.EarlyStopping("loss")
    model.fit(x, (x[:, 0] > 0).astype(int), epochs=2, verbose=0, callbacks=stopping)
    model.save(path)
    with open(path, "rb") as file:
        return file.read()


def refused(path, content, load):
    """Write and load: True for a ValueError, False where it loads; anything else comes through."""
    with open(path, "wb") as file:
        file.write(content)
    try:
        load(path)
    except ValueError as error:
        assert str(error)
        return True
    return False


def sealed(content):
    """The same content with the checksum that belongs to it, where it has a place for one."""
    places = [match.span(1) for match in files._DIGEST.finditer(content)]
    if not places:
        return content
    start, end = places[0]
    blank = content[:start] + files.NO_DIGEST.encode() + content[end:]
    return blank[:start] + hashlib.sha256(blank).hexdigest().encode() + blank[end:]


def flipped(content, place, bit):
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def header_end(content):
    return 8 + int.from_bytes(content[:8], "little")


def with_header(content, text):
    """The tensors of `content` behind another header."""
    return len(text).to_bytes(8, "little") + text + content[header_end(content) :]


def damaged(content, rng, rounds):
    """(what was done, content) of files that must be refused."""
    end = header_end(content)
    for place in range(end):
        yield f"a bit flipped at {place}", flipped(content, place, rng.randrange(8))
    for _ in range(rounds):
        place, bit = rng.randrange(end, len(content)), rng.randrange(8)
        yield f"bit {bit} flipped at {place}", flipped(content, place, bit)
    lengths = {0, 1, 7, 8, 9, end - 1, end, end + 1, len(content) - 1}
    for length in (*lengths, *(rng.randrange(len(content)) for _ in range(rounds // 10))):
        yield f"cut to {length}", content[:length]
    yield "with a byte more", content + b"\0"
    yield "with another file behind", content + content
    for length in (0, 1, 2, end, 2**31, 2**32, 2**63, 2**64 - 1):
        yield f"a header of {length}", length.to_bytes(8, "little") + content[8:]


def hostile(content):
    """(what was done, content) of files with a right checksum that must be refused all the same."""
    header = json.loads(content[8 : header_end(content)])
    about = json.loads(header["__metadata__"]["hotgrad"])
    names = [name for name in header if name != "__metadata__"]
    name = names[0]

    def changed(**tensor):
        text = json.dumps(header | {name: header[name] | tensor}, separators=(",", ":"))
        return sealed(with_header(content, text.encode()))

    for key, values in {
        "shape": ([2**62, 2**62], [2**62, 0], [2**31, 2**31], [-1], [3.5], "x", [[1]], [1] * 99),
        "dtype": ("F33", "BF16", "F8_E4M3", 3, None, ["F32"]),
        "data_offsets": ([0, 2**63], [-8, 0], [8, 0], [0], [0, 0], [4, 20], "x", [1e300, 2]),
    }.items():
        for value in values:
            yield f"{key} = {value}", changed(**{key: value})
    text = content[8 : header_end(content)].rstrip()
    one = json.dumps({name: header[name]}, separators=(",", ":")).encode()[1:-1]
    yield "a name twice", sealed(with_header(content, text[:-1] + b"," + one + b"}"))
    deep = b'"deep":' + b"[" * 100_000 + b"]" * 100_000
    yield "deep nesting", sealed(with_header(content, text[:-1] + b"," + deep + b"}"))
    many = b'"many":[' + b"[]," * 3_000_000 + b"0]"
    yield "many items", sealed(with_header(content, text[:-1] + b"," + many + b"}"))
    for what, change in hostile_headers():
        copy = json.loads(json.dumps(about))
        change(copy)
        inner = json.dumps(copy, separators=(",", ":"))
        metadata = header | {"__metadata__": {"hotgrad": inner}}
        text = json.dumps(metadata, separators=(",", ":"))
        yield what, sealed(with_header(content, text.encode()))


def hostile_headers():
    """(what it does, a function that changes what a model's header says)."""

    def set_unit(value):
        def change(about):
            about["model"]["config"]["layers"][0]["config"]["units"] = value

        return change

    def nest(about):
        inner = about["model"]
        for _ in range(100):
            inner = {"class": "Sequential", "config": {"layers": [inner], "name": None}}
        about["model"] = inner

    for units in (10**9, 2**62, 10**300, -1, 0, 1.5, "4", None, [4], 5):
        yield f"units = {str(units)[:20]}", set_unit(units)
    yield "layers within layers", nest
    for key in ("format", "model", "compiled", "optimizer", "training"):
        for value in (None, 3, [], {}, "x", {"class": "Dense"}, {"dict": 3}, {"tensor": "no"}):
            # Without them there is a model as well, one that is not compiled or has not trained.
            yield f"{key} = {value}", lambda about, key=key, value=value: about.update({key: value})
    for name in ("system", "eval", "open", "os.system", "__import__", "Layer.build", "_Room"):
        call = {"class": name, "config": {"command": "false"}}
        yield name, lambda about, call=call: about.update(model=call)
        own = {**call, "own": True}
        yield f"own {name}", lambda about, own=own: about.update(model=own)


def limit_memory():
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, resource.RLIM_INFINITY))


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_weights", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5000, help="default: %(default)s")
    options = parser.parse_args(argv)
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        content = model_file(path)
        assert not refused(path, content, nn.load)
        assert sealed(content) == content
        limit_memory()
        count = 0
        for what, changed in damaged(content, rng, options.rounds):
            assert refused(path, changed, nn.load), f"loaded a file that was damaged: {what}"
            count += 1
        for what, changed in hostile(content):
            assert refused(path, changed, nn.load), f"loaded a hostile file: {what}"
            count += 1
        loaded = 0
        for _ in range(options.rounds):
            changed = content
            for _ in range(rng.randrange(1, 4)):
                place = rng.randrange(header_end(content))
                changed = flipped(changed, place, rng.randrange(8))
            loaded += not refused(path, sealed(changed), nn.load)
    print(
        f"{count} damaged files, each refused with a ValueError; {options.rounds} more that were "
        f"sealed again with a right checksum, of which {loaded} are models too. No other error, "
        f"no crash, no more than {SPARE >> 20} MiB of memory."
    )


if __name__ == "__main__":
    main()
