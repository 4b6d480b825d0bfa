"""Checks of duplicates and their originals, the records that they repeat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flows.cli.audit.matching import each_bucket
from flows.cli.audit.table import InputTable
from operators.columns.arrays import Bools, Floats, Ints
from operators.verdicts import DUPLICATE, UNIQUE
from operators.windows.kinds import KINDS, WindowName
from operators.windows.store import bucket_numbers

# At the threshold, rounding may put a computed similarity just below it.
SIMILARITY_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class NearRules:
    """Settings of near duplicates.  threshold: in (0, 1].  seconds: to an original, at most."""

    threshold: float
    seconds: float


def wrong_originals(table: InputTable, window: WindowName, window_seconds: float) -> Ints:
    """Rows of duplicates whose original cannot be one.

    An original must be a unique record.  In the same partition, it must come before the
    duplicate.  If a key matched, it must have the same key in the window.
    """
    rows = np.flatnonzero((table.verdicts == DUPLICATE) & (table.originals >= 0))
    originals = table.originals[rows]
    wrong = (originals == rows) | (table.verdicts[originals] > UNIQUE)
    same_partition = table.partition_index(originals) == table.partition_index(rows)
    wrong |= same_partition & (originals > rows)
    combination = table.matched[rows]
    by_key = combination >= 0  # a near duplicate has other keys
    combination, duplicates, firsts = combination[by_key], rows[by_key], originals[by_key]
    different = (table.keys[duplicates, combination] != table.keys[firsts, combination]).any(axis=1)
    times, first_times = table.times[duplicates], table.times[firsts]
    kind = KINDS[window]
    seconds = kind.length(window_seconds)
    if kind.in_buckets:
        different |= bucket_numbers(times, seconds) != bucket_numbers(first_times, seconds)
    elif not kind.grows:
        with np.errstate(over="ignore", invalid="ignore"):
            different |= ~(np.abs(times - first_times) < seconds)
    wrong[by_key] |= different
    wrong_rows: Ints = rows[wrong]
    return wrong_rows


def apart_in_sessions(table: InputTable, gap: float) -> Ints:
    """Rows of duplicates that no chain of records, less than `gap` apart, joins to their original.

    Sessions only grow and merge.  So the records of a session are in one chain of all
    unique records with the key and all duplicates that matched it.
    """
    apart_rows = [np.zeros(0, np.int64)]
    repeats = (table.verdicts == DUPLICATE) & (table.originals >= 0)
    for combination in range(table.keys.shape[1]):
        duplicates = repeats & (table.matched == combination)
        if not duplicates.any():
            continue
        keys = table.keys[:, combination]
        chosen = (table.verdicts == UNIQUE) | duplicates
        for (rows,) in each_bucket(keys, chosen=chosen):
            chains = _chains(table, rows, combination, gap)
            at = np.flatnonzero(duplicates[rows])
            # An original with another key may be in another bucket; `wrong_originals` finds it.
            originals = table.originals[rows[at]]
            original_at = np.searchsorted(rows, originals)
            exists = original_at < len(rows)
            exists[exists] = rows[original_at[exists]] == originals[exists]
            at, original_at = at[exists], original_at[exists]
            apart_rows.append(rows[at][chains[at] != chains[original_at]])
    return np.concatenate(apart_rows)


def _chains(table: InputTable, rows: Ints, combination: int, gap: float) -> Ints:
    """Index of each row's chain: records with one key, each less than `gap` from the next."""
    order, close = _sort_by_key(table, rows, combination, gap)
    chains = np.empty(len(rows), np.int64)
    chains[order] = np.cumsum(np.concatenate(([True], ~close))[: len(rows)])
    return chains


def _sort_by_key(table: InputTable, rows: Ints, combination: int, gap: float) -> tuple[Ints, Bools]:
    """Sort rows by key and time.

    Returns the order, and which rows in that order have the next one's key and are less
    than `gap` from it.
    """
    keys, times = table.keys[rows, combination], table.times[rows]
    order = np.lexsort((times, keys[:, 1], keys[:, 0]))
    ordered, moments = keys[order], times[order]
    with np.errstate(over="ignore"):
        close: Bools = moments[1:] - moments[:-1] < gap
    close &= (ordered[1:] == ordered[:-1]).all(axis=1)
    return order, close


def keys_without_unique(
    table: InputTable, combination: int, window: WindowName, window_seconds: float
) -> int:
    """Count keys in a window that have duplicates but no unique record.

    Only duplicates without an original count: Bloom filters give such.
    """
    repeats = table.verdicts == DUPLICATE
    duplicates = repeats & (table.originals < 0) & (table.matched == combination)
    if not duplicates.any():
        return 0
    keys, kind = table.keys[:, combination], KINDS[window]
    count = 0
    for (rows,) in each_bucket(keys, chosen=duplicates | (table.verdicts == UNIQUE)):
        moments = np.zeros(len(rows))
        if kind.in_buckets:
            moments = bucket_numbers(table.times[rows], kind.length(window_seconds))
        hashes = keys[rows]
        order = np.lexsort((~duplicates[rows], moments, hashes[:, 1], hashes[:, 0]))
        ordered, moments = hashes[order], moments[order]
        begins = np.ones(len(rows), np.bool_)
        begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1) | (moments[1:] != moments[:-1])
        # Unique records come last: if the last one is a duplicate, there is no unique record.
        ends = np.append(begins[1:], np.ones(min(len(rows), 1), np.bool_))
        count += int((ends & duplicates[rows][order]).sum())
    return count


def extended_sessions(table: InputTable, combination: int, gap: float) -> tuple[Ints, Ints]:
    """Find unique records in a session that a duplicate before them had extended.

    The duplicate comes before in the same partition, and is next to the record in time.
    Returns the rows of the unique records, each once, and the row of a duplicate for each.
    """
    later, earlier = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    duplicates = (table.verdicts == DUPLICATE) & (table.matched == combination)
    if duplicates.any():
        unique = table.verdicts == UNIQUE
        for (rows,) in each_bucket(table.keys[:, combination], chosen=unique | duplicates):
            order, close = _sort_by_key(table, rows, combination, gap)
            at = np.flatnonzero(close)
            left, right = rows[order[at]], rows[order[at + 1]]
            same = table.partition_index(left) == table.partition_index(right)
            first, last = np.minimum(left, right)[same], np.maximum(left, right)[same]
            wrong = duplicates[first] & unique[last]
            later.append(last[wrong])
            earlier.append(first[wrong])
    rows, which = np.unique(np.concatenate(later), return_index=True)
    return rows, np.concatenate(earlier)[which]


def wrong_near(table: InputTable, rules: NearRules, reported: tuple[Ints, Floats]) -> Ints:
    """Rows of near duplicates whose original is too far away, in another shard, or not similar.

    reported: rows, and the similarities in their answers.
    """
    rows, similarities = reported
    known: Bools = (table.verdicts[rows] == DUPLICATE) & (table.originals[rows] >= 0)
    rows, similarities = rows[known], similarities[known]
    originals = table.originals[rows]
    wrong = ~(similarities >= rules.threshold - SIMILARITY_SLACK)
    with np.errstate(over="ignore", invalid="ignore"):
        wrong |= ~(np.abs(table.times[rows] - table.times[originals]) <= rules.seconds)
    if len(table.shards):
        wrong |= (table.shards[rows] != table.shards[originals]).any(axis=1)
    wrong_rows: Ints = rows[wrong]
    return wrong_rows
