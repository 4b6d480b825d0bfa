"""A slow and obvious model of every window kind, to compare stores with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.contract.kinds import SECONDS, Kind


class Model:
    """Keeps all unique records and sessions in lists, and scans them for each record."""

    def __init__(self, window: str) -> None:
        self.window = window
        self.unique: list[tuple[float, str]] = []
        # Combination, key, first and last event time, and the record that began the session.
        self.sessions: list[tuple[int, str, float, float, int]] = []

    def decide(self, time: float, name: str) -> tuple[int, int] | None:
        """Return combination and original of a duplicate, None for a unique record."""
        match = next(filter(None, (self._match(i, key, time) for i, key in enumerate(name))), None)
        if match is None:
            row = len(self.unique)
            self.sessions += [(i, key, time, time, row) for i, key in enumerate(name)]
        self.unique.append((time, name if match is None else ""))
        return match

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
            session
            for session in self.sessions
            if session[:2] == (index, key)
            and session[2] - time < SECONDS
            and time - session[3] < SECONDS
        ]
        if not touched:
            return None
        first = min(time, *(session[2] for session in touched))
        last = max(time, *(session[3] for session in touched))
        row = min(session[4] for session in touched)
        self.sessions = [session for session in self.sessions if session not in touched]
        self.sessions.append((index, key, first, last, row))
        return index, row


def words(kind: Kind, answers: Sequence[tuple[int, int] | None]) -> list[str]:
    """Return the model's answers in the words of `Asking`."""
    return [
        "u"
        if answer is None
        else f"d{answer[1] if kind.originals else -1}" + (f".{answer[0]}" if answer[0] else "")
        for answer in answers
    ]
