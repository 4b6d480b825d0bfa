"""The audit on Kafka: right outputs are proved, and each changed output is named."""

import pytest

from tests.integration.audit.kafka_run import VERDICTS, Audit, KafkaRun, tampered


def test_a_right_run_is_proved(run: KafkaRun, audit: Audit) -> None:
    run.write_outputs()
    status, report = audit("--least-detection=1")

    assert status == 0, report
    assert "ok: every input record is answered exactly once" in report
    assert "300  in 2 partition(s)" in report
    rows = {line.split()[0] for line in report.splitlines() if "100.000%" in line}
    assert rows == {"unique", "duplicate", "late", "invalid"}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_record_that_was_removed_is_named(run: KafkaRun, audit: Audit, verdict: str) -> None:
    removed = run.outputs[verdict].pop(5)
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert f"1 input records have no answer:\n  {run.name(removed.record)}" in report


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_record_that_was_doubled_is_named(run: KafkaRun, audit: Audit, verdict: str) -> None:
    doubled = run.outputs[verdict][5]
    run.outputs[verdict].append(doubled)
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 answers are to records that have one already:" in report
    assert f"answers {run.name(doubled.record).strip()} again" in report
    assert f"  {run.topic(verdict)}-" in report


@pytest.mark.parametrize("verdict", VERDICTS[1:])
@pytest.mark.parametrize("target", ["unique", "late", "duplicate"])
def test_a_record_in_the_wrong_topic_is_named(
    run: KafkaRun, audit: Audit, verdict: str, target: str
) -> None:
    if verdict == target:
        return
    run.outputs[target].append(run.outputs[verdict].pop(5))
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 output records are in the output of another verdict:" in report
    assert f"  {run.topic(target)}-" in report
    assert "have no answer" not in report


def test_a_duplicate_written_as_unique_is_named(run: KafkaRun, audit: Audit) -> None:
    moved = run.outputs["duplicate"].pop(5)
    moved.headers = moved.headers[:2]
    run.outputs["unique"].append(moved)
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 unique records repeat the key of another one in the window:" in report
    assert f"{run.name(moved.record).strip()} has the key of" in report


@pytest.mark.parametrize(
    "target, kind",
    [
        ("duplicate", "name an original that they do not repeat"),
        ("invalid", "have a verdict that the rules do not give"),
    ],
)
def test_a_unique_record_written_as_another_is_named(
    run: KafkaRun, audit: Audit, target: str, kind: str
) -> None:
    moved = run.outputs["unique"].pop(5)
    other = run.outputs["unique"][9].record.index
    moved.headers += run.headers(moved.record, target, other)
    run.outputs[target].append(moved)
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert kind in report
    assert run.name(moved.record).strip() in report


@pytest.mark.parametrize("verdict", ["unique", "late"])
@pytest.mark.parametrize("change", ["timestamp", "headers"])
def test_a_record_that_was_altered_is_named(
    run: KafkaRun, audit: Audit, verdict: str, change: str
) -> None:
    altered = run.outputs[verdict][5]
    if change == "timestamp":
        altered.timestamp += 1
    else:
        altered.headers = [altered.headers[0], *altered.headers[2:]]
    run.write_outputs()
    status, report = audit()

    assert status == 1
    kind = "answer no input record" if verdict == "unique" else "differ from the input record"
    assert f"1 output records {kind}" in report
    assert audit("--ignore-timestamps")[0] == (0 if change == "timestamp" else 1)


@pytest.mark.parametrize(
    "verdict, header",
    [
        *(("late", f"dedup.{name}") for name in ("topic", "partition", "offset", "reason")),
        ("duplicate", "dedup.matched"),
        ("duplicate", "dedup.original"),
        ("invalid", "dedup.reason"),
        *(
            ("invalid", f"__connect.errors.{name}")
            for name in (
                "topic",
                "partition",
                "offset",
                "exception.class.name",
                "exception.message",
            )
        ),
    ],
)
def test_a_header_that_is_missing_is_named(
    run: KafkaRun, audit: Audit, verdict: str, header: str
) -> None:
    headers = run.outputs[verdict][5].headers
    headers.remove(next(pair for pair in headers if pair[0] == header))
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 output records do not say which record they answer" in report
    assert f": no {header}, or no valid one\n" in report


def test_seconds_that_no_watermark_gives_are_named(run: KafkaRun, audit: Audit) -> None:
    output = tampered(run, "late", "dedup.reason", "1e9")
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert f"{run.name(output.record).strip()} is late by 1000000000.0 s" in report


def test_an_original_that_comes_after_its_duplicate_is_named(run: KafkaRun, audit: Audit) -> None:
    places = run.places
    output = run.outputs["duplicate"][5]
    own = places[output.record.index]
    after = next(place for place in places.values() if place[0] == own[0] and place[1] > own[1])
    tampered(run, "duplicate", "dedup.original", "{}:{}".format(*after))
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "1 duplicates name an original that they do not repeat" in report
    assert run.name(output.record).strip() in report


def test_an_original_that_does_not_exist_is_named(run: KafkaRun, audit: Audit) -> None:
    tampered(run, "duplicate", "dedup.original", "7:0")
    run.write_outputs()
    status, report = audit()

    assert status == 1
    assert "names 7:0, which is not in the input" in report


@pytest.mark.parametrize("similarity, status", [(1.0, 0), (0.9, 1)])
def test_near_duplicates_are_measured_again(
    run: KafkaRun, audit: Audit, monkeypatch: pytest.MonkeyPatch, similarity: float, status: int
) -> None:
    output = run.outputs["duplicate"][5]
    tampered(run, "duplicate", "dedup.matched", "similar")
    output.headers.append(("dedup.similarity", repr(similarity)))
    run.write_outputs()
    monkeypatch.setenv("DEDUP_SIMILARITY", "0.8")
    monkeypatch.setenv("DEDUP_SIMILARITY_SECONDS", "100000")
    exit_status, report = audit()

    assert exit_status == status, report
    assert "note: 1 of 1 near duplicates were measured again" in report
    assert ("with similarity 0.9, which is 1.0" in report) == bool(status)


@pytest.mark.parametrize(
    "variable, value",
    [
        ("DEDUP_TIME", "@record"),
        ("DEDUP_KEYS", '[["event_id"],["@key"]]'),
        ("DEDUP_KEYS", '[["event_id"],["@header.label","event_id"]]'),
    ],
)
def test_near_duplicates_are_measured_again_with_all_that_records_have(
    run: KafkaRun, audit: Audit, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Records that were read again came without timestamp, key and headers: it crashed."""
    tampered(run, "duplicate", "dedup.matched", "similar").headers.append(
        ("dedup.similarity", "1.0")
    )
    run.write_outputs()
    monkeypatch.setenv("DEDUP_SIMILARITY", "0.8")
    monkeypatch.setenv(variable, value)
    _, report = audit()

    assert "note: 1 of 1 near duplicates were measured again" in report
