"""What a reader makes of what its client gets: whose records they are, who is idle, what lags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError

from connectors.kafka import input_client
from connectors.kafka.input_reader import InputReader
from connectors.kafka.input_watch import InputWatch
from connectors.kafka.offsets import PartitionEnd
from connectors.kafka.partition_reading import SHARES, share_of
from connectors.kafka.source_settings import SourceSettings
from connectors.librdkafka.column_consumer import Event, Fetched, Place
from connectors.librdkafka.request_counts import Request
from operators.batches import Batch, InputPartition, Records, Span
from operators.errors import SourceError
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import InputStatus, Observer
from tests.input_cluster import Clock, Cluster, StandInAccess, Topic

IDLE_SECONDS = 30.0


class Responses(dict[Request, int]):
    """Counts of the stand-in client's responses."""

    @property
    def total(self) -> int:
        return sum(self.values())


class Client:
    """A stand-in for the client: a test says what it has got.  made: all clients, the last last."""

    made: list[Client]

    def __init__(self, settings: Mapping[str, Any]) -> None:
        del settings
        self.responses = Responses({Request.METADATA: 1, Request.FETCH: 0})
        self.is_silent = False
        self.waiting: list[tuple[Place, list[int]]] = []
        self.events: list[Event] = []
        self.ends: dict[Place, int] = {}
        self.begun: dict[Place, int] = {}
        self.told: list[str] = []
        self.made.append(self)

    def add(self, offsets: Mapping[Place, int]) -> None:
        self.begun.update(offsets)

    def read(self, max_records: int, size_bytes: int) -> Fetched:
        del max_records, size_bytes
        self.responses[Request.FETCH] += not self.is_silent
        waiting, self.waiting = self.waiting, []
        events, self.events = self.events, []
        offsets = [offset for _, own in waiting for offset in own]
        ends = np.cumsum([len(own) for _, own in waiting]).tolist()
        records = Records(np.array(offsets, np.int64), [b"x"] * len(offsets))
        return Fetched(records, [place for place, _ in waiting], ends, events)

    def known_end(self, place: Place) -> int:
        return self.ends.get(place, -1)

    def add_brokers(self, brokers: str) -> None:
        self.told.append(brokers)

    def close(self) -> None:
        pass


class Reading:
    """A reader of one partition of topic `a`, with all that a test changes."""

    def __init__(self) -> None:
        self.cluster = Cluster(a=Topic("a1", 1))
        self.clock, self.wall = Clock(), Clock(5000.0)
        self.observer = Observer(Metrics())
        self.watch: InputWatch = self.cluster.watch(["a"], self.cluster.partitions("a"), self.clock)
        access = StandInAccess("no:1", "app", cluster=self.cluster)
        settings = SourceSettings(access, ["a"], idle_seconds=IDLE_SECONDS)
        self.reader = InputReader(settings, self.watch, {}, self.observer, self.wall)
        for share in range(SHARES):
            self.reader.take(share, dict.fromkeys(self.watch.partitions, 0))

    @property
    def client(self) -> Client:
        return Client.made[-1]

    def look(self) -> None:
        """Let the watch look, as its thread does."""
        assert self.watch._check()
        self.watch.checked = self.watch._requested

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.wall.now += seconds

    def read(self) -> Batch | None:
        batches: Sequence[Batch] = self.reader.read()
        return batches[0] if batches else None

    def records(self, *offsets: int, place: Place = ("a", 0)) -> Batch | None:
        """Read records that came without an answer about topics since the last look."""
        self.client.waiting.append((place, list(offsets)))
        batch = self.read()
        if batch is None:
            self.look()
            batch = self.read()
        return batch

    def span(self) -> Span:
        """Return the next span, after the pause that a reader makes between two looks."""
        self.wait(0.5)
        batch = self.read()
        assert batch is not None
        [span] = batch.spans.spans
        return span

    def end_is(self, committed: int, end: int) -> None:
        """Let the watch learn the end of the partition now."""
        self.cluster.topics["a"].committed, self.cluster.topics["a"].end = committed, end
        self.watch._ask_ends()


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    monkeypatch.setattr(Client, "made", [], raising=False)
    monkeypatch.setattr(input_client, "ColumnConsumer", Client)
    return Reading()


def test_partitions_of_a_topic_are_spread_evenly_over_shares() -> None:
    def shares(topic: InputPartition, partitions: int) -> Counter[int]:
        return Counter(share_of(topic._replace(partition=n)) for n in range(partitions))

    for topic in (InputPartition("a", "a1", 0), InputPartition("a", "", 0)):
        assert set(shares(topic, SHARES).values()) == {1}
        assert set(shares(topic, 3 * SHARES).values()) == {3}
        assert len(shares(topic, 5)) == 5
    # Topics of one partition each do not all go to one share.
    starts = Counter(share_of(InputPartition("a", f"id-{number}", 0)) for number in range(640))
    assert max(starts.values()) < 30
    assert len(starts) > SHARES * 0.9


