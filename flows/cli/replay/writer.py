"""Writes replays, each transaction together with the log's records that name its replays.

A crash leaves both or neither.  The next writer ends an open transaction when it opens,
which is before the log is read.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from connectors.exactly_once.failpoints import hit
from connectors.exactly_once.lane_producer import FencedError, LaneProducer
from connectors.exactly_once.transaction_log import TransactionLog, through_an_outage
from connectors.kafka.access import KafkaAccess
from connectors.librdkafka.column_producer import ANY_PARTITION
from connectors.librdkafka.packed_records import PackedRecords
from flows.cli.replay.log import log_records, run_of
from flows.cli.replay.selection import Replay
from operators.batches import Records

_NAME = "replay"
_LOG_PARTITION = 0
_TAKEN_OVER = (
    "another `dedup replay` of this application has been started: this one ends. Nothing is "
    "replayed twice"
)


class ReplayWriter:
    """The transactional producer of `dedup replay`.

    When the constructor returns, an earlier writer of the application is fenced, and its
    last transaction is committed or aborted, for readers of the log too (rule 3 in
    connectors/exactly_once).  When `write` returns, the replays are committed together with the
    log's records.
    """

    def __init__(self, access: KafkaAccess, log: TransactionLog, to: str, partitions: int) -> None:
        """Take over from an earlier writer.

        log: the replay log; it exists.  to: topic to write to.  partitions: its partition count.
        Raises FencedError, SinkError, StateError or KafkaUnreachableError.
        """
        self._log = log
        self._to = to
        self._partitions = partitions
        # Every record of the log names its run: two runs never write the same.
        self._run = secrets.token_hex(8)
        with _one_error_if_fenced():
            # A lane's producer does all that is needed: it fences, and writes transactions.
            access = replace(access, app_id=f"{access.app_id}-replay")
            self._producer = LaneProducer(access, _LOG_PARTITION, _NAME)
        log.wait_until_settled(_LOG_PARTITION)
        self._found = log.last_value(_LOG_PARTITION)
        self._last = self._found

    def write(self, replays: Sequence[Replay]) -> None:
        """Write replays in one transaction.

        Raises FencedError if another writer has opened, SinkError for an error that no
        retry cures, StateError or KafkaUnreachableError if the log cannot be read.
        """
        changes = log_records(self._run, self._to, (replay.origin for replay in replays))
        parts = self._by_partition(replays)

        def produce() -> None:
            for partition, records in parts.items():
                self._producer.produce(self._to, records, partition)

        with _one_error_if_fenced():
            if self._producer.doubtful:  # rule 9
                self._renew()
            self._producer.write_transaction(produce, self._log.topic, changes, self._renew)
        self._last = changes[-1]
        hit("after_commit")

    def _renew(self) -> None:
        """Rule 9: start a new producer epoch, and go on only if no other run has written.

        Looking before as well does not fence a newer run that has written already.
        """
        self._check_owner(settled=False)
        self._producer.renew()
        self._check_owner()

    def _check_owner(self, *, settled: bool = True) -> None:
        """Raise FencedError if the log does not end with what this run wrote or found there.

        settled: whether this run's last transaction must be visible by now.
        """

        def ask() -> bytes | None:
            if settled:
                self._log.wait_until_settled(_LOG_PARTITION)
            return self._log.last_value(_LOG_PARTITION)

        last = through_an_outage(_NAME, ask)
        own = last == self._last
        if not settled:
            own |= last == self._found or (last is not None and run_of(last) == self._run)
        if not own:
            raise FencedError(_TAKEN_OVER)

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


@contextmanager
def _one_error_if_fenced() -> Iterator[None]:
    """Say in the words of `dedup replay` that another writer has opened."""
    try:
        yield
    except FencedError as error:
        raise FencedError(_TAKEN_OVER) from error


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
