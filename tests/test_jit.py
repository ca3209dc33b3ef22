"""How kernels are built, cached, laid out and run on threads."""

import functools
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import engine
from engine.kernels import _jit, build, elementwise, gemm, softmax, update
from engine.kernels.bundle import Bundle

ROOT = Path(__file__).parent.parent


def run(code, cwd=ROOT, **environment):
    """Run Python code in a process of its own; returns what it prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_every_kernel_has_the_flags_and_is_registered():
    build.load_all()
    assert len(_jit.KERNELS) >= 15
    for kernel, prototype in _jit.KERNELS:
        options = kernel.targetoptions
        assert options["fastmath"] == _jit.FASTMATH
        assert options["nogil"]
        assert options["error_model"] == "numpy"
        if options["parallel"]:
            assert prototype.endswith("int64)"), "the last parameter is the number of threads"
        assert len(kernel.py_func.__code__.co_varnames[: kernel.py_func.__code__.co_argcount]) <= 8


def test_an_inner_function_is_compiled_for_its_callers_only():
    @_jit.inner
    def double(x):
        return 2 * x

    @numba.njit
    def caller(x):
        return double(x) + 1

    for _ in range(2):  # before it is compiled and after
        with pytest.raises(TypeError, match="double is only called by kernels; call its py_func"):
            double(3)
        assert caller(3) == 7
    assert double.py_func(3) == 6


def test_nan_survives_the_flags():
    x = np.array([np.nan, 1.0], "float32")
    for function in (elementwise.exp, elementwise.relu, softmax.softmax):
        assert np.isnan(function(x)[0])


def test_importing_loads_no_kernel():
    loaded = run(
        "import engine, nn\n"
        "from engine.kernels import _jit\n"
        "print(sum(len(k.signatures) for k, _ in _jit.KERNELS))"
    )
    assert loaded == ["0"]


def test_a_training_step_meets_only_kernels_that_the_build_made():
    code = (
        "import numpy as np, nn\n"
        "from engine.kernels import build\n"
        "for dtype in ('float32', 'float64'):\n"
        "    for optimizer in ('sgd', 'adam'):\n"
        "        model = nn.Sequential([nn.Flatten(input_shape=(28, 28)),\n"
        "            nn.Dense(512, activation='relu'), nn.Dense(10, activation='softmax')])\n"
        "        model.compile(optimizer, 'sparse_categorical_crossentropy', ['accuracy'])\n"
        "        model.fit(np.zeros((40, 28, 28), dtype), np.arange(40) % 10, verbose=0)\n"
        "        model.predict(np.zeros((40, 28, 28), dtype))\n"
        "print(build.compilations(), build.cache_hits())"
    )
    built = subprocess.run(
        [sys.executable, "-m", "engine.kernels.build"], cwd=ROOT, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    compilations, hits = map(int, run(code))
    assert compilations == 0
    assert hits > 5


@pytest.fixture
def small_package(tmp_path):
    """A copy of the kernels' machinery with one small kernel, and a helper in another file."""
    package = tmp_path / "engine" / "kernels"
    package.mkdir(parents=True)
    (tmp_path / "engine" / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    shutil.copy(ROOT / "engine" / "kernels" / "_jit.py", package)
    (package / "helper.py").write_text(
        "from ._jit import inner\n@inner\ndef factor(x):\n    return x * 2\n"
    )
    (package / "scale.py").write_text(
        "from numba import prange\nfrom ._jit import kernel\nfrom .helper import factor\n\n"
        '@kernel("void(T[::1], T[::1], int64)")\n'
        "def scale(x, out, threads):\n"
        "    for i in prange(x.size):\n        out[i] = factor(x[i])\n"
    )
    return package


SCALE = (
    "import numpy as np\n"
    "from engine.kernels.scale import scale\n"
    "x = np.ones(3, 'float32')\n"
    "out = np.zeros(3, 'float32')\n"
    "scale(x, out, 1)\n"
    "print(int(out[0]), sum(scale.stats.cache_hits.values()))"
)


def test_a_cache_is_used_again_but_never_after_an_edit_of_any_source(small_package):
    place = small_package.parent.parent
    assert run(SCALE, cwd=place) == ["2", "0"]
    assert run(SCALE, cwd=place) == ["2", "1"]
    helper = small_package / "helper.py"
    helper.write_text(helper.read_text().replace("* 2", "* 3"))
    assert run(SCALE, cwd=place) == ["3", "0"]


LINK = """
import pickle
from pathlib import Path
import numba
from llvmlite import binding as llvm
from engine.kernels.scale import scale
from engine.kernels._jit import arguments_of, close

close(scale)
for kept in Path(scale._cache.cache_path).glob("scale.scale-*.nbc"):
    (_, kind, (_, linked)), *_ = pickle.loads(kept.read_bytes())
    functions = llvm.parse_bitcode(linked).functions
    blocks = [block for function in functions for block in function.blocks]
    lines = {str(line).strip() for block in blocks for line in block.instructions}
    print(kind, *lines)
try:
    numba.njit(lambda x, out: scale(x, out, 1)).compile(
        arguments_of("void(T[::1], T[::1])", "float32")
    )
except TypeError as error:
    print(error)
"""


def test_a_kept_kernel_is_machine_code_alone(small_package):
    place = small_package.parent.parent
    assert run(SCALE, cwd=place) == ["2", "0"]  # float32; LINK compiles float64
    *kept, said = " ".join(run(LINK, cwd=place)).split(" scale.scale-")
    assert kept == ["object unreachable object unreachable"]
    # What has no code to be linked says so, rather than be linked as a function that does nothing.
    assert said.endswith(": a kernel is called from Python only")


def build_small(package, *options):
    shutil.copy(ROOT / "engine" / "kernels" / "build.py", package)
    command = [sys.executable, "-W", "error", "-m", "engine.kernels.build", *options]
    place = package.parent.parent
    return subprocess.run(command, capture_output=True, text=True, cwd=place, timeout=300)


def test_processes_build_together(small_package):
    scale = (small_package / "scale.py").read_text()
    (small_package / "other.py").write_text(scale)
    done = build_small(small_package, "--processes", "2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sorted(line.split(":")[0] for line in lines[:-1]) == [
        f"engine.kernels.{name} {kind}"
        for name in ("other.scale", "scale.scale")
        for kind in ("float32", "float64")
    ]
    assert lines[-1].startswith("4 of 4 kernels compiled in ")
    done = build_small(small_package, "--processes", "1")
    assert re.fullmatch(r"0 of 4 kernels compiled in .* s, 4 were up to date\n", done.stdout)
    assert run(SCALE, cwd=small_package.parent.parent) == ["2", "1"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_build_that_fails_says_where(small_package, processes):
    (small_package / "broken.py").write_text(
        "from ._jit import kernel\n\n"
        '@kernel("void(T[::1], int64)")\n'
        "def broken(x, threads):\n    x[0] = x.nothing\n"
    )
    done = build_small(small_package, "--processes", processes)
    assert done.returncode != 0
    assert "engine.kernels.broken.broken float32 cannot be compiled: " in done.stderr
    if processes == "2":
        assert re.search(r"building kernels: process [12] of 2 failed; ", done.stderr)


def test_processes_that_build_never_write_to_the_same_index(tmp_path):
    build.load_all()
    groups = build.groups_of(_jit.KERNELS)
    grouped = [id(pair) for group in groups for pair in group]
    assert sorted(grouped) == sorted(map(id, _jit.KERNELS))
    indices = [{k._cache._cache_file._index_name for k, _ in group} for group in groups]
    assert all(len(of_group) == 1 for of_group in indices)
    assert len(set.union(*indices)) == len(groups)
    assert [build.claim(tmp_path, place) for place in (0, 1, 0, 1, 2)] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_kernels_work_where_no_cache_can_be_written(small_package):
    code = (
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "caching.CompileResultCacheImpl._locator_classes = []\n"
    )
    assert run(code + SCALE.split(", sum")[0] + ")", cwd=small_package.parent.parent) == ["2"]


def test_plain_copies_only_what_it_must():
    x = np.arange(12.0).reshape(3, 4)
    assert _jit.plain(x) is x
    frozen = x.copy()
    frozen.flags.writeable = False
    alias = _jit.plain(frozen)
    assert alias.flags.carray
    assert np.shares_memory(alias, frozen)
    for view in (x.T, x[:, ::2], x[::-1], np.broadcast_to(x[0], (3, 4))):
        result = _jit.plain(view)
        assert result.flags.carray
        np.testing.assert_array_equal(result, view)
    alive = _jit.plain(np.broadcast_to(np.float32(3), (1,)))
    assert alive[0] == 3


# ---------------------------------------------------------------------------------- threads


def everything(rng):
    """One call of each family of kernels, big enough for several threads, as bytes."""
    a = rng.normal(size=(130, 300)).astype("float32")
    b = rng.normal(size=(300, 257)).astype("float32")
    logits = rng.normal(size=(600, 150)).astype("float32")
    labels = rng.integers(0, 150, 600)
    p, g = rng.normal(size=(2, 200_000)).astype("float32")
    bundle = Bundle([p.shape], p.dtype, [0], update.RULES["adam"].slots)
    rates = np.array([[1, np.inf, 0.01, 0.1, 0.001, 1e-7, 0, 0]])
    update.move(bundle, "adam", [p, g], rates, np.ones(1))
    results = [
        gemm.matmul(a, b),
        gemm.matmul(a.T, gemm.matmul(a, b)),
        gemm.matmul(gemm.matmul(a, b), b.T),
        softmax.softmax(logits),
        softmax.sparse_cross_entropy(logits, labels),
        elementwise.tanh(g),
        p,
        update.squares(bundle, [p, g]),
    ]
    return [result.tobytes() for result in results]


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_same_bits_for_any_number_of_threads(threads, count):
    threads(1)
    alone = everything(np.random.default_rng(1))
    threads(count)
    assert everything(np.random.default_rng(1)) == alone


def test_the_same_training_for_any_number_of_threads(threads):
    import nn

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(512, 300)).astype("float32"), rng.integers(0, 10, 512)
    weights = []
    for count in (1, 2, 3):
        threads(count)
        engine.seed(0)
        model = nn.Sequential(
            [
                nn.Dense(256, activation="relu", input_shape=(300,)),
                nn.Dense(10, activation="softmax"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=256, epochs=10, verbose=0)
        weights.append([p.numpy().tobytes() for p in model.parameters()])
    assert weights[0] == weights[1] == weights[2]


def test_the_number_of_threads_can_be_set_and_is_checked(threads):
    threads(3)
    assert engine.get_num_threads() == 3
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="set_num_threads: expected an integer of at least 1"):
            threads(wrong)
    assert run("import engine; print(engine.get_num_threads())", NUMBA_NUM_THREADS="1") == ["1"]


def test_only_the_cpus_that_the_process_may_use_have_threads():
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_NUM_THREADS"}
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import engine\n"
    result = subprocess.run(
        [sys.executable, "-c", code + "print(engine.get_num_threads())"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert result.stdout.split() == ["1"], result.stderr


@pytest.fixture
def launches(threads, monkeypatch):
    """Launch a kernel on an array, which takes `took` by a clock that only it moves."""
    clock, took = [100.0], {1: 0.001, 2: 0.005}

    def big_kernel(x, threads):
        clock[0] += took[threads]
        return threads

    monkeypatch.setattr(_jit, "_backoff", _jit.Backoff())
    monkeypatch.setattr(_jit, "perf_counter", lambda: clock[0])
    threads(2)
    return functools.partial(_jit.launch, big_kernel), clock, took


def test_a_slow_kernel_is_tried_alone(launches):
    launch, clock, took = launches
    took[1], took[2] = 0.01, 0.006
    used = []
    while clock[0] < 100.1:
        used.append(launch(np.zeros(20)))
    assert used[:4] == [2, 1, 1, 2]  # for 20 ms
    assert set(used[4:]) == {2}


def test_threads_are_left_alone_where_one_is_faster(launches):
    launch, clock, took = launches
    x = np.zeros(10)
    calls = {1: 0, 2: 0}
    while clock[0] < 110:  # seconds beside a process that holds the other CPU
        calls[launch(x)] += 1
    assert calls[2] * took[2] < 0.06 * 10
    clock[0] += 0.5
    took[2] = 0.0006  # nobody else is there any more
    assert [launch(x) for _ in range(5)] == [2] * 5


def test_what_is_slow_now_and_then_does_not_cost_the_threads(launches):
    launch, clock, took = launches
    x = np.zeros(10)
    while launch(x) == 2 or clock[0] < 100.05:  # it has been measured alone
        pass
    clock[0] += 1
    for _ in range(100):  # the first after a pause is slow, the others are not
        took[2] = 0.005
        assert launch(x) == 2
        took[2] = 0.0006
        assert [launch(x) for _ in range(20)] == [2] * 20
        clock[0] += 0.2


def test_what_threads_win_makes_up_for_what_they_lose(launches):
    launch, _, took = launches
    took[1] = 0.01
    for i in range(1000):  # every third takes nearly twice as long as alone, the others two fifths
        took[2] = 0.018 if i % 3 == 0 else 0.004
        used = launch(np.zeros(10))
        assert used == 2 or i < 4


def has_tbb():
    try:
        importlib.import_module("numba.np.ufunc.tbbpool")
    except ImportError:
        return False
    return True


def thread_layers():
    for layer in ("omp", "tbb", "workqueue"):
        missing = layer == "tbb" and not has_tbb()
        reason = "needs tbb 2021.6 or later (pip install tbb)"
        yield pytest.param(layer, marks=pytest.mark.skipif(missing, reason=reason))


@pytest.mark.parametrize("layer", [*thread_layers()])
def test_python_threads_may_call_kernels_at_once(layer):
    code = (
        "import threading, numpy as np\n"
        "from engine.kernels import gemm\n"
        "a = np.random.default_rng(0).normal(size=(300, 300))\n"
        "expected = gemm.matmul(a, a).tobytes()\n"
        "wrong = []\n"
        "def work():\n"
        "    for _ in range(50):\n"
        "        if gemm.matmul(a, a).tobytes() != expected: wrong.append(1)\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(len(wrong))"
    )
    assert run(code, NUMBA_THREADING_LAYER=layer) == ["0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("layer", [*thread_layers()])
def test_a_forked_child_works_on_one_thread(layer):
    code = (
        "import os, numpy as np, engine\n"
        "from engine.kernels import gemm\n"
        "a = np.ones((300, 300))\n"
        "gemm.matmul(a, a)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    right = gemm.matmul(a, a)[0, 0] == 300 and engine.get_num_threads() == 1\n"
        "    os._exit(0 if right else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert run(code, NUMBA_THREADING_LAYER=layer) == ["0"]
