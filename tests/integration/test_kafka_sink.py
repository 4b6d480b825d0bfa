"""The sink at least once: lanes of a worker write together, and count what the brokers have."""

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
# So long that nothing is sent before somebody asks for it.
LATER: dict[str, Any] = {"linger.ms": 60_000}
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
    """All lanes on the worker whose thread this is."""
    return [sink.build_part("sink", name, None) for name in lane_names(LANES)]


def output(lane: int, number: int, values: list[bytes], verdict: int = UNIQUE) -> Output:
    """A verdict batch of one part."""
    records = Records(np.arange(len(values)), values, [b"k"] * len(values))
    return Output(lane, number, 1, verdict, records, time.time())


def wait_until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def client_threads() -> int:
    """Threads of librdkafka clients, which have names of their own."""
    count = 0
    for thread in psutil.Process().threads():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            count += psutil.Process(thread.id).name().startswith("rdk:")
    return count


def test_the_records_of_a_lane_keep_their_order(topics: Topics, observer: Observer) -> None:
    """Of one key, as all of its records are of one lane and go to one partition."""
    lanes = lanes_of(make_sink(topics, observer))
    given: dict[int, list[bytes]] = {lane: [] for lane in range(LANES)}
    for number in range(1, 60):
        for lane in range(LANES):
            values = [b"%d %d %d" % (lane, number, at) for at in range(number * 7 % 50)]
            given[lane] += values
            lanes[lane].write_batch([output(lane, number, values)])
        if number % 20 == 0:
            for partition in lanes:
                partition.snapshot()
    for partition in lanes:
        partition.close()

    found = [record.value for record in topics.read(["unique"])["unique"] if record.value]
    for lane, values in given.items():
        assert [one for one in found if one.startswith(b"%d " % lane)] == values
    assert len(found) == sum(map(len, given.values())) == observer.processed


def test_an_epoch_that_ends_for_one_lane_delivers_what_all_of_the_worker_have(
    topics: Topics, observer: Observer
) -> None:
    lanes = lanes_of(make_sink(topics, observer, **LATER))
    for lane in range(LANES):
        lanes[lane].write_batch([output(lane, 1, [b"%d" % lane])])
    lanes[2].snapshot()

    found = [record.value for record in topics.read(["unique"])["unique"]]
    assert sorted(filter(None, found)) == [b"0", b"1", b"2", b"3"]
    assert observer.records_written == dict.fromkeys(range(LANES), 1)


def test_another_worker_writes_by_itself(topics: Topics, observer: Observer) -> None:
    sink = make_sink(topics, observer, **LATER)
    mine = sink.build_part("sink", "0", None)
    others: list[Partition] = []

    def work() -> None:
        others.append(sink.build_part("sink", "1", None))
        others[0].write_batch([output(1, 1, [b"theirs"])])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    mine.write_batch([output(0, 1, [b"mine"])])
    mine.snapshot()
    assert [one.value for one in topics.read(["unique"])["unique"]] == [b"mine"]
    others[0].close()
    found = Counter(one.value for one in topics.read(["unique"])["unique"])
    assert found == {b"mine": 1, b"theirs": 1}


def test_a_worker_has_one_client_which_goes_with_its_last_lane(
    topics: Topics, observer: Observer
) -> None:
    gc.collect()  # clients of other tests
    before = client_threads()
    sink = make_sink(topics, observer)
    lanes = [sink.build_part("sink", "0", None)]
    # Its main thread, and one for each broker; the first is the address that was given.
    wait_until(lambda: client_threads() > before)
    lanes += [sink.build_part("sink", name, None) for name in lane_names(LANES)[1:]]
    for lane in range(LANES):
        lanes[lane].write_batch([output(lane, 1, [b"v"])])
        lanes[lane].close()
    assert before < client_threads() <= before + 3
    lanes.clear()
    gc.collect()
    wait_until(lambda: client_threads() <= before)


def test_what_the_brokers_have_is_counted_before_the_epoch_ends(
    topics: Topics, observer: Observer
) -> None:
    lanes = lanes_of(make_sink(topics, observer))
    lanes[0].write_batch([output(0, 1, [b"a", b"b"]), output(0, 2, [b"c"], DUPLICATE)])

    def counted() -> bool:
        lanes[1].write_batch([])
        return observer.processed == 3

    wait_until(counted)
    assert observer.counts == dict(zip(VERDICTS, (2, 1, 0, 0), strict=True))


def test_what_the_brokers_do_not_have_is_not_counted(topics: Topics, observer: Observer) -> None:
    lanes = lanes_of(make_sink(topics, observer, **LATER))
    lanes[0].write_batch([output(0, 1, [b"a"])])
    lanes[0].snapshot()
    for number in range(2, 5):
        lanes[0].write_batch([output(0, number, [b"b", b"c"])])
        lanes[1].write_batch([output(1, number - 1, [b"d"])])
    assert observer.processed == 1
    lanes[1].close()
    assert observer.processed == 10


def test_a_verdict_without_a_topic_is_counted_and_dropped(
    topics: Topics, observer: Observer
) -> None:
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    names = topics.outputs | {"duplicate": ""}
    sink = KafkaSink(SinkSettings(access, names, LANES), observer)
    partition = sink.build_part("sink", "0", None)
    partition.write_batch([output(0, 1, [b"a"], DUPLICATE), output(0, 2, [b"b"])])
    partition.close()

    assert [len(found) for found in topics.read().values()] == [1, 0, 0, 0]
    assert (observer.counts["unique"], observer.counts["duplicate"]) == (1, 1)


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers() as started:
        yield started


def test_a_record_that_is_refused_ends_the_lanes_beside_it_too(
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
