"""A producer that takes columns of records: one compiled loop instead of a call for each.

confluent_kafka's own producer takes a record a call, makes an object for it, and takes the
interpreter's lock once more to report that it was delivered, asked or not.  That was a
third of the deciding thread's time (docs/adr/0005).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from confluent_kafka import KafkaError, KafkaException
from numba import types

from connectors.librdkafka.callbacks import ClientCallbacks
from connectors.librdkafka.library import LIBRARY, PRODUCER, DeliveryCallback, milliseconds
from connectors.librdkafka.packed_records import NOTHING, PackedRecords
from connectors.librdkafka.request_counts import RequestCounts
from operators.columns.arrays import Ints
from operators.columns.byte_column import ByteColumn
from operators.columns.jit import jit_nogil

ANY_PARTITION: Final = -1

# `rd_kafka_vu_t`: what it is, then up to 64 bytes of it; here as words of 8 bytes.
_WORDS: Final = 9
_RKT, _PARTITION, _VALUE, _KEY, _FLAGS, _TIMESTAMP, _HEADER = 2, 3, 4, 5, 7, 8, 9
_LENT: Final = 0
_COPY: Final = 2  # RD_KAFKA_MSG_F_COPY
# Of values that the client reads where they are.  A column is held as long as any of the
# columns: more of them, and it is given copies, which go one by one.
_MOST_LENT_BYTES: Final = 16 << 20
_FULL_POLL_SECONDS: Final = 0.01
# A commit waits so long by `_flush`; what takes longer is seen soon enough by librdkafka's own.
_FLUSH_BEFORE_COMMIT_SECONDS: Final = 0.25
_SHORTEST_FLUSH_MILLISECONDS: Final = 2
_TOO_LARGE: Final = (
    "larger than the client's queue: raise queue.buffering.max.kbytes in DEDUP_PRODUCER"
)
_BEFORE_HEADERS: Final = 6

llvm.add_symbol("rd_kafka_flush", LIBRARY.address("flush"))
_flush_for: Any = types.ExternalFunction("rd_kafka_flush", types.int32(types.intp, types.int32))
llvm.add_symbol("rd_kafka_produceva", LIBRARY.address("produceva"))
_produceva: Any = types.ExternalFunction(
    "rd_kafka_produceva", types.intp(types.intp, types.intp, types.uintp)
)


class NotTakenError(Exception):
    """A record that the client does not take.  row: which one; those before it were taken."""

    def __init__(self, row: int, error: KafkaError) -> None:
        super().__init__(error.str())
        self.row, self.error = row, error


class Failure(NamedTuple):
    """A record that was not delivered, and why.  size: of its key and value, in bytes."""

    topic: str
    error: KafkaError
    size: int


class ColumnProducer:
    """librdkafka's producer, with or without transactions.

    Promises what librdkafka does; errors are confluent_kafka's.  Only records that were not
    delivered are reported: they are in `failures` after `poll`, `flush`, or a transaction's end.

    Values are lent to the client, not copied: whoever produces them must not change them.
    They are held until it has nothing left to deliver.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """settings: librdkafka's, and `logger` and `error_cb` as confluent_kafka has them.

        Raises KafkaException for a setting that librdkafka does not take.
        """
        rest = dict(settings)
        # In the order that they were met.
        self.failures: list[Failure] = []
        self._handle = 0
        self._topics: dict[str, int] = {}
        # What was lent must not go before the client, not even when modules are empty already.
        self._destroys = LIBRARY.topic_destroy, LIBRARY.destroy
        self._lent: list[ByteColumn] = []
        self._lent_bytes = 0
        rest["delivery.report.only.error"] = True
        # librdkafka calls them until it is destroyed.
        self._callbacks = ClientCallbacks(rest)
        self._on_failure = _on_failure(self.failures)
        conf = LIBRARY.settings(rest)
        self._callbacks.set_up(conf)
        LIBRARY.conf_set_dr_msg_cb(conf, self._on_failure)
        # Of each kind, by how many the client has sent.
        self.sent = RequestCounts(conf)
        self._handle = LIBRARY.client(PRODUCER, conf)
        self._callbacks.begin(self._handle)
        self._units = NOTHING

    def __del__(self) -> None:
        """Let go of it; what was not flushed is lost."""
        if self._handle:
            topic_destroy, destroy = self._destroys
            for topic in self._topics.values():
                topic_destroy(topic)
            destroy(self._handle)

    def __len__(self) -> int:
        """Return of how many records nobody knows yet whether they are delivered.

        It is more while errors wait for `poll`: librdkafka has but one number for both.
        """
        waiting: int = LIBRARY.outq_len(self._handle)
        return waiting

    def produce(self, topic: str, records: PackedRecords, partition: int = ANY_PARTITION) -> None:
        """Add records with their key, value, headers and timestamp; wait while there is no room.

        partition: of the topic; the partitioner chooses without one.  Raises NotTakenError.
        """
        values, keys, headers = records.values, records.keys, records.headers
        flags = self._lend(values)
        units = self._units_for(headers.most)
        rkt = self._topic(topic)
        row, empty = 0, False
        while True:
            begin = row
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
                why = exception.args[0]
                if why.code() != KafkaError._QUEUE_FULL:  # noqa: SLF001 - its public name
                    raise NotTakenError(row, why) from exception
                if empty and row == begin:
                    raise NotTakenError(row, KafkaError(why.code(), _TOO_LARGE)) from exception
            self.poll(_FULL_POLL_SECONDS)
            # If this is so and the next one is refused too, it will never have room.
            empty = not len(self)

    def _lend(self, values: ByteColumn) -> int:
        """Hold on to values, if there is room; return how the client shall take them."""
        self._take_back()
        if self._lent_bytes + values.memory.nbytes > _MOST_LENT_BYTES:
            return _COPY
        self._lent.append(values)
        self._lent_bytes += values.memory.nbytes
        return _LENT

    def _take_back(self) -> None:
        """Let go of what was lent, if the client has nothing left to deliver."""
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
        """Memory for a record with so many headers."""
        if len(self._units) < (_BEFORE_HEADERS + headers) * _WORDS:
            self._units = np.zeros((_BEFORE_HEADERS + headers) * _WORDS, np.int64)
        return self._units

    def poll(self, seconds: float = 0.0) -> None:
        """Take what the client has to tell: failures, errors, log.  Waits if there is nothing."""
        LIBRARY.poll(self._handle, milliseconds(seconds))

    def flush(self, seconds: float) -> int:
        """Wait until everything is with the brokers; return how many are not, as `len` has it."""
        _flush(self._handle, milliseconds(seconds))
        self._take_back()
        return len(self)

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
        self._take_back()

    def abort_transaction(self, seconds: float) -> None:
        """Throw away what waits, and abort the transaction.  Raises KafkaException."""
        LIBRARY.check(LIBRARY.abort_transaction(self._handle, milliseconds(seconds)))
        self._take_back()


