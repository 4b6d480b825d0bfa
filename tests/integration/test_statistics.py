"""Windowed statistics of whole runs: their totals are those of the outputs, through a crash too."""

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, fail, finish, recovery_directory
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import events, expected_in_any_order, stream
from tests.integration.topics import VERDICTS, Topics, read_topics
from tests.model import Record

RATE: Final = 1000.0
SECONDS: Final = 120

Cells = Counter[tuple[float, str, str]]


def cells_of(statistics: Iterable[Mapping[str, Any]]) -> Cells:
    """(start, event type, verdict) → records."""
    cells: Cells = Counter()
    for one in statistics:
        assert one["window_end"] == one["window_start"] + SECONDS
        assert one["window_start"] % SECONDS == 0
        for verdict in VERDICTS:
            cells[one["window_start"], one["event_type"], verdict] += one[verdict]
    return +cells


def totals(cells: Cells) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_, _, verdict), count in cells.items():
        found[verdict] += count
    return found


def counted(values: Iterable[bytes | None], verdict: str) -> Cells:
    """The obvious count of unique or duplicate records, by their own time."""
    cells: Cells = Counter()
    for value in values:
        event = json.loads(value or b"")
        start = event["timestamp"] // SECONDS * SECONDS
        cells[start, event["event_type"], verdict] += 1
    return cells


def only(cells: Cells, *verdicts: str) -> Cells:
    return Counter({cell: count for cell, count in cells.items() if cell[2] in verdicts})


def read_lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def embedded(folder: Path, records: Iterable[Record]) -> dict[str, str]:
    """Write the input; return the settings of a run over it."""
    lines = [record.value for record in records if record.value and b"\n" not in record.value]
    (folder / "input.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return {
        "DEDUP_INPUT_FILE": str(folder / "input.jsonl"),
        "DEDUP_OUTPUT_DIR": str(folder / "out"),
        "DEDUP_STATS_TOPIC": "any",
        "DEDUP_STATS_SECONDS": str(SECONDS),
    }


def check_files(folder: Path) -> None:
    """The statistics are those of the output files, cell by cell."""
    out = folder / "out"
    lines = [json.loads(line) for line in read_lines(out / "stats.jsonl")]
    cells = cells_of(lines)
    outputs = {verdict: read_lines(out / f"{verdict}.jsonl") for verdict in VERDICTS}
    assert totals(cells) == {verdict: len(found) for verdict, found in outputs.items()}
    assert only(cells, "unique") == counted(outputs["unique"], "unique")
    duplicates = [json.loads(line)["value"].encode() for line in outputs["duplicate"]]
    assert only(cells, "duplicate") == counted(duplicates, "duplicate")
    late = Counter(json.loads(json.loads(line)["value"])["event_type"] for line in outputs["late"])
    assert Counter({cell[1]: 0 for cell in cells}) + late == _types(only(cells, "late"))


def _types(cells: Cells) -> Counter[str]:
    types: Counter[str] = Counter()
    for (_, name, _), count in cells.items():
        types[name] += count
    return types


def test_embedded_they_are_those_of_the_files(tmp_path: Path) -> None:
    settings = embedded(tmp_path, events(5000, seed=31, late=True))

    finish(Job(settings, tmp_path))

    check_files(tmp_path)
    lines = [json.loads(line) for line in read_lines(tmp_path / "out" / "stats.jsonl")]
    # One record a window and type, for it closes once.
    assert len({(one["window_start"], one["event_type"]) for one in lines}) == len(lines)
    assert list(lines[0]) == ["window_start", "window_end", "event_type", *VERDICTS]
    assert all(isinstance(one["window_start"], int) for one in lines)


def test_embedded_two_workers_change_nothing(tmp_path: Path) -> None:
    settings = embedded(tmp_path, events(5000, seed=32, late=True))

    finish(Job(settings, tmp_path, workers=2))

    check_files(tmp_path)


def test_embedded_they_are_exact_through_kill_9(tmp_path: Path) -> None:
    settings = embedded(tmp_path, events(150_000, seed=33, late=True))
    recovery = recovery_directory(tmp_path / "recovery")

    with Job(settings, tmp_path, recovery=recovery, snapshot_seconds=1) as job:
        job.wait_until((tmp_path / "out" / "stats.jsonl").exists)
        time.sleep(random.Random(33).uniform(0.8, 1.5))
        job.kill()
    finish(Job(settings, tmp_path, recovery=recovery))

    check_files(tmp_path)


def test_embedded_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    settings = embedded(tmp_path, events(10, seed=34))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stats.jsonl").write_text("precious")

    assert "stats.jsonl is there already" in fail(Job(settings, tmp_path))
    assert (tmp_path / "out" / "stats.jsonl").read_text() == "precious"


def with_statistics(topics: Topics) -> dict[str, str]:
    return {
        **topics.settings,
        "DEDUP_STATS_TOPIC": f"{topics.prefix}-stats",
        "DEDUP_STATS_SECONDS": str(SECONDS),
    }


def statistics_on(topics: Topics) -> list[dict[str, Any]]:
    """What is in the statistics topic, window by window."""
    found = read_topics(topics.bootstrap, [f"{topics.prefix}-stats"])
    records = [(record.key, json.loads(record.value or b"")) for _, record in found]
    assert all(key == one["event_type"].encode() for key, one in records)
    return [one for _, one in records]


def check_topics(topics: Topics, cells: Cells) -> None:
    """Cells are those of the output topics."""
    outputs = topics.read()
    assert totals(cells) == {verdict: len(found) for verdict, found in outputs.items() if found}
    for verdict in ("unique", "duplicate"):
        values = [record.value for record in outputs[verdict]]
        assert only(cells, verdict) == counted(values, verdict)


@pytest.mark.parametrize(
    "guarantee,processes,workers", [("at_least_once", 1, 2), ("exactly_once", 2, 1)]
)
def test_on_kafka_they_are_those_of_the_topics(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str, processes: int, workers: int
) -> None:
    topics = make_topics(3)
    topics.produce(events(4000, seed=35, partitions=3))
    settings = with_statistics(topics) | {"DEDUP_GUARANTEE": guarantee}

    finish(Job(settings, tmp_path, processes=processes, workers=workers))

    check_topics(topics, cells_of(statistics_on(topics)))


def test_on_kafka_nothing_is_lost_through_kill_9(
    make_topics: MakeTopics, tmp_path: Path, guarantee: str
) -> None:
    draw = random.Random(36)
    topics = make_topics(2)
    settings = with_statistics(topics) | {"DEDUP_GUARANTEE": guarantee}
    going = settings | {"DEDUP_STOP_AT_END": "false"}
    recovery = recovery_directory(tmp_path / "recovery")

    with PacedProducer(topics, stream(1_000_000, seed=36, partitions=2), RATE) as trickle:
        for _ in range(2):
            with Job(going, tmp_path, recovery=recovery) as job:
                before = sum(topics.committed().values())
                job.wait_until(lambda: sum(topics.committed().values()) > before)  # noqa: B023 - called in the loop
                time.sleep(draw.uniform(0, 1.5))
                job.kill()
        records = trickle.stop()
    finish(Job(settings, tmp_path, recovery=recovery))

    # A window may come twice, but whole each time.
    statistics = statistics_on(topics)
    last = {(one["window_start"], one["event_type"]): one for one in statistics}
    wanted = expected_in_any_order(records, topics.input)
    assert totals(cells_of(last.values())) == {
        verdict: found.total() for verdict, found in wanted.items() if found
    }
    if guarantee == "exactly_once":
        check_topics(topics, cells_of(last.values()))
