"""The CPU quota of a container, from files as Linux writes them."""

import os
import subprocess
import sys

import pytest

from engine.limits import cpu_quota


def groups(folder, membership, files):
    """The arguments of `cpu_quota` for a folder with such files."""
    (folder / "membership").write_text(membership)
    for name, content in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder / "cgroup", folder / "membership"


@pytest.mark.parametrize(
    "membership, files, expected",
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2.0),
        ("0::/a/b\n", {"cpu.max": "50000 100000\n", "a/b/cpu.max": "300000 100000\n"}, 0.5),
        ("0::/a\n", {"a/cpu.max": "garbage"}, None),
        (
            "5:memory:/x\n4:cpu,cpuacct:/x\n0::/\n",
            {"cpu/x/cpu.cfs_quota_us": "400000\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
            4.0,
        ),
        (
            "4:cpu,cpuacct:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
        ),
    ],
)
def test_quotas(tmp_path, membership, files, expected):
    assert cpu_quota(*groups(tmp_path, membership, files)) == expected


def test_no_such_files(tmp_path):
    assert cpu_quota(tmp_path / "cgroup", tmp_path / "membership") is None


PROGRAM = """
import pathlib, sys
read = pathlib.Path.read_text
def told(path, *args, **kwargs):
    found = {"/proc/self/cgroup": "0::/\\n", "/sys/fs/cgroup/cpu.max": "100000 100000\\n"}
    return found.get(str(path)) or read(path, *args, **kwargs)
pathlib.Path.read_text = told
if sys.argv[1:]:
    import numba
import engine
print(engine.get_num_threads())
"""


@pytest.mark.parametrize("before", [[], ["numba is imported first"]])
@pytest.mark.parametrize("wanted", [None, "2"])
def test_the_default_number_of_threads_keeps_to_the_quota(before, wanted):
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_NUM_THREADS"}
    if wanted is not None:
        environment["NUMBA_NUM_THREADS"] = wanted
    command = [sys.executable, "-c", PROGRAM, *before]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [wanted or "1"]
