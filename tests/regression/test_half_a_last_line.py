"""A last line that was not whole yet became two invalid records."""

import json
from pathlib import Path

import pytest

from flows.cli.audit.files import audit_files
from flows.cli.audit.options import AuditOptions
from flows.settings.load import load_settings
from tests.integration.embedded import check, event, outputs, settings_for
from tests.integration.job import Job, fail, finish, recovery_directory

WHOLE = [event("a"), event("b"), event("a")]
BEFORE = b"\n".join(WHOLE) + b"\n"


@pytest.mark.parametrize("half", [b"{", event("c")[:30], b"12", b"  ", b"\xff"])
def test_half_a_line_waits_for_its_other_half(tmp_path: Path, half: bytes) -> None:
    settings = settings_for(tmp_path, BEFORE + half)
    recovery = recovery_directory(tmp_path / "recovery")

    for _ in range(2):
        [ended] = finish(Job(settings, tmp_path, recovery=recovery))
        check(tmp_path, WHOLE)
        assert ("line 4, the last one, has no newline" in ended.stderr) == bool(half.strip())
    proof = audit_files(load_settings(settings), AuditOptions())
    assert not proof.findings, list(proof.findings.lines())
    assert any("line 4" in note for note in proof.notes) == bool(half.strip())

    line = event("c") if event("c").startswith(half) else half + event("c")
    with (tmp_path / "in.jsonl").open("ab") as file:
        file.write(line.removeprefix(half) + b"\n" + event("d"))
    finish(Job(settings, tmp_path, recovery=recovery))
    check(tmp_path, [*WHOLE, line, event("d")])


def test_without_recovery_it_counts(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, BEFORE + b'{"half')

    finish(Job(settings, tmp_path))

    check(tmp_path, [*WHOLE, b'{"half'])
    proof = audit_files(load_settings(settings), AuditOptions())
    assert not proof.findings, list(proof.findings.lines())
    assert not proof.notes


LATE = json.dumps(json.loads(event("e")) | {"timestamp": 1}).encode()


@pytest.mark.parametrize(
    "line, end",
    [
        (event("c"), b"\n"),
        (event("c"), b"\r\n"),
        (event("c"), b" \n"),
        (event("a"), b"\r\n"),
        (LATE, b"\t \r\n"),
    ],
)
def test_white_space_after_an_answered_line_ends_it(
    tmp_path: Path, line: bytes, end: bytes
) -> None:
    settings = settings_for(tmp_path, BEFORE + line)
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    for piece in (end[:-1], end[-1:] + event("d") + b"\n"):
        with (tmp_path / "in.jsonl").open("ab") as file:
            file.write(piece)
        finish(Job(settings, tmp_path, recovery=recovery))

    check(tmp_path, [*WHOLE, line, event("d")])
    # The line in the file has the white space, its answer has none.
    proof = audit_files(load_settings(settings), AuditOptions())
    assert not proof.findings, list(proof.findings.lines())
    assert any("got white space at their end later" in note for note in proof.notes) == (
        end != b"\n"
    )


@pytest.mark.parametrize("more", [event("d") + b"\n", b"x", b" x\n" + event("d")])
def test_an_answered_line_that_goes_on_is_refused(tmp_path: Path, more: bytes) -> None:
    settings = settings_for(tmp_path, BEFORE + event("c"))
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    before = outputs(tmp_path)
    with (tmp_path / "in.jsonl").open("ab") as file:
        file.write(more)

    line = fail(Job(settings, tmp_path, recovery=recovery))

    assert f"DEDUP_INPUT_FILE={tmp_path / 'in.jsonl'}: line 4 " in line
    assert f"byte {len(BEFORE + event('c'))}" in line
    assert outputs(tmp_path) == before
    # As the line says.
    (tmp_path / "in.jsonl").write_bytes(BEFORE + event("c") + b"\n" + event("e") + b"\n")
    finish(Job(settings, tmp_path, recovery=recovery))
    check(tmp_path, [*WHOLE, event("c"), event("e")])
