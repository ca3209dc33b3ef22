"""Every example runs alone, in its quick mode, says what it found, and saves its picture."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def said(folder):
    """name -> what the example printed in its quick mode; each runs once."""
    outputs = {}

    def run_once(name):
        if name not in outputs:
            options = ["--quick"]
            if find_spec("matplotlib") and "--save" in (EXAMPLES / name).read_text():
                options += ["--save", str(folder / f"{name}.png")]
            outputs[name] = run(name, *options)
        return outputs[name]

    return run_once


def run(name, *options):
    result = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *options],
        capture_output=True,
        text=True,
        # The same bits as with more threads, and no waiting for a core that others use.
        env={**os.environ, "NUMBA_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def numbers(pattern, out):
    """The groups of `pattern` in the output, as numbers."""
    found = re.search(pattern, out)
    assert found, f"{pattern!r} is not in:\n{out}"
    return [float(group.replace(",", "")) for group in found.groups()]


def test_activations(said):
    out = said("activations.py")
    slopes = dict(re.findall(r"^(\w+) +([\d.]+) +[\d.]+   ", out, re.MULTILINE))
    assert slopes == {"linear": "1", "relu": "1", "sigmoid": "0.25", "tanh": "1"}
    assert "softmax         of whole rows" in out
    assert numbers(r"10 layers of sigmoid at most ([\d.e-]+)", out) == [
        pytest.approx(0.25**10, rel=0.01)
    ]
    assert "exactly 0: relu.\n" in out and "under 0.05: sigmoid, tanh.\n" in out


def test_linear_collapse(said):
    out = said("linear_collapse.py")
    assert "one kernel of shape (2, 32) and rank 2" in out
    (apart,) = numbers(r"probabilities agree within ([\de.-]+)\.\n", out)
    assert apart < 1e-5
    linear, relu = numbers(r"layers: (\d+)% .*\nReLU between them: (\d+)%", out)
    assert linear <= 70 and relu >= 98


def test_vanishing(said):
    out = said("vanishing.py")
    share, factor, digits = numbers(
        r"sigmoid: .* gets ([\d.e-]+) of .* of ([\d.]+) a layer; ([\d.]+)% of", out
    )
    assert share < 1e-4 and factor < 0.4 and digits < 25
    share, _, digits = numbers(r"relu: .* gets ([\d.e+-]+) of .* of ([\d.]+) .*; ([\d.]+)%", out)
    assert share > 0.1 and digits > 80
    norms = re.search(r"sigmoid  gradients, .*: (.*)", out)[1].split()
    assert len(norms) == 10 and float(norms[0]) < float(norms[-1])


def test_regression(said):
    gap, beyond = numbers(
        r"in the gap they spread ([\d.]+) times .* ([\d.]+) times:", said("regression.py")
    )
    assert gap > 2 and beyond > 3
    spread, error = numbers(
        r"among the data: .* by ([\d.]+), the error is ([\d.]+)", said("regression.py")
    )
    assert spread < 0.15 and error < 0.2


def test_binary(said):
    out = said("binary.py")
    assert "Of 114 masses not seen before 40 are malignant, 74 benign." in out
    found = [int(n) for n in re.findall(r"malignant: (\d+) of 40 found", out)]
    alarms = [int(n) for n in re.findall(r"(\d+) false alarms", out)]
    assert len(found) == 3 and found == sorted(found) and alarms == sorted(alarms)
    assert found[0] >= 35 and alarms[0] <= 5
    accuracy, always = numbers(r"([\d.]+)% right .* benign always would give ([\d.]+)%", out)
    assert accuracy >= 94 and always == 64.9


def test_by_hand(said):
    out = said("by_hand.py")
    first, last, right = numbers(r"from ([\d.]+) to ([\d.]+), (\d+)% of 200 points", out)
    assert first > 0.4 and last < 0.15 and right >= 97
    slope, moved = numbers(r"w1\[0, 0\] is (-?[\d.]+); .* at a rate of (-?[\d.]+)\.\n", out)
    assert slope == pytest.approx(moved, abs=2e-5) and slope != 0
    assert "import nn" not in (EXAMPLES / "by_hand.py").read_text()


def test_own_op(said):
    out = said("own_op.py")
    assert "gradcheck and gradgradcheck: snake's formula is right" in out
    assert "A wrong formula is caught: wrong, argument 0 of shape (9,): wrong gradient" in out
    second, expected = numbers(r"at 0.3 is (-[\d.]+); .* = (-[\d.]+)\.\n", out)
    assert second == expected == pytest.approx(6 * -0.2272021, abs=1e-6)  # 6 cos 1.8
    snake = numbers(r"snake: an error of ([\d.]+) where .*?, ([\d.]+) beyond", out)
    relu = numbers(r"relu: an error of ([\d.]+) where .*?, ([\d.]+) beyond", out)
    assert snake[0] < 0.01 and snake[1] < 0.3 < relu[1]


def test_hessian(said):
    out = said("hessian.py")
    away, steps, slow = numbers(
        r"within ([\de-]+) of \(1, 1\) after (\d+) .* is ([\de-]+) away", out
    )
    assert away < 1e-8 and steps <= 7 and slow > 0.01
    # [[802, -400], [-400, 200]]: its eigenvalues, and its product with (1, 2)
    assert numbers(r"curvatures are ([\d.]+) and ([\d.]+),", out) == [0.4, 1001.6]
    assert "times a vector: [2. 0.]" in out


def test_char_mlp(said):
    out = said("char_mlp.py")
    loss, pairs = numbers(r"the loss is ([\d.]+): .* Counting pairs gives ([\d.]+), to guess", out)
    assert loss < 2.3 < pairs < 2.45
    assert "log 27 = 3.296" in out
    invented = re.search(r"Invented: (.*)", out)[1].split(", ")
    assert len(invented) == 12 and all(re.fullmatch("[a-z]+", name) for name in invented)
    vowels, mixed = numbers(r"Two vowels lie ([\d.]+) apart, .* consonant ([\d.]+):", out)
    assert vowels < 0.9 * mixed


def test_mnist_reaches_93_percent_on_the_subset(said):
    out = said("mnist.py")
    assert "dense_4 (Dense)" in out
    assert re.search(r"Image 0: a \d, at [\d.]+% \(next a \d", out)
    (accuracy,) = numbers(r"Trained on 6,000 images; of 1,000 .* it reads ([\d.]+)% right", out)
    assert accuracy >= 93


def test_pairings_reach_their_accuracies(said):
    out = said("pairings.py")
    (binary,) = numbers(r"sigmoid, one unit: .* ([\d.]+)% right", out)
    (digits,) = numbers(r"softmax, ten units: .* ([\d.]+)% right", out)
    assert binary >= 96
    assert digits >= 92
    same = re.search(r"it is the same loss: ([\d.]+) and ([\d.]+), ([\d.]+)% and ([\d.]+)%", out)
    assert same[1] == same[2]
    assert same[3] == same[4]
    assert "needs softmax as the last activation, this model ends with sigmoid" in out


def test_xor_needs_an_activation(said):
    out = said("xor.py")
    assert "exactly the one linear layer" in out
    linear, bent = (int(n) for n in re.findall(r"layers got (\d+)%", out))
    assert linear <= 75
    assert bent == 100


@pytest.mark.parametrize("name", NAMES)
def test_each_example_saves_its_picture(name, said, folder):
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib, the extra, is missing")
    assert said(name).splitlines()[-1].endswith(f"{name}.png.")
    pixels = pyplot.imread(folder / f"{name}.png")[..., :3]
    assert min(pixels.shape[:2]) >= 300
    ink = (pixels < 0.9).any(axis=2)
    assert ink.mean() > 0.02
    for half in (ink[: len(ink) // 2], ink[len(ink) // 2 :], ink[:, :150], ink[:, -150:]):
        assert half.any()  # something is drawn, and not only in one corner


@pytest.mark.parametrize("name", NAMES)
def test_each_example_is_short_and_explains_itself(name):
    text = (EXAMPLES / name).read_text()
    assert text.startswith('"""') and f"python examples/{name}" in text
    assert len(text.splitlines()) < 100
    assert "--quick" in run(name, "--help")