def test_a_share_does_not_change_with_the_name_of_a_topic_that_has_an_id() -> None:
    assert share_of(InputPartition("a", "x", 3)) == share_of(InputPartition("b", "x", 3))
    assert share_of(InputPartition("a", "", 0)) != share_of(InputPartition("b", "", 0))


def test_records_are_in_doubt_until_the_watch_has_looked(reading: Reading) -> None:
    reading.client.waiting.append((("a", 0), [0, 1]))

    assert reading.read() is None
    assert reading.read() is None
    reading.look()
    batch = reading.read()
    assert batch is not None
    assert batch.records.offsets.tolist() == [0, 1]
    assert (batch.spans.spans[0].start, batch.spans.spans[0].end) == (0, 2)
    # Without another answer about topics there is no doubt.
    reading.client.waiting.append((("a", 0), [2]))
    assert reading.read() is not None
    reading.client.responses[Request.METADATA] += 1
    reading.client.waiting.append((("a", 0), [3]))
    assert reading.read() is None


def test_records_of_a_topic_that_was_created_again_are_not_taken_for_old_ones(
    reading: Reading,
) -> None:
    reading.records(0, 1, 2)
    old = reading.client
    reading.cluster.topics["a"] = Topic("a2", 1)
    old.responses[Request.METADATA] += 1
    old.waiting.append((("a", 0), [3, 4]))  # offsets of the new topic

    assert reading.read() is None
    reading.look()
    batch = reading.read()
    assert batch is not None
    assert len(batch.records) == 0  # what was in doubt is not read
    assert batch.known == reading.watch.partitions
    gone, new = sorted(batch.spans.spans, key=lambda span: span.partition)
    assert (gone.partition.topic_id, gone.gone, gone.end) == ("a1", True, 3)
    assert (new.partition.topic_id, new.gone, new.end) == ("a2", False, 0)
    assert reading.client is not old
    assert reading.client.begun == {("a", 0): 0}
    batch = reading.records(0, 1)
    assert batch is not None
    assert [(span.partition.topic_id, span.end) for span in batch.spans.spans] == [("a2", 2)]


def test_a_topic_that_comes_back_after_a_while_is_read_on(reading: Reading) -> None:
    """Lanes refuse a second span from its start."""
    reading.records(0, 1, 2)
    topic = reading.cluster.topics.pop("a")
    reading.look()
    reading.wait(60.0)
    reading.look()
    assert reading.span().gone
    assert not reading.observer.inputs

    reading.cluster.topics["a"] = topic
    reading.look()
    reading.span()
    assert reading.client.begun == {("a", 0): 3}
    batch = reading.records(3)
    assert batch is not None
    assert (batch.spans.spans[0].start, batch.spans.spans[0].end) == (3, 4)


def test_a_run_with_an_end_does_not_wait_for_partitions_that_it_leaves(reading: Reading) -> None:
    settings = replace(reading.reader._settings, stop_at_end=True)
    stops = dict.fromkeys(reading.watch.partitions, 2)
    reading.reader = InputReader(settings, reading.watch, stops, reading.observer, reading.wall)
    for share in range(SHARES):
        reading.reader.take(share, dict.fromkeys(reading.watch.partitions, 0))
    reading.cluster.topics["a"] = Topic("a1", 2)
    reading.look()

    batch = reading.records(0, 1)
    assert batch is not None
    assert batch.known == reading.cluster.partitions("a")[:1]
    assert reading.reader.ended


def test_an_offset_that_is_gone_is_an_error_only_in_the_same_topic(reading: Reading) -> None:
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET, "Offset out of range")
    reading.records(0)
    reading.client.events.append(Event(error, ("a", 0), 1))

    assert reading.read() is None
    reading.look()
    with pytest.raises(SourceError, match="offset 1 of a/0 cannot be read"):
        reading.read()


def test_an_offset_that_is_gone_because_the_topic_is_another_is_none(reading: Reading) -> None:
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET, "Offset out of range")
    reading.records(0)
    reading.cluster.topics["a"] = Topic("a2", 1)
    reading.client.events.append(Event(error, ("a", 0), 1))

    assert reading.read() is None
    reading.look()
    assert reading.read() is not None
    assert reading.client.begun == {("a", 0): 0}


def test_a_quiet_partition_that_was_read_to_its_end_is_idle(reading: Reading) -> None:
    reading.records(0, 1, 2)
    reading.wait(IDLE_SECONDS / 2)
    assert not reading.span().idle
    reading.wait(IDLE_SECONDS / 2)
    reading.end_is(3, 3)

    assert reading.span().idle
    assert reading.records(3) is not None
    assert not reading.span().idle


def test_a_partition_without_an_answer_about_its_end_is_not_idle(reading: Reading) -> None:
    reading.records(0, 1, 2)
    reading.wait(10 * IDLE_SECONDS)

    assert not reading.span().idle


