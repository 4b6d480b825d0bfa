"""Summaries of several lanes, added up by Bytewax's windows: none late, none twice."""

from collections.abc import Sequence

import bytewax.operators as op
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from operators.changes import NO_SEQUENCE, Delta, LaneChange, LaneProgress, Summary
from operators.statistics.summarize import Statistic
from operators.statistics.windowed import StatisticsSettings, windowed_statistics
from operators.verdicts import Matches, VerdictBatch
from tests.builders import INF, slice_of

SETTINGS = StatisticsSettings(seconds=60.0, lanes=2)
LATENESS_SECONDS = 100.0


def batch(
    lane: int,
    watermark: float,
    windows: dict[int, int] | None = None,
    *,
    sequence: int = 1,
    recovered: Sequence[Summary] = (),
) -> VerdictBatch:
    """Answer a slice.

    windows: window → unique records in it.
    """
    summary = Summary(60.0, {w: {"t": [count, 0, 0, 0]} for w, count in (windows or {}).items()})
    return VerdictBatch(
        lane=lane,
        change=LaneChange(
            LaneProgress(sequence, {}, {}, watermark),
            Delta.empty(),
            summary if windows else None,
            watermark - LATENESS_SECONDS,
        ),
        slice=slice_of(0, [], lane=lane),
        verdicts=np.zeros(0, np.int8),
        matches=Matches(np.zeros(0, np.int8), np.zeros(0, np.int64)),
        behind=np.zeros(0),
        keys_held=0,
        recovered=recovered,
    )


HEARTBEAT = batch(0, -INF, sequence=NO_SEQUENCE)


def run(batches: Sequence[VerdictBatch]) -> list[list[tuple[float, float, int]]]:
    """Return the windows that each batch closed, and last those that the end closed.

    A window is its start, its end and its unique records.
    """
    out: list[tuple[int, Statistic]] = []
    read: list[VerdictBatch] = []

    def key(answer: VerdictBatch) -> tuple[str, VerdictBatch]:
        read.append(answer)
        return f"lane-{answer.lane}", answer

    flow = Dataflow("test")
    # The last item is a heartbeat: the end of input closes what comes after it.
    source = op.input("source", flow, TestingSource([*batches, HEARTBEAT], batch_size=1))
    statistics = windowed_statistics("statistics", op.map("key", source, key), SETTINGS)
    op.output("sink", op.map("n", statistics, lambda item: (len(read), item[1])), TestingSink(out))
    run_main(flow)  # type: ignore[no-untyped-call]  # it is Rust's
    closed: list[list[tuple[float, float, int]]] = [[] for _ in read]
    for index, row in out:
        assert (row.event_type, row.duplicate, row.late, row.invalid) == ("t", 0, 0, 0)
        closed[index - 1].append((row.window_start, row.window_end, row.unique))
    return closed


def test_a_window_closes_when_all_lanes_are_past_it_by_the_allowed_lateness() -> None:
    assert run(
        [
            batch(0, 59.0, {0: 2}),
            batch(0, 1000.0, {1: 1}),
            batch(1, 100.0, {0: 3}),
            batch(1, 159.9),  # 59.9 is still in window 0
            batch(1, 160.0),
            batch(1, 5000.0),  # lane 0 is at 1000: window 15, less 100 s
        ]
    ) == [[], [], [], [], [(0, 60, 5)], [(60, 120, 1)], []]


def test_lanes_at_different_times_lose_nothing() -> None:
    ahead = [batch(0, 1e6 + 60 * n, {n: 1, 20_000 + n: 1}) for n in range(20)]
    behind = [batch(1, 60.0 * n, {n: 10}) for n in range(20)]
    closed = run([*ahead, *behind])
    found = {start: unique for step in closed for start, _, unique in step}
    assert found == {60 * n: 11 for n in range(20)} | {60 * (20_000 + n): 1 for n in range(20)}
    assert sum(map(len, closed)) == len(found)


def test_the_counts_of_a_batch_come_before_its_watermark() -> None:
    assert run([batch(1, 1e6), batch(0, 0.0), batch(0, 1e6, {0: 1, 1: 2})]) == [
        [],
        [],
        [(0, 60, 1), (60, 120, 2)],
        [],
    ]


def test_without_a_watermark_nothing_closes_before_the_end() -> None:
    assert run([batch(0, -INF, {0: 1}), batch(1, 1e6, {5: 1})]) == [
        [],
        [],
        [(0, 60, 1), (300, 360, 1)],
    ]


def test_a_heartbeat_adds_nothing() -> None:
    assert run([batch(0, 1e6, sequence=NO_SEQUENCE), batch(1, 1e6, sequence=NO_SEQUENCE)]) == [
        [],
        [],
        [],
    ]


def test_what_a_restart_found_is_counted_before_anything_else() -> None:
    recovered = [Summary(60.0, {0: {"t": [4, 0, 0, 0]}}), Summary(60.0, {1: {"t": [1, 0, 0, 0]}})]
    assert run([batch(1, 1e6), batch(0, 1e6, {1: 1}, recovered=recovered)]) == [
        [],
        [(0, 60, 4), (60, 120, 2)],
        [],
    ]


def test_what_a_heartbeat_brings_from_a_restart_is_counted() -> None:
    recovered = [Summary(60.0, {0: {"t": [4, 0, 0, 0]}})]
    assert run([batch(0, 1e6, sequence=NO_SEQUENCE, recovered=recovered)]) == [[], [(0, 60, 4)]]


def test_windows_of_another_length_are_finished_as_they_began() -> None:
    recovered = [Summary(0.5, {3: {"t": [4, 0, 0, 0]}})]
    *before, end = run([batch(0, 10.0, {0: 1}, recovered=recovered), batch(1, 1e6)])
    assert before == [[], []]
    assert sorted(end) == [(0, 60, 1), (1.5, 2.0, 4)]
