"""A stand-in for the brokers, for tests of what watches and reads the input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import EarliestSpec

from connectors.kafka.access import KafkaAccess
from connectors.kafka.input_watch import InputWatch
from operators.batches import InputPartition


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Topic:
    """A topic of the stand-in.

    first, committed, end: offsets of each partition.  leaderless: partitions without a leader.
    """

    identity: str
    partitions: int
    first: int = 0
    committed: int = 0
    end: int = 0
    leaderless: frozenset[int] = frozenset()


class Cluster:
    """Brokers whose topics a test changes at will; it answers as an admin client.

    topics: by name.  unreachable: whether no broker answers.
    """

    def __init__(self, **topics: Topic) -> None:
        self.topics = topics
        self.unreachable = False

    def partitions(self, *names: str) -> tuple[InputPartition, ...]:
        """Return the partitions of topics, as readers know them."""
        return tuple(
            InputPartition(name, self.topics[name].identity, number)
            for name in names
            for number in range(self.topics[name].partitions)
        )

    def describe_topics(
        self, topics: TopicCollection, *, request_timeout: float
    ) -> dict[str, Future[Any]]:
        """Describe topics, as `AdminClient` does."""
        del request_timeout
        return {name: self._described(name) for name in topics.topic_names}

    def _described(self, name: str) -> Future[Any]:
        if self.unreachable:
            return _failed(KafkaError._ALL_BROKERS_DOWN)
        if name not in self.topics:
            return _failed(KafkaError.UNKNOWN_TOPIC_OR_PART)
        topic = self.topics[name]
        found = [SimpleNamespace(id=number) for number in range(topic.partitions)]
        return _done(SimpleNamespace(topic_id=topic.identity, partitions=found))

    def list_offsets(
        self,
        asked: Mapping[TopicPartition, Any],
        *,
        isolation_level: IsolationLevel,
        request_timeout: float,
    ) -> dict[TopicPartition, Future[Any]]:
        """Return offsets, as `AdminClient` does."""
        del request_timeout
        is_committed = isolation_level is IsolationLevel.READ_COMMITTED
        answers = {}
        for place, which in asked.items():
            topic = self.topics.get(place.topic)
            if topic is None or place.partition in topic.leaderless or self.unreachable:
                answers[place] = _failed(KafkaError.LEADER_NOT_AVAILABLE)
                continue
            if isinstance(which, EarliestSpec):
                offset = topic.first
            else:
                offset = topic.committed if is_committed else topic.end
            answers[place] = _done(SimpleNamespace(offset=offset))
        return answers

    def list_topics(self, topic: str | None = None, *, timeout: float) -> None:
        """Take the question; nobody looks at the answer."""

    def watch(
        self, names: Sequence[str], partitions: Iterable[InputPartition], clock: Clock
    ) -> InputWatch:
        """Make a watch that asks this cluster; a test lets it look."""
        return InputWatch(StandInAccess("no:1", "app", cluster=self), names, partitions, 5.0, clock)


@dataclass(frozen=True)
class StandInAccess(KafkaAccess):
    """Access to a stand-in."""

    cluster: Cluster | None = None

    def admin(self, role: str = "admin") -> AdminClient:
        """Return the cluster: it answers what an admin client is asked."""
        del role
        return cast("AdminClient", self.cluster)


def _done(result: object) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


def _failed(code: int) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(KafkaException(KafkaError(code)))
    return future
