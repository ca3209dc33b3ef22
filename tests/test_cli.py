"""The command line: what it prints, writes and answers, on tables, arrays and digits."""

import csv
import io
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import nn
from nn import cli
from nn.cli import tables

SHORT = ["--quiet", "--epochs", "8", "--layers", "16"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def flowers(rows=150, seed=0):
    """A table of three kinds that size and colour tell apart; CSV text."""
    rng = np.random.default_rng(seed)
    lines = ["length,width,colour,kind"]
    for _ in range(rows):
        kind = rng.integers(3)
        length, width = rng.normal([1, 5, 5][kind], 0.4), rng.normal(30 * kind, 5)
        lines.append(f"{length:.3f},{width:.2f},{['red', 'blue', 'red'][kind]},{'xyz'[kind]}")
    return "\n".join(lines) + "\n"


def write(name, text):
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)
    return name


def call(*words):
    return cli.main([str(word) for word in words])


def printed(capsys):
    """The CSV that was printed, as a header and rows; and what was said beside it."""
    out, said = capsys.readouterr()
    header, *rows = csv.reader(io.StringIO(out))
    return header, rows, said


def test_a_table_is_learnt_and_predicted(capsys):
    write("flowers.csv", flowers())
    assert call("train", "flowers.csv", "--quiet", "--layers", "16") == 0
    out, said = capsys.readouterr()
    assert "label: the last column, 'kind'" in said
    accuracy = re.search(
        r"Trained on 120 examples, tested on 30: loss [\d.]+, accuracy ([\d.]+)\. "
        r"Saved in model.safetensors\n",
        out,
    )
    assert float(accuracy[1]) > 0.95

    new = flowers(40, seed=1)
    write("new.csv", new)
    assert call("predict", "model.safetensors", "new.csv") == 0
    header, rows, _ = printed(capsys)
    truth = [line.rsplit(",", 1)[1] for line in new.splitlines()[1:]]
    assert header == ["kind"]
    assert np.mean([row[0] == kind for row, kind in zip(rows, truth)]) > 0.95

    assert call("predict", "model.safetensors", "new.csv", "--probabilities") == 0
    header, wide, _ = printed(capsys)
    assert header == ["kind", "p(x)", "p(y)", "p(z)"]
    numbers = np.array([row[1:] for row in wide], float)
    np.testing.assert_allclose(numbers.sum(axis=1), 1, atol=1e-4)
    assert ["xyz"[i] for i in numbers.argmax(axis=1)] == [row[0] for row in rows]


def test_two_classes_have_one_sigmoid_and_a_threshold(capsys):
    text = flowers().replace(",z\n", ",y\n")
    write("two.csv", text)
    assert call("train", "two.csv", "--quiet", "--layers", "16", "--label", "kind") == 0
    assert nn.load("model.safetensors").last_activation() == "sigmoid"
    capsys.readouterr()
    answers = {}
    for threshold in (0.0, 0.5, 1.0):
        call("predict", "model.safetensors", "two.csv", "--threshold", threshold)
        answers[threshold] = [row[0] for row in printed(capsys)[1]]
    assert set(answers[0.0]) == {"y"}
    assert set(answers[1.0]) == {"x"}
    truth = [line.rsplit(",", 1)[1] for line in text.splitlines()[1:]]
    assert np.mean([a == b for a, b in zip(answers[0.5], truth)]) > 0.95
    call("predict", "model.safetensors", "two.csv", "--probabilities")
    header, rows, _ = printed(capsys)
    assert header == ["kind", "p(x)", "p(y)"]
    assert all(float(row[1 + "xy".index(row[0])]) >= 0.5 for row in rows)


def test_quantities_come_back_in_their_own_unit(capsys):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 2))
    price = 5000 + 700 * x[:, 0] - 300 * x[:, 1]
    rows = [f"{a:.4f},{b:.4f},{p:.3f}" for (a, b), p in zip(x, price)]
    write("prices.csv", "\n".join(["a,b,price", *rows]))
    assert call("train", "prices.csv", "--quiet", "--learning-rate", "0.01", "--layers", "32") == 0
    assert nn.load("model.safetensors").last_activation() == "linear"
    capsys.readouterr()
    assert call("predict", "model.safetensors", "prices.csv") == 0
    header, rows, _ = printed(capsys)
    assert header == ["price"]
    error = np.abs(np.array(rows, float)[:, 0] - price)
    assert error.mean() < 60


