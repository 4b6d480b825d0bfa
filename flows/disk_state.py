"""From settings to stores on disk."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from flows.settings.model import Settings, fingerprint
from operators.errors import SettingsError
from operators.windows.key_table.table import Bound
from operators.windows.store import KeyStore

# An old process that has lost its lanes to this one needs so long to notice and end.
_IN_USE_SECONDS = 20.0
_AGAIN_SECONDS = 0.2


def disk_stores(settings: Settings, bound: Bound) -> Callable[[int], KeyStore] | None:
    """What opens the store of a lane; None where state is not kept on disk.

    Raises SettingsError if RocksDB is not installed.
    """
    if settings.state != "rocksdb":
        return None
    try:  # an extra
        from operators.windows.disk.layout import SessionShelf, Shelf, SlidingShelf  # noqa: PLC0415
        from operators.windows.disk.rocksdb import InUseError, RocksDatabase, RocksMemory  # noqa: PLC0415
        from operators.windows.disk.store import DiskStore  # noqa: PLC0415
    except ImportError as error:
        msg = (
            "DEDUP_STATE=rocksdb needs the package rocksdict: pip install "
            "'bytewax-dedup[rocksdb]', or use DEDUP_STATE=memory"
        )
        raise SettingsError(msg) from error
    seconds = math.inf if settings.window == "forever" else settings.window_seconds
    shelves = {"sliding": SlidingShelf, "session": SessionShelf}
    shelf = shelves.get(settings.window, Shelf)(seconds)
    memory = RocksMemory()
    identity = {"DEDUP_APP_ID": settings.app_id, **fingerprint(settings)}

    def open_store(lane: int) -> KeyStore:
        folder = settings.state_dir / settings.app_id / f"lane-{lane:03d}"
        deadline = time.monotonic() + _IN_USE_SECONDS
        while True:
            try:
                database = RocksDatabase(folder, memory, {**identity, "lane": lane})
            except InUseError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_SECONDS)
            else:
                return DiskStore(shelf, bound, database)

    return open_store
