"""A restored lane went back to where its application began, and ended: records were missing.

The changelog's first record says where reading began.  It was applied over a lane's state where a
restart read the changelog from its start although it had some state already.
"""

from dataclasses import replace
from pathlib import Path

from tests.integration.conftest import MakeHarness, MakeTopics
from tests.integration.job import Job, finish, recovery_directory
from tests.integration.lane_harness import make_records
from tests.integration.streams import assert_same, events, expected_in_any_order, outputs

_NO_SNAPSHOT_SECONDS = 600


def test_on_disk_with_statistics_killed_before_its_first_snapshot(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    """Statistics are read again from the last recovery snapshot on, here from the start."""
    topics = make_topics(2)
    settings = topics.settings | {
        "DEDUP_STATE": "rocksdb",
        "DEDUP_STATE_DIR": str(tmp_path / "state"),
        "DEDUP_STATS_TOPIC": f"{topics.prefix}-stats",
    }
    for topic in topics.outputs.values():
        topics.create(topic)
    recovery = recovery_directory(tmp_path / "recovery")
    drafts = events(600, seed=1, partitions=2)
    records = topics.produce(drafts[:300])
    going = settings | {"DEDUP_STOP_AT_END": "false"}
    job = Job(going, tmp_path, recovery=recovery, snapshot_seconds=_NO_SNAPSHOT_SECONDS)
    with job:
        job.wait_until(lambda: sum(map(len, topics.read(settled=False).values())) == 300)
        job.kill()
    records += topics.produce(drafts[300:])
    finish(Job(settings, tmp_path, recovery=recovery))

    assert_same(outputs(topics.read()), expected_in_any_order(records, topics.input))


def test_from_a_snapshot_made_before_the_first_commit_showed(make_harness: MakeHarness) -> None:
    """Readers see a transaction a moment after it was committed."""
    harness = make_harness(trim_seconds=3600.0)
    records = harness.topics.produce(make_records(0, 20))
    run = harness.run()
    run.begin(harness.source())
    run.read(20)
    snapshot = run.snapshot()
    after_the_beginning = {
        lane: None if sink is None else replace(sink, end=2)
        for lane, sink in snapshot.sinks.items()
    }

    after = harness.run(replace(snapshot, sinks=after_the_beginning))
    after.begin(harness.source())
    records += harness.topics.produce(make_records(20, 40))
    after.read(40)
    after.snapshot()
    harness.check(records)
