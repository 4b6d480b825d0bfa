"""The topics of one test: made, filled, read to their end, and where the group stands."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from connectors.kafka.access import KafkaAccess
from connectors.kafka.requests import retrying
from tests.model import Record

VERDICTS: Final = ("unique", "duplicate", "late", "invalid")
_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_QUIET: Final = {"log_level": 0}


@dataclass(frozen=True)
class Topics:
    """Names that begin with a prefix of the test's own: input, outputs, application id.

    partitions: of the input.
    """

    bootstrap: str
    prefix: str
    partitions: int = 1

    @property
    def input(self) -> str:
        return f"{self.prefix}-in"

    @property
    def outputs(self) -> dict[str, str]:
        """Verdict → topic."""
        return {verdict: f"{self.prefix}-{verdict}" for verdict in VERDICTS}

    @property
    def settings(self) -> dict[str, str]:
        """`DEDUP_*` variables of a job on these topics that stops at their end."""
        names = {f"DEDUP_{verdict.upper()}_TOPIC": topic for verdict, topic in self.outputs.items()}
        return {
            "DEDUP_BROKERS": self.bootstrap,
            "DEDUP_APP_ID": self.prefix,
            "DEDUP_INPUT_TOPIC": self.input,
            "DEDUP_STOP_AT_END": "true",
            **names,
        }

    def create(self, topic: str, partitions: int | None = None, **config: str) -> None:
        """Create a topic with as many partitions as the input unless given otherwise.

        config: topic settings, with _ for the dots.
        """
        settings = {name.replace("_", "."): value for name, value in config.items()}
        new = NewTopic(
            topic, self.partitions if partitions is None else partitions, config=settings
        )
        admin = self.admin()  # held: its answers die with it
        admin.create_topics([new])[topic].result(_SECONDS)

    def delete(self, topic: str) -> None:
        """Delete a topic, and wait until it is gone."""
        admin = self.admin()
        admin.delete_topics([topic])[topic].result(_SECONDS)
        deadline = time.monotonic() + _SECONDS
        while topic in admin.list_topics(timeout=_SECONDS).topics:
            assert time.monotonic() < deadline, f"{topic} is still there"
            time.sleep(_POLL_SECONDS)

    def add_partitions(self, count: int) -> None:
        """Let the input have this many partitions."""
        admin = self.admin()
        admin.create_partitions([NewPartitions(self.input, count)])[self.input].result(_SECONDS)

    def alter(self, topic: str, name: str, value: str) -> None:
        """Set one setting of a topic."""
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        admin = self.admin()  # futures of a client that is gone fail
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(30)

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, **_QUIET})

    def produce(self, drafts: Iterable[Record]) -> list[Record]:
        """Write records to the input, in order; return them with the offsets they got."""
        filler = Filler(self)
        for draft in drafts:
            filler.add(draft)
        return filler.finish()

    def read(
        self, verdicts: Sequence[str] = VERDICTS, *, settled: bool = True
    ) -> dict[str, list[Record]]:
        """Read the output topics to their end, committed records only.  Verdict → records.

        settled: wait for transactions that are being committed; a killed job's may stay open.
        """
        names = {self.outputs[verdict]: verdict for verdict in verdicts}
        found: dict[str, list[Record]] = {verdict: [] for verdict in verdicts}
        if settled:
            wait_until_settled(self.bootstrap, list(names))
        for topic, record in read_topics(self.bootstrap, list(names)):
            found[names[topic]].append(record)
        return found

    def committed(self) -> dict[int, int]:
        """Offsets of the group by partition; those it has none of are left out."""
        consumer = Consumer(_reader(self.bootstrap, self.prefix))
        try:
            wanted = [TopicPartition(self.input, number) for number in range(self.partitions)]
            # A coordinator that is being made or moves says so for a moment.
            access = KafkaAccess(self.bootstrap, self.prefix)
            found = retrying(access, lambda: consumer.committed(wanted, _SECONDS))
        finally:
            consumer.close()
        return {one.partition: one.offset for one in found if one.offset >= 0}

    def ends(self) -> dict[int, int]:
        """Offset behind the last record of each partition of the input."""
        ends = _ends(self.bootstrap, [self.input], "read_committed")
        return {number: end for (_, number), end in ends.items()}


@dataclass
class Filler:
    """Writes records to the input of some topics, one by one.

    transactional_id: with one, the records are in the transaction that the caller begins and ends.
    delivered: how many have got their offset.
    """

    topics: Topics
    transactional_id: str | None = None
    records: list[Record] = field(default_factory=list)
    delivered: int = 0

    def __post_init__(self) -> None:
        settings: dict[str, str | int] = {
            "bootstrap.servers": self.topics.bootstrap,
            "enable.idempotence": "true",
            "linger.ms": 5,
            "message.max.bytes": 100_000_000,  # the topic decides
            **_QUIET,
        }
        if self.transactional_id is not None:
            settings["transactional.id"] = self.transactional_id
        self.producer = Producer(settings)
        if self.transactional_id is not None:
            self.producer.init_transactions(_SECONDS)

    def add(self, draft: Record) -> None:
        """Hand a record to the producer; its offset is known once it was delivered."""
        index = len(self.records)
        self.records.append(draft)

        def delivered(error: KafkaError | None, message: Message) -> None:
            assert error is None, f"a record of the input was not delivered: {error}"
            offset = message.offset()
            assert offset is not None
            self.records[index] = replace(draft, offset=offset)
            self.delivered += 1

        self.producer.produce(
            self.topics.input,
            draft.value,
            draft.key,
            draft.partition,
            delivered,
            timestamp=draft.timestamp_ms or 0,
            headers=list(draft.headers or []),
        )
        self.producer.poll(0)

    def finish(self) -> list[Record]:
        """Wait until all are delivered; return them with their offsets."""
        assert self.producer.flush(_SECONDS) == 0
        return self.records


def read_topics(bootstrap: str, topics: Sequence[str]) -> list[tuple[str, Record]]:
    """Read whole topics, committed records only; of each partition in order."""
    consumer = Consumer(_reader(bootstrap, f"reader-{topics[0]}"))
    try:
        listed = consumer.list_topics(timeout=_SECONDS).topics
        left = {(topic, number) for topic in topics for number in listed[topic].partitions}
        consumer.assign([TopicPartition(topic, number, 0) for topic, number in sorted(left)])
        found = []
        deadline = time.monotonic() + _SECONDS
        while left:
            assert time.monotonic() < deadline, f"no end of {left}"
            for message in consumer.consume(10_000, 0.1):
                topic, number = message.topic(), message.partition()
                assert topic is not None
                assert number is not None
                error = message.error()
                if error is None:
                    deadline = time.monotonic() + _SECONDS
                    found.append((topic, _record(message)))
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard((topic, number))
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
    return found


def wait_until_settled(bootstrap: str, topics: Sequence[str]) -> None:
    """Wait until no transaction is open in some topics.

    A commit has returned before its markers are in the partitions, so that one who reads at once
    does not see what was committed.
    """
    deadline = time.monotonic() + _SECONDS
    while _ends(bootstrap, topics, "read_committed") != _ends(
        bootstrap, topics, "read_uncommitted"
    ):
        assert time.monotonic() < deadline, f"a transaction stays open in {topics}"
        time.sleep(_POLL_SECONDS)


def _ends(bootstrap: str, topics: Sequence[str], isolation: str) -> dict[tuple[str, int], int]:
    """Offset behind the last record that a reader may see, for each partition."""
    consumer = Consumer({**_reader(bootstrap, "ends"), "isolation.level": isolation})
    try:
        listed = consumer.list_topics(timeout=_SECONDS).topics
        return {
            (topic, number): consumer.get_watermark_offsets(TopicPartition(topic, number))[1]
            for topic in topics
            for number in listed[topic].partitions
        }
    finally:
        consumer.close()


def _reader(bootstrap: str, group: str) -> dict[str, str | int | bool]:
    return {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 50,
        **_QUIET,
    }


def _record(message: Message) -> Record:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return Record(
        partition=partition,
        offset=offset,
        key=message.key(),
        value=message.value(),
        headers=cast("list[tuple[str, bytes | None]]", message.headers() or []),
        timestamp_ms=message.timestamp()[1],
    )
