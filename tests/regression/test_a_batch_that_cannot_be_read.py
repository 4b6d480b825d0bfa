"""A batch that cannot be read ends the job with one line, and is never skipped.

The job only warned: a batch that could not be decompressed was asked for again and again, one
that was damaged was passed on or skipped, and counted as answered.
"""

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Producer

from connectors.kafka import read_errors
from connectors.kafka.access import KafkaAccess
from connectors.kafka.input_reader import InputReader
from connectors.kafka.input_watch import InputWatch, _Check
from connectors.kafka.partition_reading import share_of
from connectors.kafka.read_errors import PASSING
from connectors.kafka.source_settings import SourceSettings
from deploy.kafka import QUICK_RESTART, Broker, start_broker
from operators.batches import InputPartition
from operators.errors import DedupError, SourceError
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from tests.integration.job import Job, fail, finish
from tests.integration.lane_harness import raising
from tests.integration.mock_brokers import MockBrokers, Request, mock_brokers
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs
from tests.integration.topics import Topics
from tests.model import Record

# Of a batch: where its length is, and how much of it comes before the records.
_LENGTH_AT = 8
_BEFORE_LENGTH_ENDS = 12
_HEADER_BYTES = 61
_BATCHES = 4
_BATCH_RECORDS = 50
_ENDS_SECONDS = 5.0


@dataclass(frozen=True)
class Disk:
    """A broker, and where its logs are."""

    broker: Broker
    folder: Path

    def batches(self, topic: str, partition: int = 0) -> list[tuple[int, int, int]]:
        """Offset, place in the log, and size of each batch of a partition."""
        data, place, found = self._log(topic, partition).read_bytes(), 0, []
        while place + _HEADER_BYTES <= len(data):
            offset, length = struct.unpack_from(">qi", data, place)
            size = length + _BEFORE_LENGTH_ENDS
            if length <= 0:
                break  # the rest was allocated ahead
            found.append((offset, place, size))
            place += size
        return found

    def flip(self, topic: str, place: int, partition: int = 0) -> None:
        """Change a byte of a log, or change it back."""
        with self._log(topic, partition).open("r+b") as log:
            log.seek(place)
            [byte] = log.read(1)
            log.seek(place)
            log.write(bytes([byte ^ 0x01]))

    def _log(self, topic: str, partition: int) -> Path:
        return self.folder / "data" / f"{topic}-{partition}" / f"{0:020d}.log"


