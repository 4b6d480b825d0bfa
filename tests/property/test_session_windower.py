"""Sessions on in-order streams are those of Bytewax's own SessionWindower."""

from datetime import datetime, timedelta, timezone

import bytewax.operators as op
import bytewax.operators.windowing as win
import numpy as np
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from operators.columns.references import NO_REFERENCE
from operators.windows.session import SessionStore
from tests.stores import hashes_of

EPOCH = datetime(2023, 1, 1, tzinfo=timezone.utc)
# Times are eighths of a second, and no two of them are a gap apart: there Bytewax, which
# takes a gap of exactly G for the same session, differs from docs/reference/verdicts.md.
GAP = 10.0625
Event = tuple[str, float, int]

_STEPS = st.tuples(
    st.sampled_from("abc"), st.sampled_from([0, 1, 8, 40, 79, 80, 81, 82, 161]).map(lambda n: n / 8)
)


def _in_order(steps: list[tuple[str, float]]) -> list[Event]:
    """Key, time and number of each event; a step is a key and the time since the one before."""
    events, now = [], 0.0
    for number, (key, later) in enumerate(steps):
        now += later
        events.append((key, now, number))
    return events


def _bytewax_sessions(events: list[Event]) -> set[frozenset[int]]:
    closed: list[tuple[str, tuple[int, list[Event]]]] = []
    clock: win.EventClock[Event] = win.EventClock(
        lambda event: EPOCH + timedelta(seconds=event[1]),
        # Its watermark runs with the wall clock, too; ours has only the events.
        wait_for_system_duration=timedelta(days=1),
    )
    flow = Dataflow("sessions")
    stream = op.key_on("key", op.input("in", flow, TestingSource(events)), lambda event: event[0])
    windower = win.SessionWindower(gap=timedelta(seconds=GAP))
    op.output(
        "out", win.collect_window("collect", stream, clock, windower).down, TestingSink(closed)
    )
    run_main(flow)  # type: ignore[no-untyped-call]
    return {frozenset(number for _, _, number in window) for _, (_, window) in closed}


def _our_sessions(events: list[Event]) -> set[frozenset[int]]:
    keys, times, numbers = zip(*events, strict=True)
    found = SessionStore(GAP).decide(hashes_of(keys), np.array(times), np.array(numbers)).matches
    sessions: dict[int, set[int]] = {}
    for number, original in zip(numbers, found.originals.tolist(), strict=True):
        sessions.setdefault(number if original == NO_REFERENCE else original, set()).add(number)
    return set(map(frozenset, sessions.values()))


@hypothesis_settings(max_examples=60, deadline=None)
@given(steps=st.lists(_STEPS, min_size=1, max_size=25))
def test_sessions_are_those_of_bytewax(steps: list[tuple[str, float]]) -> None:
    events = _in_order(steps)
    assert _our_sessions(events) == _bytewax_sessions(events)


def test_exactly_the_gap_is_another_session_to_us_only() -> None:
    events = [("a", 0.0, 0), ("a", GAP, 1)]
    assert _our_sessions(events) == {frozenset([0]), frozenset([1])}
    assert _bytewax_sessions(events) == {frozenset([0, 1])}
