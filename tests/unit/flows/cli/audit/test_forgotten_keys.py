"""Keys that the job may have forgotten."""

from tests.memory_topics import NOW, UNIQUE, audit_answers, event_record


def test_a_key_may_have_expired_while_a_smaller_lateness_was_allowed() -> None:
    # The last record repeats the first; it came when the key had expired, and was replayed.
    answers = [
        (event_record(0, NOW - 9000, "a"), UNIQUE),
        (event_record(1, NOW), UNIQUE),
        (event_record(2, NOW - 8990, "a"), UNIQUE),
    ]
    variables = {
        "DEDUP_ALLOWED_LATENESS_SECONDS": "10000",
        "DEDUP_WINDOW": "sliding",
        "DEDUP_WINDOW_SECONDS": "100",
    }

    assert audit_answers(answers, variables=variables).findings
    proof = audit_answers(answers, lateness=[300.0], variables=variables)
    assert not proof.findings
    assert any("may have expired while a smaller lateness" in note for note in proof.notes)
