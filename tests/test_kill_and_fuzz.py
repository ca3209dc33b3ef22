"""Files under attack, in short: `python -m tests.kill`, `python -m tests.fuzz_weights`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="forks, reads /proc and limits memory"
)


def run(module, *options):
    command = [sys.executable, "-W", "error", "-m", f"tests.{module}", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_training_that_is_killed_while_it_saves_goes_on_to_the_same_bits():
    assert "All loaded and ended with the same bits" in run("kill", "--times", "5")


def test_damaged_and_hostile_files_are_errors():
    out = run("fuzz_weights", "--rounds", "150")
    assert int(re.match(r"(\d+) damaged files, each refused", out)[1]) > 3000
