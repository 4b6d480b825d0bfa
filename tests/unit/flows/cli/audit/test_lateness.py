"""Lateness over several partitions: what holds in every order of reading."""

import pytest

from tests.memory_topics import NOW, UNIQUE, audit_answers, event_record
from tests.model import Verdict


@pytest.mark.parametrize(
    "late_by, wrong",
    # The watermark: at an event time of partition 1, at no event time, or beyond all.
    [(400.0, False), (350.0, True), (401.0, True), (1000.0, True), (100.0, True)],
)
def test_with_several_partitions_the_watermark_was_some_event_time(
    late_by: float, wrong: bool
) -> None:
    answers = [
        (event_record(0, NOW - 1000, partition=0), UNIQUE),
        (event_record(1, NOW - 1100, partition=0), Verdict("late", late_by=late_by)),
        (event_record(2, NOW, partition=0), UNIQUE),
        (event_record(0, NOW - 1000, partition=1), UNIQUE),
        (event_record(1, NOW - 700, partition=1), UNIQUE),
    ]

    assert bool(audit_answers(answers, partitions=2).findings) == wrong


def test_a_record_may_be_late_by_what_was_read_while_its_partition_was_idle() -> None:
    answers = [
        (event_record(0, NOW - 1100, partition=0), Verdict("late", late_by=1100.0)),
        (event_record(0, NOW, partition=1), UNIQUE),
    ]

    assert not audit_answers(answers, partitions=2).findings
