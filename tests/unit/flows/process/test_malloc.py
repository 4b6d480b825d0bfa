"""Process-wide settings of a job: each test asks a process of its own."""

import platform
import subprocess
import sys

import pytest

_BLOCKS = """
import ctypes, sys
from flows.process.malloc import tune_malloc
if sys.argv[1] == "tuned":
    tune_malloc()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
class Info(ctypes.Structure):  # struct mallinfo
    _fields_ = [(name, ctypes.c_int) for name in
                ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                 "uordblks", "fordblks", "keepcost")]
libc.mallinfo.restype = Info
blocks = [libc.malloc(24) for _ in range(1000)]
for block in blocks:
    libc.free(block)
print(libc.mallinfo().smblks)  # freed small blocks in fast bins
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no glibc")
def test_no_freed_block_waits_in_a_fast_bin() -> None:
    def waiting(how: str) -> int:
        line = [sys.executable, "-c", _BLOCKS, how]
        return int(subprocess.run(line, check=True, capture_output=True, text=True).stdout)

    assert waiting("untuned") > 0
    assert waiting("tuned") == 0


_COLUMNS = """
import resource, sys
import numpy as np
from flows.process.malloc import tune_malloc
if sys.argv[1] == "tuned":
    tune_malloc()
def batch():
    return [np.ones(3_800_000, np.uint8) for _ in range(4)]
batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)  # pages from the kernel
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no glibc")
def test_the_memory_of_a_batch_stays_for_the_next() -> None:
    def pages(how: str) -> int:
        line = [sys.executable, "-c", _COLUMNS, how]
        return int(subprocess.run(line, check=True, capture_output=True, text=True).stdout)

    of_one_batch = 4 * 3_800_000 // 4096
    assert pages("untuned") > of_one_batch
    assert pages("tuned") < of_one_batch // 10


def test_the_job_starts_no_threads_for_linear_algebra() -> None:
    count = "import flows.dedup, psutil; print(psutil.Process().num_threads())"
    line = [sys.executable, "-c", count]
    assert subprocess.run(line, check=True, capture_output=True, text=True).stdout == "1\n"


def test_the_job_starts_without_the_garbage_collector() -> None:
    tell = "import flows, gc; gc.callbacks.append(lambda phase, _: print(phase))"
    # The interpreter itself runs a collection at its end.
    line = [sys.executable, "-c", f"{tell}; import flows.dedup; gc.callbacks.clear()"]
    assert subprocess.run(line, check=True, capture_output=True, text=True).stdout == ""
