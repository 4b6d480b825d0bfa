"""The examples of docs/envelopes.md: their settings, their records, what they say comes out."""

import json
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.docs.guide import GUIDE, Block, blocks
from tests.integration.conftest import MakeTopics
from tests.integration.job import Job, finish
from tests.model import Record

Line = dict[str, Any]

_EXAMPLES: Final = {
    heading: list(found)
    for heading, found in groupby(blocks(GUIDE / "envelopes.md"), lambda block: block.heading)
}
_ON_KAFKA: Final = [name for name, found in _EXAMPLES.items() if "brokers:" in found[0].text]


def lines_of(block: Block) -> list[Line]:
    assert block.language == "jsonl"
    return [json.loads(line) for line in block.text.splitlines()]


def config_of(block: Block, folder: Path) -> dict[str, str]:
    """Write the settings file; return the variable that names it."""
    assert block.language == "yaml"
    (folder / "dedup.yaml").write_text(block.text)
    return {"DEDUP_CONFIG": str(folder / "dedup.yaml")}


def test_every_example_has_settings_records_and_outputs() -> None:
    assert len(_EXAMPLES) == 4
    assert len(_ON_KAFKA) == 2
    for found in _EXAMPLES.values():
        assert [block.language for block in found] == ["yaml", "jsonl", "jsonl"]


@pytest.mark.parametrize("name", [name for name in _EXAMPLES if name not in _ON_KAFKA])
def test_in_embedded_mode_it_comes_out_as_the_guide_says(name: str, tmp_path: Path) -> None:
    settings, records, outputs = _EXAMPLES[name]
    (tmp_path / "input.jsonl").write_text(records.text)
    out = tmp_path / "out"
    files = {"DEDUP_INPUT_FILE": str(tmp_path / "input.jsonl"), "DEDUP_OUTPUT_DIR": str(out)}

    finish(Job(config_of(settings, tmp_path) | files, tmp_path))

    given = records.text.splitlines()
    # A line that is there twice is unique the first time.
    found: list[Line] = [
        {"verdict": "unique", "offset": given.index(line)}
        for line in (out / "unique.jsonl").read_text().splitlines()
    ]
    for verdict in ("duplicate", "late", "invalid"):
        for line in (out / f"{verdict}.jsonl").read_text().splitlines():
            answer = json.loads(line)
            assert answer.pop("value") == given[answer["offset"]]
            found.append(answer)
    assert sorted(found, key=lambda one: one["offset"]) == lines_of(outputs)


@pytest.mark.parametrize("name", _EXAMPLES)
def test_on_kafka_it_comes_out_as_the_guide_says(
    name: str, make_topics: MakeTopics, tmp_path: Path
) -> None:
    settings, records, outputs = _EXAMPLES[name]
    topics = make_topics()
    given = lines_of(records)
    produced = topics.produce(drafts(given, whole=name in _ON_KAFKA))
    # Those of the surroundings win over the file: other brokers, other topics.
    finish(Job(config_of(settings, tmp_path) | topics.settings, tmp_path))

    found = []
    for verdict, read in topics.read().items():
        for record in read:
            answer = {"verdict": verdict, **said_of(record)}
            if verdict == "unique":
                answer["offset"] = [content(one) for one in produced].index(content(record))
            found.append(answer)
    assert sorted(found, key=lambda one: one["offset"]) == lines_of(outputs)


def drafts(given: Sequence[Line], *, whole: bool) -> list[Record]:
    """Records to produce: whole ones as they are written there, or values alone.

    Timestamps are moved to a moment ago: of a record of 2023 retention could make short work.
    """
    moment = int(time.time() * 1000) - 60_000
    if not whole:
        return [Record(0, -1, None, json.dumps(line).encode()) for line in given]
    return [
        Record(
            partition=0,
            offset=-1,
            key=None if "key" not in line else line["key"].encode(),
            value=None if line["value"] is None else json.dumps(line["value"]).encode(),
            headers=[(name, value.encode()) for name, value in line.get("headers", {}).items()],
            timestamp_ms=line["timestamp"] - given[0]["timestamp"] + moment,
        )
        for line in given
    ]


def content(record: Record) -> object:
    return record.key, record.value, record.headers or []


def said_of(record: Record) -> Line:
    """What the headers say, as the guide shows it."""
    headers: Mapping[str, bytes | None] = dict(record.headers or [])
    said: Line = {}
    for name in ("offset", "matched", "original", "reason"):
        value = headers.get(f"dedup.{name}")
        if value is not None:
            said[name] = int(value) if name == "offset" else value.decode()
    return said


def test_settings_of_the_examples_name_nothing_that_does_not_exist() -> None:
    for found in _EXAMPLES.values():
        assert set(yaml.safe_load(found[0].text)) <= {
            "brokers",
            "input_topic",
            "keys",
            "schema",
            "shard_by",
            "time",
        }
