"""`dedup replay` on real Kafka: byte for byte, each record once, killed or not."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from connectors.exactly_once.failpoints import POINTS
from flows.cli import app
from tests.integration.conftest import MakeTopics
from tests.integration.job import ROOT, SECONDS, Job, finish
from tests.integration.streams import events
from tests.integration.topics import Topics, read_topics
from tests.model import Record

Replay = Callable[..., tuple[int, str]]
# Whole seconds; not so old that retention could take the records away.
NOW_MS = (int(time.time()) - 3600) * 1000


def answered(topics: Topics, offset: int, reason: str = "schema") -> Record:
    """An output record, of an input record that is at an offset of the last partition."""
    verdict = "duplicate" if reason == "event_id" else "invalid"
    name = "dedup.matched" if verdict == "duplicate" else "dedup.reason"
    headers: list[tuple[str, bytes | None]] = [
        ("trace", b"\x00\xff"),
        ("null", None),
        ("dedup.verdict", verdict.encode()),
        ("dedup.topic", topics.input.encode()),
        ("dedup.partition", b"%d" % (topics.partitions - 1)),
        ("dedup.offset", b"%d" % offset),
        (name, reason.encode()),
    ]
    if verdict == "invalid":
        headers.append(("__connect.errors.exception.message", b"not good"))
    value = None if offset == 3 else b"value %d" % offset
    return Record(0, -1, b"key %d" % (offset % 5), value, headers, NOW_MS + offset * 1000)


def fill(topics: Topics, verdict: str, records: list[Record]) -> None:
    topic = topics.outputs[verdict]
    topics.create(topic, 1)
    producer = Producer({"bootstrap.servers": topics.bootstrap, "enable.idempotence": True})
    for record in records:
        producer.produce(
            topic,
            record.value,
            record.key,
            headers=list(record.headers or []),
            timestamp=record.timestamp_ms or 0,
        )
    assert producer.flush(SECONDS) == 0


def returned(topics: Topics, topic: str | None = None) -> list[Record]:
    return [record for _, record in read_topics(topics.bootstrap, [topic or topics.input])]


@pytest.fixture
def topics(make_topics: MakeTopics) -> Topics:
    return make_topics(3)


@pytest.fixture
def replay(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Replay:
    for name, value in topics.settings.items():
        monkeypatch.setenv(name, value)

    def call(*words: str) -> tuple[int, str]:
        status = app.main(["replay", *words])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return call


def test_records_go_back_as_they_came(topics: Topics, replay: Replay) -> None:
    records = [answered(topics, offset) for offset in range(10)]
    fill(topics, "invalid", records)
    status, said = replay("invalid")

    assert status == 0, said
    assert said == (
        f"{topics.outputs['invalid']}: 10 records read: 10 replayed to {topics.input} (schema 10)\n"
    )
    found = returned(topics)
    assert [(one.key, one.value, one.timestamp_ms) for one in found] == [
        (one.key, one.value, one.timestamp_ms) for one in records
    ]
    wanted = [("trace", b"\x00\xff"), ("null", None), ("dedup.replays", b"1")]
    assert [one.headers for one in found] == [wanted] * 10
    # Whatever partitioner their first producer had, they are back in their partition.
    assert {one.partition for one in found} == {2}


def test_a_second_run_replays_nothing_again(topics: Topics, replay: Replay) -> None:
    fill(topics, "invalid", [answered(topics, offset) for offset in range(10)])
    replay("invalid", "--limit", "4")
    status, said = replay("invalid")

    assert status == 0
    assert "6 replayed" in said
    assert "4 were replayed before" in said
    assert "0 replayed" in replay("invalid")[1]
    assert len(returned(topics)) == 10


def test_another_target_is_another_matter(topics: Topics, replay: Replay) -> None:
    fill(topics, "invalid", [answered(topics, offset) for offset in range(10)])
    other = f"{topics.prefix}-other"
    topics.create(other, 1)
    for _ in range(2):
        assert replay("invalid", "--to", other)[0] == 0
        assert replay("invalid")[0] == 0

    assert len(returned(topics)) == len(returned(topics, other)) == 10


def test_filters_choose_and_a_dry_run_writes_nothing(topics: Topics, replay: Replay) -> None:
    fill(topics, "invalid", [answered(topics, o, "json" if o % 2 else "schema") for o in range(10)])
    fill(topics, "duplicate", [answered(topics, 100 + o, "event_id") for o in range(10)])
    until = NOW_MS // 1000 + 6
    other = f"{topics.prefix}-other"
    topics.create(other, 1)
    filters = ("--reason=json", "--reason=event_id", f"--until={until}")
    words = ("invalid", "duplicate", *filters, "--to", other)

    status, said = replay(*words, "--dry-run")
    assert status == 0
    assert "3 would be replayed" in said
    assert "(json 3), 7 not asked for" in said
    assert returned(topics, other) == []
    assert f"{topics.prefix}-replayed" not in topics.admin().list_topics(timeout=SECONDS).topics

    replay(*words)
    assert [one.value for one in returned(topics, other)] == [b"value 1", None, b"value 5"]
    replay("duplicate", "--key", "key 1", "--to", other)
    assert {one.key for one in returned(topics, other)[3:]} == {b"key 1"}
    assert len(returned(topics, other)) == 5


def test_records_of_another_input_are_left_alone(topics: Topics, replay: Replay) -> None:
    other = Topics(topics.bootstrap, f"{topics.prefix}-x", 3)
    fill(topics, "invalid", [answered(other, 1), answered(topics, 2)])
    said = replay("invalid")[1]

    assert f"1 replayed to {topics.input} (schema 1), 1 not from {topics.input}" in said


@pytest.mark.parametrize("target, why", [("nowhere", "not exist"), ("-replayed", "own memory")])
def test_a_target_that_cannot_be_is_refused(
    topics: Topics, replay: Replay, target: str, why: str
) -> None:
    to = f"{topics.prefix}{target}"
    fill(topics, "invalid", [answered(topics, 1)])
    status, said = replay("invalid", "--to", to)

    assert status == 2
    assert f"dedup: --to {to}: " in said
    assert why in said


def test_a_log_that_would_forget_is_refused(topics: Topics, replay: Replay) -> None:
    fill(topics, "invalid", [answered(topics, 1)])
    topics.create(f"{topics.prefix}-replayed", 1, retention_ms="1000")
    status, said = replay("invalid")

    assert status == 2
    assert "retention.ms=1000, which would forget" in said
    assert returned(topics) == []


def run_apart(topics: Topics, *words: str, kill_at: str = "") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "replay", *words],
        cwd=ROOT,
        env={**os.environ, **topics.settings, "DEDUP_TEST_KILL_AT": kill_at},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("point", [point for point in POINTS if not point.startswith("in_")])
def test_kill_9_neither_loses_nor_doubles(topics: Topics, replay: Replay, point: str) -> None:
    fill(topics, "invalid", [answered(topics, offset) for offset in range(40)])
    for _ in range(2):
        # Ten records a transaction: it dies in the second one.
        with run_apart(topics, "invalid", "--rate=20", kill_at=f"{point}:2") as process:
            process.communicate(timeout=SECONDS)
        assert process.returncode == -signal.SIGKILL
    status, said = replay("invalid")

    assert status == 0, said
    assert Counter(one.timestamp_ms for one in returned(topics)) == Counter(
        NOW_MS + offset * 1000 for offset in range(40)
    )


def test_of_two_at_a_time_the_first_ends_and_nothing_is_doubled(
    topics: Topics, replay: Replay
) -> None:
    fill(topics, "invalid", [answered(topics, offset) for offset in range(200)])
    with run_apart(topics, "invalid", "--rate=10") as process:
        killer = threading.Timer(SECONDS, process.kill)
        killer.start()
        while not returned(topics):
            assert process.poll() is None
        status, said = replay("invalid")
        output, _ = process.communicate(timeout=SECONDS)
        killer.cancel()

    assert status == 0, said
    assert process.returncode == 2
    assert "another `dedup replay` of this application has been started" in output
    found = Counter(one.timestamp_ms for one in returned(topics))
    assert (len(found), max(found.values())) == (200, 1)


def test_late_records_of_a_job_pass_once_more_lateness_is_allowed(
    replay: Replay, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.produce(events(2000, seed=21, partitions=3, late=True))
    finish(Job(topics.settings, tmp_path))
    late = topics.read()["late"]
    assert late
    status, said = replay("late")
    assert status == 0, said
    settings = topics.settings | {"DEDUP_ALLOWED_LATENESS_SECONDS": "100000"}
    finish(Job(settings, tmp_path))

    after = topics.read()
    assert len(after["late"]) == len(late)
    again = [
        one
        for found in after.values()
        for one in found
        if ("dedup.replays", b"1") in (one.headers or [])
    ]
    assert sorted((one.value or b"") for one in again) == sorted((one.value or b"") for one in late)
    # And the audit knows both latenesses, and what was replayed.
    assert replay("duplicate", "--to", topics.outputs["unique"])[0] == 0
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "100000")
    assert app.main(["audit", "--allowed-lateness=300"]) == 0
