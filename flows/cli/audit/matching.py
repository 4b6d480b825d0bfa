"""What can be checked once every answer is known: pure functions over columns.

None of them proves a verdict right by itself; together with the multiset of
digests they leave little that a wrong job could write unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.windows.store import bucket_numbers

Window = Literal["tumbling", "sliding", "session", "forever"]

# Rows that are sorted at once: what sorting takes is then a small part of the table.
_BUCKET = 500_000


def each_bucket(*columns: Hashes, chosen: Bools | None = None) -> Iterator[list[Ints]]:
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
    for mine, theirs in each_bucket(left, right, chosen=chosen):
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
    a repeat; sessions that duplicates extended are another matter.
    """
    nothing: Ints = np.zeros(0, np.int64)
    repeats, before = [nothing], [nothing]
    for (rows,) in each_bucket(keys, chosen=chosen):
        moments = times[rows]
        if window == "tumbling":
            moments = bucket_numbers(moments, window_seconds)
        some = keys[rows]
        order = np.lexsort((moments, some[:, 1], some[:, 0]))
        ordered, moments = some[order], moments[order]
        close = (ordered[1:] == ordered[:-1]).all(axis=1)
        if window == "tumbling":
            close &= moments[1:] == moments[:-1]
        elif window != "forever":
            with np.errstate(over="ignore"):
                close &= moments[1:] - moments[:-1] < window_seconds
        at = np.flatnonzero(close)
        repeats.append(rows[order[at + 1]])
        before.append(rows[order[at]])
    return np.concatenate(repeats), np.concatenate(before)
