"""Verdict batches are split by verdict, and each part knows the number of parts."""

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from operators.lanes.lane import Lane
from operators.lanes.spec import LaneSpec
from operators.split import Part, parts_of, split
from operators.verdicts import DUPLICATE, INVALID, LATE, UNIQUE, VERDICTS, VerdictBatch
from operators.windows.tumbling import TumblingStore
from tests.builders import slice_of

_BAD = ("json", "no")
SPEC = LaneSpec(lambda: TumblingStore(100.0), 10.0, 30.0, {})


def _batch(letters: str) -> VerdictBatch:
    """Make a batch with these verdicts: `u`, `d`, `l`, `i`."""
    lane = Lane(0, SPEC)
    lane.decide(slice_of(0, [(50.0, "d")]))
    times = {"u": 50.0, "d": 50.0, "l": 0.0, "i": 50.0}
    events = [
        (times[letter], letter if letter == "d" else chr(256 + row))
        for row, letter in enumerate(letters)
    ]
    invalid = {row: _BAD for row, letter in enumerate(letters) if letter == "i"}
    return lane.decide(slice_of(1, events, invalid=invalid, end=len(letters) + 2))


@pytest.mark.parametrize(
    "letters, parts",
    [
        ("udli", {UNIQUE: [0], DUPLICATE: [1], LATE: [2], INVALID: [3]}),
        ("uu", {UNIQUE: [0, 1]}),
        ("ldld", {UNIQUE: [], DUPLICATE: [1, 3], LATE: [0, 2]}),  # `unique` carries the progress
        ("", {UNIQUE: []}),
    ],
)
def test_parts(letters: str, parts: dict[int, list[int]]) -> None:
    made = parts_of(_batch(letters))
    assert {part.verdict: part.rows.tolist() for part in made} == parts
    assert {part.parts for part in made} == {len(parts)}


def test_a_batch_that_changes_nothing_has_no_parts() -> None:
    lane = Lane(0, SPEC)
    lane.decide(slice_of(0, [(50.0, "d")]))
    assert parts_of(lane.decide(slice_of(1, []))) == []


def test_each_stream_has_its_verdict() -> None:
    batches = [("a", _batch("udliu")), ("b", _batch("l")), ("a", _batch(""))]
    flow = Dataflow("split")
    streams = split("split", op.input("in", flow, TestingSource(batches)))
    written: dict[str, list[tuple[str, Part]]] = {}
    for name in VERDICTS:
        sink: TestingSink[tuple[str, Part]] = TestingSink(written.setdefault(name, []))
        op.output(name, getattr(streams, name), sink)
    run_main(flow)  # type: ignore[no-untyped-call]
    assert {
        name: [(key, part.rows.tolist()) for key, part in parts] for name, parts in written.items()
    } == {
        "unique": [("a", [0, 4]), ("b", []), ("a", [])],
        "duplicate": [("a", [1])],
        "late": [("a", [2]), ("b", [0])],
        "invalid": [("a", [3])],
    }
