"""Single values: which are accepted, and the words in which others are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows.settings.load import load_settings
from flows.settings.model import FIELD_OF
from operators.errors import SettingsError
from operators.keys.combination import Combination
from tests.cases.settings import KAFKA, load, refusal


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("app_id", "orders.v2_a-b", "orders.v2_a-b"),
        ("brokers", "a:1, [::1]:9092 ,c.d:65535", "a:1,[::1]:9092,c.d:65535"),
        ("brokers", "", None),
        ("brokers", "  ", None),
        ("duplicate_topic", "", ""),
        ("late_topic", "", ""),
        ("create_topics", "false", False),
        ("stop_at_end", "true", True),
        ("start", "latest", "latest"),
        ("kafka", '{"security.protocol":"SSL","linger.ms":5,"a":1.5,"b":true}', None),
        ("producer", '{"acks":"all","enable.idempotence":true}', None),
        ("consumer", '{"isolation.level":"read_committed","enable.auto.commit":false}', None),
        ("input_file", "in.jsonl", "in.jsonl"),
        ("output_dir", "a/b", Path("a/b")),
        ("commit_interval_ms", "2.5", 2.5),
        ("lanes", "256", 256),
        ("keys", '[["a","data.b.c"],["d"]]', None),
        ("content_ignore", "[]", ()),
        ("content_ignore", '["a.b","@timestamp","a.b"]', ("a.b", "@timestamp")),
        ("shard_by", "[]", ()),
        ("shard_by", '["a","data.b"]', ("a", "data.b")),
        ("time", "data.at", "data.at"),
        ("schema", "open", "open"),
        ("window", "session", "session"),
        ("window_seconds", "0.5", 0.5),
        ("window_seconds", "1e3", 1000.0),
        ("allowed_lateness_seconds", "0", 0.0),
        ("max_future_seconds", "0", 0.0),
        ("snapshot_max_bytes", "0", 0),
        ("eviction", "lru", "lru"),
        ("similarity", "", None),
        ("similarity_metric", "levenshtein", "levenshtein"),
        ("similarity_shingle", "12w", "12w"),
        ("similarity_fields", '["data.text","title"]', ("data.text", "title")),
        ("stats_topic", "dedup-stats", "dedup-stats"),
        ("stats_topic", "", None),
        ("metrics_port", "9100", 9100),
        ("metrics_port", "", None),
        ("log", "json", "json"),
        ("log_level", "debug", "debug"),
    ],
)
def test_values_from_the_environment(name: str, text: str, value: object) -> None:
    if name == "keys":
        text, value = '[["a","data.b.c"]]', (Combination(("a", "data.b.c")),)
    if name in {"kafka", "producer", "consumer"}:
        value = json.loads(text)
    loaded = getattr(load(**{name: text}), FIELD_OF[name])
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize(
    "name, text, fix",
    [
        ("app_id", "", "must be 1 to 200 of the characters"),
        ("app_id", "my app", "a-z A-Z 0-9 . _ -"),
        ("app_id", "a" * 201, "1 to 200"),
        ("brokers", "kafka", "host:port"),
        ("brokers", "kafka:0", "host:port"),
        ("brokers", "kafka:65536", "host:port"),
        ("brokers", "kafka:9092,", "host:port"),
        ("brokers", "SSL://kafka:9092", "host:port"),
        ("brokers", "::1:9092", "host:port"),
        ("brokers", "user:secret@kafka:9092", "host:port"),
        ("input_topic", "", "must be a topic name"),
        ("unique_topic", "", "must be a topic name"),
        ("invalid_topic", "", "must be a topic name"),
        ("late_topic", "late events", "must be a topic name"),
        ("duplicate_topic", "..", "must be a topic name"),
        ("stats_topic", "a/b", "must be a topic name"),
        ("input_topic", "a" * 250, "1 to 249"),
        ("input_topic", "raw\nevents", "must be a topic name"),
        ("create_topics", "perhaps", "must be true or false"),
        ("stop_at_end", "", "must be true or false"),
        ("start", "beginning", "must be 'earliest' or 'latest'"),
        ("input_file", "", "must be a path"),
        ("output_dir", " ", "must be a path"),
        ("state_dir", "", "must be a path"),
        ("guarantee", "at_most_once", "must be 'exactly_once' or 'at_least_once'"),
        ("commit_interval_ms", "0", "must be at least 1"),
        ("commit_interval_ms", "60001", "must be at most 60000"),
        ("commit_interval_ms", "100ms", "must be a number"),
        ("lanes", "0", "must be at least 1"),
        ("lanes", "-1", "must be at least 1"),
        ("lanes", "257", "must be at most 256"),
        ("lanes", "2.5", "must be a whole number"),
        ("lanes", "four", "must be a whole number"),
        ("lanes", "", "must be a whole number"),
        ("keys", "event_id", 'write it like [["event_id"]]'),
        ("keys", "content", 'write it like [["event_id"]]'),
        ("keys", "[[event_id]]", "single quotes around it in a shell"),
        ("keys", '"content"', "must be a list of key combinations"),
        ("keys", '{"a":1}', "must be a list of key combinations"),
        ("keys", "[]", "must be a list of key combinations"),
        ("keys", "[[]]", "name at least one field"),
        ("keys", '["event_id"]', 'write [["event_id"]]'),
        ("keys", "[1]", 'where a list of field paths or "content" belongs'),
        ("keys", "[[1]]", "where a field path in quotes belongs"),
        ("keys", '[[["a"]]]', "where a field path in quotes belongs"),
        ("keys", '[[""]]', "one dot between"),
        ("keys", '[["a..b"]]', "one dot between"),
        ("keys", '[[".a"]]', "one dot between"),
        ("keys", '[["a."]]', "one dot between"),
        ("keys", '[["a","a"]]', "name it once"),
        ("keys", '[["a","b"],["b","a"]]', "leave one out"),
        ("keys", '["content","content"]', "leave one out"),
        ("keys", '[["@record"]]', "only @key and @header.NAME"),
        ("keys", '[["@timestamp"]]', "only @key and @header.NAME"),
        ("keys", '[["@header."]]', "only @key and @header.NAME"),
        ("keys", '[["\\ud800"]]', "not Unicode text"),
        ("keys", "[" * 100_000, "is not JSON"),
        ("content_ignore", "event_id", 'as in ["event_id","timestamp"]|write it like'),
        ("content_ignore", '"event_id"', 'as in ["event_id","timestamp"]'),
        ("content_ignore", '[""]', "names of top-level fields"),
        ("content_ignore", "[1]", "names of top-level fields"),
        ("shard_by", "user_id", 'write it like ["user_id"]'),
        ("shard_by", '"user_id"', 'as in ["user_id"]'),
        ("shard_by", "", 'write it like ["user_id"]'),
        ("shard_by", '["a","a"]', "name it once"),
        ("shard_by", '["@record"]', "only @key and @header.NAME"),
        ("time", "", "one dot between"),
        ("time", "a..b", "one dot between"),
        ("time", "@key", "@record is the record's own timestamp"),
        ("time", "@header.time", "@record is the record's own timestamp"),
        ("schema", "avro", "must be 'event' or 'open'"),
        ("window", "hopping", "must be 'tumbling', 'sliding', 'session' or 'forever'"),
        ("window_seconds", "0", "must be at least 0.001"),
        ("window_seconds", "-60", "must be at least 0.001"),
        ("window_seconds", "nan", "must be a finite number"),
        ("window_seconds", "1h", "must be a number"),
        ("allowed_lateness_seconds", "-1", "must be at least 0"),
        ("allowed_lateness_seconds", "inf", "must be a finite number"),
        ("idle_seconds", "0", "must be more than 0"),
        ("max_future_seconds", "-0.5", "must be at least 0"),
        ("state", "redis", "must be 'memory', 'rocksdb' or 'bloom'"),
        ("snapshot_max_bytes", "-1", "must be at least 0"),
        ("snapshot_max_bytes", "4MiB", "must be a whole number"),
        ("max_keys", "0", "must be at least 1"),
        ("max_keys", "3", "must be at least DEDUP_LANES"),
        ("eviction", "lfu", "must be 'oldest' or 'lru'"),
        ("bloom_error", "0", "must be more than 0"),
        ("bloom_error", "1", "must be less than 1"),
        ("similarity", "0", "must be more than 0"),
        ("similarity", "95", "must be at most 1"),
        ("similarity", "95%", "must be a number"),
        ("similarity_metric", "cosine", "must be 'jaccard' or 'levenshtein'"),
        ("similarity_shingle", "0c", "as in 3c or 2w"),
        ("similarity_shingle", "3", "as in 3c or 2w"),
        ("similarity_shingle", "3x", "as in 3c or 2w"),
        ("similarity_fields", "[]", "must name at least one field"),
        ("similarity_fields", '["@key"]', "not a field of the event"),
        ("similarity_seconds", "0", "must be at least 0.001"),
        ("stats_seconds", "0", "must be at least 0.001"),
        ("stats_seconds", "1e10", "must be at most 1e+09"),
        ("metrics_port", "0", "must be at least 1"),
        ("metrics_port", "65536", "must be at most 65535"),
        ("metrics_port", "tcp://10.0.0.1:9090", "enableServiceLinks: false"),
        ("log", "xml", "must be 'text' or 'json'"),
        ("log_level", "INFO", "must be 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_wrong_values_are_refused_in_one_line(name: str, text: str, fix: str) -> None:
    variable = f"DEDUP_{name.upper()}"
    message = refusal({variable: text})
    shown = text[:80].replace("\n", "\\n")
    assert message.startswith(f"{variable}={shown}")
    assert any(part in message for part in fix.split("|"))


def test_a_value_is_shortened_where_it_is_shown() -> None:
    message = refusal({"DEDUP_KEYS": "[" * 100_000})
    assert len(message) < 300


@pytest.mark.parametrize("name", ["kafka", "consumer", "producer"])
@pytest.mark.parametrize(
    "text, fix",
    [
        ("", "is not JSON: write it like"),
        ("security.protocol=SSL", "is not JSON: write it like"),
        ("[]", "must be an object of librdkafka settings"),
        ('{"sasl.password":{"s3cret":1}}', "'sasl.password', whose value must be text"),
        ('{"sasl.password":null}', "'sasl.password', whose value must be text"),
        ('{"":"s3cret"}', "name it"),
        ('{"a":"s3cret","a":"s3cret"}', "has 'a' twice: leave one out"),
        ('{"linger.ms":NaN}', "is not JSON: write it like"),
        ('{"bootstrap.servers":"a:1"}', "set DEDUP_BROKERS instead"),
        ('{"metadata.broker.list":"a:1"}', "set DEDUP_BROKERS instead"),
        ('{"group.id":"g"}', "set DEDUP_APP_ID instead"),
        ('{"auto.offset.reset":"latest"}', "set DEDUP_START instead"),
        ('{"enable.auto.commit":true}', "commits offsets itself"),
        ('{"auto.commit.enable":"True"}', "commits offsets itself"),
        ('{"enable.auto.offset.store":"true"}', "commits offsets itself"),
        ('{"isolation.level":"read_uncommitted"}', "aborted transactions"),
        ('{"transactional.id":"t"}', "made from DEDUP_APP_ID"),
        ('{"enable.idempotence":false}', "a retry writes a record twice"),
        ('{"acks":1}', "all in-sync replicas"),
        ('{"request.required.acks":"0"}', "all in-sync replicas"),
    ],
)
def test_librdkafka_settings_that_break_promises_are_refused(
    name: str, text: str, fix: str
) -> None:
    message = refusal({f"DEDUP_{name.upper()}": text} | KAFKA)
    assert message.startswith(f"DEDUP_{name.upper()}: ")
    assert fix in message
    assert "s3cret" not in message


@given(name=st.sampled_from(list(FIELD_OF)), text=st.text(), brokers=st.sampled_from(["", "a:1"]))
@example(name="lanes", text="9" * 5_000, brokers="")
@example(name="lanes", text="\udcff", brokers="")
@example(name="app_id", text="\udcff", brokers="")
@example(name="keys", text='[["a\u2028"],["b"]]', brokers="a:1")
def test_any_text_is_a_value_or_one_line(name: str, text: str, brokers: str) -> None:
    environ = {"DEDUP_BROKERS": brokers, f"DEDUP_{name.upper()}": text}
    try:
        load_settings(environ)
    except SettingsError:
        assert refusal(environ).startswith("DEDUP_")
