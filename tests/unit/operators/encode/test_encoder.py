"""What is written: records as they came, with headers or members that the model expects."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from operators.batches import Records, Spans
from operators.changes import NO_SEQUENCE
from operators.columns.arrays import Ints
from operators.columns.header_table import Headers
from operators.encode.encoder import Output, json_encoder, kafka_encoder
from operators.split import parts_of
from operators.verdicts import UNIQUE, VERDICTS
from tests import strategies
from tests.builders import TOPIC, TOPIC_ID
from tests.model import Free, Record, Settings, output_headers, output_line
from tests.pipeline import Pipeline, batches_of, place_of
from tests.strategies import NOW, Step, Stream

_SOME = hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
NUMBERS = ("dedup.reason", "reason")


def decided(stream: Stream, coalesced: int = 1) -> Pipeline:
    pipeline = Pipeline(stream.settings, len(stream.partitions), coalesced=[coalesced])
    for begin, end in batches_of(stream.steps, ()):
        pipeline.feed(stream.steps[begin:end])
    pipeline.flush()
    return pipeline


def outputs(pipeline: Pipeline, encoder: Callable[..., Any]) -> list[tuple[list[int], Output]]:
    """Every part of every batch, encoded, with the input partition of each record."""
    return [
        (_partitions(batch.slice.spans)[part.rows].tolist(), encoder(part))
        for batch in pipeline.batches
        for part in parts_of(batch)
    ]


def _partitions(spans: Spans) -> Ints:
    return spans.of_rows([span.partition.partition for span in spans.spans])


def by_place(encoded: list[tuple[list[int], Output]]) -> dict[tuple[int, int], tuple[int, Any]]:
    """Verdict and columns of each record."""
    rows: dict[tuple[int, int], tuple[int, Any]] = {}
    for partitions, output in encoded:
        records = output.records
        columns = [
            [None] * len(records) if column is None else list(column)
            for column in (records.keys, records.values, records.headers, records.timestamps)
        ]
        places = zip(partitions, records.offsets.tolist(), strict=True)
        for place, *row in zip(places, *columns, strict=True):
            assert place not in rows
            rows[place] = (output.verdict, row)
    return rows


def number(value: Any) -> float | None:  # noqa: ANN401
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def same_headers(actual: Headers, expected: list[tuple[str, Any]], own: int) -> None:
    """Compare headers: the input's in order, then those added in any order, numbers by value."""
    headers = list(actual or [])
    assert headers[:own] == expected[:own]
    added, expected_added = dict(headers[own:]), dict(expected[own:])
    assert len(added) == len(headers) - own  # none twice
    assert added.keys() == expected_added.keys()
    for name, value in expected_added.items():
        if value is Free.TEXT:
            assert added[name]
        elif name in NUMBERS and number(value) is not None:
            assert number(added[name]) == number(value)
        else:
            assert added[name] == value


@_SOME
@given(data=st.data())
def test_kafka_records_are_those_of_the_model(data: st.DataObject) -> None:
    settings = data.draw(strategies.settings())
    stream = data.draw(strategies.streams(settings))
    pipeline = decided(stream, data.draw(st.sampled_from([1, 3, 100])))
    names = pipeline.names
    rows = by_place(outputs(pipeline, kafka_encoder(names)))
    assert rows.keys() == {place_of(step) for step in stream.steps}
    for step in stream.steps:
        record, place = step.record, place_of(step)
        verdict = pipeline.verdicts[place]
        kind, (key, value, headers, stamp) = rows[place]
        assert VERDICTS[kind] == verdict.kind
        assert (key, value) == (record.key, record.value)
        assert (stamp or 0) == (record.timestamp_ms or 0)
        own = len(record.headers or [])
        expected = output_headers(record, verdict, settings, TOPIC, TOPIC_ID)
        same_headers(headers, expected, own)


@_SOME
@given(data=st.data())
def test_lines_are_those_of_the_model(data: st.DataObject) -> None:
    settings = data.draw(strategies.settings())
    stream = data.draw(strategies.streams(settings, partitions=1))
    pipeline = decided(stream)
    rows = by_place(outputs(pipeline, json_encoder(pipeline.names)))
    for step in stream.steps:
        record, verdict = step.record, pipeline.verdicts[place_of(step)]
        if record.value is None:
            continue  # a file has no tombstones
        _, (_, line, _, _) = rows[place_of(step)]
        if verdict.kind == "unique":
            assert line == record.value
            continue
        assert b"\n" not in line
        assert json.loads(line) == output_line(record, verdict)


def _stream(*values: bytes, **more: Any) -> Stream:  # noqa: ANN401
    records = [Record(0, offset, b"k", value, **more) for offset, value in enumerate(values)]
    return Stream(Settings(lateness=0), (0,), tuple(Step(record, NOW) for record in records))


