"""Timestamps of input and output topics."""

from dataclasses import replace

from flows.cli.audit.options import AuditOptions
from flows.settings.load import load_settings
from tests.memory_topics import NOW, UNIQUE, audit_in_memory, event_record, outputs_of
from tests.model import Settings


def test_ignored_timestamps_still_give_event_times() -> None:
    answers = [(event_record(0, NOW), UNIQUE), (event_record(1, NOW), UNIQUE)]
    settings = load_settings({"DEDUP_BROKERS": "localhost:1", "DEDUP_TIME": "@record"})
    outputs = outputs_of(Settings(), answers)
    outputs[0].record = replace(outputs[0].record, timestamp_ms=1)
    records = [record for record, _ in answers]

    assert audit_in_memory(settings, [0], records, outputs).findings
    options = AuditOptions(ignore_timestamps=True)
    proof = audit_in_memory(settings, [0], records, outputs, options)
    assert not proof.findings, list(proof.findings.lines())
