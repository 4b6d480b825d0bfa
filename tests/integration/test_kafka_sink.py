"""The at-least-once sink: a worker's lanes share a client, and count acknowledged records."""

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import psutil
import pytest
from bytewax.outputs import StatefulSinkPartition
from confluent_kafka import KafkaError

from connectors.at_least_once.sink import KafkaSink, SinkSettings
from connectors.kafka.access import KafkaAccess
from operators.batches import Records
from operators.encode.encoder import Output
from operators.errors import DedupError
from operators.lanes.placement import lane_names
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from tests.integration.conftest import MakeTopics
from tests.integration.mock_brokers import MockBrokers, Request, mock_brokers
from tests.integration.topics import VERDICTS, Topics

SECONDS = 30.0
LANES = 4
# Long enough that records are sent only by a flush.
ONLY_ON_FLUSH: dict[str, Any] = {"linger.ms": 60_000}
UNIQUE, DUPLICATE = 0, 1

Partition = StatefulSinkPartition[Output, None]


@pytest.fixture
def topics(make_topics: MakeTopics) -> Topics:
    topics = make_topics(2)
    for topic in topics.outputs.values():
        topics.create(topic)
    return topics


@pytest.fixture
def observer() -> Observer:
    return Observer(Metrics())


def make_sink(topics: Topics, observer: Observer, **producer: Any) -> KafkaSink:  # noqa: ANN401
    access = KafkaAccess(
        topics.bootstrap, topics.prefix, common={"log_level": 0}, producer=producer
    )
    return KafkaSink(SinkSettings(access, topics.outputs, LANES), observer)


def lanes_of(sink: KafkaSink) -> list[Partition]:
    """All lanes, on the worker whose thread this is."""
    return [sink.build_part("sink", name, None) for name in lane_names(LANES)]


def output(lane: int, sequence: int, values: list[bytes], verdict: int = UNIQUE) -> Output:
    """A verdict batch of one part."""
    records = Records(np.arange(len(values)), values, [b"k"] * len(values))
    return Output(lane, sequence, 1, verdict, records, time.time())


def wait_until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def client_threads() -> int:
    """Number of threads of librdkafka clients, which its names tell."""
    count = 0
    for thread in psutil.Process().threads():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            count += psutil.Process(thread.id).name().startswith("rdk:")
    return count


def test_the_records_of_a_lane_keep_their_order(topics: Topics, observer: Observer) -> None:
    """So do the records of a key: they are all in one lane and one partition."""
    lanes = lanes_of(make_sink(topics, observer))
    given: dict[int, list[bytes]] = {lane: [] for lane in range(LANES)}
    for sequence in range(1, 60):
        for lane in range(LANES):
            values = [b"%d %d %d" % (lane, sequence, row) for row in range(sequence * 7 % 50)]
            given[lane] += values
            lanes[lane].write_batch([output(lane, sequence, values)])
        if sequence % 20 == 0:
            for partition in lanes:
                partition.snapshot()
    for partition in lanes:
        partition.close()

    written = [record.value for record in topics.read(["unique"])["unique"] if record.value]
    for lane, values in given.items():
        assert [value for value in written if value.startswith(b"%d " % lane)] == values
    assert len(written) == sum(map(len, given.values())) == observer.processed


def test_the_end_of_an_epoch_delivers_the_records_of_all_lanes_of_the_worker(
    topics: Topics, observer: Observer
) -> None:
    lanes = lanes_of(make_sink(topics, observer, **ONLY_ON_FLUSH))
    for lane in range(LANES):
        lanes[lane].write_batch([output(lane, 1, [b"%d" % lane])])
    lanes[2].snapshot()

    written = [record.value for record in topics.read(["unique"])["unique"]]
    assert sorted(filter(None, written)) == [b"0", b"1", b"2", b"3"]
    assert observer.records_written == dict.fromkeys(range(LANES), 1)


