"""Rule 6: the segments of a lane's changelog, and which of them have expired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_MAX_SEGMENTS = 1024


@dataclass(frozen=True, slots=True)
class ChangelogSegment:
    """A part of a lane's changelog: up to offset `end`, with keys up to event time `newest`."""

    end: int
    newest: float


class ChangelogSegments:
    """The segments of one lane's changelog, oldest first."""

    def __init__(self) -> None:
        """Start without a segment."""
        self._segments: list[ChangelogSegment] = []

    def __len__(self) -> int:
        """Return the number of segments."""
        return len(self._segments)

    def add(self, end: int, newest: float) -> None:
        """Add the next segment; when there are many, merge them in pairs."""
        segments = self._segments
        segments.append(ChangelogSegment(end, newest))
        if len(segments) > _MAX_SEGMENTS:
            pairs = zip(segments[::2], segments[1::2], strict=False)
            odd = segments[-1:] if len(segments) % 2 else []
            self._segments = [
                ChangelogSegment(later.end, max(earlier.newest, later.newest))
                for earlier, later in pairs
            ] + odd

    def remove_expired(self, is_expired: Callable[[float], bool]) -> int | None:
        """Remove the oldest segments while all their keys have expired.

        is_expired: whether a key with this event time has expired.  Returns the end of the last
        removed segment, None if none was removed.  The newest segment always stays: it holds
        the lane's progress.
        """
        end = None
        while len(self._segments) > 1 and is_expired(self._segments[0].newest):
            end = self._segments.pop(0).end
        return end
