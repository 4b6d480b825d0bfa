"""Producing columns: every record as it was given, and errors of records that are not taken."""

import ctypes
import gc
import logging
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException, cimpl

from connectors.at_least_once.producer import AcknowledgedProducer
from connectors.kafka.access import KafkaAccess
from connectors.librdkafka import library
from connectors.librdkafka.column_producer import ColumnProducer, NotTakenError
from connectors.librdkafka.library import ClientLibrary
from connectors.librdkafka.packed_records import PackedRecords
from operators.batches import Records
from operators.errors import SinkError
from tests.integration.conftest import MakeTopics
from tests.integration.mock_brokers import MockBrokers, Request, mock_brokers
from tests.integration.streams import events
from tests.integration.topics import Topics
from tests.model import Record
from tests.pipeline import records_of

SECONDS = 30.0
LOG = logging.getLogger("tests.column_producer")


def make_producer(bootstrap: str, **settings: object) -> ColumnProducer:
    return ColumnProducer({"bootstrap.servers": bootstrap, "enable.idempotence": True, **settings})


def values_of(values: list[bytes]) -> PackedRecords:
    return PackedRecords(Records(offsets=np.arange(len(values)), values=values))


@pytest.fixture
def topics(make_topics: MakeTopics) -> Topics:
    topics = make_topics(3)
    topics.create(topics.outputs["unique"])
    return topics


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers() as brokers:
        brokers.create("out")
        yield brokers


def written(topics: Topics) -> list[Record]:
    return topics.read(["unique"])["unique"]


@pytest.mark.parametrize("partition", [0, 1, 2])
def test_every_record_is_written_as_it_was_given(topics: Topics, partition: int) -> None:
    """Values, keys and headers may be empty or None, and keep their order."""
    given = events(2_000, seed=partition)
    producer = make_producer(topics.bootstrap)
    for begin in range(0, len(given), 300):
        packed = PackedRecords(records_of(given[begin : begin + 300]))
        producer.produce(topics.outputs["unique"], packed, partition)
    assert producer.flush(SECONDS) == len(producer) == 0
    assert producer.failures == []

    read = written(topics)
    assert {record.partition for record in read} == {partition}
    assert [(record.key, record.value, record.headers or None) for record in read] == [
        (record.key, record.value, record.headers or None) for record in given
    ]
    for before, after in zip(given, read, strict=True):
        if before.timestamp_ms is not None and before.timestamp_ms > 0:
            assert after.timestamp_ms == before.timestamp_ms


def java_partition(key: bytes, partitions: int) -> int:
    """The partition that kafka-clients chooses (`Utils.murmur2` in its source)."""
    low, mixer = 0xFFFFFFFF, 0x5BD1E995
    hashed = (0x9747B28C ^ len(key)) & low
    whole = len(key) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * mixer & low
        word = (word ^ word >> 24) * mixer & low
        hashed = (hashed * mixer & low) ^ word
    if len(key) > whole:
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * mixer & low
    hashed = (hashed ^ hashed >> 13) * mixer & low
    return ((hashed ^ hashed >> 15) & 0x7FFFFFFF) % partitions


def test_a_record_key_has_the_partition_that_java_clients_give_it(topics: Topics) -> None:
    keys = [b"key-%d" % number for number in range(100)]
    producer = make_producer(topics.bootstrap, partitioner="murmur2_random")
    records = Records(offsets=np.arange(100), values=[b"v"] * 100, keys=keys)
    producer.produce(topics.outputs["unique"], PackedRecords(records))
    producer.flush(SECONDS)

    partitions = {record.key: record.partition for record in written(topics)}
    assert partitions == {key: java_partition(key, 3) for key in keys}
    assert set(partitions.values()) == {0, 1, 2}


def test_it_waits_while_the_queue_is_full(topics: Topics) -> None:
    producer = make_producer(topics.bootstrap, **{"queue.buffering.max.messages": 10})
    values = [b"%d" % number for number in range(500)]
    producer.produce(topics.outputs["unique"], values_of(values), 0)
    assert len(producer) <= 10
    producer.flush(SECONDS)

    assert [record.value for record in written(topics)] == values


