"""Segments of a changelog: only expired ones are removed, and the newest one never."""

import math
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from connectors.exactly_once import changelog_segments
from connectors.exactly_once.changelog_segments import ChangelogSegments

_TIMES = st.floats(0, 1e6) | st.just(-math.inf)


def segments_of(times: list[float]) -> ChangelogSegments:
    """Build segments of ten offsets each, with these newest event times."""
    segments = ChangelogSegments()
    for index, time in enumerate(times):
        segments.add(10 * (index + 1), time)
    return segments


@given(st.lists(_TIMES, max_size=20), _TIMES)
def test_the_oldest_segments_are_removed_while_they_have_expired(
    times: list[float], horizon: float
) -> None:
    segments = segments_of(times)
    end = segments.remove_expired(lambda newest: newest < horizon)

    removed = 0
    while removed < len(times) - 1 and times[removed] < horizon:
        removed += 1
    assert len(segments) == len(times) - removed
    assert end == (10 * removed if removed else None)


def test_the_newest_segment_stays_though_it_has_expired() -> None:
    segments = segments_of([1.0, 2.0, 3.0])
    assert segments.remove_expired(lambda _: True) == 20
    assert segments.remove_expired(lambda _: True) is None
    assert len(segments) == 1


@given(st.lists(_TIMES, min_size=5, max_size=30), _TIMES)
def test_merged_segments_expire_with_their_newest_key(times: list[float], horizon: float) -> None:
    with patch.object(changelog_segments, "_MAX_SEGMENTS", 4):
        segments = segments_of(times)
    assert len(segments) <= 4

    end = segments.remove_expired(lambda newest: newest < horizon) or 0
    assert all(time < horizon for time in times[: end // 10])


def test_many_segments_are_bounded() -> None:
    segments = segments_of([float(index) for index in range(10_000)])
    assert len(segments) <= 1024
