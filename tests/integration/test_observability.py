"""What an operator sees: the log line, and the counters on /metrics."""

import json
import signal
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.kafka.ports import free_ports
from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish
from tests.integration.streams import events, expected
from tests.integration.topics import VERDICTS


def samples(port: int) -> dict[str, float]:
    """What /metrics says now: name, with a label's value behind it if there is one → number."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        ":".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_what_was_written(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str
) -> None:
    topics = make_topics()
    records = topics.produce(events(2000, seed=31, late=True))
    counts = {
        verdict: found.total() for verdict, found in expected(records, topics.input, 1).items()
    }
    [port] = free_ports(1)
    settings = topics.settings | {
        "DEDUP_GUARANTEE": guarantee,
        "DEDUP_STOP_AT_END": "false",
        "DEDUP_METRICS_PORT": str(port),
    }

    with Job(settings, tmp_path) as job:
        name = "dedup_events_processed_total"
        job.wait_until(
            lambda: sum(samples(port).get(f"{name}:{one}", 0) for one in VERDICTS) >= 2000
        )
        found = samples(port)
        job.send(signal.SIGTERM)
        job.wait(20)

    assert {verdict: found[f"{name}:{verdict}"] for verdict in VERDICTS} == counts
    assert found["dedup_duplicates_found_total:event_id"] == counts["duplicate"]
    assert 0 < found["dedup_state_size"] <= counts["unique"]
    assert found["dedup_processing_latency_seconds_count"] == 2000
    assert 0 < found["dedup_processing_latency_seconds_sum"] < 2000 * 30


@pytest.mark.parametrize("kind", ["text", "json"])
def test_the_last_line_of_the_log_has_every_count(
    make_topics: MakeTopics, tmp_path: Path, kind: str
) -> None:
    topics = make_topics()
    records = topics.produce(events(1000, seed=32, late=True))
    counts = {
        verdict: found.total() for verdict, found in expected(records, topics.input, 1).items()
    }

    [ended] = finish(Job(topics.settings | {"DEDUP_LOG": kind}, tmp_path))

    lines = ended.stderr.splitlines()
    if kind == "json":
        line = [json.loads(text) for text in lines][-1]
        assert line["level"] == "info"
        assert line["processed"] == 1000
        assert {verdict: line[verdict] for verdict in VERDICTS} == counts
        assert line["lag"] == 0
        assert line["rate"] > 0
        assert 0 < line["keys"] <= counts["unique"]
    else:
        assert "1000 records processed" in lines[-1]
        for verdict, count in counts.items():
            assert f"{verdict} {count} ({count / 1000:.1%})" in lines[-1]
        assert "records/s" in lines[-1]
        assert "lag 0 records" in lines[-1]
        assert "keys held" in lines[-1]


def test_a_metrics_port_that_is_taken(make_topics: MakeTopics, tmp_path: Path) -> None:
    topics = make_topics()
    [port] = free_ports(1)
    settings = topics.settings | {
        "DEDUP_METRICS_PORT": str(port),
        "DEDUP_STOP_AT_END": "false",
    }

    with Job(settings, tmp_path) as first:
        first.wait_until(lambda: bool(samples(port)))
        with Job(settings | {"DEDUP_APP_ID": f"{topics.prefix}-second"}, tmp_path) as second:
            [ended] = second.wait(30)

    assert ended.status == 1
    assert f"port {port}" in ended.error
