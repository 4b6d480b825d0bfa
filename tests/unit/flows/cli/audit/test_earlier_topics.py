"""Outputs that answer an earlier topic of the input's name, and what can be said of them."""

from dataclasses import replace

import pytest

from flows.cli.audit.earlier_topics import InputTopic
from flows.cli.audit.findings import Kind
from flows.cli.audit.proof import Proof
from flows.settings.load import load_settings
from tests.memory_topics import (
    INPUT,
    NOW,
    UNIQUE,
    Answer,
    Output,
    audit_in_memory,
    event_record,
    outputs_of,
)
from tests.model import Record, Settings, Verdict

NOW_ID, BEFORE_ID = "AAAAAAAAAAAAAAAAAAAAAQ", "AAAAAAAAAAAAAAAAAAAAAg"
LATE = Verdict("late", late_by=1000.0)


def repeats(partition: int, offset: int) -> Verdict:
    return Verdict("duplicate", matched="event_id", original=(partition, offset))


def answers_of(topic_id: str, answers: list[Answer]) -> list[Output]:
    """Outputs for the records of a topic with an id."""
    outputs = outputs_of(Settings(), answers)
    for output in outputs:
        names = [name for name, _ in output.headers]
        if "dedup.topic" in names:
            at = names.index("dedup.topic") + 1
            output.headers.insert(at, ("dedup.topic.id", topic_id.encode()))
    return outputs


def audited(records: list[Record], outputs: list[Output], **variables: str) -> Proof:
    """Audit the topic of now, with a job's settings."""
    settings = load_settings({"DEDUP_BROKERS": "localhost:1", **variables})
    return audit_in_memory(settings, [0], records, outputs, input_id=NOW_ID)


BEFORE: list[Answer] = [
    (event_record(0, NOW, "a"), UNIQUE),
    (event_record(1, NOW, "a"), repeats(0, 0)),
    (event_record(2, NOW, "b"), UNIQUE),
]
AFTER: list[Answer] = [
    (event_record(0, NOW, "c"), UNIQUE),
    (event_record(1, NOW, "c"), repeats(0, 0)),
    (event_record(2, NOW - 1000, "d"), LATE),
]


def both() -> tuple[list[Record], list[Output]]:
    outputs = [*answers_of(BEFORE_ID, BEFORE), *answers_of(NOW_ID, AFTER)]
    return [record for record, _ in AFTER], outputs


def test_answers_to_an_earlier_topic_are_counted_and_nothing_more() -> None:
    proof = audited(*both())

    assert not proof.findings, list(proof.findings.lines())
    assert [proof.answered[verdict] for verdict in range(3)] == [3, 2, 1]
    assert (
        f"1 records of the outputs answer an earlier topic {INPUT}, which is gone: nothing can be "
        "said about these"
    ) in proof.notes
    assert any(note.startswith("2 unique records match no input record") for note in proof.notes)


@pytest.mark.parametrize("value", [None, b"", b"AAAA", b"A" * 22, b"AAAAAAAAAAAAAAAAAAAA+Q"])
def test_an_answer_without_an_id_is_a_finding(value: bytes | None) -> None:
    records, outputs = both()
    answer = outputs[4]
    assert answer.verdict == "duplicate"
    answer.headers = [
        (name, value if name == "dedup.topic.id" else text)
        for name, text in answer.headers
        if name != "dedup.topic.id" or value is not None
    ]
    proof = audited(records, outputs)

    assert proof.findings.counts == {Kind.MALFORMED: 1}
    assert "no dedup.topic.id" in proof.findings.examples[Kind.MALFORMED][0]


def test_without_ids_a_name_is_all_that_counts() -> None:
    records = [record for record, _ in AFTER]
    settings = load_settings({"DEDUP_BROKERS": "localhost:1"})
    proof = audit_in_memory(settings, [0], records, outputs_of(Settings(), AFTER))

    assert not proof.findings, list(proof.findings.lines())


@pytest.mark.parametrize("removed", [3, 4, 5])
def test_a_missing_answer_to_the_topic_of_now_is_found(removed: int) -> None:
    records, outputs = both()
    del outputs[removed]
    proof = audited(records, outputs)

    assert proof.findings.counts[Kind.MISSING] == 1


def test_answers_of_before_do_not_stand_for_those_of_now() -> None:
    """The same offset, in the same partition."""
    records, outputs = both()
    del outputs[4]
    assert dict(outputs[1].headers)["dedup.offset"] == b"1"
    proof = audited(records, outputs)

    assert proof.findings.counts[Kind.MISSING] == 1


@pytest.mark.parametrize("doubled", [3, 4])
def test_a_second_answer_to_a_record_of_now_is_found(doubled: int) -> None:
    records, outputs = both()
    outputs.append(outputs[doubled])
    proof = audited(records, outputs)

    assert proof.findings.counts == {Kind.DOUBLED: 1}


def same_again() -> tuple[list[Record], list[Output]]:
    """The records of before were produced again, and repeat those."""
    again = [replace(record, offset=record.offset + 3) for record, _ in BEFORE]
    records, outputs = both()
    own = answers_of(NOW_ID, [(record, repeats(0, 0)) for record in again])
    for output, original in zip(own, (0, 0, 2), strict=True):
        output.headers = [
            (name, b"0:%d" % original if name == "dedup.original" else value)
            for name, value in output.headers
        ]
        output.headers.append(("dedup.original.topic", INPUT.encode()))
    return [*records, *again], [*outputs, *own]