def test_a_record_larger_than_the_queue_is_refused(topics: Topics) -> None:
    producer = make_producer(topics.bootstrap, **{"queue.buffering.max.kbytes": 1})
    values = [b"a" * 900, b"b" * 900, b"x" * 2_000, b"c"]
    with pytest.raises(NotTakenError, match="larger than the client's queue") as raised:
        producer.produce(topics.outputs["unique"], values_of(values), 0)
    producer.flush(SECONDS)

    assert raised.value.row == 2
    assert [record.value for record in written(topics)] == values[:2]


def test_records_that_had_to_wait_keep_their_headers(topics: Topics) -> None:
    producer = make_producer(topics.bootstrap, **{"queue.buffering.max.messages": 3})
    headers = [[(f"h{n}", b"%d" % n) for n in range(number % 4)] for number in range(50)]
    records = Records(offsets=np.arange(50), values=[b"v"] * 50, headers=headers)
    producer.produce(topics.outputs["unique"], PackedRecords(records), 0)
    producer.flush(SECONDS)

    assert [record.headers or [] for record in written(topics)] == headers


def test_an_error_names_the_row_of_a_refused_record(topics: Topics) -> None:
    producer = make_producer(topics.bootstrap, **{"message.max.bytes": 1_500})
    values = [b"a", b"b", b"x" * 3_000, b"c"]
    with pytest.raises(NotTakenError, match="too large") as raised:
        producer.produce(topics.outputs["unique"], values_of(values), 0)
    producer.flush(SECONDS)

    assert (raised.value.row, raised.value.error.code()) == (2, KafkaError.MSG_SIZE_TOO_LARGE)
    assert [record.value for record in written(topics)] == [b"a", b"b"]


def test_an_invalid_topic_name_is_refused() -> None:
    producer = make_producer("127.0.0.1:1")
    with pytest.raises(NotTakenError, match="Invalid argument") as raised:
        producer.produce("t" * 600, values_of([b"v"]))
    assert raised.value.row == 0


def test_only_undelivered_records_are_reported(topics: Topics) -> None:
    soon = {"topic.metadata.propagation.max.ms": 100}
    producer = make_producer(topics.bootstrap, **soon)
    producer.produce(topics.outputs["unique"], values_of([b"there"]), 0)
    producer.produce("nowhere", values_of([b"one", b"two"]))
    producer.flush(SECONDS)

    failed = [(failure.topic, failure.error.code()) for failure in producer.failures]
    assert failed == [("nowhere", KafkaError.UNKNOWN_TOPIC_OR_PART)] * 2
    assert "unknown topic" in producer.failures[0].error.str().lower()
    assert [record.value for record in written(topics)] == [b"there"]


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.3])
def test_a_flush_waits_as_long_as_asked_while_records_wait(seconds: float) -> None:
    producer = make_producer("127.0.0.1:1")
    producer.produce("nowhere", values_of([b"one", b"two"]))
    began = time.monotonic()
    assert producer.flush(seconds) >= 2  # an error that arrived meanwhile counts too
    assert time.monotonic() - began >= seconds


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(KafkaException, match='No such configuration property: "lingr"'):
        ColumnProducer({"lingr": 1})


def test_conflicting_settings_are_named() -> None:
    with pytest.raises(KafkaException, match="acks"):
        make_producer("127.0.0.1:1", acks=1)


def test_polling_serves_errors_and_log(caplog: pytest.LogCaptureFixture) -> None:
    met: list[KafkaError] = []
    with caplog.at_level(logging.DEBUG, LOG.name):
        producer = make_producer("127.0.0.1:1", logger=LOG, error_cb=met.append)
        for _ in range(100):
            if met and caplog.records:
                break
            producer.poll(0.1)

    assert met[0].code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
    assert "Connection refused" in " ".join(error.str() for error in met)
    record = next(line for line in caplog.records if "Connection refused" in line.getMessage())
    assert record.levelno == logging.ERROR
    assert "[rdkafka#producer-" in record.getMessage()


