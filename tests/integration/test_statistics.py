"""Windowed statistics of whole runs agree with the outputs, also after a crash."""

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
    for statistic in statistics:
        assert statistic["window_end"] == statistic["window_start"] + SECONDS
        assert statistic["window_start"] % SECONDS == 0
        for verdict in VERDICTS:
            cells[statistic["window_start"], statistic["event_type"], verdict] += statistic[verdict]
    return +cells


def totals(cells: Cells) -> Counter[str]:
    counts: Counter[str] = Counter()
    for (_, _, verdict), count in cells.items():
        counts[verdict] += count
    return counts


def counted(values: Iterable[bytes | None], verdict: str) -> Cells:
    """Unique or duplicate records, counted in the window of their event time."""
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
    """Write the input file; return the settings of a run over it."""
    lines = [record.value for record in records if record.value and b"\n" not in record.value]
    (folder / "input.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return {
        "DEDUP_INPUT_FILE": str(folder / "input.jsonl"),
        "DEDUP_OUTPUT_DIR": str(folder / "out"),
        "DEDUP_STATS_TOPIC": "any",
        "DEDUP_STATS_SECONDS": str(SECONDS),
    }


def check_files(folder: Path) -> None:
    """Compare the statistics with the output files, cell by cell."""
    out = folder / "out"
    cells = cells_of(json.loads(line) for line in read_lines(out / "stats.jsonl"))
    outputs = {verdict: read_lines(out / f"{verdict}.jsonl") for verdict in VERDICTS}
    assert totals(cells) == {verdict: len(lines) for verdict, lines in outputs.items()}
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


def test_embedded_statistics_agree_with_the_files(tmp_path: Path) -> None:
    settings = embedded(tmp_path, events(5000, seed=31, late=True))

    finish(Job(settings, tmp_path))

    check_files(tmp_path)
    lines = [json.loads(line) for line in read_lines(tmp_path / "out" / "stats.jsonl")]
    # A window closes once: one line for each window and type.
    assert len({(line["window_start"], line["event_type"]) for line in lines}) == len(lines)
    assert list(lines[0]) == ["window_start", "window_end", "event_type", *VERDICTS]
    assert all(isinstance(line["window_start"], int) for line in lines)


def test_embedded_two_workers_change_nothing(tmp_path: Path) -> None:
    settings = embedded(tmp_path, events(5000, seed=32, late=True))

    finish(Job(settings, tmp_path, workers=2))

    check_files(tmp_path)


def test_embedded_statistics_are_exact_through_kill_9(tmp_path: Path) -> None:
    settings = embedded(tmp_path, events(150_000, seed=33, late=True))
    recovery = recovery_directory(tmp_path / "recovery")

    with Job(settings, tmp_path, recovery=recovery, snapshot_seconds=1) as job:
        job.wait_until((tmp_path / "out" / "stats.jsonl").exists)
        time.sleep(random.Random(33).uniform(0.8, 1.5))
        job.kill()
    finish(Job(settings, tmp_path, recovery=recovery))

    check_files(tmp_path)


def test_embedded_existing_statistics_are_not_overwritten(tmp_path: Path) -> None:
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
    """Read the statistics topic."""
    records = [record for _, record in read_topics(topics.bootstrap, [f"{topics.prefix}-stats"])]
    statistics = [json.loads(record.value or b"") for record in records]
    assert [record.key for record in records] == [
        statistic["event_type"].encode() for statistic in statistics
    ]
    return statistics


def check_topics(topics: Topics, cells: Cells) -> None:
    """Compare cells with the output topics."""
    outputs = topics.read()
    assert totals(cells) == {verdict: len(output) for verdict, output in outputs.items() if output}
    for verdict in ("unique", "duplicate"):
        values = [record.value for record in outputs[verdict]]
        assert only(cells, verdict) == counted(values, verdict)


@pytest.mark.parametrize(
    "guarantee,processes,workers", [("at_least_once", 1, 2), ("exactly_once", 2, 1)]
)
def test_on_kafka_statistics_agree_with_the_topics(
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
    endless = settings | {"DEDUP_STOP_AT_END": "false"}
    recovery = recovery_directory(tmp_path / "recovery")

    with PacedProducer(topics, stream(1_000_000, seed=36, partitions=2), RATE) as producer:
        for _ in range(2):
            with Job(endless, tmp_path, recovery=recovery) as job:
                before = sum(topics.committed().values())
                job.wait_until(lambda: sum(topics.committed().values()) > before)  # noqa: B023 - called in the loop
                time.sleep(draw.uniform(0, 1.5))
                job.kill()
        records = producer.stop()
    finish(Job(settings, tmp_path, recovery=recovery))

    # A window may be written twice, but is complete each time.
    last = {
        (statistic["window_start"], statistic["event_type"]): statistic
        for statistic in statistics_on(topics)
    }
    expected = expected_in_any_order(records, topics.input)
    assert totals(cells_of(last.values())) == {
        verdict: output.total() for verdict, output in expected.items() if output
    }
    if guarantee == "exactly_once":
        check_topics(topics, cells_of(last.values()))
