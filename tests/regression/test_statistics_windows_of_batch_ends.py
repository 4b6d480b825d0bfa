"""Late and invalid records were counted in the window that their batch ended in.

So statistics said how the input had been cut into batches: of a file, everything late was in
its last window, and a run that had been killed counted otherwise than one that had not.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.integration.conftest import MakeTopics, guarantee, make_topics
from tests.integration.job import Job, finish, recovery_directory
from tests.integration.topics import read_topics
from tests.model import Record

__all__ = ["guarantee", "make_topics"]

SECONDS = 60
LATENESS = 100
SETTINGS = {
    "DEDUP_STATS_TOPIC": "any",
    "DEDUP_STATS_SECONDS": str(SECONDS),
    "DEDUP_ALLOWED_LATENESS_SECONDS": str(LATENESS),
}
# (start, event type, verdict) → records
Cells = Counter[tuple[float, str, str]]


def lines(count: int, seconds: float, seed: int) -> list[bytes]:
    """Records over some seconds of event time, a few of them late and a few no JSON."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        at = number * seconds / count
        kind = draw.choices(["fine", "late", "invalid"], [90, 8, 2])[0] if number else "fine"
        if kind == "invalid":
            found.append(b"no JSON %d" % number)
            continue
        event = {
            "event_id": f"e{number}",
            "user_id": "u",
            "event_type": draw.choice("ab"),
            "timestamp": at - draw.uniform(0, 3 * LATENESS) * (kind == "late"),
            "data": {},
        }
        found.append(json.dumps(event).encode())
    return found


def expected(values: Iterable[bytes]) -> Cells:
    """The obvious count, record after record; of one partition the watermark is its largest."""
    cells: Cells = Counter()
    watermark = None
    for value in values:
        if value.startswith(b"no JSON"):
            assert watermark is not None
            cells[watermark // SECONDS * SECONDS, "", "invalid"] += 1
            continue
        event = json.loads(value)
        at = event["timestamp"]
        if watermark is not None and at < watermark - LATENESS:
            cells[watermark // SECONDS * SECONDS, event["event_type"], "late"] += 1
            continue
        cells[at // SECONDS * SECONDS, event["event_type"], "unique"] += 1
        watermark = at if watermark is None else max(watermark, at)
    return cells


def cells_of(statistics: Iterable[Mapping[str, Any]]) -> Cells:
    """Of statistics as they are written; a window that comes twice counts twice."""
    cells: Cells = Counter()
    for one in statistics:
        for verdict in ("unique", "duplicate", "late", "invalid"):
            cells[one["window_start"], one["event_type"], verdict] += one[verdict]
    return +cells


def in_folder(folder: Path, values: Iterable[bytes]) -> dict[str, str]:
    (folder / "input.jsonl").write_bytes(b"".join(value + b"\n" for value in values))
    return SETTINGS | {
        "DEDUP_INPUT_FILE": str(folder / "input.jsonl"),
        "DEDUP_OUTPUT_DIR": str(folder / "out"),
    }


def written(folder: Path) -> Cells:
    text = (folder / "out" / "stats.jsonl").read_bytes()
    return cells_of(json.loads(line) for line in text.splitlines())


def test_of_a_file_that_is_one_batch(tmp_path: Path) -> None:
    values = lines(200, 400, seed=41)
    wanted = expected(values)
    assert len({start for start, _, verdict in wanted if verdict == "late"}) > 3
    finish(Job(in_folder(tmp_path, values), tmp_path))
    assert written(tmp_path) == wanted


def test_of_a_file_through_kill_9(tmp_path: Path) -> None:
    draw = random.Random(42)
    values = lines(150_000, 6000, seed=42)
    settings = in_folder(tmp_path, values)
    recovery = recovery_directory(tmp_path / "recovery")
    for _ in range(3):
        with Job(settings, tmp_path, recovery=recovery) as job:
            job.wait_until((tmp_path / "out" / "stats.jsonl").exists)
            time.sleep(draw.uniform(0, 0.7))
            job.kill()
    finish(Job(settings, tmp_path, recovery=recovery))
    assert written(tmp_path) == expected(values)


def test_of_a_topic_through_kill_9(
    make_topics: MakeTopics,
    tmp_path: Path,
    guarantee: str,
) -> None:
    topics = make_topics(1)
    values = lines(3000, 3000, seed=43)
    settings = topics.settings | SETTINGS
    settings |= {"DEDUP_GUARANTEE": guarantee, "DEDUP_STATS_TOPIC": f"{topics.prefix}-stats"}
    going = settings | {"DEDUP_STOP_AT_END": "false"}
    recovery = recovery_directory(tmp_path / "recovery")

    for begin in range(0, 2000, 1000):
        topics.produce([Record(0, 0, None, value) for value in values[begin : begin + 1000]])
        with Job(going, tmp_path, recovery=recovery) as job:
            # The group follows when an epoch is done: some is decided again, some is not.
            job.wait_until(lambda: sum(topics.committed().values()) > begin)  # noqa: B023 - called in the loop
            job.kill()
    topics.produce([Record(0, 0, None, value) for value in values[2000:]])
    finish(Job(settings, tmp_path, recovery=recovery))

    found = read_topics(topics.bootstrap, [f"{topics.prefix}-stats"])
    statistics = [json.loads(record.value or b"") for _, record in found]
    # A window may come twice, but whole each time.
    last = {(one["window_start"], one["event_type"]): one for one in statistics}
    assert cells_of(last.values()) == expected(values)
