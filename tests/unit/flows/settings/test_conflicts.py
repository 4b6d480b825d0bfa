"""Settings that conflict."""

from __future__ import annotations

import pytest

from flows.settings.load import load_settings
from tests.cases.settings import KAFKA, load, refusal


@pytest.mark.parametrize(
    "environ, setting, fix",
    [
        ({"DEDUP_UNIQUE_TOPIC": "raw-events"}, "DEDUP_UNIQUE_TOPIC=raw-events", "INPUT_TOPIC too"),
        ({"DEDUP_INPUT_TOPIC": "late-events"}, "DEDUP_LATE_TOPIC", "DEDUP_INPUT_TOPIC too"),
        ({"DEDUP_STATS_TOPIC": "raw-events"}, "DEDUP_STATS_TOPIC", "read its own output"),
        ({"DEDUP_STATS_TOPIC": "late-events"}, "DEDUP_STATS_TOPIC", "tell the records apart"),
        ({"DEDUP_LATE_TOPIC": "duplicates-dlq"}, "DEDUP_LATE_TOPIC", "DEDUP_DUPLICATE_TOPIC too"),
        ({"DEDUP_LATE_TOPIC": "dedup-changelog"}, "DEDUP_LATE_TOPIC", "made from DEDUP_APP_ID"),
        ({"DEDUP_INPUT_TOPIC": "dedup-changelog"}, "DEDUP_INPUT_TOPIC", "made from DEDUP_APP_ID"),
    ],
)
def test_topics_must_differ(environ: dict[str, str], setting: str, fix: str) -> None:
    message = refusal(environ | KAFKA)
    assert message.startswith(setting)
    assert fix in message
    assert "name another topic" in message


def test_dropped_topics_do_not_clash() -> None:
    settings = load_settings(KAFKA | {"DEDUP_LATE_TOPIC": "", "DEDUP_DUPLICATE_TOPIC": ""})
    assert (settings.late_topic, settings.duplicate_topic) == ("", "")


@pytest.mark.parametrize(
    "name, value",
    [
        ("keys", '[["user_id","@key"]]'),
        ("keys", '[["@header.trace.id"]]'),
        ("shard_by", "@key"),
        ("shard_by", '["@header.h"]'),
        ("time", "@record"),
    ],
)
def test_parts_of_kafka_records_need_kafka(name: str, value: str) -> None:
    environ = {f"DEDUP_{name.upper()}": value}
    message = refusal(environ)
    assert message.startswith(f"DEDUP_{name.upper()}={value}: ")
    assert "set DEDUP_BROKERS, or name fields of the event" in message
    assert not load_settings(environ | KAFKA).embedded


def test_embedded_mode_must_not_read_its_own_output() -> None:
    message = refusal({"DEDUP_INPUT_FILE": "./out/late.jsonl"})
    assert message.startswith("DEDUP_INPUT_FILE=./out/late.jsonl: ")
    assert "DEDUP_OUTPUT_DIR" in message
    load(input_file="out/raw.jsonl")


@pytest.mark.parametrize(
    "environ, fix",
    [
        ({"DEDUP_STATE": "rocksdb"}, "set DEDUP_BROKERS, or use memory"),
        (
            {"DEDUP_STATE": "rocksdb", "DEDUP_GUARANTEE": "at_least_once"} | KAFKA,
            "needs DEDUP_GUARANTEE to be exactly_once",
        ),
        ({"DEDUP_STATE": "bloom", "DEDUP_WINDOW": "sliding"}, "use tumbling or forever"),
        ({"DEDUP_STATE": "bloom", "DEDUP_WINDOW": "session"}, "this DEDUP_WINDOW needs"),
    ],
)
def test_kinds_of_state_that_conflict(environ: dict[str, str], fix: str) -> None:
    message = refusal(environ)
    assert message.startswith(f"DEDUP_STATE={environ['DEDUP_STATE']}: ")
    assert fix in message


def test_kinds_of_state_that_do_not_conflict() -> None:
    exactly_once = {"DEDUP_GUARANTEE": "exactly_once"}
    assert load_settings({"DEDUP_STATE": "rocksdb"} | KAFKA | exactly_once).state == "rocksdb"
    assert load_settings({"DEDUP_STATE": "bloom", "DEDUP_WINDOW": "forever"}).state == "bloom"
    assert load_settings(exactly_once).embedded


@pytest.mark.parametrize(
    "keys",
    [
        '[["a"],["b"]]',
        '["content",["event_id"]]',
        '["content",["@key"]]',
        '["content",["timestamp.x"]]',
    ],
)
def test_no_common_field_is_refused_with_the_choices(keys: str) -> None:
    message = refusal(KAFKA | {"DEDUP_KEYS": keys})
    assert message.startswith("DEDUP_SHARD_BY: must be set")
    assert all(choice in message for choice in ("DEDUP_KEYS", '["user_id"]', "@key", "[]"))
