"""How many CPUs a container grants: its quota, which the number of cores does not show.

Threads beyond the quota make a program slower: once it is used up, all of them stand still until
the next period begins.
"""

import os
import sys
from pathlib import Path

VARIABLE = "NUMBA_NUM_THREADS"  # where it is set, it decides


def cpu_quota(root="/sys/fs/cgroup", membership="/proc/self/cgroup"):
    """The CPUs that the control groups of this process grant at a time, as 1.5; None for no limit.

    root        where Linux shows the control groups, of version 2 or 1
    membership  the file that says in which this process is
    """
    limits = []
    for line in _text(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        base = Path(root, "cpu") if controllers else Path(root)
        # A container sees its own group as the root; elsewhere those around it count as well.
        group = base / path.lstrip("/")
        for folder in {base, group, *(at for at in group.parents if base in at.parents)}:
            limits.append(_limit(folder))
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(folder):
    parts = _text(folder / "cpu.max").split() or [
        _text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")
    ]
    try:
        quota, period = map(float, parts)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def granted():
    """The threads that the quota has room for, at least one; None where there is no limit.

    Numba reads how many threads it may start from the environment, once, when it is imported. So
    this is called before that, and where it finds a limit writes it there.
    """
    quota = None if VARIABLE in os.environ else cpu_quota()
    if quota is None:
        return None
    threads = max(1, min(int(quota), os.cpu_count() or 1))
    if "numba" not in sys.modules:
        os.environ[VARIABLE] = str(threads)
    return threads


GRANTED = granted()


def within_quota(threads):
    """At most as many threads as are granted."""
    return threads if GRANTED is None else min(threads, GRANTED)