def test_pipes(tmp_path):
    write("flowers.csv", flowers())
    command = f"{sys.executable} -m nn"
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(nn.__file__))}
    script = (
        f"cat flowers.csv | {command} train - --quiet --epochs 3 --save m.safetensors >&2 && "
        f"cut -d, -f1-3 flowers.csv | {command} predict m.safetensors - | head -n 1"
    )
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "kind\n"
    assert "Traceback" not in done.stderr


def test_who_reads_no_further_gets_no_traceback():
    write("flowers.csv", flowers(20_000))
    call("train", "flowers.csv", *SHORT, "--epochs", "1", "--batch", "1000")
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(nn.__file__))}
    words = [sys.executable, "-m", "nn", "predict", "model.safetensors", "flowers.csv"]
    process = subprocess.Popen(
        [*words, "--probabilities"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_missing_values_are_reported_and_treated_as_asked(capsys):
    lines = flowers().splitlines()
    lines[5] = "," + lines[5].split(",", 1)[1]
    lines[9] = "n/a," + lines[9].split(",", 1)[1]
    lines[20] = lines[20].replace("red", "?").replace("blue", "?")
    write("holes.csv", "\n".join(lines))
    assert call("train", "holes.csv", *SHORT) == 1
    _, said = capsys.readouterr()
    assert "column 'length': 2 of 150 values missing, first in line 6" in said
    assert "column 'colour': 1 of 150 values missing, first in line 21" in said
    assert "write --missing drop to leave out their rows, or --missing fill" in said
    assert not os.path.exists("model.safetensors")

    assert call("train", "holes.csv", *SHORT, "--missing", "drop") == 0
    out, said = capsys.readouterr()
    assert "147 rows are left" in said
    assert "Trained on 118 examples, tested on 29" in out

    assert call("train", "holes.csv", *SHORT, "--missing", "fill", "--force") == 0
    assert "Trained on 120 examples, tested on 30" in capsys.readouterr().out
    mean = nn.load("model.safetensors").notes["encoding"][0]["mean"]
    known = [float(line.split(",")[0]) for i, line in enumerate(lines) if i not in (0, 5, 9)]
    assert mean == pytest.approx(np.mean(known))


def test_unknown_categories_are_noted(capsys):
    write("flowers.csv", flowers())
    call("train", "flowers.csv", *SHORT)
    write("odd.csv", "length,width,colour\n1,1,red\n1,1,green\n")
    capsys.readouterr()
    assert call("predict", "model.safetensors", "odd.csv") == 0
    _, rows, said = printed(capsys)
    assert len(rows) == 2
    assert "column 'colour': 1 values that were not there in training, first in line 3" in said
    assert "known are blue, red" in said


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1: expected a header"),
        ("a,b\n", "there are no rows below the header"),
        ("1,2\n3,4\n", "line 1: expected a header with the names of the columns, got numbers"),
        ("a,,b\n1,2,3\n", "line 1: column 2 has no name"),
        ("a,b,a\n1,2,3\n", "line 1: two columns are called 'a'"),
        ("a,b\n1,2\n\n3,4\n5\n", "line 5: expected 2 fields, as in the header, got 1"),
        ('a,b\n"1\n2",2\n5\n', "line 4: expected 2 fields, as in the header, got 1"),
        ("a,b\n5\n", "line 2: expected 2 fields, as in the header, got 1"),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
        ("a,y\n1,0\n2,0\n", "the label 'y' is '0' in every row"),
        ("a,y\n1,\n2,0\n3,0\n", "the label 'y' is '0' in every row"),
        ("y\n1\n2\n", "there are no columns besides the label 'y'"),
        ("a,b,y\n1,,0\n2,,1\n", "column 'b' is empty; leave it out: --drop b"),
    ],
)
def test_errors_of_tables_name_the_line(text, message, capsys):
    write("bad.csv", text)
    assert call("train", "bad.csv", *SHORT, "--missing", "fill") == 1
    _, said = capsys.readouterr()
    assert "bad.csv" in said
    assert message in said


