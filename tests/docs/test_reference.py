"""The reference, against the code: tables made from it, and lists that must be whole."""

import json
import re
from collections.abc import Mapping
from typing import Final

import pytest

from flows.cli.app import main
from flows.settings.fingerprint import fingerprint
from flows.settings.load import load_settings
from operators.decode.reasons import REASONS
from operators.encode.headers import HEADERS
from operators.errors import SettingsError
from tests.docs.guide import GUIDE, rows
from tests.docs.tables import TABLES, with_table
from tests.model import Record, Settings, Verdict, output_headers, read

_KAFKA: Final = {"DEDUP_BROKERS": "kafka-1:9092"}
_SETTINGS: Final = "reference/settings.md"
_WHOLE: Final = {"DEDUP_LANES", "DEDUP_SNAPSHOT_MAX_BYTES", "DEDUP_METRICS_PORT"}
# Of the changelog's partitions and of the group, not of the fingerprint.
_CHECKED_ELSEWHERE: Final = {"DEDUP_BROKERS", "DEDUP_GUARANTEE"}


def section(page: str, heading: str) -> str:
    text = (GUIDE / page).read_text("utf-8")
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def refused(environ: Mapping[str, str]) -> bool:
    try:
        load_settings(environ)
    except SettingsError:
        return True
    return False


@pytest.mark.parametrize("page", TABLES)
def test_tables_are_as_the_code_has_them(page: str) -> None:
    assert (GUIDE / page).read_text("utf-8") == with_table(page), "run python -m tests.docs.tables"


@pytest.mark.parametrize("row", rows(_SETTINGS, "| setting | least | most |"))
def test_limits_are_those_of_the_settings(row: tuple[str, str, str]) -> None:
    name = row[0].strip("`")
    for cell, outward in zip(row[1:], (-1, 1), strict=True):
        if cell == "none":
            continue
        limit = cell.split("`")[1]
        beyond = int(limit) + outward if name in _WHOLE else float(limit) + 0.01 * outward
        assert refused({name: limit}) is (" than " in cell)
        assert refused({name: str(beyond)})


def test_settings_that_may_not_change_are_all_named() -> None:
    named = set(re.findall(r"DEDUP_\w+", section(_SETTINGS, "Settings that may not change")))
    kept = fingerprint(load_settings({}))
    assert named - _CHECKED_ELSEWHERE - {"DEDUP_APP_ID"} == kept.keys()


@pytest.mark.parametrize("row", rows(_SETTINGS, "| setting of librdkafka | value |"))
def test_settings_of_librdkafka_that_are_ours_are_refused(row: tuple[str, str]) -> None:
    for name in row[0].split(", "):
        other = json.dumps({name.strip("`"): "another"})
        assert refused(_KAFKA | {"DEDUP_KAFKA": other})


def test_every_reason_is_that_of_the_first_rule_that_fits() -> None:
    settings = Settings(keys=(("data.id",),))
    event = {"event_id": "e", "user_id": "u", "event_type": "t", "timestamp": "no", "data": {}}
    good = event | {"data": {"id": 1}}
    values = [
        None,
        b"{",
        json.dumps({"data": {}}).encode(),
        json.dumps(event).encode(),
        json.dumps(good).encode(),
        json.dumps(good | {"timestamp": 1e9}).encode(),
    ]
    reasons = [read(Record(0, 0, None, value), settings, now=0.0) for value in values]
    assert reasons == list(REASONS)


def test_headers_are_those_that_the_model_expects() -> None:
    duplicate = Verdict("duplicate", matched="event_id", original=(0, 0), similarity=1.0)
    verdicts = [duplicate, Verdict("late", late_by=1.0), Verdict("invalid", reason="json")]
    expected = {
        name
        for verdict in verdicts
        for name, _ in output_headers(Record(0, 0, None, b""), verdict, Settings(), "raw")
    }
    # The model has no Bloom filter and replays nothing; it knows one topic, without an id.
    not_in_the_model = {
        "dedup.probable",
        "dedup.replays",
        "dedup.topic.id",
        "dedup.original.topic",
    }
    assert {header.name for header in HEADERS} == expected | not_in_the_model


def test_every_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    ([a-z]+) ", capsys.readouterr().out, re.MULTILINE))
    named = section("reference/running.md", "The command")
    assert commands
    assert set(re.findall(r"^\| `dedup (\w+)`", named, re.MULTILINE)) == commands


@pytest.mark.parametrize(
    "arguments, lanes, status",
    [
        (["config"], "4", 0),
        (["config"], "none", 2),
        (["status", "--once"], "4", 2),
        (["status", "--once", "--url", "http://127.0.0.1:1"], "4", 1),
    ],
)
def test_statuses_of_the_command(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], lanes: str, status: int
) -> None:
    monkeypatch.setenv("DEDUP_LANES", lanes)
    named = {
        row[0] for row in rows("reference/exit-status.md", "| status | `dedup` command | when |")
    }
    assert main(arguments) == status
    assert str(status) in named
