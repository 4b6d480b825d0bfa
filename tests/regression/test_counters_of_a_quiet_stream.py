"""At least once, counters of what was written stood still until the epoch ended."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from connectors.at_least_once.sink import KafkaSink, SinkSettings
from connectors.kafka.access import KafkaAccess
from operators.batches import Records
from operators.encode.encoder import Output
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from tests.integration.mock_brokers import MockBrokers, mock_brokers
from tests.integration.topics import VERDICTS

# As the interface says; and a busy machine is given time for the way to the broker.
_BEHIND_SECONDS = 2.0
_SECONDS = 20.0
_UNIQUE = 0


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers() as found:
        for topic in VERDICTS:
            found.create(topic)
        yield found


def test_what_is_with_the_brokers_is_counted_though_nothing_comes(brokers: MockBrokers) -> None:
    observer = Observer(Metrics())
    access = KafkaAccess(brokers.bootstrap, "app", {"log_level": 0})
    topics = {verdict: verdict for verdict in VERDICTS}
    sink = KafkaSink(SinkSettings(access, topics, lanes=1), observer)
    lane = sink.build_part("sink", sink.list_parts()[0], None)
    values = [b"%d" % number for number in range(1000)]
    records = Records(np.arange(len(values)), values, [b"k"] * len(values))

    lane.write_batch([Output(0, 1, 1, _UNIQUE, records, time.time())])
    [output] = sink._outputs.values()
    deadline = time.monotonic() + _SECONDS
    while len(output._producer._producer):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    delivered = time.monotonic()
    while observer.processed < len(values):
        assert time.monotonic() < delivered + _BEHIND_SECONDS, observer.processed
        time.sleep(0.01)

    assert observer.counts["unique"] == len(values)
    lane.close()
    assert observer.processed == len(values)
