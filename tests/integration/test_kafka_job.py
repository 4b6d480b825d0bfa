"""A clean run: the four topics hold exactly the input, each record once."""

from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish, recovery_directory
from tests.integration.streams import assert_same, events, expected, expected_in_any_order, outputs
from tests.integration.topics import VERDICTS
from tests.model import Record


def test_one_partition_gives_the_models_verdicts_byte_for_byte(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str
) -> None:
    topics = make_topics()
    records = topics.produce(events(2500, seed=1, late=True))

    finish(Job({**topics.settings, "DEDUP_GUARANTEE": guarantee}, tmp_path))

    model = expected(records, topics.input, 1)
    assert all(model[verdict] for verdict in VERDICTS)
    assert_same(outputs(topics.read()), model)
    assert topics.committed() == {0: 2500}


@pytest.mark.parametrize("processes,workers,partitions", [(1, 2, 3), (2, 1, 3), (2, 2, 1)])
def test_workers_and_processes_change_nothing(
    make_topics: MakeTopics,
    tmp_path: Path,
    guarantee: str,
    *,
    processes: int,
    workers: int,
    partitions: int,
) -> None:
    topics = make_topics(partitions)
    records = topics.produce(events(3000, seed=2, partitions=partitions))
    settings = {**topics.settings, "DEDUP_GUARANTEE": guarantee}

    finish(
        Job(
            settings,
            tmp_path,
            processes=processes,
            workers=workers,
            recovery=recovery_directory(tmp_path / "recovery"),
        )
    )

    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))
    assert topics.committed() == topics.ends()


def test_the_order_of_a_key_is_kept_within_a_lane(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics(2)
    drafts = [
        Record(index % 2, -1, b"user-%d" % (index % 10), draft.value, [("n", b"%d" % index)])
        for index, draft in enumerate(events(2000, seed=3, invalid=False))
    ]
    topics.produce(drafts)
    settings = {"DEDUP_SHARD_BY": "@key", "DEDUP_KEYS": '[["@key", "event_id"]]'}

    finish(Job(topics.settings | settings, tmp_path))

    for records in topics.read().values():
        last: dict[bytes | None, int] = {}
        for record in records:
            number = int((record.headers or [])[0][1] or -1)
            assert number > last.get(record.key, -1)
            last[record.key] = number


def test_an_empty_topic_name_counts_and_drops(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics()
    records = topics.produce(events(1500, seed=4, late=True))
    dropped = {"DEDUP_DUPLICATE_TOPIC": "", "DEDUP_LATE_TOPIC": ""}

    [ended] = finish(Job(topics.settings | dropped, tmp_path))

    model = expected(records, topics.input, 1)
    kept = ("unique", "invalid")
    assert outputs(topics.read(kept)) == {verdict: model[verdict] for verdict in kept}
    for verdict in VERDICTS:
        assert f"{verdict} {model[verdict].total()} (" in ended.stderr
    existing = topics.admin().list_topics(timeout=10).topics
    assert {topics.outputs["duplicate"], topics.outputs["late"]}.isdisjoint(existing)
