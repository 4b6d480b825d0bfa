"""`dedup audit` said "ok" to outputs that lose a record: it proved each of these."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import app

TIMES = (1_700_000_000, 1_700_000_400, 1_700_000_010, 1_700_000_011, 1_700_000_500)
IDS = ("a", "b", "c", "b", "d")
LINES = [
    json.dumps(
        {
            "event_id": event_id,
            "user_id": "u",
            "event_type": "t",
            "timestamp": timestamp,
            "data": {"text": f"text of {event_id}"},
        }
    )
    for event_id, timestamp in zip(IDS, TIMES, strict=True)
]
LATE_BY = 390.0
Answer = tuple[str, dict[str, object]]
Answers = dict[int, Answer]
Audit = Callable[[Answers], tuple[int, str]]
LATE: Answer = ("late", {"reason": LATE_BY})
# Lines 2 and 3 are late, although 3 repeats 1.  Lines 0, 1 and 4 are unique.
RIGHT: Answers = {2: LATE, 3: ("late", {"reason": 389.0})}


@pytest.fixture
def audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Audit:
    monkeypatch.delenv("DEDUP_BROKERS", raising=False)
    monkeypatch.setenv("DEDUP_INPUT_FILE", str(tmp_path / "in.jsonl"))
    monkeypatch.setenv("DEDUP_OUTPUT_DIR", str(tmp_path))
    (tmp_path / "in.jsonl").write_text("".join(line + "\n" for line in LINES))

    def call(answers: Answers) -> tuple[int, str]:
        outputs: dict[str, list[str]] = {
            name: [] for name in ("unique", "duplicate", "late", "invalid")
        }
        for offset, value in enumerate(LINES):
            if offset not in answers:
                outputs["unique"].append(value)
                continue
            verdict, members = answers[offset]
            line = {"verdict": verdict, "offset": offset, "value": value, **members}
            outputs[verdict].append(json.dumps(line))
        for name, lines in outputs.items():
            (tmp_path / f"{name}.jsonl").write_text("".join(line + "\n" for line in lines))
        capsys.readouterr()
        return app.main(["audit"]), capsys.readouterr().out

    return call


def test_the_right_outputs_are_proved(audit: Audit) -> None:
    status, report = audit(RIGHT)

    assert status == 0, report


@pytest.mark.parametrize(
    "offset, answer, finding",
    [
        # A unique record is called a duplicate of a record that does not exist.
        (4, ("duplicate", {"matched": "event_id", "original": "0:99"}), "names 0:99, which is not"),
        (4, ("duplicate", {"matched": "event_id", "original": "7:0"}), "names 7:0, which is not"),
        # The job does not look for near duplicates.
        (
            4,
            ("duplicate", {"matched": "similar", "original": "0:0", "similarity": 0.1}),
            "duplicate.jsonl line 1: no matched, or no valid one",
        ),
        # A time in 2023 was in no clock's future.
        (0, ("invalid", {"reason": "future"}), "(offset 0) is invalid for future"),
        # Late, but the watermark was never there, or the answer does not say where it was.
        (2, ("late", {"reason": 300.5}), "(offset 2) is late by 300.5 s"),
        (2, ("late", {"reason": 1e6}), "(offset 2) is late by 1000000.0 s"),
        (2, ("late", {}), "late.jsonl line 1: no reason, or no valid one"),
    ],
)
def test_a_wrong_answer_is_found(audit: Audit, offset: int, answer: Answer, finding: str) -> None:
    status, report = audit({**RIGHT, offset: answer})

    assert status == 1
    assert finding in report


def test_an_original_that_comes_later_is_found(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "1000")
    assert audit({3: ("duplicate", {"matched": "event_id", "original": "0:1"})})[0] == 0

    status, report = audit({1: ("duplicate", {"matched": "event_id", "original": "0:3"})})

    assert status == 1
    assert "name an original that they do not repeat" in report


@pytest.mark.parametrize("gap, status", [("400", 0), ("100", 1)])
def test_an_original_of_another_session_is_found(
    audit: Audit, monkeypatch: pytest.MonkeyPatch, gap: str, status: int
) -> None:
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "1000")
    monkeypatch.setenv("DEDUP_WINDOW", "session")
    monkeypatch.setenv("DEDUP_WINDOW_SECONDS", gap)
    # The two records are 389 s apart.
    answer = audit({3: ("duplicate", {"matched": "event_id", "original": "0:1"})})

    assert answer[0] == status
    assert ("(offset 3) names" in answer[1]) == bool(status)


def test_a_reason_that_is_not_the_records_is_found(audit: Audit, tmp_path: Path) -> None:
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write("[]\n")
    LINES.append("[]")
    try:
        assert audit({**RIGHT, 5: ("invalid", {"reason": "schema"})})[0] == 0
        status, report = audit({**RIGHT, 5: ("invalid", {"reason": "json"})})
    finally:
        LINES.pop()

    assert status == 1
    assert "(offset 5) is invalid for json, which is schema" in report


def test_a_near_duplicate_that_is_not_similar_is_found(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEDUP_SIMILARITY", "0.5")
    monkeypatch.setenv("DEDUP_SIMILARITY_FIELDS", '["event_id"]')
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "1000")
    repeat: Answer = ("duplicate", {"matched": "event_id", "original": "0:1"})
    near = {"matched": "similar", "original": "0:1", "similarity": 0.9}
    status, report = audit({3: repeat, 4: ("duplicate", near)})

    assert status == 1
    assert "with similarity 0.9, which is 0.0" in report

    far = {"matched": "similar", "original": "0:0", "similarity": 0.9}
    status, report = audit({3: repeat, 4: ("duplicate", far)})

    assert status == 1
    assert "(offset 4) names" in report
