"""Importing, and the first training step, each in a fresh process; and what the build weighs."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from zipfile import ZIP_DEFLATED, ZipFile

from engine import kernels

from . import machine
from .report import Row

IMPORT = """
import time
import numba, numpy, tqdm
begin = time.perf_counter()
import engine, nn
print(time.perf_counter() - begin)
"""

FIRST_STEP = """
import time
import numpy as np
import engine, nn
from tests.benchmarks.contestants import Ours
from tests.benchmarks.step import MODELS
begin = time.perf_counter()
Ours(MODELS["A"], 32, "adam")()
print(time.perf_counter() - begin)
from engine.kernels import build
print(build.compilations())
"""


def run(options, table):
    """Add a row for each; the best of some processes counts."""
    imports = [float(output_of(IMPORT)[0]) for _ in range(options.turns)]
    table.add(Row("start", "import engine, nn, above Numba", min(imports)))
    firsts = [output_of(FIRST_STEP) for _ in range(options.turns)]
    best = min(float(seconds) for seconds, _ in firsts)
    table.add(Row("start", "first training step of model A", best))
    compiled = int(firsts[0][1])
    table.add(Row("start", "kernels compiled for that", compiled, unit="kernels"))
    folder = Path(kernels.__file__).parent / "__pycache__"
    size = sum(path.stat().st_size for path in folder.glob("*.nb?"))
    table.add(Row("start", "size of the built kernels", size / 1e6, unit="MB"))
    table.add(Row("start", "packages, zipped as a wheel is", zipped() / 1e6, unit="MB"))


def zipped():
    """Bytes of a wheel's parts of both packages, with the kernels for this CPU.

    Building a real one compiles all kernels anew.
    """
    root = Path(kernels.__file__).parents[2]
    with TemporaryFile() as file:
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            for package in "engine", "nn":
                for path in (root / package).rglob("*"):
                    if path.is_file() and path.suffix != ".pyc":
                        archive.write(path, path.relative_to(root))
        return file.tell()


def output_of(program):
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=machine.as_installed()
    )
    return done.stdout.split()
