"""Reading columns: every record as it was written, and the consumer's events."""

import gc
import logging
import time
import weakref
from collections import Counter
from dataclasses import replace

import numpy as np
import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka.access import KafkaAccess
from connectors.librdkafka.column_consumer import ColumnConsumer, Event
from connectors.librdkafka.request_counts import Request as Kind
from operators.batches import Records
from tests.integration.conftest import MakeTopics
from tests.integration.mock_brokers import Request, mock_brokers
from tests.integration.streams import events
from tests.integration.topics import Filler, Topics, read_topics
from tests.model import Record

SECONDS = 30.0
MANY = 1_000_000_000
LOG = logging.getLogger("tests.column_consumer")


@pytest.fixture
def topics(make_topics: MakeTopics) -> Topics:
    """A topic of two partitions; tests read the second."""
    return make_topics(2)


def make_consumer(topics: Topics, **settings: object) -> ColumnConsumer:
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    return ColumnConsumer({**access.consumer_settings(), **settings})


def read_from(consumer: ColumnConsumer, topics: Topics, offset: int) -> None:
    consumer.add({(topics.input, 1): offset})


def fill(topics: Topics, count: int, **changed: object) -> list[Record]:
    drafts = events(count, seed=1)
    return topics.produce(replace(draft, partition=1, **changed) for draft in drafts)  # type: ignore[arg-type]


def read_to_end(
    consumer: ColumnConsumer, max_records: int = 10_000, size_bytes: int = MANY
) -> tuple[list[Records], list[Event]]:
    """Read until an event; return all batches and the events."""
    batches: list[Records] = []
    events_met: list[Event] = []
    deadline = time.monotonic() + SECONDS
    while not events_met:
        assert time.monotonic() < deadline, "no end"
        fetched = consumer.read(max_records, size_bytes)
        batches.append(fetched.records)
        events_met = list(fetched.events)
    return batches, events_met


def rows_of(batches: list[Records]) -> list[tuple[object, ...]]:
    """Offset, key, value, headers, timestamp of each record."""
    rows: list[tuple[object, ...]] = []
    for records in batches:
        assert records.keys is not None
        assert records.timestamps is not None
        headers = records.headers or [None] * len(records)
        columns = (records.offsets.tolist(), records.keys, records.values, headers)
        rows += zip(*columns, records.timestamps.tolist(), strict=True)
        texts = [*records.values, *records.keys]
        for name, value in (header for own in headers for header in own or ()):
            texts += [name.encode(), value]
        # Header names are counted in characters.
        assert 0 <= sum(len(text or b"") for text in texts) - records.size_bytes <= 2 * len(records)
    return [(*row[:3], list(row[3] or ()), row[4]) for row in rows]  # type: ignore[call-overload]


@pytest.mark.parametrize("max_records", [7, 10_000])
def test_every_record_is_read_as_it_was_written(topics: Topics, max_records: int) -> None:
    """Values, keys and headers may be empty or None, and keep their order."""
    fill(topics, 3_000)
    written = [record for _, record in read_topics(topics.bootstrap, [topics.input])]
    consumer = make_consumer(topics)
    read_from(consumer, topics, 0)
    batches, events_met = read_to_end(consumer, max_records)

    assert rows_of(batches) == [
        (record.offset, record.key, record.value, list(record.headers or ()), record.timestamp_ms)
        for record in written
    ]
    assert max(map(len, batches)) <= max_records
    [end] = events_met
    assert (end.error.code(), end.offset) == (KafkaError._PARTITION_EOF, 3_000)


def test_it_reads_from_the_assigned_offset(topics: Topics) -> None:
    fill(topics, 50)
    consumer = make_consumer(topics)
    read_from(consumer, topics, 20)
    assert [row[0] for row in rows_of(read_to_end(consumer)[0])] == list(range(20, 50))


def test_a_batch_of_large_records_is_small(topics: Topics) -> None:
    fill(topics, 4_000, value=b"x" * 1_000)
    consumer = make_consumer(topics)
    read_from(consumer, topics, 0)
    batches, _ = read_to_end(consumer, size_bytes=1_500_000)

    assert sum(map(len, batches)) == 4_000
    # It checks the size after each thousand.
    assert max(map(len, batches)) <= 2_000


def test_aborted_records_are_not_read(topics: Topics) -> None:
    filler = Filler(topics, transactional_id=f"{topics.prefix}-filler")
    for value, end in (
        (b"aborted", filler.producer.abort_transaction),
        (b"committed", filler.producer.commit_transaction),
    ):
        filler.producer.begin_transaction()
        filler.add(Record(1, -1, None, value))
        filler.producer.flush(SECONDS)
        end(SECONDS)
    consumer = make_consumer(topics)
    read_from(consumer, topics, 0)
    batches, events_met = read_to_end(consumer)

    assert [(row[0], row[1], row[2]) for row in rows_of(batches)] == [(2, None, b"committed")]
    # After the marker of the commit.
    assert events_met[0].offset == 4


def test_an_offset_out_of_range_is_an_event(topics: Topics) -> None:
    fill(topics, 5)
    consumer = make_consumer(topics)
    read_from(consumer, topics, 1_000)
    batches, events_met = read_to_end(consumer)

    assert not any(map(len, batches))
    assert events_met[0].error.code() == KafkaError._AUTO_OFFSET_RESET
    assert "out of range" in events_met[0].error.str()


