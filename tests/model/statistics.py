"""In which window each verdict counts, record by record."""

import math
from collections import Counter
from collections.abc import Iterable

from tests.model.reading import read
from tests.model.records import Record, Settings
from tests.model.rules import Model

# Choice: windows are counted in a calendar of the years 1 to 9999.
_FIRST, _LAST = -5e10, 2.4e11


def count_windows(
    settings: Settings,
    partitions: Iterable[int],
    steps: Iterable[tuple[Record, float, frozenset[int]]],
    seconds: float,
) -> Counter[tuple[int, str]]:
    """Count (window, verdict) of a stream; steps: record, wall clock, idle partitions."""
    model = Model(settings, partitions)
    found: Counter[tuple[int, str]] = Counter()
    for record, now, idle in steps:
        model.observe(idle - {record.partition})
        current = model.watermark
        # Choice: before there is a watermark, how far the record's own partition has come; before
        # it has come anywhere, the record's own timestamp; without one, the wall clock.
        if current is None:
            current = model.largest.get(record.partition)
        if current is None:
            stamp = record.timestamp_ms or 0
            current = stamp / 1000 if stamp > 0 else now
        kind = model.decide(record, now, idle).kind
        if kind in {"unique", "duplicate"}:
            event = read(record, settings, now)
            assert not isinstance(event, str)
            current = event.time
        found[math.floor(min(max(current, _FIRST), _LAST) / seconds), kind] += 1
    return found
