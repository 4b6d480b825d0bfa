"""Brokers that were away for longer than a transaction may last ended the job.

The brokers end such a transaction, and refuse its producer as if another process had taken the
lane over.  Now the lane is opened again, unless another process has opened it.
"""

import os
import signal
import time

import pytest

from connectors.exactly_once import lane_producer
from connectors.exactly_once.lane_producer import FencedError
from deploy.kafka import Broker
from tests.integration.lane_harness import LaneHarness, make_records, raising
from tests.integration.topics import Topics

TRANSACTION_SECONDS = 2.0
OUTAGE_SECONDS = 3.0
SECONDS = 30.0


@pytest.fixture
def lanes(own_broker: Broker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> LaneHarness:
    """Lanes that give up a call soon, and whose transactions may last two seconds."""
    monkeypatch.setattr(lane_producer, "RETRY_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(lane_producer, "_CALL_SECONDS", 0.5)
    monkeypatch.setattr(lane_producer, "_UNSENT_SECONDS", 1.0)
    topics = Topics(own_broker.bootstrap, topic_prefix)
    topics.create(topics.input)
    milliseconds = round(TRANSACTION_SECONDS * 1000)
    return LaneHarness(topics, producer={"transaction.timeout.ms": milliseconds})


@pytest.mark.parametrize("how, is_begun", [("killed", True), ("paused", False)])
def test_the_lanes_go_on(
    lanes: LaneHarness,
    own_broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    how: str,
    *,
    is_begun: bool,
) -> None:
    raising(monkeypatch, lanes.failures)
    records = make_records(0, 40)
    run = lanes.run()
    run.feed(records[:10])
    run.settle()
    if is_begun:
        run.feed(records[10:20])
        run.flush()
    if how == "killed":
        own_broker.kill()
    else:
        os.kill(pid_of(own_broker), signal.SIGSTOP)
    if not is_begun:
        run.hand_over(records[10:20])
    for writer in run._writers():
        writer.request()
    began = time.monotonic()
    while time.monotonic() - began < OUTAGE_SECONDS or not are_lost(lanes, caplog):
        assert time.monotonic() - began < SECONDS
        time.sleep(0.1)
    if how == "killed":
        own_broker.restart()
    else:
        os.kill(pid_of(own_broker), signal.SIGCONT)
    run.feed(records[20:30])
    run.snapshot()
    run.feed(records[30:])
    run.snapshot()

    assert not lanes.failures
    lanes.check(records)
    after = lanes.run()
    after.feed(make_records(0, 50)[40:])
    after.snapshot()
    lanes.check(make_records(0, 50))


def are_lost(lanes: LaneHarness, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether all lanes have found that they need another producer."""
    return caplog.text.count("is opened again") >= lanes.lanes


def pid_of(broker: Broker) -> int:
    assert broker.pid is not None
    return broker.pid


@pytest.mark.parametrize("has_written", [True, False])
def test_an_old_process_that_wakes_up_does_not_open_its_lanes_again(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch, *, has_written: bool
) -> None:
    """Whether its successor has written something, or has only opened the lanes."""
    raising(monkeypatch, harness.failures)
    records = make_records(0, 30)
    old = harness.run()
    old.feed(records[:10])
    old.snapshot()
    new = harness.run()
    for lane in range(harness.lanes):
        new.lane(lane)
    if has_written:
        new.feed(records[10:20])
        new.settle()

    old.hand_over(records[10:20])
    with pytest.raises(FencedError, match="another process has taken over lane"):
        old.snapshot()
    new.feed(records[20:] if has_written else records[10:])
    new.snapshot()
    harness.check(records)


def test_a_lane_that_opening_does_not_help_ends_the_job(
    harness: LaneHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, harness.failures)
    run = harness.run()
    for lane in range(harness.lanes):
        run.lane(lane)

    def lost(*_: object, **__: object) -> None:
        msg = "always"
        raise lane_producer.LostProducerError(msg)

    monkeypatch.setattr(lane_producer.LaneProducer, "write_transaction", lost)
    run.hand_over(make_records(0, 10))
    with pytest.raises(lane_producer.LostProducerError, match="always"):
        run.snapshot()
