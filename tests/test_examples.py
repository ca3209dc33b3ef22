"""Every example runs alone, in its quick mode, and says what it found."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *options):
    result = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *options],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_mnist_reaches_93_percent_on_the_subset():
    out = run("mnist.py", "--quick")
    assert "dense_4 (Dense)" in out
    assert re.search(r"Image 0: a \d, at [\d.]+% \(next a \d", out)
    accuracy = re.search(r"Trained on 6,000 images; of 1,000 .* it reads ([\d.]+)% right", out)
    assert float(accuracy[1]) >= 93


def test_pairings_reach_their_accuracies():
    out = run("pairings.py", "--quick")
    binary = float(re.search(r"sigmoid, one unit: .* ([\d.]+)% right", out)[1])
    digits = float(re.search(r"softmax, ten units: .* ([\d.]+)% right", out, re.DOTALL)[1])
    assert binary >= 96
    assert digits >= 92
    same = re.search(r"it is the same loss: ([\d.]+) and ([\d.]+), ([\d.]+)% and ([\d.]+)%", out)
    assert same[1] == same[2]
    assert same[3] == same[4]
    assert "needs softmax as the last activation, this model ends with sigmoid" in out


def test_xor_needs_an_activation():
    out = run("xor.py", "--quick")
    assert "exactly the one linear layer" in out
    linear, bent = (int(n) for n in re.findall(r"layers got (\d+)%", out))
    assert linear <= 75
    assert bent == 100


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_each_example_is_short_and_explains_itself(path):
    text = path.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) <= 120
    assert "--quick" in run(path.name, "--help")
