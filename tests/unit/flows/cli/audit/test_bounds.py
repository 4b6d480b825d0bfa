"""What the audit can know of clocks and of the order of reading: found where it is certain."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME

from flows.cli.audit.options import AuditOptions
from flows.cli.audit.proof import Proof
from flows.settings.load import load_settings
from tests.memory_topics import Output, audit_in_memory, outputs_of
from tests.model import Record, Settings, Verdict

NOW = float(int(time.time()))
FUTURE = Verdict("invalid", reason="future")
UNIQUE = Verdict("unique")
Answer = tuple[Record, Verdict]


def record(offset: int, at: float, event_id: str = "", partition: int = 0) -> Record:
    event = {
        "event_id": event_id or f"{partition}-{offset}",
        "user_id": "u",
        "event_type": "t",
        "timestamp": at,
        "data": {},
    }
    return Record(partition, offset, None, json.dumps(event).encode(), None, int(NOW * 1000))


def probable(outputs: Sequence[Output]) -> Sequence[Output]:
    """Say of duplicates without an original what Bloom filters say."""
    for one in outputs:
        names = dict(one.headers)
        if "dedup.matched" in names and "dedup.original" not in names:
            one.headers.append(("dedup.probable", b"true"))
    return outputs


def audit(
    answers: Sequence[Answer],
    *,
    partitions: int = 1,
    lateness: Sequence[float] = (),
    stamp_type: int = TIMESTAMP_CREATE_TIME,
    variables: Mapping[str, str] | None = None,
) -> Proof:
    settings = load_settings({"DEDUP_BROKERS": "localhost:1", **(variables or {})})
    return audit_in_memory(
        settings,
        range(partitions),
        [one for one, _ in answers],
        probable(outputs_of(Settings(), answers)),
        AuditOptions(lateness=lateness),
        stamp_type=stamp_type,
    )


def ids_of_lanes() -> tuple[str, str, str]:
    """Event ids: two of one lane, and one of another."""
    ids = [str(number) for number in range(20)]
    lanes = audit([(record(int(one), NOW, one), UNIQUE) for one in ids]).table.lanes
    first = [one for one in ids if lanes[int(one)] == lanes[0]]
    return first[0], first[1], next(one for one in ids if one not in first)


@pytest.mark.parametrize("ahead, found", [(-600.0, True), (60.0, False)])
def test_what_was_further_ahead_was_taken_before(ahead: float, found: bool) -> None:
    # Of a record that is ahead of all before it, only the job's clock knew.
    one, same_lane, _ = ids_of_lanes()
    answers = [(record(0, NOW, one), UNIQUE), (record(1, NOW + ahead, same_lane), FUTURE)]

    assert bool(audit(answers).findings) == found


@pytest.mark.parametrize("lanes, found", [("4", False), ("1", True)])
def test_another_lane_may_have_taken_it_later(lanes: str, found: bool) -> None:
    # Its lane was killed before it committed, and judged again when its time had come.
    one, _, other_lane = ids_of_lanes()
    answers = [(record(0, NOW, one), UNIQUE), (record(1, NOW - 600, other_lane), FUTURE)]

    assert bool(audit(answers, variables={"DEDUP_LANES": lanes}).findings) == found


@pytest.mark.parametrize("lanes, found", [("4", False), ("1", True)])
@pytest.mark.parametrize("verdict", [UNIQUE, Verdict("late", late_by=400.0)])
def test_the_watermark_of_another_lane_may_have_been_behind(
    verdict: Verdict, lanes: str, found: bool
) -> None:
    one, same_lane, other_lane = ids_of_lanes()
    answers = [
        (record(0, NOW - 600, one), UNIQUE),
        # In the future for the other lane, and taken when that had committed the third.
        (record(1, NOW, same_lane), UNIQUE),
        (record(2, NOW - 1000, other_lane), verdict),
    ]

    assert bool(audit(answers, variables={"DEDUP_LANES": lanes}).findings) == found


@pytest.mark.parametrize("verdict", [UNIQUE, Verdict("late", late_by=400.0)])
def test_what_was_never_ahead_counts_for_all_lanes(verdict: Verdict) -> None:
    one, same_lane, other_lane = ids_of_lanes()
    answers = [
        (record(0, NOW - 600, one), UNIQUE),
        (record(1, NOW - 200, same_lane), UNIQUE),
        (record(2, NOW - 1000, other_lane), verdict),
    ]

    assert not audit(answers).findings
    assert audit(answers, stamp_type=TIMESTAMP_LOG_APPEND_TIME).findings


@pytest.mark.parametrize(
    "stamp_type, found", [(TIMESTAMP_LOG_APPEND_TIME, True), (TIMESTAMP_CREATE_TIME, False)]
)
def test_the_brokers_clock_is_believed_and_a_producers_is_not(
    stamp_type: int,
    found: bool,
) -> None:
    answers = [(record(0, NOW - 100), FUTURE), (record(1, NOW), UNIQUE)]

    assert bool(audit(answers, stamp_type=stamp_type).findings) == found


@pytest.mark.parametrize(
    "late_by, found",
    # The watermark was at an event time of partition 1, or at none, or too far on.
    [(400.0, False), (350.0, True), (401.0, True), (1000.0, True), (100.0, True)],
)
def test_of_several_partitions_the_watermark_was_some_event_time(
    late_by: float,
    found: bool,
) -> None:
    answers = [
        (record(0, NOW - 1000, partition=0), UNIQUE),
        (record(1, NOW - 1100, partition=0), Verdict("late", late_by=late_by)),
        (record(2, NOW, partition=0), UNIQUE),
        (record(0, NOW - 1000, partition=1), UNIQUE),
        (record(1, NOW - 700, partition=1), UNIQUE),
    ]

    assert bool(audit(answers, partitions=2).findings) == found


def test_a_record_may_be_late_by_what_was_read_while_its_partition_was_idle() -> None:
    answers = [
        (record(0, NOW - 1100, partition=0), Verdict("late", late_by=1100.0)),
        (record(0, NOW, partition=1), UNIQUE),
    ]

    assert not audit(answers, partitions=2).findings


def test_a_key_may_have_gone_with_its_window_while_less_lateness_was_allowed() -> None:
    # The last one repeats the first, came when that was gone, and was replayed.
    answers = [
        (record(0, NOW - 9000, "a"), UNIQUE),
        (record(1, NOW), UNIQUE),
        (record(2, NOW - 8990, "a"), UNIQUE),
    ]
    variables = {
        "DEDUP_ALLOWED_LATENESS_SECONDS": "10000",
        "DEDUP_WINDOW": "sliding",
        "DEDUP_WINDOW_SECONDS": "100",
    }

    assert audit(answers, variables=variables).findings
    proof = audit(answers, lateness=[300.0], variables=variables)
    assert not proof.findings
    assert any("may have expired while a smaller lateness" in note for note in proof.notes)


@pytest.mark.parametrize("partition, found", [(0, True), (1, False)])
def test_a_session_that_a_duplicate_extended_is_one_session(
    partition: int,
    found: bool,
) -> None:
    repeat = Verdict("duplicate", matched="event_id", original=(0, 0))
    answers = [
        (record(0, NOW - 30, "a"), UNIQUE),
        (record(1, NOW - 22, "a"), repeat),
        # 16 s after the only unique one; in another partition it may have been read before.
        (record(2, NOW - 14, "a", partition), UNIQUE),
    ]
    variables = {"DEDUP_WINDOW": "session", "DEDUP_WINDOW_SECONDS": "10"}

    assert bool(audit(answers, partitions=2, variables=variables).findings) == found


def test_timestamps_that_outputs_need_not_have_still_give_event_times() -> None:
    answers = [(record(0, NOW), UNIQUE), (record(1, NOW), UNIQUE)]
    settings = load_settings({"DEDUP_BROKERS": "localhost:1", "DEDUP_TIME": "@record"})
    outputs = outputs_of(Settings(), answers)
    outputs[0].record = replace(outputs[0].record, timestamp_ms=1)
    records = [one for one, _ in answers]

    assert audit_in_memory(settings, [0], records, outputs).findings
    options = AuditOptions(ignore_timestamps=True)
    proof = audit_in_memory(settings, [0], records, outputs, options)
    assert not proof.findings, list(proof.findings.lines())


def test_a_replayed_record_that_came_with_an_answers_headers_is_recognised() -> None:
    late = replace(record(1, NOW - 1000), headers=[("dedup.verdict", b"of an earlier job")])
    answers = [(record(0, NOW), UNIQUE), (late, Verdict("late", late_by=1000.0))]
    outputs = outputs_of(Settings(), answers)
    sent = Output(late, "unique", [*(late.headers or []), ("dedup.replays", b"1")])
    records = [one for one, _ in answers]
    settings = load_settings({"DEDUP_BROKERS": "localhost:1"})

    assert not audit_in_memory(settings, [0], records, [*outputs, sent]).findings
    assert audit_in_memory(settings, [0], records, [*outputs, sent, sent]).findings


def test_records_whose_future_has_come_are_counted() -> None:
    answers = [
        (record(0, NOW - 100), FUTURE),
        (record(1, NOW - 50), FUTURE),
        (record(2, NOW + 100_000), FUTURE),
    ]
    proof = audit(answers)

    assert not proof.findings
    assert any(note.startswith("2 records were answered as future") for note in proof.notes)


@pytest.mark.parametrize("uniques, noted", [(0, True), (38, False), (40, False)])
@pytest.mark.parametrize("window", ["tumbling", "forever"])
def test_duplicates_of_no_unique_record_are_counted_where_bloom_filters_gave_them(
    window: str, uniques: int, noted: bool
) -> None:
    repeat = Verdict("duplicate", matched="event_id")
    firsts = [
        (record(at, NOW - 1, str(at)), UNIQUE if at < uniques else repeat) for at in range(40)
    ]
    repeats = [(record(40 + at, NOW - 1, str(at)), repeat) for at in range(40)]
    variables = {
        "DEDUP_STATE": "bloom",
        "DEDUP_BLOOM_ERROR": "0.01",
        "DEDUP_WINDOW": window,
        "DEDUP_WINDOW_SECONDS": "1000000000",
    }
    proof = audit([*firsts, *repeats], variables=variables)

    assert not proof.findings
    said = [note for note in proof.notes if "with their key in the window" in note]
    assert [note[:3] for note in said] == (["40 "] if noted else [])
