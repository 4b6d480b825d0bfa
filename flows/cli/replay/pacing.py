"""Replays in batches, one batch a transaction, and not faster than a rate."""

from __future__ import annotations

import time
from collections.abc import Iterator

from flows.cli.replay.selection import Replay

# A transaction costs some milliseconds, so it holds many records; all of them are in memory.
_MAX_BATCH_RECORDS = 1000
_MAX_BATCH_BYTES = 4_000_000
# With a rate, a batch holds at most the records of this time, so that they flow evenly.
_MAX_BATCH_SECONDS = 0.5


class Pace:
    """Keeps to a rate by waiting after each batch."""

    def __init__(self, rate: float) -> None:
        """rate: records a second, above 0; infinite for no limit."""
        self._rate = rate
        self._began = time.monotonic()
        self._count = 0

    @property
    def batch_records(self) -> int:
        """Largest number of records in a batch."""
        return int(max(1, min(_MAX_BATCH_RECORDS, self._rate * _MAX_BATCH_SECONDS)))

    def wait(self, count: int) -> None:
        """Wait after a batch of `count` records until the next record is due."""
        self._count += count
        due = self._began + self._count / self._rate
        time.sleep(max(0.0, due - time.monotonic()))


def batches(replays: Iterator[Replay], max_records: int) -> Iterator[list[Replay]]:
    """Cut replays into batches, limited in records and in bytes."""
    batch: list[Replay] = []
    size = 0
    for replay in replays:
        batch.append(replay)
        size += replay.size
        if len(batch) >= max_records or size >= _MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
