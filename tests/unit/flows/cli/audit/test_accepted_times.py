"""Event times that a lane had accepted before: they count only where that is certain."""

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from tests.memory_topics import FUTURE, NOW, UNIQUE, audit_answers, event_record, ids_of_lanes
from tests.model import Verdict


@pytest.mark.parametrize("ahead, wrong", [(-600.0, True), (60.0, False)])
def test_a_lane_that_accepted_a_later_time_accepts_an_earlier_one(
    ahead: float, wrong: bool
) -> None:
    # Whether a record with the largest event time so far was in the future, only the job knew.
    first, same_lane, _ = ids_of_lanes()
    answers = [
        (event_record(0, NOW, first), UNIQUE),
        (event_record(1, NOW + ahead, same_lane), FUTURE),
    ]

    assert bool(audit_answers(answers).findings) == wrong


@pytest.mark.parametrize("lanes, wrong", [("4", False), ("1", True)])
def test_another_lane_may_have_accepted_it_later(lanes: str, wrong: bool) -> None:
    # The first lane was killed before it committed, and judged its record again later.
    first, _, other_lane = ids_of_lanes()
    answers = [
        (event_record(0, NOW, first), UNIQUE),
        (event_record(1, NOW - 600, other_lane), FUTURE),
    ]

    assert bool(audit_answers(answers, variables={"DEDUP_LANES": lanes}).findings) == wrong


@pytest.mark.parametrize("lanes, wrong", [("4", False), ("1", True)])
@pytest.mark.parametrize("verdict", [UNIQUE, Verdict("late", late_by=400.0)])
def test_the_watermark_of_another_lane_may_have_been_behind(
    verdict: Verdict, lanes: str, wrong: bool
) -> None:
    first, same_lane, other_lane = ids_of_lanes()
    answers = [
        (event_record(0, NOW - 600, first), UNIQUE),
        # In the future for the other lane; accepted after that lane had committed the third record.
        (event_record(1, NOW, same_lane), UNIQUE),
        (event_record(2, NOW - 1000, other_lane), verdict),
    ]

    assert bool(audit_answers(answers, variables={"DEDUP_LANES": lanes}).findings) == wrong


@pytest.mark.parametrize("verdict", [UNIQUE, Verdict("late", late_by=400.0)])
def test_a_time_that_was_never_ahead_counts_for_all_lanes(verdict: Verdict) -> None:
    first, same_lane, other_lane = ids_of_lanes()
    answers = [
        (event_record(0, NOW - 600, first), UNIQUE),
        (event_record(1, NOW - 200, same_lane), UNIQUE),
        (event_record(2, NOW - 1000, other_lane), verdict),
    ]

    assert not audit_answers(answers).findings
    assert audit_answers(answers, stamp_type=TIMESTAMP_LOG_APPEND_TIME).findings
