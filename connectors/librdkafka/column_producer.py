"""A producer that takes columns of records: one compiled loop instead of a call per record.

confluent_kafka's own producer takes one record per call, makes an object for it, and takes the
interpreter's lock again to report its delivery, even if nobody asked.  That was a third of the
deciding thread's time (docs/adr/0005).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from confluent_kafka import KafkaError, KafkaException
from numba import types

from connectors.librdkafka.callbacks import ClientCallbacks
from connectors.librdkafka.library import LIBRARY, PRODUCER, DeliveryCallback, milliseconds
from connectors.librdkafka.packed_records import NOTHING, PackedRecords
from connectors.librdkafka.request_counts import RequestCounts, ResponseCounts
from operators.columns.arrays import Ints
from operators.columns.byte_column import ByteColumn
from operators.columns.jit import jit_nogil

ANY_PARTITION: Final = -1

# `rd_kafka_vu_t` as words of 8 bytes: one word for its kind, then a union of 64 bytes.
_WORDS: Final = 9
_RKT, _PARTITION, _VALUE, _KEY, _FLAGS, _TIMESTAMP, _HEADER = 2, 3, 4, 5, 7, 8, 9
_LENT: Final = 0
_COPY: Final = 2  # RD_KAFKA_MSG_F_COPY
# Memory of values that the client reads in place.  All of it is held until the client has
# delivered everything, so beyond this limit it gets copies, which it frees one by one.
_MAX_LENT_BYTES: Final = 16 << 20
_FULL_POLL_SECONDS: Final = 0.01
# A commit first flushes with `_flush` for this long; then librdkafka's own flush is exact enough.
_FLUSH_BEFORE_COMMIT_SECONDS: Final = 0.25
_MIN_FLUSH_MILLISECONDS: Final = 2
_TOO_LARGE: Final = (
    "larger than the client's queue: raise queue.buffering.max.kbytes in DEDUP_PRODUCER"
)
_UNITS_BEFORE_HEADERS: Final = 6

llvm.add_symbol("rd_kafka_flush", LIBRARY.address("flush"))
_flush_for: Any = types.ExternalFunction("rd_kafka_flush", types.int32(types.intp, types.int32))
llvm.add_symbol("rd_kafka_produceva", LIBRARY.address("produceva"))
_produceva: Any = types.ExternalFunction(
    "rd_kafka_produceva", types.intp(types.intp, types.intp, types.uintp)
)


class NotTakenError(Exception):
    """The client does not take a record.  row: its index; the records before it were taken."""

    def __init__(self, row: int, error: KafkaError) -> None:
        super().__init__(error.str())
        self.row, self.error = row, error


class Failure(NamedTuple):
    """A record that was not delivered, and why.  size: bytes of its key and value."""

    topic: str
    error: KafkaError
    size: int


class ColumnProducer:
    """librdkafka's producer, with or without transactions.

    Promises what librdkafka promises; errors are confluent_kafka's.  Only undelivered records are
    reported: they are in `failures` after `poll`, `flush`, or the end of a transaction.

    Values are lent to the client, not copied: the caller must not change them afterwards.
    They are held until the client has nothing left to deliver.
    """

    def __init__(
        self, settings: Mapping[str, Any], waiting: Callable[[], object] = lambda: None
    ) -> None:
        """settings: librdkafka's, and `logger` and `error_cb` as confluent_kafka has them.

        waiting: called again and again while the queue is full, which may be for minutes.
        Raises KafkaException for a setting that librdkafka does not take.
        """
        self._waiting = waiting
        settings = dict(settings)
        # In the order in which they were reported.
        self.failures: list[Failure] = []
        self._handle = 0
        self._topics: dict[str, int] = {}
        # Lent memory must outlive the client.  At interpreter exit the module's globals may be
        # gone before it, so keep what `__del__` needs.
        self._destroys = LIBRARY.topic_destroy, LIBRARY.destroy
        self._lent: list[ByteColumn] = []
        self._lent_bytes = 0
        settings["delivery.report.only.error"] = True
        # librdkafka calls them until the client is destroyed.
        self._callbacks = ClientCallbacks(settings)
        self._on_failure = _on_failure(self.failures)
        conf = LIBRARY.settings(settings)
        self._callbacks.add_to(conf)
        LIBRARY.conf_set_dr_msg_cb(conf, self._on_failure)
        # How many requests of each kind the client has sent, and how many responses it has got.
        self.sent, self.responses = RequestCounts(conf), ResponseCounts(conf)
        self._handle = LIBRARY.client(PRODUCER, conf)
        self._callbacks.start(self._handle)
        self._units = NOTHING

    def __del__(self) -> None:
        """Destroy the client; records that were not flushed are lost."""
        if self._handle:
            topic_destroy, destroy = self._destroys
            for topic in self._topics.values():
                topic_destroy(topic)
            destroy(self._handle)

    def __len__(self) -> int:
        """Number of records not acknowledged yet.

        Errors that wait for `poll` count too: librdkafka has one number for both.
        """
        waiting: int = LIBRARY.outq_len(self._handle)
        return waiting

    def produce(self, topic: str, records: PackedRecords, partition: int = ANY_PARTITION) -> None:
        """Add records with their key, value, headers and timestamp; wait while the queue is full.

        partition: without one the partitioner chooses.  Raises NotTakenError.
        """
        values, keys, headers = records.values, records.keys, records.headers
        flags = self._lend(values)
        units, rkt = self._units_for(headers.max_per_record), self._topic(topic)
        row, was_empty = 0, False
        while True:
            first = row
            row, error = _produce(
                *(self._handle, rkt, partition, flags, row, units, records.stamps),
                *(values.addresses(), values.sizes, keys.addresses(), keys.sizes),
                *(headers.ends, headers.names, headers.places, headers.sizes),
            )
            if not error:
                return
            try:
                LIBRARY.check(error)
            except KafkaException as exception:
                cause = exception.args[0]
                if cause.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - its public name
                    raise NotTakenError(row, cause) from exception
                if was_empty and row == first:
                    raise NotTakenError(row, KafkaError(cause.code(), _TOO_LARGE)) from exception
            self._waiting()
            self.poll(_FULL_POLL_SECONDS)
            # A record that an empty queue does not take will never have room.
            was_empty = not len(self)

    def _lend(self, values: ByteColumn) -> int:
        """Hold values while there is room; return the flag for lending or copying them."""
        self._release_lent()
        if self._lent_bytes + values.memory.nbytes > _MAX_LENT_BYTES:
            return _COPY
        self._lent.append(values)
        self._lent_bytes += values.memory.nbytes
        return _LENT

    def _release_lent(self) -> None:
        """Release lent values once the client has nothing left to deliver."""
        if self._lent and not len(self):
            self._lent.clear()
            self._lent_bytes = 0

    def _topic(self, name: str) -> int:
        topic = self._topics.get(name)
        if topic is None:
            topic = LIBRARY.topic_new(self._handle, name.encode(), None)
            if topic is None:
                raise NotTakenError(0, KafkaError(LIBRARY.last_error()))
            self._topics[name] = topic
        return topic

    def _units_for(self, headers: int) -> Ints:
        """Memory for the units of one record with this many headers."""
        if len(self._units) < (_UNITS_BEFORE_HEADERS + headers) * _WORDS:
            self._units = np.zeros((_UNITS_BEFORE_HEADERS + headers) * _WORDS, np.int64)
        return self._units

    def poll(self, seconds: float = 0.0) -> None:
        """Serve the client's callbacks: failures, errors, log.  Waits while there are none."""
        LIBRARY.poll(self._handle, milliseconds(seconds))

    def flush(self, seconds: float) -> int:
        """Wait until every record is acknowledged; return how many are not, as `len` does."""
        _flush(self._handle, milliseconds(seconds))
        self._release_lent()
        return len(self)

    def add_brokers(self, brokers: str) -> None:
        """Tell the client its brokers again: it may have forgotten them."""
        LIBRARY.brokers_add(self._handle, brokers.encode())

    def init_transactions(self, seconds: float) -> None:
        """Fence older producers of the transactional id.  Raises KafkaException."""
        LIBRARY.check(LIBRARY.init_transactions(self._handle, milliseconds(seconds)))

    def begin_transaction(self) -> None:
        """Begin a transaction.  Raises KafkaException."""
        LIBRARY.check(LIBRARY.begin_transaction(self._handle))

    def commit_transaction(self, seconds: float) -> None:
        """Flush, and commit the transaction.  Raises KafkaException."""
        _flush(self._handle, milliseconds(min(seconds, _FLUSH_BEFORE_COMMIT_SECONDS)))
        LIBRARY.check(LIBRARY.commit_transaction(self._handle, milliseconds(seconds)))
        self._release_lent()

    def abort_transaction(self, seconds: float) -> None:
        """Drop unsent records and abort the transaction.  Raises KafkaException."""
        LIBRARY.check(LIBRARY.abort_transaction(self._handle, milliseconds(seconds)))
        self._release_lent()


