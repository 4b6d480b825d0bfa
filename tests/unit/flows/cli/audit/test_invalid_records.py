"""Records with the reason `future`: what the clocks of broker and audit prove."""

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME

from tests.memory_topics import FUTURE, NOW, UNIQUE, audit_answers, event_record


@pytest.mark.parametrize(
    "stamp_type, wrong", [(TIMESTAMP_LOG_APPEND_TIME, True), (TIMESTAMP_CREATE_TIME, False)]
)
def test_the_brokers_clock_proves_it_and_a_producers_does_not(stamp_type: int, wrong: bool) -> None:
    answers = [(event_record(0, NOW - 100), FUTURE), (event_record(1, NOW), UNIQUE)]

    assert bool(audit_answers(answers, stamp_type=stamp_type).findings) == wrong


def test_records_that_are_not_in_the_future_any_more_are_counted() -> None:
    answers = [
        (event_record(0, NOW - 100), FUTURE),
        (event_record(1, NOW - 50), FUTURE),
        (event_record(2, NOW + 100_000), FUTURE),
    ]
    proof = audit_answers(answers)

    assert not proof.findings
    assert any(note.startswith("2 records were answered as future") for note in proof.notes)
