"""A slow and obvious model of every window kind, to compare stores with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.contract.kinds import SECONDS, Kind


class Model:
    """Every unique record and every session in a list; looks at all of them each time."""

    def __init__(self, window: str) -> None:
        self.window = window
        self.unique: list[tuple[float, str]] = []
        # Of a combination and key: first and last event time, and the record it began with.
        self.sessions: list[tuple[int, str, float, float, int]] = []

    def decide(self, time: float, name: str) -> tuple[int, int] | None:
        """Combination and original of a duplicate, None for a unique record."""
        found = next(filter(None, (self._match(i, key, time) for i, key in enumerate(name))), None)
        if found is None:
            row = len(self.unique)
            self.sessions += [(i, key, time, time, row) for i, key in enumerate(name)]
        self.unique.append((time, name if found is None else ""))
        return found

    def _match(self, index: int, key: str, time: float) -> tuple[int, int] | None:
        if self.window == "session":
            return self._in_session(index, key, time)
        for row, (seen, name) in enumerate(self.unique):
            if name and name[index] == key and self._near(time, seen):
                return index, row
        return None

    def _near(self, time: float, seen: float) -> bool:
        if self.window == "tumbling":
            return math.floor(time / SECONDS) == math.floor(seen / SECONDS)
        return self.window == "forever" or abs(time - seen) < SECONDS

    def _in_session(self, index: int, key: str, time: float) -> tuple[int, int] | None:
        touched = [
            one
            for one in self.sessions
            if one[:2] == (index, key) and one[2] - time < SECONDS and time - one[3] < SECONDS
        ]
        if not touched:
            return None
        first = min(time, *(one[2] for one in touched))
        last = max(time, *(one[3] for one in touched))
        row = min(one[4] for one in touched)
        self.sessions = [one for one in self.sessions if one not in touched]
        self.sessions.append((index, key, first, last, row))
        return index, row


def words(kind: Kind, answers: Sequence[tuple[int, int] | None]) -> list[str]:
    """The model's answers as `Asking` says them."""
    return [
        "u"
        if answer is None
        else f"d{answer[1] if kind.originals else -1}" + (f".{answer[0]}" if answer[0] else "")
        for answer in answers
    ]
