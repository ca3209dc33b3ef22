"""Freed memory is kept for the next step, not given back to the system.

A training step frees some megabytes of results, and the next one asks for the same again. Where
glibc gives them back in between, each page of them costs a fault: at a batch of 1,024 about 1,600
in a step, a fifth of its time. So the C library is told to keep up to KEPT bytes at the top of its
heap, and to map only blocks over MAPPED bytes on their own (mallopt(3)). It goes by the process's
environment instead where that has a word on it.
"""

import ctypes
import os
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
KEPT, MAPPED = 256 << 20, 32 << 20  # bytes; the second is the most that glibc takes
VARIABLES = (
    "GLIBC_TUNABLES",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_",
)


def keep_freed():
    """Set both thresholds, where the C library is glibc and the environment leaves it to us."""
    if platform.libc_ver()[0] == "glibc" and not any(name in os.environ for name in VARIABLES):
        c_library = ctypes.CDLL(None)
        c_library.mallopt(TRIM_THRESHOLD, KEPT)
        c_library.mallopt(MMAP_THRESHOLD, MAPPED)


keep_freed()
