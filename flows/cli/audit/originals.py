"""What must hold of a duplicate and the record that it repeats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flows.cli.audit.matching import Window, each_bucket
from flows.cli.audit.table import InputTable
from operators.columns.arrays import Bools, Floats, Ints
from operators.verdicts import DUPLICATE, UNIQUE
from operators.windows.store import bucket_numbers

# The number of a near duplicate is computed from its threshold's neighbours by rounding.
SIMILARITY_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class NearRules:
    """Settings of near duplicates that an original must keep.  threshold: in (0, 1]."""

    threshold: float
    seconds: float


def wrong_originals(table: InputTable, window: Window, window_seconds: float) -> Ints:
    """Rows of duplicates whose original cannot be.

    It must be a unique record, and come before in the same partition; for one that
    matched a key it must have the same key in the window.
    """
    rows = np.flatnonzero((table.verdicts == DUPLICATE) & (table.originals >= 0))
    originals = table.originals[rows]
    wrong = (originals == rows) | (table.verdicts[originals] > UNIQUE)
    same_partition = table.partition_of(originals) == table.partition_of(rows)
    wrong |= same_partition & (originals > rows)
    combination = table.matched[rows]
    known = combination >= 0  # a similar record has another key
    asked, of = rows[known], originals[known]
    different = (table.keys[asked, combination[known]] != table.keys[of, combination[known]]).any(
        axis=1
    )
    mine, theirs = table.times[asked], table.times[of]
    if window == "tumbling":
        different |= bucket_numbers(mine, window_seconds) != bucket_numbers(theirs, window_seconds)
    elif window == "sliding":
        with np.errstate(over="ignore", invalid="ignore"):
            different |= ~(np.abs(mine - theirs) < window_seconds)
    wrong[known] |= different
    found: Ints = rows[wrong]
    return found


def apart_in_sessions(table: InputTable, gap: float) -> Ints:
    """Rows of duplicates that no chain of records with gaps below `gap` joins to their original.

    Sessions only grow and join, so whatever a session was, its records are in one
    chain of all unique records with the key and all duplicates that matched by it.
    """
    found = [np.zeros(0, np.int64)]
    repeats = (table.verdicts == DUPLICATE) & (table.originals >= 0)
    for combination in range(table.keys.shape[1]):
        mine = repeats & (table.matched == combination)
        if not mine.any():
            continue
        keys = table.keys[:, combination]
        chosen = (table.verdicts == UNIQUE) | mine
        for (rows,) in each_bucket(keys, chosen=chosen):
            chains = _chains(table, rows, combination, gap)
            asked = np.flatnonzero(mine[rows])
            # Originals with another key are found elsewhere, and are not among these rows.
            at = np.searchsorted(rows, table.originals[rows[asked]])
            there = at < len(rows)
            there[there] = rows[at[there]] == table.originals[rows[asked]][there]
            apart = chains[asked[there]] != chains[at[there]]
            found.append(rows[asked[there]][apart])
    return np.concatenate(found)


def _chains(table: InputTable, rows: Ints, combination: int, gap: float) -> Ints:
    """Number the chains of records that have one key and gaps below `gap`."""
    order, close = _in_order(table, rows, combination, gap)
    chains = np.empty(len(rows), np.int64)
    chains[order] = np.cumsum(np.concatenate(([True], ~close))[: len(rows)])
    return chains


def _in_order(table: InputTable, rows: Ints, combination: int, gap: float) -> tuple[Ints, Bools]:
    """Order rows by key and time, and tell which are less than `gap` from the next."""
    keys, times = table.keys[rows, combination], table.times[rows]
    order = np.lexsort((times, keys[:, 1], keys[:, 0]))
    ordered, moments = keys[order], times[order]
    with np.errstate(over="ignore"):
        close: Bools = moments[1:] - moments[:-1] < gap
    close &= (ordered[1:] == ordered[:-1]).all(axis=1)
    return order, close


def first_of_none(
    table: InputTable, combination: int, window: Window, window_seconds: float
) -> int:
    """Count keys in a window that have duplicates without an original, and no unique record."""
    mine = (table.verdicts == DUPLICATE) & (table.originals < 0) & (table.matched == combination)
    if not mine.any():
        return 0
    keys = table.keys[:, combination]
    count = 0
    for (rows,) in each_bucket(keys, chosen=mine | (table.verdicts == UNIQUE)):
        moments = np.zeros(len(rows))
        if window == "tumbling":
            moments = bucket_numbers(table.times[rows], window_seconds)
        some = keys[rows]
        order = np.lexsort((~mine[rows], moments, some[:, 1], some[:, 0]))
        ordered, moments = some[order], moments[order]
        begins = np.ones(len(rows), np.bool_)
        begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1) | (moments[1:] != moments[:-1])
        # A duplicate is the last of its key in the window only if there is no unique record.
        ends = np.append(begins[1:], np.ones(min(len(rows), 1), np.bool_))
        count += int((ends & mine[rows][order]).sum())
    return count


def extended_sessions(table: InputTable, combination: int, gap: float) -> tuple[Ints, Ints]:
    """Find unique records in a session that a duplicate before them had extended.

    Before means of the same partition; only neighbours in time are looked at.  Returns
    rows of the unique records, each once, and of a duplicate for each.
    """
    later, earlier = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    mine = (table.verdicts == DUPLICATE) & (table.matched == combination)
    if mine.any():
        unique = table.verdicts == UNIQUE
        for (rows,) in each_bucket(table.keys[:, combination], chosen=unique | mine):
            order, close = _in_order(table, rows, combination, gap)
            at = np.flatnonzero(close)
            one, next_one = rows[order[at]], rows[order[at + 1]]
            same = table.partition_of(one) == table.partition_of(next_one)
            first, last = np.minimum(one, next_one)[same], np.maximum(one, next_one)[same]
            wrong = mine[first] & unique[last]
            later.append(last[wrong])
            earlier.append(first[wrong])
    rows, which = np.unique(np.concatenate(later), return_index=True)
    return rows, np.concatenate(earlier)[which]


def wrong_near(table: InputTable, rules: NearRules, told: tuple[Ints, Floats]) -> Ints:
    """Rows of near duplicates whose original is too far away, of another shard, or not similar.

    told: rows, and the similarity that their answers say.
    """
    rows, similarities = told
    known: Bools = (table.verdicts[rows] == DUPLICATE) & (table.originals[rows] >= 0)
    rows, similarities = rows[known], similarities[known]
    originals = table.originals[rows]
    wrong = ~(similarities >= rules.threshold - SIMILARITY_SLACK)
    with np.errstate(over="ignore", invalid="ignore"):
        wrong |= ~(np.abs(table.times[rows] - table.times[originals]) <= rules.seconds)
    if len(table.shards):
        wrong |= (table.shards[rows] != table.shards[originals]).any(axis=1)
    found: Ints = rows[wrong]
    return found
