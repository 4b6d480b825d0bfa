"""Two pods, started as on Kubernetes: killed, stopped, with a lost volume, scaled to three."""

import shutil
import signal
from pathlib import Path
from typing import Final

from tests.integration.conftest import MakeTopics
from tests.integration.job import finish
from tests.integration.paced_producer import PacedProducer
from tests.integration.pods import NAME, Pods
from tests.integration.streams import events, expected_in_any_order, outputs, stream
from tests.integration.topics import Topics

RATE: Final = 500.0


def wait_until_the_group_moves(topics: Topics, pods: Pods) -> None:
    before = sum(topics.committed().values())
    pods.wait_until(lambda: sum(topics.committed().values()) > before)


def test_pods_that_are_killed_stopped_and_scaled_answer_once(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics(2)
    volumes = tmp_path / "volumes"
    going = topics.settings | {"DEDUP_STOP_AT_END": "false"}

    with PacedProducer(topics, stream(1_000_000, seed=21, partitions=2), RATE) as producer:
        with Pods(going, tmp_path, volumes, 2) as pods:
            wait_until_the_group_moves(topics, pods)
            pods.kill([1])
            [left, _] = pods.wait(20)
        assert left.status > 0

        with Pods(going, tmp_path, volumes, 2) as pods:
            wait_until_the_group_moves(topics, pods)
            pods.send(signal.SIGTERM)
            assert [process.status for process in pods.wait(10)] == [0, 0]
        shutil.rmtree(volumes / f"data-{NAME}-1")
        records = producer.stop()

    records += topics.produce(events(500, seed=22, partitions=2, invalid=False))
    ended = finish(Pods(topics.settings, tmp_path, volumes, 3))

    assert outputs(topics.read()) == expected_in_any_order(records, topics.input)
    assert "of another number of processes" in ended[0].stderr
    assert "made recovery partition 1 of 3" in ended[1].stderr
    parts = sorted(path.name for path in volumes.glob("*/recovery/part-*.sqlite3"))
    assert parts == ["part-0.sqlite3", "part-1.sqlite3", "part-2.sqlite3"]
