"""A file lock that ends with its process, even after kill -9."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path

log = logging.getLogger("dedup")

# The errors of file systems without such locks: some network mounts, some FUSE mounts.
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}


def open_locked(path: Path) -> int | None:
    """Open a file to read and write, make it if it is missing, and lock it.

    Returns its descriptor, or None if another process has locked it.  The lock lasts until
    the descriptor is closed or the process ends, even by kill -9.  If the file system has no
    locks, a warning says so and the file counts as locked.  Raises OSError, for a symbolic
    link as well.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(descriptor)
            raise
        log.warning(
            "%s cannot be locked (%s): make sure that no second run uses its folder",
            path,
            error.strerror,
        )
    return descriptor