@jit_nogil
def _flush(handle: int, limit: int) -> None:
    """Wait until every record is acknowledged, for at most `limit` milliseconds.

    librdkafka's own flush checks every 10 ms, unless there is something to report, and an
    acknowledged record is not reported.  So it is called for a moment at first, then for a
    quarter of the time waited so far; not more often, because each call wakes its threads.
    """
    waited = 0
    while True:
        moment = min(max(_MIN_FLUSH_MILLISECONDS, waited // 4), limit - waited)
        waited += moment
        if not _flush_for(handle, moment) or waited >= limit:
            return


@jit_nogil
def _produce(  # noqa: PLR0913, PLR0917 - columns, and where they go
    handle: int,
    topic: int,
    partition: int,
    flags: int,
    row: int,
    units: Ints,
    stamps: Ints,
    values: Ints,
    value_sizes: Ints,
    keys: Ints,
    key_sizes: Ints,
    header_ends: Ints,
    header_names: Ints,
    header_values: Ints,
    header_sizes: Ints,
) -> tuple[int, int]:
    """Produce from `row` on.  Returns the row that was not taken and its `rd_kafka_error_t`, or 0.

    units: memory for the `rd_kafka_vu_t` of one record, its headers last.
    """
    units[0 * _WORDS], units[0 * _WORDS + 1] = _RKT, topic
    units[1 * _WORDS], units[1 * _WORDS + 1] = _PARTITION, partition
    units[2 * _WORDS], units[2 * _WORDS + 1] = _FLAGS, flags
    units[3 * _WORDS] = _VALUE
    units[4 * _WORDS] = _KEY
    units[5 * _WORDS] = _TIMESTAMP
    for header in range(_UNITS_BEFORE_HEADERS * _WORDS, len(units), _WORDS):
        units[header] = _HEADER
    header = 0
    if row and len(header_ends):
        header = header_ends[row - 1]
    while row < len(values):
        units[3 * _WORDS + 1], units[3 * _WORDS + 2] = values[row], value_sizes[row]
        units[4 * _WORDS + 1], units[4 * _WORDS + 2] = keys[row], key_sizes[row]
        units[5 * _WORDS + 1] = stamps[row]
        count = _UNITS_BEFORE_HEADERS
        if len(header_ends):
            while header < header_ends[row]:
                at = count * _WORDS
                units[at + 1] = header_names[header]
                units[at + 2] = header_values[header]
                units[at + 3] = header_sizes[header]
                count += 1
                header += 1
        error = _produceva(handle, units.ctypes.data, count)
        if error:
            return row, error
        row += 1
    return row, 0


def _on_failure(failures: list[Failure]) -> Any:  # noqa: ANN401 - ctypes' own
    """Make the delivery callback.  It references only `failures`.

    So an unused producer is freed at once, without garbage collection.
    """

    def on_failure(_: int, message: Any, __: int) -> None:  # noqa: ANN401
        record = message.contents
        reason = LIBRARY.message_produce_errstr(message)  # usually None
        cause = KafkaError(record.err, LIBRARY.text(reason)) if reason else KafkaError(record.err)
        size = record.value_size + record.key_size
        failures.append(Failure(LIBRARY.text(LIBRARY.topic_name(record.topic)), cause, size))

    return DeliveryCallback(on_failure)
