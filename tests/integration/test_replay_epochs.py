"""Rule 9 of the protocol (connectors/exactly_once) in `dedup replay`: producer epochs."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from confluent_kafka import Producer

from connectors.exactly_once import lane_producer
from connectors.exactly_once.lane_producer import LaneProducer
from connectors.exactly_once.transaction_errors import Action
from flows.cli import app
from flows.cli.replay import pacing
from flows.cli.replay.log import log_records
from flows.cli.replay.selection import Origin
from flows.cli.replay.writer import ReplayWriter
from tests.integration.conftest import MakeTopics
from tests.integration.job import SECONDS
from tests.integration.replays import TOPIC_ID, answer, lost_and_doubled, read, write
from tests.integration.topics import Topics

BATCH = 10
LATE_SECONDS = 1.5
TAKEN_OVER = "dedup: another `dedup replay` of this application has been started: this one ends"

Commit = Callable[[LaneProducer, str, Sequence[bytes]], Action | None]
_commit = LaneProducer.commit
_renew = LaneProducer.renew


@pytest.fixture
def topics(make_topics: MakeTopics, monkeypatch: pytest.MonkeyPatch) -> Topics:
    """Topics of an application with 30 dead letters; a transaction of a replay holds ten."""
    topics = make_topics(1)
    for name, value in topics.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pacing, "_MAX_BATCH_RECORDS", BATCH)
    write(topics, "invalid", [answer(topics, offset) for offset in range(3 * BATCH)])
    return topics


def replay() -> int:
    return app.main(["replay", "invalid"])


def doubtful(producer: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
    """A commit whose request may be under way twice."""
    action = _commit(producer, topic, changes)
    producer.doubtful = True
    return action


def uncommitted(producer: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
    """A commit that is reported, but for which nothing is in the log."""
    del topic, changes
    producer._producer.flush(SECONDS)
    producer.abort()
    producer.doubtful = True
    return None


def not_sent(producer: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
    """A transaction of which no record could be sent."""
    del topic, changes
    producer._unsent = producer.doubtful = True
    return Action.RETRY_TRANSACTION


def commit_by(monkeypatch: pytest.MonkeyPatch, *commits: Commit) -> None:
    """Let transactions be committed by these, one after the other, and then as ever."""
    left = list(commits)

    def commit(producer: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
        return (left.pop(0) if left else _commit)(producer, topic, changes)

    monkeypatch.setattr(LaneProducer, "commit", commit)


def renewals(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note each new epoch."""
    noted: list[str] = []

    def renew(producer: LaneProducer) -> None:
        noted.append("renew")
        _renew(producer)

    monkeypatch.setattr(LaneProducer, "renew", renew)
    return noted


def test_it_goes_on_in_a_new_epoch(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = renewals(monkeypatch)
    commit_by(monkeypatch, doubtful, doubtful, doubtful)

    assert replay() == 0
    assert len(noted) == 2  # no transaction follows the last one
    assert lost_and_doubled(topics, 3 * BATCH) == (0, 0)


def test_a_transaction_is_repeated_in_a_new_epoch(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = renewals(monkeypatch)
    commit_by(monkeypatch, _commit, not_sent, not_sent)

    assert replay() == 0
    assert len(noted) == 2
    assert lost_and_doubled(topics, 3 * BATCH) == (0, 0)


def test_a_record_that_is_not_in_the_log_ends_it(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit_by(monkeypatch, _commit, uncommitted)

    assert replay() == 2
    assert capsys.readouterr().err.startswith(TAKEN_OVER)
    assert replay() == 0
    assert lost_and_doubled(topics, 3 * BATCH) == (0, 0)


def test_a_newer_one_that_has_written_is_not_fenced(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noted = renewals(monkeypatch)

    def taken_over(producer: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
        action = doubtful(producer, topic, changes)
        assert replay() == 0
        return action

    commit_by(monkeypatch, taken_over)

    assert replay() == 2
    assert not noted
    assert capsys.readouterr().err.startswith(TAKEN_OVER)
    assert lost_and_doubled(topics, 3 * BATCH) == (0, 0)


def renew_over_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a newer replay write just before the epoch of an older one is renewed."""

    def renew(producer: LaneProducer) -> None:
        monkeypatch.setattr(LaneProducer, "renew", _renew)
        assert replay() == 0
        producer.renew()

    commit_by(monkeypatch, doubtful)
    monkeypatch.setattr(LaneProducer, "renew", renew)
    return replay()


def test_it_ends_if_a_newer_one_has_written(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert renew_over_a_newer_one(monkeypatch) == 2
    assert capsys.readouterr().err.startswith(TAKEN_OVER)
    assert lost_and_doubled(topics, 3 * BATCH) == (0, 0)


def test_broken_renewal_without_a_check_of_the_owner(
    topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReplayWriter, "_check_owner", lambda *_, **__: None)

    assert renew_over_a_newer_one(monkeypatch) == 0
    assert lost_and_doubled(topics, 3 * BATCH) == (0, 2 * BATCH)


def test_a_transaction_whose_end_comes_late_to_the_log_is_waited_for(topics: Topics) -> None:
    """A log that was read before would not hold what it says."""
    log = f"{topics.prefix}-replayed"
    topics.create(log, 1, retention_ms="-1", retention_bytes="-1")
    producer = Producer(
        {"bootstrap.servers": topics.bootstrap, "transactional.id": f"{topics.prefix}-late"}
    )
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    origins = [Origin(topics.input, TOPIC_ID, 0, offset) for offset in range(BATCH)]
    for value in log_records("an earlier run", topics.input, origins):
        producer.produce(log, value, partition=0)
    producer.flush(SECONDS)
    end = threading.Timer(LATE_SECONDS, producer.commit_transaction, [SECONDS])
    end.start()
    began = time.monotonic()

    assert replay() == 0
    assert time.monotonic() - began > LATE_SECONDS / 2
    end.join()
    assert len(read(topics)) == 2 * BATCH


def test_errors_name_the_replay_and_no_lane(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LaneProducer, "commit", not_sent)
    monkeypatch.setattr(lane_producer, "RETRY_TIMEOUT_SECONDS", 0.5)

    assert replay() == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("dedup: replay: a transaction was aborted again and again")
    assert "lane" not in line
    assert not read(topics)