def _event(name: str, time: float) -> bytes:
    return (
        f'{{"event_id":"{name}","user_id":"u","event_type":"t","timestamp":{time},"data":{{}}}}'
    ).encode()


EVERY = _stream(_event("a", 10), _event("a", 10), _event("b", 7.5), b"\xff", b"[]")


def test_lines_to_read() -> None:
    rows = by_place(outputs(decided(EVERY), json_encoder(["event_id"])))
    lines = [rows[0, offset][1][1].decode() for offset in range(1, 5)]
    assert lines[0].startswith(
        '{"verdict":"duplicate","offset":1,"matched":"event_id","original":"0:0",'
    )
    assert lines[1].startswith('{"verdict":"late","offset":2,"reason":2.5,"value":"{')
    assert lines[2:] == [
        '{"verdict":"invalid","offset":3,"reason":"json","value_base64":"/w=="}',
        '{"verdict":"invalid","offset":4,"reason":"schema","value":"[]"}',
    ]


def test_headers_to_read() -> None:
    rows = by_place(outputs(decided(EVERY), kafka_encoder(["event_id"])))
    origin = [
        ("dedup.topic", b"input"),
        ("dedup.topic.id", b"id-of-the-input"),
        ("dedup.partition", b"0"),
    ]
    headers = [rows[0, offset][1][2] for offset in range(5)]
    assert headers[0] is None  # a unique record gets no header
    assert headers[1] == [
        ("dedup.verdict", b"duplicate"),
        *origin,
        ("dedup.offset", b"1"),
        ("dedup.matched", b"event_id"),
        ("dedup.original", b"0:0"),
    ]
    assert headers[2] == [
        ("dedup.verdict", b"late"),
        *origin,
        ("dedup.offset", b"2"),
        ("dedup.reason", b"2.5"),
    ]
    assert headers[4] == [
        ("dedup.verdict", b"invalid"),
        *origin,
        ("dedup.offset", b"4"),
        ("dedup.reason", b"schema"),
        ("__connect.errors.topic", b"input"),
        ("__connect.errors.partition", b"0"),
        ("__connect.errors.offset", b"4"),
        ("__connect.errors.exception.class.name", b"dedup.InvalidSchema"),
        ("__connect.errors.exception.message", b"the value is not a JSON object"),
    ]


@pytest.mark.parametrize(
    "own", [None, [], [("dedup.verdict", b"forged"), ("h", None), ("h", b"1")]]
)
def test_headers_that_a_record_came_with_stay_first(own: Any) -> None:  # noqa: ANN401
    stream = _stream(*[step.record.value or b"" for step in EVERY.steps], headers=own)
    rows = by_place(outputs(decided(stream), kafka_encoder(["event_id"])))
    for offset in range(1, 5):
        headers = rows[0, offset][1][2]
        assert headers[: len(own or [])] == (own or [])
        assert headers[len(own or [])][0] == "dedup.verdict"
    assert (rows[0, 0][1][2] or []) == (own or [])


def test_the_unique_part_carries_what_changed_in_the_lane() -> None:
    pipeline = decided(EVERY)
    all_outputs = [output for _, output in outputs(pipeline, kafka_encoder(["event_id"]))]
    for output in all_outputs:
        assert (output.progress is not None) == (output.verdict == UNIQUE)
        assert output.sequence != NO_SEQUENCE
    progress = [output.progress for output in all_outputs if output.progress is not None]
    assert {key: n for part in progress for key, n in part.matched.items()} == {"event_id": 1}
    assert sum(len(part.change.delta) for part in progress) == 1
    assert {part.change.progress.watermark for part in progress} == {10.0}
    assert [part.change.progress.positions for part in progress] == [{0: 5}] * len(progress)
    assert [output.read_at for output in all_outputs] == [NOW] * len(all_outputs)
    assert all(
        output.parts == sum(o.lane == output.lane for o in all_outputs) for output in all_outputs
    )


def test_columns_that_no_record_has_stay_away() -> None:
    bare = replace(
        EVERY, steps=tuple(replace(s, record=replace(s.record, key=None)) for s in EVERY.steps)
    )
    for _, output in outputs(decided(bare), json_encoder(["event_id"])):
        assert isinstance(output.records, Records)
        assert output.records.keys is None
        assert output.records.headers is None
        assert output.records.timestamps is None


@pytest.mark.parametrize("encoder", [kafka_encoder(["event_id"]), json_encoder(["event_id"])])
def test_a_batch_that_is_one_part_whole_is_not_changed(encoder: Callable[..., Any]) -> None:
    pipeline = decided(_stream(b"[]"))
    first, again = (by_place(outputs(pipeline, encoder)) for _ in range(2))
    assert first == again
