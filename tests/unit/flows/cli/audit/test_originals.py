"""Duplicates and their originals."""

import pytest

from tests.memory_topics import NOW, UNIQUE, audit_answers, event_record
from tests.model import Verdict


@pytest.mark.parametrize("partition, wrong", [(0, True), (1, False)])
def test_a_session_that_a_duplicate_extended_is_one_session(partition: int, wrong: bool) -> None:
    repeat = Verdict("duplicate", matched="event_id", original=(0, 0))
    answers = [
        (event_record(0, NOW - 30, "a"), UNIQUE),
        (event_record(1, NOW - 22, "a"), repeat),
        # 16 s after the only unique record.  In another partition it may have been read first.
        (event_record(2, NOW - 14, "a", partition), UNIQUE),
    ]
    variables = {"DEDUP_WINDOW": "session", "DEDUP_WINDOW_SECONDS": "10"}

    assert bool(audit_answers(answers, partitions=2, variables=variables).findings) == wrong


@pytest.mark.parametrize("uniques, noted", [(0, True), (38, False), (40, False)])
@pytest.mark.parametrize("window", ["tumbling", "forever"])
def test_bloom_filters_duplicates_without_a_unique_record_are_counted(
    window: str, uniques: int, noted: bool
) -> None:
    repeat = Verdict("duplicate", matched="event_id")
    firsts = [
        (event_record(at, NOW - 1, str(at)), UNIQUE if at < uniques else repeat) for at in range(40)
    ]
    repeats = [(event_record(40 + at, NOW - 1, str(at)), repeat) for at in range(40)]
    variables = {
        "DEDUP_STATE": "bloom",
        "DEDUP_BLOOM_ERROR": "0.01",
        "DEDUP_WINDOW": window,
        "DEDUP_WINDOW_SECONDS": "1000000000",
    }
    proof = audit_answers([*firsts, *repeats], variables=variables)

    assert not proof.findings
    notes = [note for note in proof.notes if "with their key in the window" in note]
    assert [note[:3] for note in notes] == (["40 "] if noted else [])
