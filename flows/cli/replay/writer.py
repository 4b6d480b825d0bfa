"""Writes replays, each transaction together with the log's records that name its replays.

A crash leaves both or neither.  The next writer ends an open transaction when it opens,
which is before the log is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from connectors.exactly_once.failpoints import hit
from connectors.exactly_once.lane_producer import FencedError, LaneProducer
from connectors.kafka.access import KafkaAccess
from connectors.librdkafka.column_producer import ANY_PARTITION
from connectors.librdkafka.packed_records import PackedRecords
from flows.cli.replay.log import log_records, log_topic
from flows.cli.replay.selection import Replay
from operators.batches import Records


class ReplayWriter:
    """The transactional producer of `dedup replay`.

    When the constructor returns, an earlier writer of the application is fenced, and its
    last transaction is committed or aborted.  When `write` returns, the replays are
    committed together with the log's records.
    """

    def __init__(self, access: KafkaAccess, to: str, partitions: int) -> None:
        """to: topic to write to.  partitions: its partition count.  Raises SinkError."""
        self._log = log_topic(access.app_id)
        self._to = to
        self._partitions = partitions
        # A lane's producer does all that is needed: it fences, and writes transactions.
        self._producer = LaneProducer(replace(access, app_id=f"{access.app_id}-replay"), 0)

    def write(self, replays: Sequence[Replay]) -> None:
        """Write replays in one transaction.

        Raises FencedError if another writer has opened, SinkError for an error that no
        retry cures.
        """
        changes = log_records(self._to, (replay.origin for replay in replays))
        parts = self._by_partition(replays)

        def produce() -> None:
            for partition, records in parts.items():
                self._producer.produce(self._to, records, partition)

        try:
            self._producer.write_transaction(produce, self._log, changes)
        except FencedError as error:
            msg = (
                "another `dedup replay` of this application has been started: this one ends. "
                "Nothing is replayed twice"
            )
            raise FencedError(msg) from error
        hit("after_commit")

    def _by_partition(self, replays: Sequence[Replay]) -> dict[int, PackedRecords]:
        """Replays by partition of the target.

        In its own topic a record returns to its partition; elsewhere its key decides.
        """
        parts: dict[int, list[Replay]] = defaultdict(list)
        for replay in replays:
            origin = replay.origin
            returns = origin.topic == self._to and origin.partition < self._partitions
            parts[origin.partition if returns else ANY_PARTITION].append(replay)
        return {partition: _pack_records(part) for partition, part in parts.items()}


def _pack_records(replays: Sequence[Replay]) -> PackedRecords:
    return PackedRecords(
        Records(
            offsets=np.array([replay.origin.offset for replay in replays], np.int64),
            values=[replay.value for replay in replays],
            keys=[replay.key for replay in replays],
            headers=[replay.headers for replay in replays],
            timestamps=np.array([replay.timestamp_ms for replay in replays], np.int64),
        )
    )
