"""A partition whose next records were behind an open transaction counted as idle.

The watermark followed the other partitions, and all records of the transaction were late once it
was committed.  A writer with checkpoints commits after minutes.
"""

import json
import time
from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.endpoints import Endpoints
from tests.integration.job import Job
from tests.integration.topics import Filler, Topics
from tests.model import Record

IDLE_SECONDS = 1.0
LATENESS_SECONDS = 300.0
BEGIN = 1_700_000_000.0


def record(partition: int, number: int, time: float) -> Record:
    event = {
        "event_id": f"{partition}-{number}",
        "user_id": "u",
        "event_type": "t",
        "timestamp": time,
        "data": {},
    }
    return Record(partition, -1, b"k", json.dumps(event).encode())


def answered(topics: Topics) -> int:
    return sum(map(len, topics.read(settled=False).values()))


@pytest.mark.parametrize("is_open", [True, False])
def test_it_holds_the_watermark_until_its_records_are_read(
    make_topics: MakeTopics, tmp_path: Path, is_open: bool
) -> None:
    """One that was read to its end is idle all the same."""
    topics = make_topics(2)
    for topic in topics.outputs.values():
        topics.create(topic)
    at = Endpoints()
    settings = topics.settings | {
        "DEDUP_STOP_AT_END": "false",
        "DEDUP_IDLE_SECONDS": str(IDLE_SECONDS),
        "DEDUP_ALLOWED_LATENESS_SECONDS": str(LATENESS_SECONDS),
        "DEDUP_METRICS_PORT": str(at.port),
    }
    writer = Filler(topics, f"{topics.prefix}-writer")
    writer.producer.begin_transaction()
    topics.produce([record(0, 0, BEGIN), record(1, 0, BEGIN)])
    if is_open:
        for number in range(1, 6):
            writer.add(record(1, number, BEGIN + number))
        writer.finish()

    with Job(settings, tmp_path) as job:
        job.wait_until(lambda: answered(topics) == 2)
        topics.produce([record(0, 1, BEGIN + 10 * LATENESS_SECONDS)])
        job.wait_until(lambda: answered(topics) == 3)

        def idle() -> float:
            return at.samples("dedup_input_partitions")[0]["idle"]

        seen = 3
        if is_open:
            # The other partition is idle soon; one that waits never is.
            job.wait_until(lambda: idle() == 1)
            with pytest.raises(AssertionError, match="not within"):
                job.wait_until(lambda: idle() == 2, 3 * IDLE_SECONDS)
        else:
            # The other partition goes on meanwhile: of two that are idle at once nothing is late.
            while idle() == 0:
                topics.produce([record(0, seen - 1, BEGIN + 10 * LATENESS_SECONDS)])
                seen += 1
                assert seen < 3 + 100 * IDLE_SECONDS
                time.sleep(IDLE_SECONDS / 10)
            for number in range(1, 6):
                writer.add(record(1, number, BEGIN + number))
            writer.finish()
        writer.producer.commit_transaction()
        job.wait_until(lambda: answered(topics) == seen + 5)

    assert len(topics.read(settled=False)["late"]) == (0 if is_open else 5)
