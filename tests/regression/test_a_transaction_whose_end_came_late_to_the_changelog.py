"""A lane read its changelog before the end of its last transaction was written there.

After a broker was killed and came back, a drill found a lane whose last committed batch was in
the outputs, but not in its changelog when that was read.  A restart decided the batch again, and
91 records were doubled.  That it came late is the likely cause, not a proven one.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from connectors.exactly_once import transaction_log
from connectors.exactly_once.changelog_format import pack
from operators.changes import Delta, LaneChange, LaneProgress
from operators.errors import StateError
from tests.integration.lane_harness import LaneHarness, make_records

SECONDS = 30.0
LATE_SECONDS = 1.5
RECORDS = 200


@contextmanager
def open_transaction(harness: LaneHarness, sequence: int) -> Iterator[Producer]:
    """Stand for the lane's last transaction: its records are there, its end is not."""
    progress = LaneProgress(sequence, {0: RECORDS}, {0: 1.0}, 1.0)
    producer = Producer(
        {
            "bootstrap.servers": harness.topics.bootstrap,
            "transactional.id": f"{harness.topics.prefix}-late",
        }
    )
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    for value in pack(LaneChange(progress, Delta.empty()), harness.fingerprint):
        producer.produce(harness.changelog.topic, value, partition=0)
    producer.flush(SECONDS)
    yield producer


def answered_once(harness: LaneHarness) -> int:
    """Answer some records, then die; return the sequence of lane 0."""
    run = harness.run()
    run.feed(make_records(0, RECORDS))
    run.snapshot()
    return run.lanes[0].sequence


def test_a_lane_waits_for_it(harness: LaneHarness) -> None:
    sequence = answered_once(harness) + 1
    with open_transaction(harness, sequence) as producer:
        end = threading.Timer(LATE_SECONDS, producer.commit_transaction, [SECONDS])
        end.start()
        began = time.monotonic()
        assert harness.run().lane(0).sequence == sequence
        assert time.monotonic() - began > LATE_SECONDS / 2
        end.join()


def test_one_that_never_ends_is_named(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction_log, "RETRY_TIMEOUT_SECONDS", 0.5)
    sequence = answered_once(harness) + 1
    with open_transaction(harness, sequence) as producer:
        run = harness.run()
        with pytest.raises(StateError, match=r"-changelog, partition 0: a transaction is open"):
            run.lane(0)
        producer.abort_transaction(SECONDS)
    assert harness.run().lane(0).sequence == sequence - 1