def test_text_among_numbers_and_too_many_categories(capsys):
    rows = [f"{i},k{i},{i % 2}" for i in range(200)]
    write("ids.csv", "\n".join(["n,id,y", *rows]))
    assert call("train", "ids.csv", *SHORT) == 1
    assert "column 'id' has 200 different texts in 200 rows" in capsys.readouterr().err
    assert call("train", "ids.csv", *SHORT, "--drop", "id") == 0
    rows[7] = "seven,k,1"
    write("typo.csv", "\n".join(["n,id,y", *rows]))
    assert call("train", "typo.csv", *SHORT, "--drop", "id", "--force") == 1
    assert "typo.csv, line 9: column 'n': 'seven' is no number" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        (["train", "none.csv"], r"none\.csv: No such file"),
        (["train", "flowers.csv", "--label", "sort"], "no column 'sort'; there are 'length', 'wid"),
        (["train", "flowers.csv", "--drop", "sort"], "no column 'sort'; there are 'length', 'wid"),
        (["train", "flowers.csv", "--validation", "1"], "leaves some of the 150 examples on both"),
        (["train", "flowers.csv", "--activation", "rellu"], "did you mean 'relu'"),
        (["train", "flowers.csv", "--optimizer", "adm"], "did you mean 'adam'"),
        (["train", "flowers.csv", "--loss", "bce"], "categorical_crossentropy"),
        (["train", "flowers.csv", "--epochs", "0"], "epochs to be an integer of at least 1"),
        (["train", "flowers.npz"], r"flowers\.npz: expected a \.npz file of arrays"),
        (["train", "flowers.csv", "--save", "there"], "there: exists; --save another FILE"),
        (["predict", "there", "flowers.csv"], "there"),
        (["predict", "none", "flowers.csv"], "none: No such file"),
        (["summary", "none"], "none: No such file"),
        (["activations", "--save", "a.png", "rellu"], "did you mean 'relu'"),
    ],
)
def test_errors_are_one_line_and_exit_1(words, message, capsys):
    write("flowers.csv", flowers())
    write("flowers.npz", "no arrays")
    write("there", "something precious")
    assert call(*words, *(SHORT[:1] if words[0] == "train" else [])) == 1
    out, said = capsys.readouterr()
    assert re.search(message, said), said
    assert out == ""
    assert not os.path.exists("model.safetensors")
    with open("there", encoding="utf-8") as file:
        assert file.read() == "something precious"


def test_wrong_calls_exit_2(capsys):
    for words in (["train"], ["fly"], ["train", "mnist", "--layers", "12,x"], ["activations"]):
        with pytest.raises(SystemExit) as caught:
            call(*words)
        assert caught.value.code == 2
    assert "usage: hotgrad" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "predict", "summary", "activations", "doctor"])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as caught:
        call(command, "--help")
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert f"examples:\n  hotgrad {command}" in out


def test_arrays(capsys):
    (x, y), (xv, yv) = nn.datasets.mnist_subset()
    np.savez("digits.npz", x=x[:600], y=y[:600], x_test=xv[:100], y_test=yv[:100])
    assert call("train", "digits.npz", *SHORT, "--layers", "32") == 0
    assert "Trained on 600 examples, tested on 100" in capsys.readouterr().out
    np.savez("new.npz", x=xv[100:150])
    assert call("predict", "model.safetensors", "new.npz") == 0
    _, rows, _ = printed(capsys)
    assert np.mean(np.array(rows, int)[:, 0] == yv[100:150]) > 0.6
    np.savez("small.npz", x=xv[:5, :20])
    assert call("predict", "model.safetensors", "small.npz") == 1
    assert "expected examples of shape (28, 28)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "labels, activation",
    [
        (np.eye(3)[np.arange(60) % 3], "softmax"),
        (np.stack([np.arange(60) % 2, np.arange(60) % 3 > 0, np.ones(60)], axis=1), "sigmoid"),
        (np.linspace(0, 9, 180).reshape(60, 3), "linear"),
    ],
)
def test_rows_of_labels_tell_the_last_activation(labels, activation, rng, capsys):
    np.savez("rows.npz", x=rng.normal(size=(60, 4)), y=labels)
    assert call("train", "rows.npz", *SHORT) == 0
    assert nn.load("model.safetensors").last_activation() == activation
    capsys.readouterr()
    assert call("predict", "model.safetensors", "rows.npz") == 0
    header, rows, _ = printed(capsys)
    assert len(rows) == 60
    assert len(header) == {"softmax": 1}.get(activation, 3)


