"""Which repeats of a key may be right, since its first record may have been forgotten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flows.cli.audit.lateness import Lateness, WatermarkBounds
from flows.cli.audit.matching import Window
from flows.cli.audit.table import InputTable
from flows.settings.model import Settings
from operators.columns.arrays import Bools, Ints
from operators.verdicts import DUPLICATE, UNIQUE
from operators.windows.store import bucket_numbers


@dataclass(frozen=True, slots=True)
class Repeats:
    """Pairs of unique records that share a key in the window: rows."""

    later: Ints
    earlier: Ints

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.later)


def maybe_evicted(table: InputTable, settings: Settings, repeats: Repeats) -> Bools:
    """Tell of which pairs the first key may have been evicted before the second record came.

    A lane evicts only when it holds its part of DEDUP_MAX_KEYS.  It then drops the
    oldest, at most an eighth of them and a little more: half of what it holds is newer
    than what goes.  So half of that part was added between the two, at least.
    """
    bound = settings.max_keys // settings.lanes
    added = table.verdicts == UNIQUE
    lane = table.lanes[repeats.later]
    totals = np.bincount(table.lanes[added], minlength=settings.lanes) * len(settings.keys)
    full = totals > bound
    maybe: Bools = full[lane]
    # Session keys and Bloom filters go with what is newer than the first of them.
    if not maybe.any() or settings.window == "session" or settings.state == "bloom":
        return maybe
    if settings.eviction == "lru":  # a duplicate may renew a key
        added |= table.verdicts == DUPLICATE
    for number in np.unique(lane[maybe]).tolist():
        mine = np.flatnonzero(maybe & (lane == number))
        maybe[mine] = _between(table, added & (table.lanes == number), repeats, mine) * len(
            settings.keys
        ) >= (bound // 2)
    return maybe


def _between(table: InputTable, added: Bools, repeats: Repeats, pairs: Ints) -> Ints:
    """How many records that add keys can have come between those of each pair, at most."""
    before = np.concatenate(([0], np.cumsum(added)))
    one, other = repeats.later[pairs], repeats.earlier[pairs]
    first, last = np.minimum(one, other), np.maximum(one, other)
    between = before[last] - before[first]
    ends = np.array([0, *(end for _, end in table.ranges.values())], np.int64)
    own = before[ends[1:]] - before[ends[:-1]]
    partition = table.partition_of(first)
    # Of other partitions all may have come between: in which order they were read is unknown.
    elsewhere = before[-1] - own[partition]
    same = partition == table.partition_of(last)
    counts: Ints = np.where(same, between + elsewhere, before[-1])
    return counts


def maybe_expired(
    table: InputTable,
    bounds: WatermarkBounds,
    lateness: Lateness,
    window: tuple[Window, float],
    repeats: Repeats,
) -> Bools:
    """Tell of which pairs the first key may have gone with its window before the second came.

    Under one allowed lateness that cannot be: a record that would need the key is late.
    Under a larger one later, it need not be.  window: kind, and length in seconds.
    """
    kind, seconds = window
    if not lateness.changed or kind == "forever" or not len(repeats):
        return np.zeros(len(repeats), np.bool_)
    high = np.maximum(bounds.high(repeats.later), bounds.high(repeats.earlier))
    horizon = high - lateness.smallest
    oldest = np.minimum(table.times[repeats.later], table.times[repeats.earlier])
    if kind == "tumbling":
        gone: Bools = bucket_numbers(oldest, seconds) < bucket_numbers(horizon, seconds)
    else:
        gone = oldest + seconds <= horizon
    return gone
