"""The error about state of other settings named one that followed from the one that was changed.

With `DEDUP_SIMILARITY=0.9` an old application was told of DEDUP_SHARD_BY, and with
`DEDUP_KEYS=["content"]` of DEDUP_CONTENT_IGNORE.
"""

import re
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Final

import pytest

from deploy.kafka import Broker
from flows.settings.fingerprint import fingerprint
from flows.settings.load import load_settings
from operators.errors import SettingsError, StateError
from operators.fingerprint import changed_settings, check_fingerprint
from operators.windows.disk.rocksdb import RocksDatabase, RocksMemory
from tests.integration.job import Job, fail, finish, recovery_directory
from tests.integration.streams import events
from tests.integration.topics import Topics

# Every setting that changes what state means, what decides whether another one does, and some
# that do not; the first value is the one it has in a start that says nothing of it.
VALUES: Final[dict[str, tuple[str | None, ...]]] = {
    "BROKERS": (None, "kafka-1:9092", "kafka-2:9092"),
    "INPUT_TOPIC": (None, "orders"),
    "KEYS": (
        None,
        '[["user_id"]]',
        '[["event_id","user_id"]]',
        '[["user_id","event_id"],["event_id"]]',
        '["content"]',
        '[["event_id","user_id"],"content"]',
        '["content",["data.id","event_type"]]',
        '[["@key"]]',
        '[["data.a"],["data.b"]]',
    ),
    "SHARD_BY": (None, "[]", '["event_id"]', '["user_id"]', "@key"),
    "LANES": (None, "4", "8"),
    "CONTENT_IGNORE": (None, "[]", '["event_id","timestamp","user_id"]', '["data"]'),
    "TIME": (None, "data.at", "@record"),
    "SCHEMA": (None, "open"),
    "WINDOW": (None, "sliding", "session", "forever"),
    "WINDOW_SECONDS": (None, "60", "0.5"),
    "SIMILARITY": (None, "0.9", "0.5"),
    "SIMILARITY_METRIC": (None, "levenshtein"),
    "SIMILARITY_SHINGLE": (None, "2w"),
    "SIMILARITY_FIELDS": (None, '["data","event_type"]'),
    "SIMILARITY_SECONDS": (None, "60"),
    "STATE": (None, "rocksdb", "bloom"),
    "MAX_KEYS": (None, "1000"),
    "GUARANTEE": (None, "at_least_once"),
}
# What an error of two settings may be called by, and the ways out that every such error names.
_NAME: Final = re.compile(r"\bDEDUP_[A-Z_]+\b")
_WAY_OUT: Final = "DEDUP_APP_ID"

Chosen = frozenset[tuple[str, str]]
"""Settings that are written, and their values."""


@cache
def printed(chosen: Chosen) -> dict[str, str] | None:
    """Fingerprint of some settings; None if they do not go together."""
    try:
        return fingerprint(load_settings({f"DEDUP_{name}": text for name, text in chosen}))
    except SettingsError:
        return None


