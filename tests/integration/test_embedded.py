"""The embedded mode as a whole: JSON lines in, four files out."""

import base64
import json
import os
import random
import time
from pathlib import Path
from typing import Final

import pytest

from tests.integration.embedded import check, event, outputs, settings_for
from tests.integration.job import Job, fail, finish, recovery_directory
from tests.integration.streams import events
from tests.integration.topics import VERDICTS

KILLS: Final = 6


def stream_of_lines(count: int, seed: int) -> list[bytes]:
    """Lines of a stream with every verdict; a tombstone becomes a blank line."""
    return [
        (record.value or b"").replace(b"\n", b" ") for record in events(count, seed=seed, late=True)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_gives_the_models_verdicts(tmp_path: Path, workers: int) -> None:
    lines = stream_of_lines(2000, 1)

    finish(Job(settings_for(tmp_path, b"\n".join(lines) + b"\n"), tmp_path, workers=workers))

    check(tmp_path, lines)


def test_two_processes_give_the_same_files(tmp_path: Path) -> None:
    lines = stream_of_lines(2000, 2)

    finish(
        Job(
            settings_for(tmp_path, b"\n".join(lines)),
            tmp_path,
            processes=2,
            recovery=recovery_directory(tmp_path / "recovery"),
        )
    )

    check(tmp_path, lines)


def test_standard_input_gives_the_same(tmp_path: Path) -> None:
    lines = stream_of_lines(1000, 3)
    settings = settings_for(tmp_path, b"\n".join(lines) + b"\n") | {"DEDUP_INPUT_FILE": "-"}

    finish(Job(settings, tmp_path, stdin=tmp_path / "in.jsonl"))

    check(tmp_path, lines)


def test_blank_lines_count_and_a_cr_belongs_to_its_line(tmp_path: Path) -> None:
    lines = [
        b"",
        event("a"),
        b" \t\r",
        event("a") + b"\r",
        b"",
        event("b") + b"\r",
        b"\xff\xfe not UTF-8",
        b"no JSON",
        "\u2028".encode().join((b'{"no', b'event": 1}')),
        event("b") + b" ",
        event("c"),  # the last line has no newline
    ]

    finish(Job(settings_for(tmp_path, b"\n".join(lines)), tmp_path))

    check(tmp_path, lines)
    written = outputs(tmp_path)
    assert written["unique"] == event("a") + b"\n" + event("b") + b"\r\n" + event("c") + b"\n"
    duplicates = [json.loads(line) for line in written["duplicate"].splitlines()]
    assert [line["offset"] for line in duplicates] == [3, 9]
    assert duplicates[0]["value"] == event("a").decode() + "\r"
    invalid = json.loads(written["invalid"].splitlines()[0])
    assert base64.b64decode(invalid["value_base64"]) == lines[6]
    assert "value" not in invalid


@pytest.mark.parametrize("last_newline", [False, True])
def test_a_file_that_has_grown_goes_on_where_it_stopped(
    tmp_path: Path, *, last_newline: bool
) -> None:
    lines = stream_of_lines(600, 4)
    first = b"\n".join(lines[:400]) + (b"\n" if last_newline else b"")
    recovery = recovery_directory(tmp_path / "recovery")
    settings = settings_for(tmp_path, first)

    finish(Job(settings, tmp_path, recovery=recovery))
    check(tmp_path, lines[:400])
    finish(Job(settings, tmp_path, recovery=recovery))  # nothing is new
    check(tmp_path, lines[:400])

    with (tmp_path / "in.jsonl").open("ab") as file:
        file.write((b"" if last_newline else b"\n") + b"\n".join(lines[400:]))
    finish(Job(settings, tmp_path, recovery=recovery))
    check(tmp_path, lines)


def test_an_empty_file_gives_four_empty_files(tmp_path: Path) -> None:
    finish(Job(settings_for(tmp_path, b""), tmp_path))

    assert outputs(tmp_path) == dict.fromkeys(VERDICTS, b"")


def test_killed_again_and_again_the_files_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    draw = random.Random(5)
    lines = b"".join(
        b'{"event_id":"e%d","user_id":"u%d","event_type":"t","timestamp":%d.25,'
        b'"data":{"n":%d,"fill":"%s"}}\n'
        % (
            number if number % 5 else draw.randrange(number + 1),
            number % 100,
            1_700_000_000 + number // 20 - (1000 if number % 97 == 0 else 0),
            number % 1000,
            b"x" * draw.randrange(60),
        )
        for number in range(1_000_000)
    )
    # Two combinations, one of them the content: the job must be busy when it is killed.
    work = {"DEDUP_KEYS": '[["event_id"], "content"]', "DEDUP_SHARD_BY": "[]"}
    calm, disturbed = tmp_path / "calm", tmp_path / "disturbed"
    calm.mkdir()
    disturbed.mkdir()
    finish(Job(settings_for(calm, lines) | work, calm))
    settings = settings_for(disturbed, lines) | work
    recovery = recovery_directory(tmp_path / "recovery")
    unique = disturbed / "out" / "unique.jsonl"

    def touched() -> int:
        return unique.stat().st_mtime_ns if unique.exists() else 0

    for kill in range(KILLS):
        with Job(settings, disturbed, recovery=recovery) as job:
            if kill:  # the first kill comes at the start, before the first snapshot
                before = touched()
                job.wait_until(lambda: touched() != before)  # noqa: B023
            time.sleep(draw.uniform(0, 1.4))
            assert job.alive, "the input is too short for this many kills"
            job.kill()
    finish(Job(settings, disturbed, recovery=recovery))

    expected, written = outputs(calm), outputs(disturbed)
    assert all(expected[verdict] for verdict in ("unique", "duplicate", "late"))
    for verdict in VERDICTS:
        assert written[verdict] == expected[verdict], verdict


def test_outputs_that_exist_are_not_overwritten(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a"))
    finish(Job(settings, tmp_path))
    before = outputs(tmp_path)

    line = fail(Job(settings, tmp_path))

    assert str(tmp_path / "out" / "unique.jsonl") in line
    assert "DEDUP_OUTPUT_DIR" in line
    assert outputs(tmp_path) == before
    # Another recovery directory knows nothing of these files either.
    line = fail(Job(settings, tmp_path, recovery=recovery_directory(tmp_path / "recovery")))
    assert str(tmp_path / "out" / "unique.jsonl") in line
    assert outputs(tmp_path) == before


def test_standard_input_cannot_be_read_again_after_a_restart(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a")) | {"DEDUP_INPUT_FILE": "-"}
    recovery = recovery_directory(tmp_path / "recovery")

    line = fail(Job(settings, tmp_path, recovery=recovery, stdin=tmp_path / "in.jsonl"))

    assert "DEDUP_INPUT_FILE=-" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"DEDUP_KEYS": '[["@key"]]'},
        {"DEDUP_KEYS": '[["@header.id"]]'},
        {"DEDUP_TIME": "@record"},
        {"DEDUP_SHARD_BY": "@key"},
    ],
)
def test_what_only_kafka_has_is_refused(tmp_path: Path, settings: dict[str, str]) -> None:
    line = fail(Job(settings_for(tmp_path, event("a")) | settings, tmp_path))

    assert next(iter(settings)) in line