@jit_nogil
def _flush(handle: int, most: int) -> None:
    """Wait until everything is with the brokers, for so many milliseconds at most.

    librdkafka's own looks again every 10 ms, unless there is something to report, which a
    record that is with the brokers is not.  So it is called for a moment, then for a quarter
    of what was waited already; not more often, as each call wakes its threads.
    """
    waited = 0
    while True:
        moment = min(max(_SHORTEST_FLUSH_MILLISECONDS, waited // 4), most - waited)
        waited += moment
        if not _flush_for(handle, moment) or waited >= most:
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
    """Produce from a row on; return the row that was not taken and `rd_kafka_error_t`, or 0.

    units: memory for the `rd_kafka_vu_t` of one record, its headers last.
    """
    units[0 * _WORDS], units[0 * _WORDS + 1] = _RKT, topic
    units[1 * _WORDS], units[1 * _WORDS + 1] = _PARTITION, partition
    units[2 * _WORDS], units[2 * _WORDS + 1] = _FLAGS, flags
    units[3 * _WORDS] = _VALUE
    units[4 * _WORDS] = _KEY
    units[5 * _WORDS] = _TIMESTAMP
    for header in range(_BEFORE_HEADERS * _WORDS, len(units), _WORDS):
        units[header] = _HEADER
    header = 0
    if row and len(header_ends):
        header = header_ends[row - 1]
    while row < len(values):
        units[3 * _WORDS + 1], units[3 * _WORDS + 2] = values[row], value_sizes[row]
        units[4 * _WORDS + 1], units[4 * _WORDS + 2] = keys[row], key_sizes[row]
        units[5 * _WORDS + 1] = stamps[row]
        count = _BEFORE_HEADERS
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
    """Make what librdkafka calls.  It holds on to nothing but `failures`.

    So a producer that nobody needs any more goes at once.
    """

    def failed(_: int, message: Any, __: int) -> None:  # noqa: ANN401
        record = message.contents
        said = LIBRARY.message_produce_errstr(message)  # mostly nothing
        why = KafkaError(record.err, LIBRARY.text(said)) if said else KafkaError(record.err)
        size = record.value_size + record.key_size
        failures.append(Failure(LIBRARY.text(LIBRARY.topic_name(record.topic)), why, size))

    return DeliveryCallback(failed)
