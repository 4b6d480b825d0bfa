"""Sums of verdicts by window and event type: what statistics are made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

Counts: TypeAlias = dict[str, list[int]]
"""Event type → how many of each verdict, in the order of `VERDICTS`."""


def add(counts: Counts, rows: Iterable[tuple[str, list[int]]]) -> None:
    """Add rows of other counts to `counts`; the lists of neither are changed."""
    for name, more in rows:
        held = counts.get(name)
        counts[name] = more if held is None else [a + b for a, b in zip(held, more, strict=True)]


@dataclass(slots=True)
class Summary:
    """Counts of some records.

    seconds: length of the windows; number i is [i × seconds, (i + 1) × seconds).
    windows: number → counts.
    """

    seconds: float
    windows: dict[int, Counts] = field(default_factory=dict)

    def add(self, window: int, rows: Iterable[tuple[str, list[int]]]) -> None:
        """Add rows to a window."""
        add(self.windows.setdefault(window, {}), rows)

    def parts(self, rows: int) -> Iterator[Summary]:
        """Cut it into summaries of at most so many rows."""
        part, count = Summary(self.seconds), 0
        for window, counts in self.windows.items():
            for row in counts.items():
                if count == rows:
                    yield part
                    part, count = Summary(self.seconds), 0
                part.add(window, [row])
                count += 1
        if count:
            yield part

    @staticmethod
    def join(summaries: Iterable[Summary | None]) -> Summary | None:
        """Add up summaries of one run; None if there are none."""
        total: Summary | None = None
        for summary in summaries:
            if summary is None:
                continue
            if total is None:
                total = Summary(summary.seconds)
            for window, counts in summary.windows.items():
                total.add(window, counts.items())
        return total
