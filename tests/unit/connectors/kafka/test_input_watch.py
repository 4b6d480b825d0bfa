"""What the watch makes of the brokers' answers about topics and about ends."""

import logging
import time

import pytest

from connectors.kafka import input_watch, watched_admin
from connectors.kafka.input_watch import InputWatch
from connectors.kafka.offsets import PartitionEnd
from connectors.kafka.partition_reading import FRESH_SECONDS
from connectors.kafka.requests import KafkaUnreachableError
from operators.batches import InputPartition
from tests.input_cluster import Clock, Cluster, StandInAccess, Topic


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(a=Topic("a1", 2, first=7, committed=20, end=30))


@pytest.fixture
def watch(cluster: Cluster, clock: Clock) -> InputWatch:
    return cluster.watch(["a"], cluster.partitions("a"), clock)


def test_nothing_has_changed(watch: InputWatch) -> None:
    before = watch.partitions

    assert watch._check() == (True, True)
    assert watch.partitions is before  # readers compare by identity
    assert watch.firsts == {}


def test_new_partitions_begin_at_their_first_record(
    watch: InputWatch, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = watch.partitions
    cluster.topics["a"].partitions = 4

    assert watch._check() == (True, True)
    assert watch.partitions == cluster.partitions("a") == (*before, *watch.firsts)
    assert list(watch.firsts.values()) == [7, 7]
    assert caplog.messages == ["topic a has new partitions: 2, 3"]


def test_new_partitions_are_not_read_before_their_leaders_are_elected(
    watch: InputWatch, cluster: Cluster
) -> None:
    before = watch.partitions
    cluster.topics["a"].partitions = 4
    cluster.topics["a"].leaderless = frozenset([3])

    assert not watch._check().is_complete
    # The others are: records in doubt do not wait for an election.
    assert [one.partition for one in watch.partitions if one not in before] == [2]
    cluster.topics["a"].leaderless = frozenset()
    assert watch._check() == (True, True)
    assert watch.partitions == cluster.partitions("a")


def test_a_partition_without_a_leader_does_not_go(watch: InputWatch, cluster: Cluster) -> None:
    before = watch.partitions
    cluster.topics["a"].leaderless = frozenset([0, 1])

    assert watch._check() == (True, True)
    assert watch.partitions is before


def test_a_topic_that_was_created_again_is_another(
    watch: InputWatch, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.topics["a"] = Topic("a2", 2, first=0)

    assert watch._check() == (True, True)
    assert watch.partitions == (InputPartition("a", "a2", 0), InputPartition("a", "a2", 1))
    assert watch.firsts == dict.fromkeys(watch.partitions, 0)
    [line] = caplog.messages
    assert "topic a was deleted and created again" in line


def test_a_topic_that_is_away_for_a_moment_stays(
    watch: InputWatch, cluster: Cluster, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that has just started may not have heard of it."""
    before, topic = watch.partitions, cluster.topics.pop("a")
    for _ in range(5):
        assert watch._check() == (False, True)
        clock.now += 11.0
    cluster.topics["a"] = topic
    assert watch._check() == (True, True)
    # Being away twice for a moment is not being away for long.
    del cluster.topics["a"]
    clock.now += 10.0
    assert watch._check() == (False, True)

    assert watch.partitions is before
    assert caplog.messages == []


def test_a_topic_that_is_away_for_a_minute_is_gone_and_waited_for(
    watch: InputWatch, cluster: Cluster, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    topic = cluster.topics.pop("a")
    assert watch._check() == (False, True)
    clock.now += 60.0
    assert watch._check() == (True, True)

    assert watch.partitions == ()
    assert sum("topic a was deleted" in line for line in caplog.messages) == 1
    for _ in range(8):
        clock.now += 15.0
        assert watch._check() == (True, True)
    waits = [line for line in caplog.messages if "the job waits for it" in line]
    assert len(waits) == 3  # a line a minute

    topic.identity = "a2"
    cluster.topics["a"] = topic
    assert watch._check() == (True, True)
    assert watch.partitions == cluster.partitions("a")
    assert watch.firsts.keys() >= set(watch.partitions)


def test_one_topic_that_is_away_leaves_the_others(clock: Clock) -> None:
    cluster = Cluster(a=Topic("a1", 1), b=Topic("b1", 2))
    watch = cluster.watch(["a", "b"], cluster.partitions("a", "b"), clock)
    del cluster.topics["a"]
    cluster.topics["b"].partitions = 3
    assert watch._check() == (False, True)
    assert [partition.topic for partition in watch.partitions] == ["a", "b", "b", "b"]
    clock.now += 61.0

    assert watch._check() == (True, True)
    assert watch.partitions == cluster.partitions("b")


def test_without_an_answer_nothing_is_taken_for_gone(
    watch: InputWatch, cluster: Cluster, clock: Clock
) -> None:
    before = watch.partitions
    cluster.unreachable = True
    clock.now += 500.0
    with pytest.raises(KafkaUnreachableError):
        watch._check()

    assert watch.partitions is before


def test_ends_are_those_for_readers_of_both_levels(watch: InputWatch, clock: Clock) -> None:
    first, second = watch.partitions
    watch.quiet(1, [first])
    watch.quiet(2, [second])
    asked_at = clock.now
    watch._ask_ends()

    assert watch.ends == dict.fromkeys((first, second), PartitionEnd(20, 30, asked_at))
    watch.quiet(2, [])
    watch._ask_ends()
    assert watch.ends.keys() == {first}


def test_an_end_is_forgotten_after_a_while_without_an_answer(
    watch: InputWatch, cluster: Cluster, clock: Clock
) -> None:
    first, second = watch.partitions
    watch.quiet(1, [first, second])
    watch._ask_ends()
    asked_at = clock.now
    cluster.topics["a"].leaderless = frozenset([1])
    clock.now += FRESH_SECONDS - 1
    watch._ask_ends()
    assert watch.ends[first].asked_at == clock.now
    assert watch.ends[second].asked_at == asked_at
    clock.now += 1
    watch._ask_ends()

    assert watch.ends.keys() == {first}


def test_a_check_that_was_asked_for_is_soon_done(watch: InputWatch, cluster: Cluster) -> None:
    cluster.topics["a"].partitions = 3
    number = watch.request()
    assert watch.checked < number
    watch.start()
    until = time.monotonic() + 10.0
    while watch.checked < number and time.monotonic() < until:
        time.sleep(0.01)
    watch.close()

    assert watch.checked >= number
    assert watch.partitions == cluster.partitions("a")


def test_a_broker_that_is_behind_does_not_bring_a_topic_back(
    watch: InputWatch, cluster: Cluster
) -> None:
    old, new = cluster.topics["a"], Topic("a2", 2, first=0)
    cluster.topics["a"] = new
    assert watch._check() == (True, True)
    after = watch.partitions
    cluster.topics["a"] = old

    # The client that reads may have heard of it from another broker: nothing is certain.
    assert watch._check() == (False, True)
    assert watch.partitions is after
    cluster.topics["a"] = new
    assert watch._check() == (True, True)


def test_no_partition_goes_while_the_topic_is_the_same(watch: InputWatch, cluster: Cluster) -> None:
    before = watch.partitions
    cluster.topics["a"].partitions = 1

    assert watch._check() == (True, True)
    assert watch.partitions is before


@pytest.mark.parametrize("ids", [("", "a1"), ("a1", "")])
def test_a_broker_without_ids_speaks_of_the_same_topic(ids: tuple[str, str], clock: Clock) -> None:
    """Brokers are replaced one by one by those of a version that knows ids, or the other way."""
    cluster = Cluster(a=Topic(ids[0], 2))
    watch = cluster.watch(["a"], cluster.partitions("a"), clock)
    before = watch.partitions
    cluster.topics["a"].identity = ids[1]

    assert watch._check() == (True, True)
    assert watch.partitions == before


def test_a_client_that_gets_no_answers_is_replaced(
    watch: InputWatch, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_admin, "_SILENT_SECONDS", 0.0)
    monkeypatch.setattr(input_watch, "_AGAIN_SECONDS", 0.01)
    cluster.unreachable = True
    dead, alive = watch._admin.client(), Cluster(a=Topic("a1", 3))
    monkeypatch.setattr(StandInAccess, "admin", lambda *_: alive)
    watch.start()
    try:
        wanted = watch.request()
        deadline = time.monotonic() + 10.0
        while watch.checked < wanted:
            assert time.monotonic() < deadline, "nothing was found"
            time.sleep(0.01)
    finally:
        watch.close()

    assert watch._admin.client() is not dead
    assert len(watch.partitions) == 3


def test_where_new_partitions_ended_is_known(watch: InputWatch, cluster: Cluster) -> None:
    cluster.topics["a"].partitions = 3

    assert watch._check() == (True, True)
    assert watch.history == {InputPartition("a", "a1", 2): 20}
