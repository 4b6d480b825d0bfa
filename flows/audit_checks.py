"""What can be checked once every answer is known: pure functions over columns.

None of them proves a verdict right by itself; together with the multiset of
digests they leave little that a wrong job could write unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from flows.audit_records import InputTable
from operators.batches import Bools, Floats, Hashes, Ints
from operators.verdicts import DUPLICATE, INVALID, LATE, UNIQUE

Window = Literal["tumbling", "sliding", "session", "forever"]

# Rows that are sorted at once: what sorting takes is then a small part of the table.
_BUCKET = 500_000


def _buckets(*columns: Hashes, chosen: Bools | None = None) -> Iterator[list[Ints]]:
    """Cut hashes into buckets small enough to sort, equal ones in the same bucket.

    chosen: which rows of the first column count; None: all.  Yields, for each
    bucket, the row numbers of every column, ascending.
    """
    count = 1 + sum(map(len, columns)) // _BUCKET
    numbers = [(column[:, 0] % np.uint64(count)).astype(np.uint16) for column in columns]
    for bucket in range(count):
        rows = [number == bucket for number in numbers]
        if chosen is not None:
            rows[0] &= chosen
        yield [np.flatnonzero(one) for one in rows]


def pair(left: Hashes, right: Hashes, chosen: Bools | None = None) -> tuple[Bools, Bools]:
    """Pair two multisets of digests, each row at most once, the first ones first.

    left, right: shape (n, 2).  chosen: which rows of `left` take part; None: all.
    Returns which rows of `left` and which of `right` have a partner.
    """
    left_found, right_found = np.zeros(len(left), np.bool_), np.zeros(len(right), np.bool_)
    for mine, theirs in _buckets(left, right, chosen=chosen):
        found = _pair_sorted(left[mine], right[theirs])
        left_found[mine] = found[: len(mine)]
        right_found[theirs] = found[len(mine) :]
    return left_found, right_found


def _pair_sorted(left: Hashes, right: Hashes) -> Bools:
    """Pair two multisets; one flag a row, left's first."""
    both = np.concatenate((left, right))
    order = np.lexsort((both[:, 1], both[:, 0]))  # stable: left's rows come first
    ordered = both[order]
    begins = np.ones(len(both), np.bool_)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    is_left = order < len(left)
    lefts = np.bincount(group, weights=is_left, minlength=len(first)).astype(np.int64)
    sizes = np.diff(np.append(first, len(both)))
    paired = np.minimum(lefts, sizes - lefts)
    # Rank of a row among those of its own side in its group.
    rank = np.arange(len(both)) - first[group] - np.where(is_left, 0, lefts[group])
    found = np.zeros(len(both), np.bool_)
    found[order] = rank < paired[group]
    return found


def repeated_keys(
    keys: Hashes, times: Floats, window: Window, window_seconds: float, chosen: Bools | None = None
) -> tuple[Ints, Ints]:
    """Find unique records that share a key within the window.

    keys: of one combination, shape (n, 2).  chosen: which rows are unique records;
    None: all.  Returns rows of the repeating records and, for each, of the one
    before it.  In sessions, a unique record within the gap of another unique one is
    a repeat; that a session was extended by duplicates is not looked at.
    """
    nothing: Ints = np.zeros(0, np.int64)
    repeats, before = [nothing], [nothing]
    for (rows,) in _buckets(keys, chosen=chosen):
        moments = times[rows]
        if window == "tumbling":
            moments = np.floor(moments / window_seconds)
        some = keys[rows]
        order = np.lexsort((moments, some[:, 1], some[:, 0]))
        ordered, moments = some[order], moments[order]
        close = (ordered[1:] == ordered[:-1]).all(axis=1)
        if window == "tumbling":
            close &= moments[1:] == moments[:-1]
        elif window != "forever":
            close &= moments[1:] - moments[:-1] < window_seconds
        at = np.flatnonzero(close)
        repeats.append(rows[order[at + 1]])
        before.append(rows[order[at]])
    return np.concatenate(repeats), np.concatenate(before)


def wrong_originals(table: InputTable, window: Window, window_seconds: float) -> Ints:
    """Rows of duplicates whose original is no unique record with the same key in the window.

    In sessions the window is not looked at: other duplicates may lie between.
    """
    rows = np.flatnonzero((table.verdicts == DUPLICATE) & (table.originals >= 0))
    originals = table.originals[rows]
    wrong = (originals == rows) | (table.verdicts[originals] > UNIQUE)
    combination = table.matched[rows]
    known = combination >= 0  # a similar record has another key
    asked, of = rows[known], originals[known]
    different = (table.keys[asked, combination[known]] != table.keys[of, combination[known]]).any(
        axis=1
    )
    mine, theirs = table.times[asked], table.times[of]
    if window == "tumbling":
        different |= np.floor(mine / window_seconds) != np.floor(theirs / window_seconds)
    elif window == "sliding":
        different |= ~(np.abs(mine - theirs) < window_seconds)
    wrong[known] |= different
    found: Ints = rows[wrong]
    return found


def wrong_validity(table: InputTable) -> Ints:
    """Rows whose verdict says that they are invalid and which are not, or the reverse.

    The reason `future` depends on the clock of the job and is taken as it is.
    """
    invalid = table.verdicts == INVALID
    readable = ~np.isnan(table.times)
    wrong = np.where(invalid, readable & (table.matched != 1), ~readable & (table.verdicts >= 0))
    return np.flatnonzero(wrong)


def wrong_lateness(table: InputTable, allowed_lateness: float) -> Ints:
    """Rows that are late and cannot be, or the reverse.

    Of one partition that is all there, lateness is known record by record.  Of
    several it depends on the order of reading: then only late records are looked
    at, which must be behind the largest event time of all.
    """
    valid = (table.verdicts != INVALID) & ~np.isnan(table.times)
    times = np.where(valid, table.times, -np.inf)
    late = table.verdicts == LATE
    if len(table.ranges) == 1 and not table.deleted:
        largest = np.maximum.accumulate(times)
        before = np.concatenate(([-np.inf], largest[:-1]))[: len(times)]
        behind = table.times < before - allowed_lateness
        wrong = valid & (table.verdicts >= 0) & (late != behind)
    else:
        most = times.max(initial=-np.inf)
        wrong = late & ~(table.times < most - allowed_lateness)
    return np.flatnonzero(wrong)