def test_digits_summary_and_log(capsys):
    words = ["--epochs", "1", "--layers", "16", "--log", "log.csv"]
    assert call("train", "mnist-subset", *words) == 0
    out = capsys.readouterr().out
    assert "Epoch 1/1" in out
    assert "tested on 1,000" in out
    with open("log.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["val_accuracy"]) > 0.5
    assert call("summary", "model.safetensors") == 0
    out = capsys.readouterr().out
    assert "dense (Dense)" in out
    assert "classes: 0, 1, 2" in out


def test_summary_tells_what_a_table_was(capsys):
    write("flowers.csv", flowers())
    call("train", "flowers.csv", *SHORT)
    capsys.readouterr()
    assert call("summary", "model.safetensors") == 0
    out = capsys.readouterr().out
    assert "features: length, width, colour\nlabel: kind\nclasses: x, y, z\n" in out


def test_runs_repeat_by_their_seed(capsys):
    write("flowers.csv", flowers())
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        call("train", "flowers.csv", *SHORT, "--seed", seed, "--save", name)
    a, b, c = (nn.load(name).state_dict() for name in "abc")
    assert all((a[key] == b[key]).all() for key in a)
    assert any((a[key] != c[key]).any() for key in a)


def test_ctrl_c_saves(ctrl_c):
    write("flowers.csv", flowers(5000))
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(nn.__file__))}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "nn", "train", "flowers.csv", "--epochs", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    for line in process.stdout:
        if line.startswith("Epoch 2/"):
            break
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 130, rest
    assert "Interrupted; trained on 4,000 examples" in rest
    model = nn.load("model.safetensors")
    assert model.optimizer.iterations > 125


def test_doctor(capsys):
    assert call("doctor") == 0
    out = capsys.readouterr().out
    for pattern in (
        r"CPU +\w+",
        r"vectors +(128|256|512) bits",
        r"threads +\d+",
        r"kernels +(\d+) of \1 built",
        r"thread layer +\w+",
        r"peak float32 +\d+ GFLOP/s",
        r"numba \d",
    ):
        assert re.search(pattern, out), pattern


def test_doctor_says_when_kernels_are_not_built(capsys, monkeypatch):
    monkeypatch.setattr(cli.doctor.build, "pending", lambda: [("loop", "float32")])
    assert call("doctor") == 1
    assert "1 kernels are not built for this CPU" in capsys.readouterr().out


def test_pending_kernels_are_those_without_a_cache(tmp_path):
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.path.dirname(os.path.dirname(nn.__file__)),
    }
    program = (
        "from engine.kernels import build\n"
        "import numpy, engine\n"
        "print(len(build.pending()) == 2 * len(build.KERNELS))\n"
        "engine.tanh(numpy.ones(3, 'float32'))\n"
        "print(len(build.pending()) == 2 * len(build.KERNELS) - 1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "True\nTrue\n", done.stderr


def test_classes_of_a_label_are_told_from_quantities():
    def classes(values):
        text = "\n".join(["a,y", *(f"1,{value}" for value in values)])
        return tables.label_classes(tables.read(io.StringIO(text), "t"), "y")

    assert classes(["b", "a", "b", "a"]) == ["a", "b"]
    assert classes([2, 10, 2, 10, 10, 2]) == ["2", "10"]
    assert classes(["1.0", "1", "0", "0.0"]) == ["0", "1"]
    assert classes([1.5, 2.5, 1.5, 2.5]) is None
    assert classes(range(100)) is None
    assert classes([*range(40), *range(20)]) is None


def test_a_table_as_numbers():
    said = []
    table = tables.read(io.StringIO("a,b\n1,x\n,y\n4,\n"), "t")
    encoding = [{"column": "b", "categories": ["x", "y"]}, {"column": "a", "mean": 2.5}]
    assert tables.encoding_of(table, said.append) == encoding[::-1]
    assert said == []
    numbers, notes = tables.encode(table, encoding)
    assert numbers.tolist() == [[1, 0, 1], [0, 1, 2.5], [0, 0, 4]]
    assert numbers.dtype == np.float32
    assert notes == []
    mixed = tables.read(io.StringIO("a\n1\n2\nfar\n"), "t")
    assert tables.encoding_of(mixed, said.append) == [
        {"column": "a", "categories": ["1", "2", "far"]}
    ]
    assert said == ["t: column 'a' is taken for categories, since 'far' in line 4 is no number"]