def test_workers_share_no_client(topics: Topics, observer: Observer) -> None:
    sink = make_sink(topics, observer, **ONLY_ON_FLUSH)
    own = sink.build_part("sink", lane_names(LANES)[0], None)
    others: list[Partition] = []

    def work() -> None:
        others.append(sink.build_part("sink", lane_names(LANES)[1], None))
        others[0].write_batch([output(1, 1, [b"other"])])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    own.write_batch([output(0, 1, [b"own"])])
    own.snapshot()
    assert [record.value for record in topics.read(["unique"])["unique"]] == [b"own"]
    others[0].close()
    written = Counter(record.value for record in topics.read(["unique"])["unique"])
    assert written == {b"own": 1, b"other": 1}


def test_a_worker_has_one_client_which_is_freed_with_its_last_lane(
    topics: Topics, observer: Observer
) -> None:
    gc.collect()  # clients of other tests
    before = client_threads()
    sink = make_sink(topics, observer)
    lanes = [sink.build_part("sink", lane_names(LANES)[0], None)]
    # Its main thread, and one for each broker; the bootstrap address counts as a broker.
    wait_until(lambda: client_threads() > before)
    lanes += [sink.build_part("sink", name, None) for name in lane_names(LANES)[1:]]
    for lane in range(LANES):
        lanes[lane].write_batch([output(lane, 1, [b"v"])])
        lanes[lane].close()
    assert before < client_threads() <= before + 3
    lanes.clear()
    gc.collect()
    wait_until(lambda: client_threads() <= before)


def test_acknowledged_records_are_counted_before_the_epoch_ends(
    topics: Topics, observer: Observer
) -> None:
    lanes = lanes_of(make_sink(topics, observer))
    lanes[0].write_batch([output(0, 1, [b"a", b"b"]), output(0, 2, [b"c"], DUPLICATE)])

    def counted() -> bool:
        lanes[1].write_batch([])
        return observer.processed == 3

    wait_until(counted)
    assert observer.counts == dict(zip(VERDICTS, (2, 1, 0, 0), strict=True))


def test_unacknowledged_records_are_not_counted(topics: Topics, observer: Observer) -> None:
    lanes = lanes_of(make_sink(topics, observer, **ONLY_ON_FLUSH))
    lanes[0].write_batch([output(0, 1, [b"a"])])
    lanes[0].snapshot()
    for sequence in range(2, 5):
        lanes[0].write_batch([output(0, sequence, [b"b", b"c"])])
        lanes[1].write_batch([output(1, sequence - 1, [b"d"])])
    assert observer.processed == 1
    lanes[1].close()
    assert observer.processed == 10


def test_a_verdict_without_a_topic_is_counted_and_dropped(
    topics: Topics, observer: Observer
) -> None:
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    names = topics.outputs | {"duplicate": ""}
    sink = KafkaSink(SinkSettings(access, names, LANES), observer)
    partition = sink.build_part("sink", lane_names(LANES)[0], None)
    partition.write_batch([output(0, 1, [b"a"], DUPLICATE), output(0, 2, [b"b"])])
    partition.close()

    assert [len(records) for records in topics.read().values()] == [1, 0, 0, 0]
    assert (observer.counts["unique"], observer.counts["duplicate"]) == (1, 1)


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers() as started:
        yield started


def test_a_refused_record_also_ends_the_other_lanes_of_the_worker(
    brokers: MockBrokers, observer: Observer, failures: list[DedupError]
) -> None:
    topics = Topics(brokers.bootstrap, "refused")
    for topic in topics.outputs.values():
        brokers.create(topic)
    lanes = lanes_of(make_sink(topics, observer))
    brokers.answer(Request.PRODUCE, [KafkaError.MSG_SIZE_TOO_LARGE])
    lanes[0].write_batch([output(0, 1, [b"a"])])

    with pytest.raises(DedupError, match="topic refused-unique refused a record"):
        wait_until(lambda: lanes[1].write_batch([]))
    assert observer.processed == 0
    assert len(failures) == 1
