"""Lent values: held as long as the client may read them, and no longer."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from connectors.librdkafka.column_producer import ColumnProducer
from connectors.librdkafka.packed_records import PackedRecords
from operators.batches import Records
from operators.columns.byte_column import ByteColumn
from tests.integration.conftest import MakeTopics
from tests.integration.topics import Topics

SECONDS = 30.0
LATER = {"linger.ms": 20_000, "enable.idempotence": True}
SIZE, COUNT = 1_000, 1_000


@pytest.fixture
def topics(make_topics: MakeTopics) -> Topics:
    topics = make_topics(1)
    topics.create(topics.outputs["unique"])
    return topics


def column(letter: bytes) -> ByteColumn:
    """A megabyte of values."""
    memory = np.frombuffer(letter * (SIZE * COUNT), np.uint8).copy()
    return ByteColumn(memory, np.full(COUNT, SIZE))


def packed(values: ByteColumn) -> PackedRecords:
    return PackedRecords(Records(offsets=np.arange(len(values)), values=values))


def transactional(topics: Topics) -> ColumnProducer:
    settings = {**LATER, "bootstrap.servers": topics.bootstrap, "transactional.id": topics.prefix}
    producer = ColumnProducer(settings)
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    return producer


def idempotent(topics: Topics) -> ColumnProducer:
    return ColumnProducer({**LATER, "bootstrap.servers": topics.bootstrap})


def commit(producer: ColumnProducer) -> None:
    producer.commit_transaction(SECONDS)


def abort(producer: ColumnProducer) -> None:
    producer.abort_transaction(SECONDS)


def flush(producer: ColumnProducer) -> None:
    assert producer.flush(SECONDS) == 0


@pytest.mark.parametrize("make, end", [(transactional, commit), (idempotent, flush)])
def test_records_are_written_as_they_were_given(
    topics: Topics,
    make: Callable[[Topics], ColumnProducer],
    end: Callable[[ColumnProducer], None],
) -> None:
    """Also if only the producer holds their values while other memory is allocated."""
    producer = make(topics)
    for letter in (b"a", b"b", b"c"):
        producer.produce(topics.outputs["unique"], packed(column(letter)))
    gc.collect()
    others: list[Any] = [column(b"x") for _ in range(20)]
    end(producer)

    written = [record.value for record in topics.read(["unique"])["unique"]]
    assert written == [letter * SIZE for letter in (b"a", b"b", b"c") for _ in range(COUNT)]
    assert len(others) == 20


@pytest.mark.parametrize(
    "make, end", [(transactional, commit), (transactional, abort), (idempotent, flush)]
)
def test_values_are_released_with_the_last_acknowledgement(
    topics: Topics,
    make: Callable[[Topics], ColumnProducer],
    end: Callable[[ColumnProducer], None],
) -> None:
    producer, values = make(topics), column(b"a")
    memory = weakref.ref(values.memory)
    producer.produce(topics.outputs["unique"], packed(values))
    del values
    assert memory() is not None
    end(producer)
    assert memory() is None


def test_released_values_make_room_for_more(topics: Topics) -> None:
    producer = idempotent(topics)
    for _ in range(20):
        values = column(b"a")
        held = weakref.ref(values.memory)
        producer.produce(topics.outputs["unique"], packed(values))
        del values
        assert held() is not None
        flush(producer)


def test_the_next_record_releases_acknowledged_values(topics: Topics) -> None:
    """Without a flush, as at least once."""
    producer = ColumnProducer({"bootstrap.servers": topics.bootstrap, "enable.idempotence": True})
    values = column(b"a")
    memory = weakref.ref(values.memory)
    producer.produce(topics.outputs["unique"], packed(values))
    del values
    while len(producer):
        producer.poll(0.05)
    producer.produce(topics.outputs["unique"], packed(column(b"b")))
    assert memory() is None
    flush(producer)


def test_only_some_megabytes_are_held_while_the_brokers_are_away() -> None:
    producer = ColumnProducer({**LATER, "bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    held = []
    for _ in range(40):
        values = column(b"a")
        held.append(weakref.ref(values.memory))
        producer.produce("nowhere", packed(values))
        del values
    assert len(producer) >= 40 * COUNT
    assert sum(memory() is not None for memory in held) == 16