def test_an_unused_producer_is_freed_at_once() -> None:
    """Without garbage collection, which the job turns off."""
    gc.disable()
    try:
        producer = make_producer("127.0.0.1:1", logger=LOG, error_cb=print)
        gone = weakref.ref(producer)
        del producer
        assert gone() is None
    finally:
        gc.enable()


def test_a_failed_producer_reports_that_first(brokers: MockBrokers) -> None:
    """It does not name a refused record: none of them is to blame."""
    access = KafkaAccess(brokers.bootstrap, "app")
    producer = AcknowledgedProducer(access, "sink", LOG)
    records = Records(offsets=np.arange(1), values=[b"v"])
    producer.produce("out", records)
    producer.flush()
    brokers.answer(Request.PRODUCE, [KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER] * 10)
    producer.produce("out", records)

    with pytest.raises(SinkError, match="the client that writes has failed"):
        producer.flush()


def test_it_counts_delivered_records(brokers: MockBrokers) -> None:
    producer = AcknowledgedProducer(KafkaAccess(brokers.bootstrap, "app"), "sink", LOG)
    assert (producer.produced, producer.check()) == (0, 0)
    producer.produce("out", Records(offsets=np.arange(3), values=[b"v"] * 3))
    producer.flush()
    assert (producer.produced, producer.check()) == (3, 3)
    later = KafkaAccess(brokers.bootstrap, "app", producer={"linger.ms": 60_000})
    producer = AcknowledgedProducer(later, "sink", LOG)
    producer.produce("out", Records(offsets=np.arange(3), values=[b"v"] * 3))
    assert (producer.produced, producer.check()) == (3, 0)


@pytest.mark.parametrize("records", [0, 3])
def test_an_error_that_waits_for_poll_is_not_an_undelivered_record(
    brokers: MockBrokers, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    """Both are in one number of librdkafka; here the brokers go away just after a poll."""

    def poll_and_lose_brokers(client: ColumnProducer, seconds: float = 0.0) -> None:
        del seconds
        brokers.go_away()
        deadline = time.monotonic() + SECONDS
        while not len(client):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    producer = AcknowledgedProducer(KafkaAccess(brokers.bootstrap, "app"), "sink", LOG)
    producer.produce("out", Records(offsets=np.arange(1), values=[b"v"]))
    producer.flush()
    for _ in range(records):
        producer.produce("out", Records(offsets=np.arange(1), values=[b"v"]))
    monkeypatch.setattr(ColumnProducer, "poll", poll_and_lose_brokers)
    producer.flush()
    assert (producer.produced, producer.check()) == (1 + records, 1 + records)


def test_a_time_out_is_retriable() -> None:
    producer = make_producer("127.0.0.1:1", **{"transactional.id": "t"})
    with pytest.raises(KafkaException) as raised:
        producer.init_transactions(0.05)

    error = raised.value.args[0]
    assert error.code() == KafkaError._TIMED_OUT
    assert (error.retriable(), error.fatal(), error.txn_requires_abort()) == (True, False, False)


def test_after_a_fatal_error_no_record_is_taken(brokers: MockBrokers) -> None:
    producer = make_producer(brokers.bootstrap)
    code = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
    break_client = ctypes.CDLL(cimpl.__file__).rd_kafka_test_fatal_error
    break_client(ctypes.c_void_p(producer._handle), code, b"as tests do")

    with pytest.raises(NotTakenError, match="as tests do") as raised:
        producer.produce("out", values_of([b"v"]))
    assert (raised.value.row, raised.value.error.code()) == (0, code)
    assert raised.value.error.fatal()


def test_a_client_without_a_shared_library_is_an_import_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(library._FUNCTIONS, "not_there", (None, ()))
    with pytest.raises(ImportError, match="rd_kafka_not_there is not in confluent_kafka's library"):
        ClientLibrary()
