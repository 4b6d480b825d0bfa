"""`dedup replay` on real Kafka: byte for byte, and each record once, also after a kill."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

from connectors.exactly_once.failpoints import POINTS
from flows.cli import app
from tests.integration.conftest import MakeTopics
from tests.integration.job import ROOT, SECONDS, Job, finish
from tests.integration.replays import NOW_MS, answer, read, write
from tests.integration.streams import events
from tests.integration.topics import Topics

Replay = Callable[..., tuple[int, str]]


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


def test_a_replay_is_the_input_record_byte_for_byte(topics: Topics, replay: Replay) -> None:
    records = [answer(topics, offset) for offset in range(10)]
    write(topics, "invalid", records)
    status, output = replay("invalid")

    assert status == 0, output
    assert output == (
        f"{topics.outputs['invalid']}: 10 records read: 10 replayed to {topics.input} (schema 10)\n"
    )
    replays = read(topics)
    assert [(replay.key, replay.value, replay.timestamp_ms) for replay in replays] == [
        (record.key, record.value, record.timestamp_ms) for record in records
    ]
    expected = [("trace", b"\x00\xff"), ("null", None), ("dedup.replays", b"1")]
    assert [replay.headers for replay in replays] == [expected] * 10
    # They are back in their partition, also if their first producer had another partitioner.
    assert {replay.partition for replay in replays} == {2}


def test_a_second_run_replays_nothing_again(topics: Topics, replay: Replay) -> None:
    write(topics, "invalid", [answer(topics, offset) for offset in range(10)])
    replay("invalid", "--limit", "4")
    status, output = replay("invalid")

    assert status == 0
    assert "6 replayed" in output
    assert "4 were replayed before" in output
    assert "0 replayed" in replay("invalid")[1]
    assert len(read(topics)) == 10


def test_a_topic_made_again_has_other_records(topics: Topics, replay: Replay) -> None:
    """They have the offsets of records that were replayed before."""
    write(topics, "invalid", [answer(topics, offset) for offset in range(10)])
    replay("invalid")
    again = [answer(topics, offset, topic_id="AAAAAAAAAAAAAAAAAAAAAg") for offset in range(5)]
    write(topics, "invalid", again)
    status, output = replay("invalid")

    assert status == 0
    assert "5 replayed" in output
    assert "10 were replayed before" in output
    assert len(read(topics)) == 15


def test_the_log_of_an_earlier_version_counts_for_every_topic_of_the_name(
    topics: Topics, replay: Replay
) -> None:
    """It does not say which of them it means: a record that may have been replayed is not."""
    write(topics, "invalid", [answer(topics, offset) for offset in range(10)])
    log = f"{topics.prefix}-replayed"
    topics.create(log, 1, retention_ms="-1", retention_bytes="-1")
    entry = {"to": topics.input, "topic": topics.input, "partition": 2, "offsets": [0, 1, 2]}
    producer = Producer({"bootstrap.servers": topics.bootstrap})
    producer.produce(log, json.dumps(entry).encode(), partition=0)
    assert producer.flush(SECONDS) == 0

    assert "7 replayed" in replay("invalid")[1]
    assert "10 were replayed before" in replay("invalid")[1]


def test_each_target_gets_each_record_once(topics: Topics, replay: Replay) -> None:
    write(topics, "invalid", [answer(topics, offset) for offset in range(10)])
    other = f"{topics.prefix}-other"
    topics.create(other, 1)
    for _ in range(2):
        assert replay("invalid", "--to", other)[0] == 0
        assert replay("invalid")[0] == 0

    assert len(read(topics)) == len(read(topics, other)) == 10


def test_filters_choose_and_a_dry_run_writes_nothing(topics: Topics, replay: Replay) -> None:
    write(topics, "invalid", [answer(topics, n, "json" if n % 2 else "schema") for n in range(10)])
    write(topics, "duplicate", [answer(topics, 100 + n, "event_id") for n in range(10)])
    until = NOW_MS // 1000 + 6
    other = f"{topics.prefix}-other"
    topics.create(other, 1)
    filters = ("--reason=json", "--reason=event_id", f"--until={until}")
    words = ("invalid", "duplicate", *filters, "--to", other)

    status, output = replay(*words, "--dry-run")
    assert status == 0
    assert "3 would be replayed" in output
    assert "(json 3), 7 not asked for" in output
    assert read(topics, other) == []
    assert f"{topics.prefix}-replayed" not in topics.admin().list_topics(timeout=SECONDS).topics

    replay(*words)
    assert [record.value for record in read(topics, other)] == [b"value 1", None, b"value 5"]
    replay("duplicate", "--key", "key 1", "--to", other)
    assert {record.key for record in read(topics, other)[3:]} == {b"key 1"}
    assert len(read(topics, other)) == 5


def test_records_of_another_input_are_left_alone(topics: Topics, replay: Replay) -> None:
    other = Topics(topics.bootstrap, f"{topics.prefix}-x", 3)
    write(topics, "invalid", [answer(other, 1), answer(topics, 2)])
    output = replay("invalid")[1]

    assert f"1 replayed to {topics.input} (schema 1), 1 not from {topics.input}" in output


@pytest.mark.parametrize("target, why", [("nowhere", "not exist"), ("-replayed", "own memory")])
def test_a_target_that_cannot_be_written_is_refused(
    topics: Topics, replay: Replay, target: str, why: str
) -> None:
    to = f"{topics.prefix}{target}"
    write(topics, "invalid", [answer(topics, 1)])
    status, output = replay("invalid", "--to", to)

    assert status == 2
    assert f"dedup: --to {to}: " in output
    assert why in output


def test_a_log_that_would_forget_is_refused(topics: Topics, replay: Replay) -> None:
    write(topics, "invalid", [answer(topics, 1)])
    topics.create(f"{topics.prefix}-replayed", 1, retention_ms="1000")
    status, output = replay("invalid")

    assert status == 2
    assert "retention.ms=1000, which would forget" in output
    assert read(topics) == []


def start(topics: Topics, *words: str, kill_at: str = "") -> "subprocess.Popen[str]":
    """Start `dedup replay` as a process.  kill_at: a failpoint, and which time it is reached."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "replay", *words],
        cwd=ROOT,
        env={**os.environ, **topics.settings, "DEDUP_TEST_KILL_AT": kill_at},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("point", [point for point in POINTS if not point.startswith("in_")])
