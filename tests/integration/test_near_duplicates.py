"""The job with near duplicates looked for: files and Kafka, killed and restarted."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, fail, finish, recovery_directory
from tests.integration.paced_producer import PacedProducer
from tests.integration.streams import assert_same, expected, outputs
from tests.integration.topics import Topics
from tests.model import Model, Record, Settings, output_line
from tests.texts import edited

_WORDS = ["parcel", "left", "the", "depot", "at", "noon", "driver", "is", "late", "again", "no"]
_SETTINGS = {
    "jaccard": Settings(similarity=0.8, similarity_fields=("data.text",)),
    "levenshtein": Settings(
        similarity=0.9, similarity_metric="levenshtein", similarity_fields=("data.text",)
    ),
}


def variables(metric: str) -> dict[str, str]:
    return {
        "DEDUP_SIMILARITY": str(_SETTINGS[metric].similarity),
        "DEDUP_SIMILARITY_METRIC": metric,
        "DEDUP_SIMILARITY_FIELDS": '["data.text"]',
    }


def values(count: int, seed: int) -> Iterator[bytes]:
    """Events with texts that repeat with and without slips, some within reach and some not."""
    rng = random.Random(seed)
    texts: list[str] = []
    for number in range(count):
        if texts and rng.random() < 0.4:
            texts.append(edited(rng.choice(texts[-200:]), rng.randrange(4), rng))
        else:
            texts.append(" ".join(rng.choices(_WORDS, k=rng.randrange(5, 20))))
        repeated = rng.random() < 0.1
        event = {
            "event_id": f"e-{rng.randrange(number + 1) if repeated else number}",
            "user_id": "u",
            "event_type": "t",
            "timestamp": 1_699_999_200 + number + rng.randrange(-100, 100),
            "data": {"text": texts[-1]},
        }
        yield json.dumps(event, ensure_ascii=rng.random() < 0.5).encode()


@pytest.mark.parametrize("metric", _SETTINGS)
def test_files(metric: str, tmp_path: Path) -> None:
    # The model compares all pairs, character by character.
    lines = list(values(1000 if metric == "jaccard" else 150, seed=1))
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    environ = {
        "DEDUP_INPUT_FILE": str(tmp_path / "in.jsonl"),
        "DEDUP_OUTPUT_DIR": str(tmp_path / "out"),
        **variables(metric),
    }
    finish(Job(environ, tmp_path))
    model = Model(_SETTINGS[metric], [0])
    unique, duplicates = [], []
    for offset, line in enumerate(lines):
        record = Record(0, offset, None, line)
        verdict = model.decide(record, time.time())
        if verdict.kind == "unique":
            unique.append(line)
        else:
            duplicates.append(output_line(record, verdict))
    assert sum("similarity" in duplicate for duplicate in duplicates) > 10
    written = (tmp_path / "out" / "duplicate.jsonl").read_bytes().splitlines()
    assert [json.loads(line) for line in written] == duplicates
    assert (tmp_path / "out" / "unique.jsonl").read_bytes().splitlines() == unique


def records(count: int, seed: int) -> Iterator[Record]:
    for value in values(count, seed):
        yield Record(0, -1, None, value, None, int(time.time() * 1000))


def _wait_until_the_group_moves(topics: Topics, job: Job) -> None:
    before = sum(topics.committed().values())
    job.wait_until(lambda: sum(topics.committed().values()) > before + 20)


@pytest.mark.parametrize("snapshot_bytes", ["0", "100000000"])
def test_killed_and_restarted_with_recovery_and_without(
    make_topics: MakeTopics, tmp_path: Path, snapshot_bytes: str
) -> None:
    """Texts come back from the changelog, or from the snapshot and the changelog's tail."""
    topics = make_topics()
    recovery = recovery_directory(tmp_path / "recovery")
    settings = topics.settings | variables("jaccard")
    settings |= {"DEDUP_LANES": "2", "DEDUP_SNAPSHOT_MAX_BYTES": snapshot_bytes}
    going = settings | {"DEDUP_STOP_AT_END": "false"}
    draw = random.Random(snapshot_bytes)

    with PacedProducer(topics, records(100_000, seed=2), rate=60.0) as trickle:
        for directory in (recovery, recovery, None):
            with Job(going, tmp_path, recovery=directory) as job:
                _wait_until_the_group_moves(topics, job)
                time.sleep(draw.uniform(0, 1.5))
                job.kill()
        produced = trickle.stop()
    finish(Job(settings, tmp_path, recovery=recovery))

    found = topics.read()
    assert_same(outputs(found), expected(produced, topics.input, 1, _SETTINGS["jaccard"]))
    headers = [record.headers or [] for record in found["duplicate"]]
    assert sum(("dedup.matched", b"similar") in these for these in headers) > 20


def test_levenshtein_without_rapidfuzz_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = tmp_path / "hidden"
    (hidden / "rapidfuzz").mkdir(parents=True)
    (hidden / "rapidfuzz" / "__init__.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    (tmp_path / "in.jsonl").write_bytes(b"")
    environ = {
        "DEDUP_INPUT_FILE": str(tmp_path / "in.jsonl"),
        "DEDUP_OUTPUT_DIR": str(tmp_path / "out"),
        **variables("levenshtein"),
    }
    error = fail(Job(environ, tmp_path))
    assert "needs the extra `similarity`" in error
    assert "bytewax-dedup[similarity]" in error