@pytest.fixture(scope="module")
def disk(kafka_wanted: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    folder = tmp_path_factory.mktemp("broker")
    with start_broker(settings=QUICK_RESTART, data_dir=folder) as broker:
        yield Disk(broker, folder)


@pytest.fixture
def topics(disk: Disk, topic_prefix: str) -> Topics:
    found = Topics(disk.broker.bootstrap, topic_prefix)
    found.create(found.input)
    return found


def fill(topics: Topics, codec: str) -> list[Record]:
    """Write batches to the input."""
    drafts = events(_BATCHES * _BATCH_RECORDS, seed=5)
    producer = Producer(
        {
            "bootstrap.servers": topics.bootstrap,
            "compression.type": codec,
            "linger.ms": 1000,
            "log_level": 0,
        }
    )
    for number, draft in enumerate(drafts, start=1):
        producer.produce(
            topics.input,
            draft.value,
            draft.key,
            0,
            timestamp=draft.timestamp_ms or 0,
            headers=list(draft.headers or []),
        )
        if not number % _BATCH_RECORDS:
            assert producer.flush(30) == 0
    return [
        Record(0, offset, one.key, one.value, one.headers, one.timestamp_ms)
        for offset, one in enumerate(drafts)
    ]


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_of_the_input(
    disk: Disk, topics: Topics, tmp_path: Path, codec: str, guarantee: str
) -> None:
    records = fill(topics, codec)
    settings = topics.settings | {"DEDUP_GUARANTEE": guarantee}
    if codec != "none":  # else it never comes to decompression
        settings["DEDUP_CONSUMER"] = json.dumps({"check.crcs": False})
    offset, place, size = disk.batches(topics.input)[2]
    assert offset == 2 * _BATCH_RECORDS
    disk.flip(topics.input, place + size // 2)

    line = fail(Job(settings, tmp_path))

    assert f"offset {offset} of {topics.input}/0 cannot be read" in line
    assert ("failed CRC32C check" if codec == "none" else "Decompression") in line
    assert "start again" in line
    wanted = expected_in_any_order(records, topics.input)
    before = outputs(topics.read())
    assert not any(before[verdict] - wanted[verdict] for verdict in wanted)

    disk.flip(topics.input, place + size // 2)
    finish(Job(settings, tmp_path))
    assert_same(outputs(topics.read()), wanted)


def test_of_the_changelog(disk: Disk, topics: Topics, tmp_path: Path) -> None:
    drafts = events(400, seed=6)
    records = topics.produce(drafts[:100])
    settings = topics.settings | {"DEDUP_LANES": "1"}
    finish(Job(settings, tmp_path))
    records += topics.produce(drafts[100:200])
    finish(Job(settings, tmp_path))
    changelog = f"{topics.prefix}-changelog"
    # librdkafka 2.16 may abort where the first batch of a fetch is damaged (its own FIXME).
    offset, place, size = disk.batches(changelog)[1]
    disk.flip(changelog, place + size // 2)
    records += topics.produce(drafts[200:])

    line = fail(Job(settings, tmp_path))

    assert f"offset {offset} of {changelog}/0 cannot be read" in line

    disk.flip(changelog, place + size // 2)
    finish(Job(settings, tmp_path))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


def test_that_is_larger_than_the_client_takes(
    disk: Disk, topic_prefix: str, tmp_path: Path
) -> None:
    """Librdkafka breaks the connection off, and connects again, for as long as it may."""
    topics = Topics(disk.broker.bootstrap, topic_prefix)
    topics.create(topics.input, max_message_bytes="5000000")
    drafts = events(100, seed=7, invalid=False)
    large = drafts[50]
    event = json.loads(large.value or b"")
    event["data"] = {"text": "x" * 3_000_000}
    drafts[50] = replace(large, value=json.dumps(event).encode())
    records = topics.produce(drafts)
    small = {
        "receive.message.max.bytes": 1_100_000,
        "fetch.max.bytes": 1_000_000,
        "message.max.bytes": 1_000_000,
    }

    line = fail(Job(topics.settings | {"DEDUP_CONSUMER": json.dumps(small)}, tmp_path))

    assert f"records of {topics.input} cannot be read" in line
    assert "raise receive.message.max.bytes in DEDUP_CONSUMER" in line

    finish(Job(topics.settings, tmp_path))
    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


TOPIC = "in"


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[DedupError]:
    """Errors that would have ended the process; they are raised too."""
    found: list[DedupError] = []
    raising(monkeypatch, found)
    return found


@pytest.fixture
def brokers() -> Iterator[MockBrokers]:
    with mock_brokers() as found:
        found.create(TOPIC)
        producer = Producer({"bootstrap.servers": found.bootstrap, "log_level": 0})
        producer.produce(TOPIC, b"value", partition=0)
        assert producer.flush(30) == 0
        yield found


def read_one(brokers: MockBrokers, codes: list[int]) -> int:
    """Read while fetches are answered with errors; return how many records were there."""
    access = KafkaAccess(brokers.bootstrap, "app", {"log_level": 0})
    partition = InputPartition(TOPIC, "", 0)
    watch = InputWatch(access, [TOPIC], [partition], _ENDS_SECONDS)
    # These brokers have no controller, which is asked about topics.
    watch._check = lambda: _Check(is_certain=True, is_complete=True)  # type: ignore[method-assign]
    reader = InputReader(SourceSettings(access, [TOPIC]), watch, {}, Observer(Metrics()))
    reader.take(share_of(partition), {partition: 0})
    watch.start()
    brokers.answer(Request.FETCH, codes)
    deadline = time.monotonic() + 20.0
    found = 0
    while not found and time.monotonic() < deadline:
        found = sum(len(batch.records) for batch in reader.read())
        time.sleep(0.01)
    reader.close()
    watch.close()
    return found


# Of the brokers' codes; librdkafka's own are not sent by any broker.
@pytest.mark.parametrize("code", sorted(code for code in PASSING if code > 0 or code == -1))
def test_what_passes_does_not_end_the_job(
    brokers: MockBrokers, failures: list[DedupError], code: int
) -> None:
    assert read_one(brokers, [code, code]) == 1
    assert not failures


@pytest.mark.parametrize(
    "code,advice",
    [
        (KafkaError.INVALID_MSG, "its batch is damaged"),
        (KafkaError.MSG_SIZE_TOO_LARGE, "raise receive.message.max.bytes"),
        (KafkaError.UNSUPPORTED_COMPRESSION_TYPE, "see the brokers' logs"),
        (KafkaError.INCONSISTENT_TOPIC_ID, "see the brokers' logs"),
    ],
)
def test_what_does_not_pass_names_the_offset(
    brokers: MockBrokers, failures: list[DedupError], code: int, advice: str
) -> None:
    del failures  # so that they are raised here
    with pytest.raises(SourceError, match=f"offset 0 of {TOPIC}/0 cannot be read: .*{advice}"):
        read_one(brokers, [code])


def test_what_a_broker_says_for_a_moment_it_may_not_say_for_long(
    brokers: MockBrokers, failures: list[DedupError], monkeypatch: pytest.MonkeyPatch
) -> None:
    del failures
    monkeypatch.setattr(read_errors, "MAX_OUTAGE_SECONDS", 1.0)
    with pytest.raises(SourceError, match=f"offset 0 of {TOPIC}/0 cannot be read"):
        read_one(brokers, [KafkaError.UNKNOWN] * 100)
