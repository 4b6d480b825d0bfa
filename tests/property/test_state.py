"""Keys are dropped as the watermark moves, so that state stays small on an endless stream."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from tests.model import Record, Settings
from tests.pipeline import Pipeline
from tests.strategies import NOW, Step, Window

DROPPING: tuple[Window, ...] = ("tumbling", "sliding", "session")
LENGTH, LATENESS = 10.0, 25.0
SETTINGS = Settings(
    keys=(("id",),), time="t", schema="open", window_seconds=LENGTH, lateness=LATENESS
)
# Before a key is dropped the watermark passes the allowed lateness, then the key's window,
# then the rest of its bucket.
SPAN = LATENESS + 2 * LENGTH


def step(offset: int, time: float, name: str) -> Step:
    value = json.dumps({"id": name, "t": time}).encode()
    return Step(Record(0, offset, None, value), NOW)


def held(pipeline: Pipeline, events: Sequence[tuple[float, str]]) -> int:
    """Feed events as one batch; return the number of keys held afterwards."""
    first = pipeline.positions[0]
    pipeline.feed([step(first + n, time, name) for n, (time, name) in enumerate(events)])
    return pipeline.keys_held


def burst(begin: float, count: int) -> list[tuple[float, str]]:
    return [(begin + n * LENGTH / count, f"{begin}-{n}") for n in range(count)]


@pytest.mark.parametrize("window", DROPPING)
def test_keys_held_go_up_and_down_with_the_watermark(window: Window) -> None:
    pipeline = Pipeline(replace(SETTINGS, window=window), 1)
    for wave in range(20):
        begin = wave * 1000.0
        assert held(pipeline, burst(begin, 200)) >= 200
        # The watermark is still in reach of the keys: they stay.
        assert held(pipeline, [(begin + LATENESS, "in between")]) >= 201
        # Far ahead: only the record itself is held.
        assert held(pipeline, [(begin + LATENESS + SPAN, "behind")]) == 1


@pytest.mark.parametrize("window", DROPPING)
def test_keys_go_as_soon_as_their_bucket_is_out_of_reach(window: Window) -> None:
    pipeline = Pipeline(replace(SETTINGS, window=window), 1, lanes=1)
    assert held(pipeline, [(3.0, "a"), (4.0, "b")]) == 2
    gone = 4.0 + LENGTH if window != "tumbling" else LENGTH  # floor(t / W) = 0 is past
    # Sessions do not wait for the other keys of a bucket.
    assert held(pipeline, [(gone + LATENESS - 0.01, "c")]) == (2 if window == "session" else 3)
    assert held(pipeline, [(gone + LATENESS, "d")]) == 2


@pytest.mark.parametrize("window", [*DROPPING, "forever"])
def test_state_stays_bounded_on_an_endless_stream(window: Window) -> None:
    pipeline = Pipeline(replace(SETTINGS, window=window), 1)
    per_window, windows = 20, 150
    sizes = [held(pipeline, burst(n * LENGTH, per_window)) for n in range(windows)]
    if window == "forever":
        assert sizes[-1] == per_window * windows  # nothing may ever go
        return
    assert max(sizes) <= per_window * (SPAN / LENGTH + 1)
    assert max(sizes[windows // 2 :]) == max(sizes[: windows // 2])


@pytest.mark.parametrize("window", DROPPING)
def test_an_endless_stream_of_one_key_holds_it_a_few_times(window: Window) -> None:
    pipeline = Pipeline(replace(SETTINGS, window=window), 1)
    sizes = [held(pipeline, [(n + 0.5 * k, "a") for k in range(2)]) for n in range(500)]
    assert max(sizes) <= SPAN / LENGTH + 1
    if window == "session":
        assert set(sizes) == {1}  # it never ends


def _moments(begin: float) -> Iterator[tuple[float, str]]:
    for n in range(5):
        yield begin + n, f"{begin}-{n}"


@pytest.mark.parametrize("window", DROPPING)
def test_a_lane_without_records_drops_its_keys_too(window: Window) -> None:
    """Empty slices carry the watermark, too."""
    pipeline = Pipeline(replace(SETTINGS, window=window), 1, lanes=8)
    held(pipeline, list(_moments(0.0)))
    held(pipeline, [(1000.0, "one key, one lane")])
    assert sorted(len(lane.store) for lane in pipeline.opened) == [0] * 7 + [1]
