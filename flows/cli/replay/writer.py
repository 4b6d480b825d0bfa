"""Writes replays, each transaction with the memory of what is in it.

What a crash leaves is either both or neither: an open transaction is settled when
the next writer opens, before the log is read.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from connectors.exactly_once.failpoints import hit
from connectors.exactly_once.lane_producer import FencedError, LaneProducer
from connectors.kafka.access import KafkaAccess
from connectors.kafka.timing import RETRY_TIMEOUT_SECONDS
from connectors.librdkafka.column_producer import ANY_PARTITION
from connectors.librdkafka.packed_records import PackedRecords
from flows.cli.replay.log import log_topic, pack
from flows.cli.replay.selection import Replay
from operators.batches import Records
from operators.errors import SinkError


class ReplayWriter:
    """The transactional producer of `dedup replay`.

    Promises: after the constructor returns, another writer of the application is
    fenced and its last transaction settled; what `write` was given is committed with
    its memory when it returns.
    """

    def __init__(self, access: KafkaAccess, to: str, partitions: int) -> None:
        """to: topic that is written.  partitions: how many it has.  Raises SinkError."""
        self._log = log_topic(access.app_id)
        self._to = to
        self._partitions = partitions
        # One more producer that is opened, fences, and commits as a lane's does.
        self._producer = LaneProducer(replace(access, app_id=f"{access.app_id}-replay"), 0)

    def write(self, replays: Sequence[Replay]) -> None:
        """Write some in one transaction.

        Raises FencedError if another writer has been opened, SinkError for what no
        retry cures.
        """
        changes = pack(self._to, (one.origin for one in replays))
        parts = self._by_partition(replays)
        deadline = time.monotonic() + RETRY_TIMEOUT_SECONDS
        try:
            while True:
                self._producer.begin()
                for partition, records in parts.items():
                    self._producer.produce(self._to, records, partition)
                if self._producer.commit(self._log, changes) is None:
                    break
                self._producer.abort()
                if time.monotonic() > deadline:
                    msg = (
                        f"a transaction to {self._to} was aborted again and again for "
                        f"{RETRY_TIMEOUT_SECONDS:.0f} s: see the brokers' logs, start again"
                    )
                    raise SinkError(msg)
        except FencedError as error:
            msg = (
                "another `dedup replay` of this application has been started: this one ends. "
                "Nothing is replayed twice"
            )
            raise FencedError(msg) from error
        hit("after_commit")

    def _by_partition(self, replays: Sequence[Replay]) -> dict[int, PackedRecords]:
        """Columns for each partition; back in its own topic a record returns to its own."""
        parts: dict[int, list[Replay]] = defaultdict(list)
        for one in replays:
            home = one.origin.topic == self._to and one.origin.partition < self._partitions
            parts[one.origin.partition if home else ANY_PARTITION].append(one)
        return {
            partition: PackedRecords(
                Records(
                    offsets=np.array([one.origin.offset for one in found], np.int64),
                    values=[one.value for one in found],
                    keys=[one.key for one in found],
                    headers=[one.headers for one in found],
                    timestamps=np.array([one.timestamp_ms for one in found], np.int64),
                )
            )
            for partition, found in parts.items()
        }
