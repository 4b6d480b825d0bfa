"""A wall clock for one process that a test can set: the others keep the machine's."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static const double *seconds_moved;
static int (*machine_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("TEST_WALL_CLOCK"), O_RDONLY);
    void *at = mmap(0, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED) seconds_moved = at;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!machine_gettime) machine_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int result = machine_gettime(clock, now);
    if (seconds_moved && clock == CLOCK_REALTIME) now->tv_sec += (time_t) *seconds_moved;
    return result;
}
"""

COMPILER = shutil.which("cc")
"""A C compiler, which this needs; None without one."""


class WallClock:
    """The clock of processes that get `environ`: the machine's, moved by whole seconds."""

    def __init__(self, folder: Path) -> None:
        assert COMPILER is not None
        self._moved = folder / "moved"
        self.move(0)
        source, library = folder / "wall_clock.c", folder / "wall_clock.so"
        source.write_text(_SOURCE)
        subprocess.run(
            [COMPILER, "-shared", "-fPIC", "-o", library, source, "-ldl"],
            check=True,
            cwd=folder,
        )
        self.environ = {"LD_PRELOAD": os.fspath(library), "TEST_WALL_CLOCK": os.fspath(self._moved)}

    def move(self, seconds: int) -> None:
        """Show so many seconds more than the machine's clock from now on."""
        with self._moved.open("r+b" if self._moved.exists() else "wb") as file:
            file.write(struct.pack("d", seconds))
