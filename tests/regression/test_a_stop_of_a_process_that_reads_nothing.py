"""SIGTERM to a process that reads nothing (any more) did not reach the others.

They read on, and it ended with status 1 and a false reason after 9 s.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from connectors.kafka.access import KafkaAccess
from connectors.kafka.input_topics import input_partitions
from connectors.kafka.partition_reading import share_of
from tests.integration.conftest import MakeTopics
from tests.integration.embedded import event, settings_for
from tests.integration.job import Job
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs
from tests.integration.topics import Filler, Topics

PROCESSES: Final = 2
SHORT, LONG = 20, 100
# A fetch brings few records, and the next one waits; a changelog would be read as slowly.
SLOWLY: Final = (
    '{"queued.min.messages": 1, "fetch.queue.backoff.ms": 300, "fetch.message.max.bytes": 300}'
)


def stop(job: Job, told: int) -> None:
    """Tell one process to stop; all must end soon."""
    begun = time.monotonic()
    job.send(signal.SIGTERM, [told])
    ended = job.wait(20)
    assert [one.status for one in ended] == [0] * PROCESSES, job.stderr
    assert time.monotonic() - begun < 8
    assert not [line for line in job.stderr.splitlines() if line.startswith("dedup: ")]


def test_it_has_read_all_of_its_input(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics(2)
    for topic in topics.outputs.values():
        topics.create(topic)
    short, told = 0, reader_of(topics, 0)
    assert told != reader_of(topics, 1)
    drafts = events(2 * (SHORT + LONG), seed=1, partitions=2)
    own = [[record for record in drafts if record.partition == number] for number in range(2)]
    filler = Filler(topics)
    for draft in (*own[short][:SHORT], *own[1 - short][:LONG]):
        filler.add(draft)
        filler.producer.flush()  # a batch for each record
    records = filler.finish()
    first = {record.value for record in records if record.partition == short}
    slow = {"DEDUP_CONSUMER": SLOWLY, "DEDUP_GUARANTEE": "at_least_once"}

    with Job(topics.settings | slow, tmp_path, processes=PROCESSES) as job:
        job.wait_until(lambda: first <= answered(topics))
        time.sleep(1)
        stop(job, told)

    committed = topics.committed()
    assert committed[1 - short] < LONG
    done = [record for record in records if record.offset < committed[record.partition]]
    assert_same(outputs(topics.read()), expected_in_any_order(done, topics.input))


def reader_of(topics: Topics, number: int) -> int:
    """Process that reads a partition of the input, each with one worker."""
    access = KafkaAccess(topics.bootstrap, topics.prefix)
    partitions = input_partitions(access, access.admin(), [topics.input])
    return share_of(partitions[number]) % PROCESSES


def answered(topics: Topics) -> set[bytes | None]:
    return {record.value for read in topics.read(settled=False).values() for record in read}


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[int]:
    """A pipe that is the input, and stays open."""
    os.mkfifo(tmp_path / "in.jsonl")
    pipe = os.open(tmp_path / "in.jsonl", os.O_RDWR)
    yield pipe
    os.close(pipe)


@pytest.mark.parametrize("told", range(PROCESSES))
def test_it_has_no_part_of_the_input(tmp_path: Path, writer: int, told: int) -> None:
    unique = tmp_path / "out" / "unique.jsonl"
    with Job(settings_for(tmp_path), tmp_path, processes=PROCESSES) as job:
        os.write(writer, event("a") + b"\n")
        job.wait_until(lambda: unique.exists() and unique.stat().st_size > 0)
        stop(job, told)

    assert unique.read_bytes() == event("a") + b"\n"
