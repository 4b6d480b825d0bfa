"""Repeated keys that may be right, because the job may have forgotten the first record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flows.cli.audit.lateness import Lateness, WatermarkBounds
from flows.cli.audit.table import InputTable
from flows.settings.model import Settings
from operators.columns.arrays import Bools, Ints
from operators.verdicts import DUPLICATE, UNIQUE
from operators.windows.kinds import KINDS, WindowName
from operators.windows.store import bucket_numbers


@dataclass(frozen=True, slots=True)
class Repeats:
    """Pairs of unique records that share a key in the window: their rows."""

    later: Ints
    earlier: Ints

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.later)


def maybe_evicted(table: InputTable, settings: Settings, repeats: Repeats) -> Bools:
    """Whether the first record's key may have been evicted before the second came, by pair.

    A lane evicts keys only when it holds its part of DEDUP_MAX_KEYS.  It evicts the
    oldest, little more than an eighth of them.  So at least half of the keys it holds are
    newer than the evicted ones, and were added between the two records.  Records of an earlier
    topic may have added keys in any lane, at any time.
    """
    bound = settings.max_keys // settings.lanes
    added = table.verdicts == UNIQUE
    lane = table.lanes[repeats.later]
    totals = np.bincount(table.lanes[added], minlength=settings.lanes) + table.earlier_records
    full = totals * len(settings.keys) > bound
    maybe: Bools = full[lane]
    # Sessions and Bloom filters hold newer keys too, which are evicted with the oldest.
    if not maybe.any() or KINDS[settings.window].grows or settings.state == "bloom":
        return maybe
    if settings.eviction == "lru":  # a duplicate may renew a key
        added |= table.verdicts == DUPLICATE
    for index in np.unique(lane[maybe]).tolist():
        pairs = np.flatnonzero(maybe & (lane == index))
        records = _max_between(table, added & (table.lanes == index), repeats, pairs)
        records += table.earlier_records
        maybe[pairs] = records * len(settings.keys) >= bound // 2
    return maybe


def _max_between(table: InputTable, added: Bools, repeats: Repeats, pairs: Ints) -> Ints:
    """Largest possible number of records with new keys between the two of each pair.

    added: rows of the records that add keys.
    """
    before = np.concatenate(([0], np.cumsum(added)))
    later, earlier = repeats.later[pairs], repeats.earlier[pairs]
    first, last = np.minimum(later, earlier), np.maximum(later, earlier)
    between = before[last] - before[first]
    ends = np.array([0, *(end for _, end in table.ranges.values())], np.int64)
    own = before[ends[1:]] - before[ends[:-1]]
    partition = table.partition_index(first)
    # All records of other partitions may have come between: the order of reading is unknown.
    elsewhere = before[-1] - own[partition]
    same = partition == table.partition_index(last)
    counts: Ints = np.where(same, between + elsewhere, before[-1])
    return counts


def maybe_expired(
    table: InputTable,
    bounds: WatermarkBounds,
    lateness: Lateness,
    window: tuple[WindowName, float],
    repeats: Repeats,
) -> Bools:
    """Whether the first record's key may have expired before the second came, by pair.

    With one allowed lateness that is impossible: a record that needs an expired key is
    late.  With a larger lateness since then, it need not be late.  window: name of its
    kind, and length in seconds.
    """
    kind = KINDS[window[0]]
    seconds = kind.length(window[1])
    if not lateness.changed or kind.endless or not len(repeats):
        return np.zeros(len(repeats), np.bool_)
    high = np.maximum(bounds.high(repeats.later), bounds.high(repeats.earlier))
    horizon = high - lateness.smallest
    oldest = np.minimum(table.times[repeats.later], table.times[repeats.earlier])
    if kind.in_buckets:
        expired: Bools = bucket_numbers(oldest, seconds) < bucket_numbers(horizon, seconds)
    else:
        expired = oldest + seconds <= horizon
    return expired