def test_an_answer_from_before_the_last_record_does_not_make_idle(reading: Reading) -> None:
    [partition] = reading.watch.partitions
    reading.records(0, 1, 2)
    before = reading.clock.now
    reading.watch.ends = {partition: PartitionEnd(3, 3, before)}
    reading.wait(1.0)
    reading.records(3)
    # What came since may be behind that end.
    reading.watch.ends = {partition: PartitionEnd(4, 4, before)}
    reading.wait(IDLE_SECONDS)
    assert not reading.span().idle
    reading.watch.ends = {partition: PartitionEnd(4, 4, before + 1.0)}

    assert reading.span().idle


@pytest.mark.parametrize("committed, end", [(3, 5), (5, 5)], ids=["open transaction", "not read"])
def test_records_that_were_not_read_hold_a_partition(
    reading: Reading, committed: int, end: int
) -> None:
    reading.records(0, 1, 2)
    reading.wait(IDLE_SECONDS)
    reading.span()
    reading.end_is(committed, end)
    assert not reading.span().idle

    # The transaction was aborted: the client says how far the end is.
    reading.client.events.append(Event(KafkaError(KafkaError._PARTITION_EOF), ("a", 0), 5))
    reading.read()
    assert reading.span().idle


def test_lag_is_unknown_without_an_answer(reading: Reading) -> None:
    [partition] = reading.watch.partitions
    reading.records(0, 1, 2)
    reading.reader.report_lag()
    assert reading.observer.inputs == {partition: InputStatus(None, "unreachable")}
    reading.client.ends["a", 0] = 10
    reading.reader.report_lag()
    assert reading.observer.inputs == {partition: InputStatus(7, "read")}

    # What the client knows is old when nothing has come for long.
    reading.wait(IDLE_SECONDS + 1)
    reading.reader.report_lag()
    assert reading.observer.inputs == {partition: InputStatus(None, "unreachable")}
    reading.span()
    reading.end_is(3, 3)
    reading.span()
    reading.reader.report_lag()
    assert reading.observer.inputs == {partition: InputStatus(0, "idle")}


def test_a_client_that_gets_no_answer_is_told_its_brokers_and_then_replaced(
    reading: Reading,
) -> None:
    reading.records(0, 1, 2)
    old = reading.client
    old.is_silent = True
    reading.span()
    for seconds, told, clients in ((12.0, [], 1), (6.0, ["no:1"], 1), (10.0, ["no:1"], 1)):
        reading.wait(seconds)
        reading.watch.answered_at = reading.clock.now
        reading.read()
        assert (old.told, len(Client.made)) == (told, clients)
    reading.wait(10.0)
    reading.watch.answered_at = reading.clock.now
    reading.read()

    assert len(Client.made) == 2
    assert reading.client.begun == {("a", 0): 3}


def test_a_client_is_left_alone_while_no_broker_answers_anybody(reading: Reading) -> None:
    reading.records(0)
    reading.client.is_silent = True
    reading.wait(500.0)
    reading.read()

    assert (reading.client.told, len(Client.made)) == ([], 1)


def test_the_third_client_without_answers_ends_the_job(reading: Reading) -> None:
    reading.records(0)

    def wait_without_answers() -> None:
        for _ in range(20):
            reading.client.is_silent = True
            reading.wait(16.0)
            reading.watch.answered_at = reading.clock.now
            reading.read()

    with pytest.raises(SourceError, match="brokers answer, but not to the clients"):
        wait_without_answers()
    assert len(Client.made) == 3


def test_a_wall_clock_that_steps_back_delays_no_heartbeat(reading: Reading) -> None:
    """Nor the look at the partition's end and at its lag; it is idle that long after the step."""
    reading.records(0, 1, 2)
    reading.span()
    reading.wall.now -= 1000.0

    assert not reading.span().idle
    reading.client.ends["a", 0] = 10
    reading.wait(1.0)
    reading.read()
    assert reading.observer.inputs[reading.watch.partitions[0]].lag == 7
    reading.wait(IDLE_SECONDS)
    reading.end_is(3, 3)
    assert reading.span().idle


def test_what_a_partition_had_when_it_was_found_is_marked_until_it_was_read(
    reading: Reading,
) -> None:
    topic = reading.cluster.topics["a"]
    topic.partitions, topic.first, topic.committed = 2, 3, 8
    reading.look()
    assert ends_of_history(reading, 0, [0, 1]) == [None]
    assert ends_of_history(reading, 1, [3, 4]) == [8]
    assert ends_of_history(reading, 1, [6, 9]) == [8]
    assert ends_of_history(reading, 1, [10]) == [None]


def ends_of_history(reading: Reading, number: int, offsets: list[int]) -> list[int | None]:
    """Read records of a partition; return what its spans with records say."""
    batch = reading.records(*offsets, place=("a", number))
    assert batch is not None
    return [
        span.history_end
        for span in batch.spans.spans
        if span.partition.partition == number and span.start != span.end
    ]
