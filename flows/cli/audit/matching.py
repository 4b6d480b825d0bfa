"""Matches rows by their hashes: pairs equal digests, and finds repeated keys.

Pure functions over columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.windows.kinds import KINDS, WindowName
from operators.windows.store import bucket_numbers

# Rows that are sorted together: few enough that sorting takes little memory beside the table.
_BUCKET_ROWS = 500_000


def each_bucket(*columns: Hashes, chosen: Bools | None = None) -> Iterator[list[Ints]]:
    """Cut hashes into buckets that are small enough to sort; equal hashes share a bucket.

    chosen: rows of the first column to use; None for all.  Yields, for each bucket, the
    row numbers of every column, ascending.
    """
    count = 1 + sum(map(len, columns)) // _BUCKET_ROWS
    buckets = [(column[:, 0] % np.uint64(count)).astype(np.uint16) for column in columns]
    for bucket in range(count):
        inside = [column == bucket for column in buckets]
        if chosen is not None:
            inside[0] &= chosen
        yield [np.flatnonzero(rows) for rows in inside]


def pair(left: Hashes, right: Hashes, chosen: Bools | None = None) -> tuple[Bools, Bools]:
    """Pair equal rows of two multisets of digests, each row at most once, first rows first.

    left, right: shape (n, 2).  chosen: rows of `left` to use; None for all.
    Returns which rows of `left`, and which of `right`, have a partner.
    """
    left_paired, right_paired = np.zeros(len(left), np.bool_), np.zeros(len(right), np.bool_)
    for left_rows, right_rows in each_bucket(left, right, chosen=chosen):
        paired = _pair_bucket(left[left_rows], right[right_rows])
        left_paired[left_rows] = paired[: len(left_rows)]
        right_paired[right_rows] = paired[len(left_rows) :]
    return left_paired, right_paired


def _pair_bucket(left: Hashes, right: Hashes) -> Bools:
    """Pair two multisets.  Returns a flag for each row, those of `left` first."""
    both = np.concatenate((left, right))
    order = np.lexsort((both[:, 1], both[:, 0]))  # stable: rows of `left` come first
    ordered = both[order]
    begins = np.ones(len(both), np.bool_)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    is_left = order < len(left)
    left_sizes = np.bincount(group, weights=is_left, minlength=len(first)).astype(np.int64)
    sizes = np.diff(np.append(first, len(both)))
    pairs = np.minimum(left_sizes, sizes - left_sizes)
    # Rank of a row among the rows of its side in its group.
    rank = np.arange(len(both)) - first[group] - np.where(is_left, 0, left_sizes[group])
    paired = np.zeros(len(both), np.bool_)
    paired[order] = rank < pairs[group]
    return paired


def repeated_keys(
    keys: Hashes,
    times: Floats,
    window: WindowName,
    window_seconds: float,
    chosen: Bools | None = None,
) -> tuple[Ints, Ints]:
    """Find unique records that share a key within the window.

    keys: of one combination, shape (n, 2).  chosen: rows of the unique records; None for
    all.  Returns the rows of the repeating records and, for each, the row of the record
    before it.  With sessions, a unique record within the gap of another one is a repeat;
    `extended_sessions` finds the repeats in sessions that duplicates extended.
    """
    kind = KINDS[window]
    seconds = kind.length(window_seconds)
    no_rows: Ints = np.zeros(0, np.int64)
    repeats, before = [no_rows], [no_rows]
    for (rows,) in each_bucket(keys, chosen=chosen):
        moments = times[rows]
        if kind.in_buckets:
            moments = bucket_numbers(moments, seconds)
        hashes = keys[rows]
        order = np.lexsort((moments, hashes[:, 1], hashes[:, 0]))
        ordered, moments = hashes[order], moments[order]
        close = (ordered[1:] == ordered[:-1]).all(axis=1)
        if kind.in_buckets:
            close &= moments[1:] == moments[:-1]
        else:
            with np.errstate(over="ignore"):
                close &= moments[1:] - moments[:-1] < seconds
        at = np.flatnonzero(close)
        repeats.append(rows[order[at + 1]])
        before.append(rows[order[at]])
    return np.concatenate(repeats), np.concatenate(before)
