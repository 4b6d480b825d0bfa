"""A batch was cut by the bytes of its values: large headers and keys took memory uncounted.

200 MB in a batch of 20,000 records with 10 kB of headers each, and a Python object for each.
"""

import time

import numpy as np
import pytest

from connectors.kafka.access import KafkaAccess
from connectors.librdkafka.column_consumer import ColumnConsumer
from operators.batches import Batch, Records
from operators.coalesce import batch_limit, coalesce
from tests.builders import span_of
from tests.integration.conftest import MakeTopics
from tests.model import Record

SECONDS = 30.0
RECORDS = 3_000
# The consumer looks at the size after each thousand.
CHUNK = 1_000
LARGE = b"x" * 10_000


@pytest.mark.parametrize(
    "record",
    [Record(0, -1, None, b"v", [("h", LARGE)]), Record(0, -1, LARGE, b"v")],
    ids=["headers", "keys"],
)
def test_the_consumer_stops_after_their_bytes(make_topics: MakeTopics, record: Record) -> None:
    topics = make_topics()
    topics.produce([record] * RECORDS)
    consumer = ColumnConsumer(
        {
            **KafkaAccess(topics.bootstrap, topics.prefix).consumer_settings(),
            "queued.max.messages.kbytes": 100_000,
        }
    )
    consumer.add({(topics.input, 0): 0})
    # All records are there before the first reading.
    deadline = time.monotonic() + SECONDS
    while consumer.known_end((topics.input, 0)) < RECORDS:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(2.0)

    sizes: list[int] = []
    while sum(sizes) < RECORDS:
        assert time.monotonic() < deadline
        sizes.append(len(consumer.read(2 * RECORDS, batch_limit(1).size_bytes).records))
    assert max(sizes) == CHUNK


def test_batches_are_not_put_together_beyond_their_bytes() -> None:
    def batch(number: int) -> Batch:
        headers = [(("h", LARGE),)] * 100
        records = Records(np.arange(100) + 100 * number, [b"v"] * 100, headers=headers)
        assert records.size_bytes == 100 * (1 + 1 + len(LARGE))
        return Batch.of(span_of(0, 100 * number, 100 * number + 100, 0.0), records)

    sizes = [len(one.records) for one in coalesce(map(batch, range(20)), lanes=1)]
    assert sum(sizes) == 2_000
    assert max(sizes) * len(LARGE) <= batch_limit(1).size_bytes
