"""What was freed is kept for the next step: counted in page faults."""

import os
import platform
import subprocess
import sys

import pytest

from engine import heap

PROGRAM = """
import resource
import numpy as np
import engine

def step():  # two blocks that glibc, by itself, would give back when both are freed
    blocks = [np.empty(6 << 20, "uint8") for _ in range(2)]
    for block in blocks:
        block[::4096] = 1

for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 20)
"""


def faults_per_step(**settings):
    environment = {name: value for name, value in os.environ.items() if name not in heap.VARIABLES}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, **settings},
    )
    return int(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")
def test_freed_memory_is_kept_unless_the_environment_says_otherwise():
    assert faults_per_step() < 100
    assert faults_per_step(MALLOC_TRIM_THRESHOLD_="131072") > 1000
