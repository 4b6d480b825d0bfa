"""A lane that goes on under another producer epoch looks at its changelog, and an outage ended it.

A commit waits for brokers that are away; so must that look.
"""

import pytest
from confluent_kafka import KafkaError

from connectors.exactly_once import transaction_log
from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.changelog_format import ChangelogRecord
from connectors.exactly_once.lane_producer import LaneProducer
from connectors.kafka.requests import KafkaUnreachableError
from tests.integration.lane_harness import LaneHarness, make_records

AWAY = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._TRANSPORT)


@pytest.fixture
def renewed(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> LaneHarness:
    """Lanes that take every commit for one that may end the next transaction too."""
    commit = LaneProducer.commit

    def doubtful(producer: LaneProducer, *arguments: object) -> object:
        action = commit(producer, *arguments)  # type: ignore[arg-type]
        producer.doubtful = True
        return action

    monkeypatch.setattr(LaneProducer, "commit", doubtful)
    monkeypatch.setattr(transaction_log, "_RETRY_SECONDS", 0.01)
    return harness


QUESTIONS = ("last_record", "wait_until_settled")


def answering(monkeypatch: pytest.MonkeyPatch, question: str, codes: list[int]) -> None:
    """Let brokers be away for as many questions of one kind as there are codes."""
    asked = getattr(Changelog, question)

    def ask(changelog: Changelog, lane: int) -> ChangelogRecord | None:
        if codes:
            msg = "away"
            raise KafkaUnreachableError(msg, codes.pop())
        answer: ChangelogRecord | None = asked(changelog, lane)
        return answer

    monkeypatch.setattr(Changelog, question, ask)


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_waits_for_brokers_that_are_away(
    renewed: LaneHarness, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    codes = list(AWAY)
    records = make_records(0, 30)
    run = renewed.run()
    for index in range(renewed.lanes):
        run.lane(index)  # opened before the brokers are away
    answering(monkeypatch, question, codes)
    for begin in (0, 10, 20):
        run.feed(records[begin : begin + 10])
        run.snapshot()

    assert not codes
    assert not renewed.failures
    renewed.check(records)


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_does_not_wait_for_a_right_that_is_missing(
    renewed: LaneHarness, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    run = renewed.run()
    for index in range(renewed.lanes):
        run.lane(index)
    answering(monkeypatch, question, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
    run.hand_over(make_records(0, 10))

    with pytest.raises(KafkaUnreachableError):
        run.snapshot()
