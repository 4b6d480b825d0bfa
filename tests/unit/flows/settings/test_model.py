"""Settings: defaults, shard, masking."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from flows.settings.load import load_settings
from flows.settings.model import FIELD_OF, Settings
from operators.keys.combination import Combination
from tests.cases.settings import KAFKA, load

# The public interface: each setting in the order of its table, and its default.
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