def test_the_end_is_known_from_what_was_fetched(topics: Topics) -> None:
    fill(topics, 30)
    consumer = make_consumer(topics)
    assert consumer.known_end((topics.input, 1)) < 0
    read_from(consumer, topics, 0)
    read_to_end(consumer)
    assert consumer.known_end((topics.input, 1)) == 30


def test_records_come_grouped_by_partition(topics: Topics) -> None:
    """Partitions that are added while others are read, too; answers to requests are counted."""
    drafts = events(400, seed=1)
    written = topics.produce(
        replace(draft, partition=row // 3 % 2) for row, draft in enumerate(drafts)
    )
    consumer = make_consumer(topics)
    consumer.add({(topics.input, 1): 7})
    places: dict[tuple[str, int], list[int]] = {}
    deadline = time.monotonic() + SECONDS
    while sum(map(len, places.values())) < len(written) - 7:
        assert time.monotonic() < deadline, "no end"
        fetched = consumer.read(150, MANY)
        begin = 0
        for place, end in zip(fetched.places, fetched.ends, strict=True):
            places.setdefault(place, []).extend(fetched.records.offsets[begin:end].tolist())
            begin = end
        assert begin == len(fetched.records)
        if any(event.place == (topics.input, 1) for event in fetched.events):
            consumer.add({(topics.input, 0): 0})
    counts = Counter(record.partition for record in written)
    assert places == {
        (topics.input, 0): list(range(counts[0])),
        (topics.input, 1): list(range(7, counts[1])),
    }
    assert consumer.responses[Kind.FETCH] > 0
    assert consumer.responses.total > consumer.responses[Kind.METADATA] > 0


@pytest.mark.parametrize("wait", [True, False])
def test_the_next_offset_is_committed_to_the_group(topics: Topics, wait: bool) -> None:
    fill(topics, 5)
    consumer = make_consumer(topics)
    read_from(consumer, topics, 0)
    consumer.commit({(topics.input, 1): 3}, wait=wait)
    deadline = time.monotonic() + SECONDS
    while not wait and topics.committed() != {1: 3}:
        assert time.monotonic() < deadline, "not committed"
    consumer.close()
    assert topics.committed() == {1: 3}


def test_an_offset_is_committed_with_a_comment(topics: Topics) -> None:
    consumer = make_consumer(topics)
    consumer.commit(
        {(topics.input, 0): 3, (topics.input, 1): 4}, {(topics.input, 1): "ä"}, wait=True
    )
    consumer.close()
    asked = [TopicPartition(topics.input, number) for number in range(2)]
    group = Consumer(KafkaAccess(topics.bootstrap, topics.prefix).consumer_settings("test"))
    found = group.committed(asked, SECONDS)
    group.close()
    assert [(one.offset, one.metadata or "") for one in found] == [(3, ""), (4, "ä")]


def test_without_a_group_it_is_refused(topics: Topics) -> None:
    with pytest.raises(KafkaException) as raised:
        make_consumer(topics, **{"group.id": ""})
    assert raised.value.args[0].code() == KafkaError._UNKNOWN_GROUP


def test_a_failed_commit_is_an_error() -> None:
    with mock_brokers() as brokers:
        settings = {"bootstrap.servers": brokers.bootstrap, "group.id": "g"}
        consumer = ColumnConsumer(settings)
        brokers.answer(Request.OFFSET_COMMIT, [KafkaError.GROUP_AUTHORIZATION_FAILED])
        with pytest.raises(KafkaException) as raised:
            consumer.commit({("t", 0): 3}, wait=True)
    assert raised.value.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED


def test_messages_are_freed(topics: Topics) -> None:
    """Reading the same records again and again takes no more memory."""
    fill(topics, 3_000, value=b"x" * 10_000)
    process = psutil.Process()

    def read_all() -> int:
        consumer = make_consumer(topics)
        read_from(consumer, topics, 0)
        batches, _ = read_to_end(consumer, 500)
        assert sum(map(len, batches)) == 3_000
        del batches, consumer
        gc.collect()
        return int(process.memory_info().rss)

    before = max(read_all() for _ in range(2))
    after = min(read_all() for _ in range(5))
    assert after - before < 60_000_000


def test_an_unknown_setting_is_named(topics: Topics) -> None:
    with pytest.raises(KafkaException, match='No such configuration property: "ftch"'):
        make_consumer(topics, ftch=1)


def test_reading_serves_errors_and_log(caplog: pytest.LogCaptureFixture) -> None:
    met: list[KafkaError] = []
    settings = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "error_cb": met.append}
    with caplog.at_level(logging.DEBUG, LOG.name):
        consumer = ColumnConsumer({**settings, "logger": LOG})
        deadline = time.monotonic() + SECONDS
        while not (met and caplog.records):
            assert time.monotonic() < deadline, "no error and no log"
            consumer.read(10, MANY)
            time.sleep(0.05)

    assert met[0].code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
    assert any("Connection refused" in record.getMessage() for record in caplog.records)


def test_an_unused_consumer_is_freed_at_once() -> None:
    """Without garbage collection, which the job turns off."""
    gc.disable()
    try:
        settings = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "logger": LOG}
        consumer = ColumnConsumer({**settings, "error_cb": print})
        gone = weakref.ref(consumer)
        del consumer
        assert gone() is None
    finally:
        gc.enable()


def test_without_records_the_batch_is_empty(topics: Topics) -> None:
    consumer = make_consumer(topics)
    fetched = consumer.read(10, MANY)
    assert (len(fetched.records), list(fetched.events), fetched.places) == (0, [], [])
    assert fetched.records.offsets.dtype == np.int64