def test_an_input_that_is_not_there(tmp_path: Path) -> None:
    line = fail(Job(settings_for(tmp_path), tmp_path))

    assert f"DEDUP_INPUT_FILE={tmp_path / 'in.jsonl'}" in line


def test_an_input_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").mkdir()

    line = fail(Job(settings_for(tmp_path), tmp_path))

    assert f"DEDUP_INPUT_FILE={tmp_path / 'in.jsonl'}" in line


def test_an_input_that_became_shorter(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a") + b"\n" + event("b") + b"\n")
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    before = outputs(tmp_path)
    (tmp_path / "in.jsonl").write_bytes(event("c"))

    line = fail(Job(settings, tmp_path, recovery=recovery))

    assert f"DEDUP_INPUT_FILE={tmp_path / 'in.jsonl'}" in line
    assert outputs(tmp_path) == before


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a"))
    (tmp_path / "out").write_bytes(b"precious")

    line = fail(Job(settings, tmp_path))

    assert f"DEDUP_OUTPUT_DIR={tmp_path / 'out'}" in line
    assert (tmp_path / "out").read_bytes() == b"precious"


def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a"))
    # Nobody can write a folder below /proc; root can write a read-only folder.
    if os.geteuid() == 0:
        settings["DEDUP_OUTPUT_DIR"] = "/proc/out"
    else:
        (tmp_path / "out").mkdir(mode=0o500)

    line = fail(Job(settings, tmp_path))

    assert f"DEDUP_OUTPUT_DIR={settings['DEDUP_OUTPUT_DIR']}" in line


def test_an_output_file_that_became_shorter(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, event("a") + b"\n" + event("b") + b"\n")
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    (tmp_path / "out" / "unique.jsonl").write_bytes(b"")

    line = fail(Job(settings, tmp_path, recovery=recovery))

    assert str(tmp_path / "out" / "unique.jsonl") in line
