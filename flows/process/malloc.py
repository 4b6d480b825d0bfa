"""How the C library hands out memory, set for what a job does with it."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
_M_MXFAST, _M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = 1, -1, -3, -8
# More than a process has threads, of which a client of Kafka has three.
_ARENAS = 128
# Some times what a batch has of values (operators/coalesce.py).
_KEPT_BYTES = 32 << 20


def tune_malloc() -> None:
    """Set glibc's allocator for many threads and small pieces; elsewhere do nothing.

    Each record is some small pieces, made by one thread and given back by another.
    Whenever a large piece is wanted, as for every column, glibc first merges all small
    ones that wait in a list apart: it shall have no such list.  And it shares eight
    arenas a core among all threads, so that on two cores they wait for each other's.
    Each of the two is a twentieth of the job's time.  And what is given back at once, as
    the columns of a batch are, it gives back to the kernel, which clears every page of it
    before the next batch: up to so much shall stay here.  Source: mallopt(3).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MXFAST, 0)
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
