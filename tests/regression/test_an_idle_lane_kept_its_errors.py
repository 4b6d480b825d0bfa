"""What a lane's client had to say while the lane was idle came out with its next records.

librdkafka keeps errors and log lines until the client is polled: they piled up, and named an
outage that was long over.
"""

import logging
import threading
import time

import pytest

from connectors.exactly_once import lane_writer
from connectors.librdkafka.column_producer import ColumnProducer
from deploy.kafka import Broker
from tests.integration.lane_harness import LaneHarness, make_records
from tests.integration.topics import Topics

SECONDS = 60.0
WORDY = {"log_level": 6, "reconnect.backoff.max.ms": 500}


def test_an_outage_is_told_while_it_lasts(
    own_broker: Broker,
    topic_prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    topics = Topics(own_broker.bootstrap, topic_prefix)
    topics.create(topics.input)
    harness = LaneHarness(topics, producer=dict(WORDY))
    run = harness.run()
    run.feed(make_records(0, 10))
    run.settle()
    with caplog.at_level(logging.INFO, "dedup.kafka"):
        own_broker.kill()

        deadline = time.monotonic() + SECONDS
        lanes = [f"{topic_prefix}-lane-{lane}#" for lane in range(harness.lanes)]
        # The same line of several clients may be logged once.
        while not any(lane in caplog.text for lane in lanes):
            assert time.monotonic() < deadline, caplog.text
            time.sleep(0.1)
    run.end()


def test_only_the_lanes_own_thread_uses_its_client(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_writer, "_POLL_SECONDS", 0.01)
    polled: list[str] = []
    poll = ColumnProducer.poll

    def noted(client: ColumnProducer, seconds: float = 0.0) -> None:
        polled.append(threading.current_thread().name)
        poll(client, seconds)

    run = harness.run()
    run.feed(make_records(0, 10))
    run.settle()
    monkeypatch.setattr(ColumnProducer, "poll", noted)
    deadline = time.monotonic() + SECONDS
    names = {f"lane-{lane}-writer" for lane in range(harness.lanes)}
    while set(polled) < names or len(polled) < 20:
        assert time.monotonic() < deadline, polled
        time.sleep(0.01)
    run.feed(make_records(0, 20)[10:])
    run.snapshot()

    assert set(polled) == names
    harness.check(make_records(0, 20))
