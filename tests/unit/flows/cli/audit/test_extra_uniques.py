"""Unique outputs that match no unanswered input record."""

from dataclasses import replace

from flows.settings.load import load_settings
from tests.memory_topics import NOW, UNIQUE, Output, audit_in_memory, event_record, outputs_of
from tests.model import Settings, Verdict


def test_a_replay_of_a_record_with_headers_like_an_answers_is_recognised() -> None:
    late = replace(event_record(1, NOW - 1000), headers=[("dedup.verdict", b"of an earlier job")])
    answers = [(event_record(0, NOW), UNIQUE), (late, Verdict("late", late_by=1000.0))]
    outputs = outputs_of(Settings(), answers)
    sent = Output(late, "unique", [*(late.headers or []), ("dedup.replays", b"1")])
    records = [record for record, _ in answers]
    settings = load_settings({"DEDUP_BROKERS": "localhost:1"})

    assert not audit_in_memory(settings, [0], records, [*outputs, sent]).findings
    assert audit_in_memory(settings, [0], records, [*outputs, sent, sent]).findings
