"""How the C library hands out memory, set for what a job does with it."""

from __future__ import annotations

import ctypes
import sys

_M_MXFAST = 1  # of glibc's malloc.h


def suit_allocator() -> None:
    """Let glibc keep no list apart of the smallest pieces; elsewhere do nothing.

    Each record is some small pieces, made by one thread and given back by another.
    Whenever a large piece is wanted, as for every column, glibc first merges all small
    ones that came back: a twentieth of the whole job's time.  Source: mallopt(3).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MXFAST, 0)
