"""Settings: their defaults and what they mean for the job."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from flows.settings.fingerprint import fingerprint
from flows.settings.load import load_settings
from flows.settings.model import FIELD_OF, Settings
from operators.keys.combination import Combination
from tests.cases.settings import KAFKA, load

# The table of the public interface.
DEFAULTS: dict[str, Any] = {
    "app_id": "dedup",
    "brokers": None,
    "input_topic": "raw-events",
    "unique_topic": "deduplicated-events",
    "duplicate_topic": "duplicates-dlq",
    "late_topic": "late-events",
    "invalid_topic": "invalid-events",
    "create_topics": True,
    "start": "earliest",
    "stop_at_end": False,
    "kafka": {},
    "consumer": {},
    "producer": {},
    "input_file": "-",
    "output_dir": "out",
    "guarantee": "exactly_once",
    "commit_interval_ms": 100,
    "lanes": 4,
    "keys": [["event_id"]],
    "content_ignore": ["event_id", "timestamp"],
    "shard_by": ["event_id"],
    "time": "timestamp",
    "schema": "event",
    "window": "tumbling",
    "window_seconds": 3600,
    "allowed_lateness_seconds": 300,
    "idle_seconds": 30,
    "max_future_seconds": 86400,
    "state": "memory",
    "state_dir": "state",
    "snapshot_max_bytes": 262144,
    "max_keys": 10000000,
    "eviction": "oldest",
    "bloom_error": 0.001,
    "similarity": None,
    "similarity_metric": "jaccard",
    "similarity_shingle": "3c",
    "similarity_fields": ["data"],
    "similarity_seconds": 300,
    "stats_topic": None,
    "stats_seconds": 60,
    "metrics_port": None,
    "log": "text",
    "log_level": "info",
}


def test_defaults() -> None:
    assert load_settings({}).effective() == DEFAULTS
    assert list(FIELD_OF) == list(DEFAULTS)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    "keys, shard_by, fields",
    [
        ('[["a","b"]]', None, ("a", "b")),
        ('[["c","a","b"],["b","a"]]', None, ("a", "b")),
        ('[["a"],["b"]]', "[]", ()),
        ('[["a"],["b"]]', '["c"]', ("c",)),
        ('[["a"],["b"]]', "@key", ("@key",)),
        ('[["a"],["b"]]', '"@key"', ("@key",)),
        ('["content"]', "[]", ()),
        # content shares all that it does not ignore, event_id and timestamp here
        ('["content",["user_id","event_id"]]', None, ("user_id",)),
        ('[["data.a","@key","user_id"],"content"]', None, ("data.a", "user_id")),
    ],
)
def test_shard(keys: str, shard_by: str | None, fields: tuple[str, ...]) -> None:
    environ = KAFKA | {"DEDUP_KEYS": keys}
    if shard_by is not None:
        environ["DEDUP_SHARD_BY"] = shard_by
    assert load_settings(environ).shard == Combination(fields)


def test_shard_of_the_content_alone() -> None:
    settings = load(keys='["content"]')
    assert settings.shard == Combination((), content=True)
    assert settings.effective()["shard_by"] is None


def test_a_field_may_be_called_content() -> None:
    settings = load(keys='["content",["content"]]')
    assert settings.keys == (Combination((), content=True), Combination(("content",)))
    assert settings.shard == Combination(("content",))
    assert [key.name for key in settings.keys] == ["content", "content"]


def test_near_duplicates_share_no_field_unless_one_is_named() -> None:
    assert load(similarity="0.9").shard == Combination(())
    assert load(similarity="0.9", keys='[["a"],["b"]]').shard == Combination(())
    assert load(similarity="0.9", shard_by='["user_id"]').shard == Combination(("user_id",))


def test_settings_do_not_change() -> None:
    settings = load_settings({})
    with pytest.raises(ValueError, match="frozen"):
        settings.lanes = 5


def test_settings_can_be_copied_and_sent() -> None:
    settings = load(keys='[["a"],"content"]', kafka='{"a":1}', output_dir="x")
    assert copy.deepcopy(settings) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "SASL.JAAS.CONFIG",
        "my.token",
    ],
)
def test_secrets_are_masked_wherever_settings_are_shown(name: str) -> None:
    for setting in ("kafka", "consumer", "producer"):
        settings = load(**{setting: json.dumps({name: "s3cret", "client.id": "me"})})
        assert getattr(settings, setting)[name] == "s3cret"
        for shown in (repr(settings), str(settings), str(settings.effective())):
            assert "s3cret" not in shown
            assert "'client.id': 'me'" in shown


def test_fingerprint_has_what_gives_state_its_meaning() -> None:
    assert fingerprint(load_settings({})) == {
        "DEDUP_INPUT_TOPIC": "-",
        "DEDUP_KEYS": '[["event_id"]]',
        "DEDUP_SHARD_BY": '["event_id"]',
        "DEDUP_LANES": "4",
        "DEDUP_CONTENT_IGNORE": "-",
        "DEDUP_TIME": '"timestamp"',
        "DEDUP_SCHEMA": '"event"',
        "DEDUP_WINDOW": '"tumbling"',
        "DEDUP_WINDOW_SECONDS": "3600",
        "DEDUP_SIMILARITY": "-",
        "DEDUP_SIMILARITY_METRIC": "-",
        "DEDUP_SIMILARITY_SHINGLE": "-",
        "DEDUP_SIMILARITY_FIELDS": "-",
        "DEDUP_SIMILARITY_SECONDS": "-",
        "DEDUP_STATE": "keys",
    }


@pytest.mark.parametrize(
    "name, before, after",
    [
        (
            "keys",
            {"shard_by": '["a"]', "keys": '[["a","b"]]'},
            {"shard_by": '["a"]', "keys": '[["b","a"]]'},
        ),
        ("shard_by", {}, {"shard_by": "[]"}),
        ("shard_by", {"keys": '["content"]'}, {"keys": '["content"]', "shard_by": "[]"}),
        ("lanes", {}, {"lanes": "5"}),
        ("input_topic", {"brokers": "a:1"}, {"brokers": "a:1", "input_topic": "x"}),
        (
            "content_ignore",
            {"keys": '["content"]'},
            {"keys": '["content"]', "content_ignore": "[]"},
        ),
        ("time", {}, {"time": "at"}),
        ("schema", {}, {"schema": "open"}),
        ("window", {}, {"window": "sliding"}),
        ("window_seconds", {}, {"window_seconds": "60"}),
        ("similarity", {"similarity": "0.9"}, {"similarity": "0.8"}),
        (
            "similarity_shingle",
            {"similarity": "0.9"},
            {"similarity": "0.9", "similarity_shingle": "2w"},
        ),
        ("state", {}, {"state": "bloom"}),
    ],
)
def test_fingerprint_tells_what_changed(
    name: str, before: dict[str, str], after: dict[str, str]
) -> None:
    one, other = fingerprint(load(**before)), fingerprint(load(**after))
    assert one.keys() == other.keys()
    assert [key for key in one if one[key] != other[key]] == [f"DEDUP_{name.upper()}"]


@pytest.mark.parametrize(
    "before, after",
    [
        ({}, {"app_id": "x", "output_dir": "y", "max_keys": "99", "eviction": "lru"}),
        ({"brokers": "a:1"}, {"brokers": "b:1", "unique_topic": "x", "lanes": "4"}),
        ({"input_topic": "x"}, {"input_topic": "y"}),
        ({}, {"shard_by": '["event_id"]', "window_seconds": "3600.0"}),
        ({}, {"content_ignore": "[]", "similarity_shingle": "2w"}),
        ({"window": "forever"}, {"window": "forever", "window_seconds": "1"}),
    ],
)
def test_fingerprint_passes_over_what_changes_no_meaning(
    before: dict[str, str], after: dict[str, str]
) -> None:
    assert fingerprint(load(**before)) == fingerprint(load(**after))
