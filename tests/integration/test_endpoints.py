"""Metrics and probes of a running job, on real Kafka."""

import socket
from itertools import chain
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import OffsetSpec

from connectors.kafka.source import KafkaSource
from deploy.kafka import Broker
from flows.assembly.parts import parts_for
from flows.launch import Launch
from flows.settings.load import load_settings
from operators.monitoring.metrics import Metrics
from operators.monitoring.observer import Observer
from tests.integration.conftest import MakeTopics
from tests.integration.endpoints import Endpoints
from tests.integration.job import Job, fail, recovery_directory
from tests.integration.streams import events
from tests.integration.topics import VERDICTS, Topics
from tests.model import Record

SECONDS = 30.0


def settings_of(topics: Topics, guarantee: str, port: int) -> dict[str, str]:
    return topics.settings | {
        "DEDUP_GUARANTEE": guarantee,
        "DEDUP_METRICS_PORT": str(port),
        "DEDUP_STOP_AT_END": "false",
        # Tests compare the watermark, which an idle partition would move.
        "DEDUP_IDLE_SECONDS": "600",
    }


def group_lag(topics: Topics) -> int:
    """Lag of the group as ordinary tools see it: end offsets minus committed offsets."""
    admin = topics.admin()
    offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(topics.prefix)])
    committed = offsets[topics.prefix].result(SECONDS).topic_partitions
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    ends = admin.list_offsets(dict.fromkeys(committed, latest))
    return sum(ends[partition].result(SECONDS).offset - partition.offset for partition in committed)


@pytest.mark.parametrize("processes, workers", [(1, 2), (2, 1)])
def test_metrics_add_up_over_workers_processes_and_restarts(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str, *, processes: int, workers: int
) -> None:
    topics = make_topics(3)
    topics.produce(events(3000, seed=11, partitions=3))
    at = Endpoints(processes)
    recovery = recovery_directory(tmp_path / "recovery")

    def job() -> Job:
        return Job(
            settings_of(topics, guarantee, at.port),
            tmp_path,
            processes=processes,
            workers=workers,
            recovery=recovery,
        )

    with job() as first:
        first.wait_until(lambda: at.ready)
        first.wait_until(lambda: at.total("dedup_events_processed_total") == 3000)
        first.wait_until(lambda: group_lag(topics) == 0)
        read = {verdict: len(records) for verdict, records in topics.read().items()}
        samples = at.samples("dedup_events_processed_total")
        assert {verdict: sum(s[verdict] for s in samples) for verdict in VERDICTS} == read
        assert at.total("dedup_duplicates_found_total") == read["duplicate"]
        assert at.total("dedup_processing_latency_seconds_count") == 3000
        assert at.total("dedup_commits_total") == at.total("dedup_commit_seconds_count") > 0
        expected = [f"{number},{topics.input}" for number in range(3)]
        # A partition has a lag from the report after its first records on.
        first.wait_until(
            lambda: sorted(chain.from_iterable(at.samples("dedup_input_lag"))) == expected
        )
        first.wait_until(lambda: at.total("dedup_input_lag") == 0)
        keys = at.total("dedup_state_size")
        assert 0 < keys <= read["unique"]
        assert at.total("dedup_state_bytes") > 16 * keys
        assert at.total("dedup_restored_keys") == 0
        [watermark] = {sample[""] for sample in at.samples("dedup_watermark_seconds")}
        ages = at.samples("dedup_checkpoint_age_seconds")
        assert all(0 <= age[""] < SECONDS for age in ages)
        assert at.status_of("/livez") == [200] * processes

    with job() as second:
        second.wait_until(lambda: at.ready)
        assert at.total("dedup_restored_keys") == at.total("dedup_state_size") == keys
        assert {sample[""] for sample in at.samples("dedup_watermark_seconds")} == {watermark}
        assert at.total("dedup_events_processed_total") == 0


@pytest.mark.parametrize(
    "partitions, lanes, workers, largest",
    [
        (1, 4, 1, 20_000),
        (1, 8, 1, 40_000),
        (8, 4, 2, 20_000),
    ],
)
def test_lag_counts_unread_records_and_batches_suit_lanes_and_workers(
    partitions: int, lanes: int, workers: int, largest: int, make_topics: MakeTopics
) -> None:
    topics = make_topics(partitions)
    count = 65_000
    topics.produce(Record(0, -1, None, b"%d" % number) for number in range(count))
    environ = topics.settings | {"DEDUP_GUARANTEE": "at_least_once", "DEDUP_LANES": str(lanes)}
    observer = Observer(Metrics())
    source = parts_for(load_settings(environ), Launch(None, 0, 1, workers), observer).source
    assert isinstance(source, KafkaSource)
    shares = [source.build_part("source", name, None) for name in source.list_parts()]
    sizes: list[int] = []
    lags: list[int | None] = []
    while sum(sizes) < count:
        for batch in shares[0].next_batch():
            sizes.append(len(batch.records))
            shares[0].snapshot()
            # Before the brokers' first answer about each partition, the lag is not known.
            lags.append(observer.lag)
            assert lags[-1] in {None, count - sum(sizes)}
    assert max(sizes) == largest
    assert lags[-1] == 0


def test_a_job_without_brokers_is_alive_but_not_ready(
    own_broker: Broker, topic_prefix: str, tmp_path: Path
) -> None:
    topics = Topics(own_broker.bootstrap, topic_prefix)
    topics.create(topics.input)
    at = Endpoints()
    with Job(settings_of(topics, "exactly_once", at.port), tmp_path) as job:
        job.wait_until(lambda: at.ready)
        own_broker.kill()
        job.wait_until(lambda: not at.ready)
        assert "the brokers do not answer" in at.get("/readyz").text
        assert at.status_of("/livez") == [200]
        own_broker.restart()
        job.wait_until(lambda: at.ready)


def test_a_process_that_waits_for_the_others_is_alive_but_not_ready(
    make_topics: MakeTopics, tmp_path: Path
) -> None:
    topics = make_topics()
    at = Endpoints(2)
    with Job(settings_of(topics, "exactly_once", at.port), tmp_path, processes=2) as job:
        job.kill([1])
        job.wait_until(lambda: at.status_of("/livez") == [200, 0])
        assert at.status_of("/readyz") == [503, 0]
        assert "waiting for the other processes" in at.get("/readyz").text
        assert at.report()["stage"] == "waiting"


def test_a_port_in_use_is_one_line(make_topics: MakeTopics, tmp_path: Path) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        line = fail(Job(settings_of(make_topics(), "exactly_once", port), tmp_path))
    assert f"cannot listen on port {port} (DEDUP_METRICS_PORT" in line
