"""Fingerprint: which settings change what stored state means."""

from __future__ import annotations

import pytest

from flows.settings.fingerprint import fingerprint
from flows.settings.load import load_settings
from tests.cases.settings import load


def test_fingerprint_holds_the_settings_that_give_state_its_meaning() -> None:
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
def test_fingerprint_shows_which_setting_changed(
    name: str, before: dict[str, str], after: dict[str, str]
) -> None:
    old, new = fingerprint(load(**before)), fingerprint(load(**after))
    assert old.keys() == new.keys()
    assert [key for key in old if old[key] != new[key]] == [f"DEDUP_{name.upper()}"]


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
def test_fingerprint_ignores_settings_that_do_not_change_the_meaning(
    before: dict[str, str], after: dict[str, str]
) -> None:
    assert fingerprint(load(**before)) == fingerprint(load(**after))