def test_a_kill_neither_loses_nor_doubles_records(
    topics: Topics, replay: Replay, point: str
) -> None:
    write(topics, "invalid", [answer(topics, offset) for offset in range(40)])
    for _ in range(2):
        # Ten records a transaction: the process dies in the second one.
        with start(topics, "invalid", "--rate=20", kill_at=f"{point}:2") as process:
            process.communicate(timeout=SECONDS)
        assert process.returncode == -signal.SIGKILL
    status, output = replay("invalid")

    assert status == 0, output
    assert Counter(record.timestamp_ms for record in read(topics)) == Counter(
        NOW_MS + offset * 1000 for offset in range(40)
    )


def test_a_second_run_ends_the_first_and_nothing_is_doubled(topics: Topics, replay: Replay) -> None:
    write(topics, "invalid", [answer(topics, offset) for offset in range(200)])
    with start(topics, "invalid", "--rate=10") as process:
        killer = threading.Timer(SECONDS, process.kill)
        killer.start()
        while not read(topics):
            assert process.poll() is None
        status, output = replay("invalid")
        first_output, _ = process.communicate(timeout=SECONDS)
        killer.cancel()

    assert status == 0, output
    assert process.returncode == 2
    assert "another `dedup replay` of this application has been started" in first_output
    counts = Counter(record.timestamp_ms for record in read(topics))
    assert (len(counts), max(counts.values())) == (200, 1)


def test_late_records_pass_when_more_lateness_is_allowed(
    replay: Replay, topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.produce(events(2000, seed=21, partitions=3, late=True))
    finish(Job(topics.settings, tmp_path))
    late = topics.read()["late"]
    assert late
    status, output = replay("late")
    assert status == 0, output
    settings = topics.settings | {"DEDUP_ALLOWED_LATENESS_SECONDS": "100000"}
    finish(Job(settings, tmp_path))

    after = topics.read()
    assert len(after["late"]) == len(late)
    replayed = [
        record
        for records in after.values()
        for record in records
        if ("dedup.replays", b"1") in (record.headers or [])
    ]
    assert sorted(record.value or b"" for record in replayed) == sorted(
        record.value or b"" for record in late
    )
    # The audit accepts both values of the lateness, and recognises replays.
    assert replay("duplicate", "--to", topics.outputs["unique"])[0] == 0
    monkeypatch.setenv("DEDUP_ALLOWED_LATENESS_SECONDS", "100000")
    assert app.main(["audit", "--allowed-lateness=300"]) == 0