def named(stored: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Settings that the error names; empty if there is none."""
    try:
        check_fingerprint(stored, wanted, "the recovery directory")
    except StateError as error:
        text = str(error)
        assert text.splitlines() == [text]
        return [name for name in _NAME.findall(text) if name != _WAY_OUT]
    return []


def with_one(chosen: Chosen, name: str, value: str | None) -> Chosen:
    left = frozenset(pair for pair in chosen if pair[0] != name)
    return left if value is None else left | {(name, value)}


def starts() -> list[Chosen]:
    """Settings of which at most two are not the defaults, and three on Kafka with similarity."""
    pairs = [
        (name, value) for name, values in VALUES.items() for value in values if value is not None
    ]
    found = [frozenset[tuple[str, str]](), *(frozenset((pair,)) for pair in pairs)]
    found += [frozenset(two) for two in combinations(pairs, 2) if two[0][0] != two[1][0]]
    also: Chosen = frozenset({("BROKERS", "kafka-1:9092"), ("SIMILARITY", "0.9")})
    found += [also | {pair} for pair in pairs if pair[0] not in dict(also)]
    return [one for one in dict.fromkeys(found) if printed(one) is not None]


@pytest.mark.parametrize("name", VALUES)
def test_one_setting_that_was_changed_is_named_and_no_other(name: str) -> None:
    changes = without_effect = 0
    for start in starts():
        before = printed(start)
        assert before is not None
        for value in VALUES[name]:
            wanted = printed(with_one(start, name, value))
            if wanted is None:
                continue
            if wanted == before:
                without_effect += 1
                assert named(before, wanted) == []
            else:
                changes += 1
                assert named(before, wanted) == [f"DEDUP_{name}"], (start, value)
    assert without_effect
    assert bool(changes) == (name not in {"MAX_KEYS", "GUARANTEE"})


@pytest.mark.parametrize(
    "before,now,changed",
    [
        ({}, {"KEYS": '["content"]', "LANES": "8"}, ["KEYS", "LANES"]),
        ({}, {"SIMILARITY": "0.9", "SIMILARITY_METRIC": "levenshtein"}, ["SIMILARITY"]),
        ({"WINDOW": "forever"}, {"WINDOW_SECONDS": "60"}, ["WINDOW"]),
        ({}, {"WINDOW": "session", "WINDOW_SECONDS": "60"}, ["WINDOW", "WINDOW_SECONDS"]),
        # Shards that others do not follow from, now or before.
        ({}, {"KEYS": '[["user_id"]]', "SHARD_BY": "[]"}, ["KEYS", "SHARD_BY"]),
        ({"SHARD_BY": "[]"}, {"KEYS": '[["user_id"]]'}, ["KEYS", "SHARD_BY"]),
        # One that follows: with SIMILARITY set back it is as it was.
        ({}, {"SIMILARITY": "0.9", "TIME": "data.at"}, ["TIME", "SIMILARITY"]),
        (
            {"SIMILARITY": "0.9"},
            {
                "SIMILARITY": "0.8",
                "SIMILARITY_METRIC": "levenshtein",
                "SIMILARITY_FIELDS": '["event_type"]',
            },
            ["SIMILARITY", "SIMILARITY_METRIC", "SIMILARITY_FIELDS"],
        ),
    ],
)
def test_of_several_those_that_the_user_changed(
    before: dict[str, str], now: dict[str, str], changed: list[str]
) -> None:
    stored, wanted = printed(frozenset(before.items())), printed(frozenset(now.items()))
    assert stored is not None
    assert wanted is not None
    assert named(stored, wanted) == [f"DEDUP_{name}" for name in changed]


def test_what_it_says() -> None:
    def said(before: dict[str, str], now: dict[str, str]) -> str:
        stored, wanted = printed(frozenset(before.items())), printed(frozenset(now.items()))
        with pytest.raises(StateError) as raised:
            check_fingerprint(stored or {}, wanted or {}, "orders-changelog")
        return str(raised.value)

    way_out = "or choose another DEDUP_APP_ID (and recovery directory) to start from nothing."
    assert said({}, {"SIMILARITY": "0.9"}) == (
        "DEDUP_SIMILARITY was unset when orders-changelog was made and is 0.9 now: it changes what "
        f"the state means. Set it back, {way_out}"
    )
    assert said({}, {"LANES": "8", "TIME": "at"}) == (
        "DEDUP_LANES was 4 when orders-changelog was made and is 8 now, DEDUP_TIME was "
        '"timestamp" and is "at": they change what the state means. Set them back, '
        f"{way_out}"
    )
    assert "DEDUP_STATE was memory or rocksdb when" in said({}, {"STATE": "bloom"})
    assert "DEDUP_BROKERS was unset when" in said({}, {"BROKERS": "kafka-1:9092"})


def test_an_entry_that_only_a_later_version_knows() -> None:
    """Changelogs outlive versions: a later one may know more than the one that wrote them."""
    of_now = printed(frozenset())
    assert of_now is not None
    later = {**of_now, "DEDUP_LATER": "1"}
    assert named(of_now, later) == []
    with pytest.raises(StateError, match=r"does not know: DEDUP_LATER\. Run the version"):
        check_fingerprint(later, of_now, "it")
    assert named(later, {**later, "DEDUP_LATER": "2"}) == ["DEDUP_LATER"]


def test_differences_that_follow_from_nothing_are_named_all_the_same() -> None:
    stored, wanted = {"DEDUP_KEYS": "?", "DEDUP_X": "-"}, {"DEDUP_KEYS": "?", "DEDUP_X": "1"}
    assert [name for name, _, _ in changed_settings(stored, wanted)] == ["DEDUP_X"]
    stored, wanted = {"DEDUP_KEYS": "?", "DEDUP_SHARD_BY": "a"}, {"DEDUP_SHARD_BY": "b"}
    assert [name for name, _, _ in changed_settings(stored, wanted)] == ["DEDUP_SHARD_BY"]


def test_a_folder_of_rocksdb_names_it_too(tmp_path: Path) -> None:
    memory = RocksMemory(1 << 20)
    RocksDatabase(tmp_path, memory, dict(printed(frozenset()) or {})).close()
    now = dict(printed(frozenset({("SIMILARITY", "0.9"), ("KEYS", '["content"]')})) or {})

    with pytest.raises(StateError, match="was written with DEDUP_KEYS=") as raised:
        RocksDatabase(tmp_path, memory, now)

    names = set(_NAME.findall(str(raised.value))) - {"DEDUP_STATE_DIR"}
    assert names == {"DEDUP_KEYS", "DEDUP_SIMILARITY"}


@pytest.mark.parametrize(
    "changed,name",
    [
        ({"DEDUP_SIMILARITY": "0.9"}, "DEDUP_SIMILARITY"),
        ({"DEDUP_KEYS": '["content"]'}, "DEDUP_KEYS"),
        ({"DEDUP_WINDOW": "forever"}, "DEDUP_WINDOW"),
    ],
)
def test_a_recovery_directory_of_files(tmp_path: Path, changed: dict[str, str], name: str) -> None:
    lines = tmp_path / "in.jsonl"
    lines.write_bytes(b"".join((one.value or b"{}") + b"\n" for one in events(100, seed=1)))
    settings = {"DEDUP_INPUT_FILE": str(lines), "DEDUP_OUTPUT_DIR": str(tmp_path / "out")}
    recovery = recovery_directory(tmp_path / "recovery")
    finish(Job(settings, tmp_path, recovery=recovery))
    with lines.open("ab") as more:
        more.write(b'{"event_id": "new"}\n')

    line = fail(Job(settings | changed, tmp_path, recovery=recovery))

    assert line.startswith(f"dedup: {name} was ")


@pytest.mark.parametrize("with_recovery", [True, False])
def test_a_changelog_on_kafka(
    broker: Broker, topic_prefix: str, tmp_path: Path, with_recovery: bool
) -> None:
    topics = Topics(broker.bootstrap, topic_prefix)
    topics.create(topics.input)
    topics.produce(events(100, seed=1))
    recovery = recovery_directory(tmp_path / "recovery") if with_recovery else None
    finish(Job(topics.settings, tmp_path, recovery=recovery))

    for changed, name in (
        ({"DEDUP_SIMILARITY": "0.9"}, "DEDUP_SIMILARITY"),
        ({"DEDUP_KEYS": '["content"]'}, "DEDUP_KEYS"),
        ({"DEDUP_LANES": "8"}, "DEDUP_LANES"),
    ):
        line = fail(Job(topics.settings | changed, tmp_path, recovery=recovery))
        assert re.match(rf"dedup: {name}\b", line)
        assert set(_NAME.findall(line)) == {name, _WAY_OUT}


@pytest.mark.parametrize("records", [0, 300])
@pytest.mark.parametrize("with_recovery", [True, False])
def test_another_input_topic(
    broker: Broker, topic_prefix: str, tmp_path: Path, with_recovery: bool, records: int
) -> None:
    """Shorter or longer than the one that was read: its offsets mean nothing in the other."""
    topics = Topics(broker.bootstrap, topic_prefix)
    topics.create(topics.input)
    topics.produce(events(100, seed=1))
    recovery = recovery_directory(tmp_path / "recovery") if with_recovery else None
    finish(Job(topics.settings, tmp_path, recovery=recovery))
    other = Topics(broker.bootstrap, f"{topic_prefix}-other")
    other.create(other.input)
    other.produce(events(records, seed=2))

    changed = topics.settings | {"DEDUP_INPUT_TOPIC": other.input}
    line = fail(Job(changed, tmp_path, recovery=recovery))

    if with_recovery and not records and "DEDUP_INPUT_TOPIC was" not in line:
        # The source begins at the snapshot's offset, and may be first to find that it is none.
        assert "If DEDUP_INPUT_TOPIC was changed under this application id, set it back" in line
    else:
        assert line.startswith(f'dedup: DEDUP_INPUT_TOPIC was "{topics.input}" when ')