def test_originals_in_an_earlier_topic_are_unknown() -> None:
    proof = audited(*same_again())

    assert not proof.findings, list(proof.findings.lines())
    assert (
        f"3 duplicates name an original in an earlier topic {INPUT}, which is gone" in proof.notes
    )


def test_originals_in_another_topic_are_unknown() -> None:
    records, outputs = both()
    headers = outputs[4].headers
    headers[[name for name, _ in headers].index("dedup.original")] = ("dedup.original", b"0:77")
    headers.append(("dedup.original.topic", b"other-events"))
    proof = audited(records, outputs)

    assert not proof.findings, list(proof.findings.lines())
    assert f"1 duplicates name an original in another topic than {INPUT}" in proof.notes


@pytest.mark.parametrize(
    "name, value", [("dedup.original.topic", b""), ("dedup.original", b"nothing")]
)
def test_an_original_elsewhere_must_be_named(name: str, value: bytes) -> None:
    records, outputs = same_again()
    outputs[-1].headers = [
        (header, value if header == name else text) for header, text in outputs[-1].headers
    ]
    proof = audited(records, outputs)

    assert proof.findings.counts[Kind.MALFORMED] == 1


def test_only_originals_tell_of_an_earlier_topic() -> None:
    """All its records were unique: the outputs hold no answer that names it."""
    records, outputs = same_again()
    del outputs[1]
    proof = audited(records, outputs)

    assert not proof.findings, list(proof.findings.lines())


def test_without_an_earlier_topic_a_foreign_unique_record_is_a_finding() -> None:
    records, outputs = both()
    proof = audited(records, [outputs[0], *outputs[3:]])

    assert proof.findings.counts == {Kind.FOREIGN: 1}


def test_an_answer_of_before_in_the_unique_output_is_not_one_of_now() -> None:
    records, outputs = both()
    outputs.append(replace(outputs[1], verdict="unique"))
    proof = audited(records, outputs)

    assert not proof.findings, list(proof.findings.lines())


def test_an_answer_of_now_in_the_unique_output_is_found() -> None:
    records, outputs = both()
    outputs[4] = replace(outputs[4], verdict="unique")
    proof = audited(records, outputs)

    assert proof.findings.counts[Kind.MISPLACED] == 1


def test_the_watermark_of_an_earlier_topic_makes_records_late() -> None:
    late = [(event_record(0, NOW - 5000, "d"), LATE), (event_record(1, NOW - 4000, "e"), LATE)]
    for output in (outputs := answers_of(NOW_ID, late)):
        output.headers = [
            (name, b"1000.5" if name == "dedup.reason" else value) for name, value in output.headers
        ]
    records = [record for record, _ in late]

    assert audited(records, outputs).findings
    assert not audited(records, [*answers_of(BEFORE_ID, BEFORE), *outputs]).findings


def test_an_earlier_topic_holds_the_watermark_back() -> None:
    answers = [(event_record(0, NOW, "d"), UNIQUE), (event_record(1, NOW - 4000, "e"), UNIQUE)]
    records = [record for record, _ in answers]
    outputs = answers_of(NOW_ID, answers)

    earlier = answers_of(BEFORE_ID, BEFORE)

    assert audited(records, outputs, DEDUP_LANES="1").findings
    assert not audited(records, [*earlier, *outputs], DEDUP_LANES="1").findings


def test_the_same_record_is_unique_twice_if_its_key_was_evicted() -> None:
    records, outputs = both()
    twice = [*outputs, outputs[3]]

    assert audited(records, twice).findings
    assert not audited(records, twice, DEDUP_MAX_KEYS="4").findings


def test_repeated_keys_may_have_been_evicted_by_records_of_before() -> None:
    answers: list[Answer] = [
        (event_record(0, NOW, "a"), UNIQUE),
        (event_record(1, NOW, "b"), UNIQUE),
        (event_record(2, NOW, "a"), UNIQUE),
    ]
    records = [record for record, _ in answers]
    outputs = answers_of(NOW_ID, answers)
    before: list[Answer] = [(event_record(n, NOW, f"before {n}"), UNIQUE) for n in range(30)]
    earlier = answers_of(BEFORE_ID, [*before, (event_record(30, NOW, "before 0"), repeats(0, 0))])
    few = {"DEDUP_MAX_KEYS": "40", "DEDUP_LANES": "2"}

    assert audited(records, outputs, **few).findings.counts == {Kind.REPEATED: 1}
    assert not audited(records, [*earlier, *outputs], **few).findings


def test_an_id_is_what_kafka_shows() -> None:
    topic = InputTopic("raw", NOW_ID)
    added = {"dedup.verdict": b"late", "dedup.topic": b"raw", "dedup.topic.id": NOW_ID.encode()}

    assert not topic.lacks_id(added)
    assert not topic.is_earlier(added)
    assert topic.is_earlier(added | {"dedup.topic.id": BEFORE_ID.encode()})
    assert not topic.is_earlier(added | {"dedup.topic.id": BEFORE_ID.encode(), "dedup.topic": b"x"})
    assert topic.lacks_id(added | {"dedup.topic.id": b"no id"})
    assert not InputTopic("raw").lacks_id({})
