"""Generated streams: repeatable, in the shares asked for, and with labels that are right."""

import dataclasses
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import pytest

from flows.cli.generate.options import LABELS, Labelled, StreamOptions
from flows.cli.generate.stream import generate
from tests.model import Keys, Model, Record, Settings

# Every kind, over three windows of an hour.
EVERYTHING = StreamOptions(
    records=2000,
    seed=3,
    duplicates=0.1,
    same_content=0.05,
    same_other_key=0.05,
    near=0.05,
    late=0.05,
    invalid=0.1,
    step_seconds=4.5,
    out_of_order_seconds=60,
    users=50,
    tombstones=True,
)
NOW = EVERYTHING.end + 1000
BY_ORDER: Keys = (("user_id", "event_type", "data.order_id"),)


def verdicts(
    options: StreamOptions, settings: Settings
) -> Iterator[tuple[Labelled, str, str | None, tuple[int, int] | None]]:
    """What the model says of each record: kind, reason, original."""
    model = Model(settings, range(options.partitions))
    for record in generate(options):
        place = Record(record.partition, record.index, record.key, record.value)
        verdict = model.decide(place, NOW)
        yield record, verdict.kind, verdict.reason, verdict.original


@pytest.mark.parametrize("time_format", ["epoch", "rfc3339"])
def test_labels_are_the_verdicts_of_default_settings(
    time_format: Literal["epoch", "rfc3339"],
) -> None:
    options = dataclasses.replace(EVERYTHING, time_format=time_format)
    seen = Counter[str]()

    for record, kind, reason, original in verdicts(options, Settings()):
        expected = record.label if record.label in {"duplicate", "late", "invalid"} else "unique"
        assert (kind, reason) == (expected, record.reason), record
        if kind == "duplicate":
            assert original is not None
            assert original[1] == record.repeats
        seen[record.reason or record.label] += 1

    reasons = {"json", "schema", "time", "future", "tombstone"}
    assert seen.keys() == {*LABELS, *reasons} - {"invalid"}


@pytest.mark.parametrize(
    "keys, repeats",
    [
        (("content",), {"duplicate", "same-content"}),
        (BY_ORDER, {"duplicate", "same-content", "same-other-key", "near"}),
        ((("event_id",), "content"), {"duplicate", "same-content"}),
    ],
)
def test_labels_are_the_verdicts_of_other_keys(keys: Keys, repeats: set[str]) -> None:
    for record, kind, _, original in verdicts(EVERYTHING, Settings(keys=keys)):
        assert (kind == "duplicate") == (record.label in repeats), record
        if kind == "duplicate":
            assert original is not None
            assert original[1] == record.repeats


# The model's Levenshtein distance is slow: fewer records for it.
@pytest.mark.parametrize("metric, records", [("jaccard", 250), ("levenshtein", 70)])
def test_near_repeats_are_similar_and_nothing_else_is(
    metric: Literal["jaccard", "levenshtein"], records: int
) -> None:
    options = dataclasses.replace(EVERYTHING, records=records, near=0.3, invalid=0, late=0)
    settings = Settings(similarity=0.95, similarity_metric=metric)
    near = 0

    for record, kind, _, original in verdicts(options, settings):
        similar = record.label in {"duplicate", "same-content", "near"}
        assert (kind == "duplicate") == similar, record
        assert not similar or (original is not None and original[1] == record.repeats)
        near += record.label == "near"

    assert near > records / 5


def seconds(event: dict[str, Any]) -> float:
    timestamp = event["timestamp"]
    if isinstance(timestamp, str):
        return datetime.fromisoformat(timestamp).timestamp()
    return float(timestamp)


def test_on_several_partitions_nothing_is_late_or_repeated_by_accident() -> None:
    options = dataclasses.replace(EVERYTHING, records=20_000, partitions=4, step_seconds=0.5)
    records = list(generate(options))
    largest: dict[int, float] = {}
    ids: set[str] = set()
    late = 0

    for record in records:
        if record.label == "invalid":
            continue
        assert record.value is not None
        event = json.loads(record.value)
        moment = seconds(event)
        assert record.event_id == event["event_id"]
        assert record.partition == zlib.crc32(event["user_id"].encode()) % 4
        if record.label == "late":
            late += 1
            assert len(largest) == 4
            assert moment < min(largest.values()) - 300
            continue
        before = largest.get(record.partition, moment)
        assert moment > before - 300
        largest[record.partition] = max(moment, before)
        if record.repeats is not None:
            original = records[record.repeats]
            assert original.label == "unique"
            assert original.index < record.index
            assert original.partition == record.partition
            assert original.value is not None
            first = seconds(json.loads(original.value))
            assert moment // 3600 == first // 3600
            assert (record.value == original.value) == (record.label == "duplicate")
        if record.label != "duplicate":
            assert record.event_id not in ids
            ids.add(record.event_id)
    assert late > 500


def test_the_same_seed_gives_the_same_records() -> None:
    assert list(generate(EVERYTHING)) == list(generate(EVERYTHING))


def test_another_seed_gives_other_records() -> None:
    other = dataclasses.replace(EVERYTHING, seed=4)
    ids = {record.event_id for record in generate(EVERYTHING)}

    assert ids.isdisjoint(record.event_id for record in generate(other))


def test_more_records_begin_like_fewer() -> None:
    more = dataclasses.replace(EVERYTHING, records=EVERYTHING.records + 9000)

    assert list(generate(more))[: EVERYTHING.records] == list(generate(EVERYTHING))


def test_shares_are_about_those_asked_for() -> None:
    options = dataclasses.replace(EVERYTHING, records=20_000, step_seconds=0.1)
    counts = Counter(record.label for record in generate(options))

    for label, share in zip(LABELS[1:], options.shares, strict=True):
        assert counts[label] == pytest.approx(share * 20_000, rel=0.1), label
    assert sum(counts.values()) == 20_000


def test_users_are_skewed_as_asked() -> None:
    def busiest(skew: float) -> float:
        options = StreamOptions(records=5000, duplicates=0, users=100, skew=skew)
        counts = Counter(record.key for record in generate(options))
        return counts.most_common(1)[0][1] / 5000

    assert busiest(0) < 0.03
    # The first of 100 has 1 / (1 + 1/2 + … + 1/100) = 0.193 of all.
    assert busiest(1) == pytest.approx(0.193, rel=0.1)


def test_records_have_about_190_bytes_and_the_key_asked_for() -> None:
    options = dataclasses.replace(EVERYTHING, invalid=0)
    records = list(generate(options))
    values = [record.value for record in records if record.value is not None]

    assert sum(map(len, values)) / len(values) == pytest.approx(190, abs=15)
    assert all(
        record.key == json.loads(record.value or b"")["user_id"].encode() for record in records
    )
    keyed = generate(dataclasses.replace(options, record_key="event"))
    assert all(record.key == record.event_id.encode() for record in keyed)
    keyless = generate(dataclasses.replace(options, record_key="none"))
    assert all(record.key is None for record in keyless)
