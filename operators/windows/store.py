"""What every store of keys can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from operators.changes import Delta, LaneChange, LaneProgress
from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.verdicts import Matches


class Decision(NamedTuple):
    """What a store answers for a batch of records, and what it changed.

    delta: keys added and renewed, sessions as they became: `apply` repeats the change.
    """

    matches: Matches
    delta: Delta


class KeyStore(Protocol):
    """Keys of unique records, and the rule by which a record repeats one.

    Records are given in the order in which they are decided, with the hashes of
    all their combinations: an array of shape (n, combinations, 2).
    """

    @property
    def evicted(self) -> int:
        """Keys evicted so far to make room for others."""
        ...

    @property
    def false_positive_rate(self) -> float:
        """Expected share of unseen keys that count as repeats: 0 where keys are held exactly."""
        ...

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        """Match each record against earlier unique ones, and add those that are unique."""
        ...

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records `decide` would call repeats, each for itself; add nothing."""
        ...

    def apply(self, delta: Delta) -> None:
        """Add what an earlier `decide` added, as the changelog has it."""
        ...

    def expire(self, horizon: float) -> None:
        """Drop what no record with an event time ≥ horizon (epoch seconds) could match."""
        ...

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether keys with event times up to `newest` are of no more use at a horizon."""
        ...

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state: numbers, bytes and arrays, safe to pickle."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        ...

    def size_bytes(self) -> int:
        """Return about how much memory (disk, for a store on disk) the keys take."""
        ...

    def __len__(self) -> int:
        """Return the number of keys held."""
        ...


@runtime_checkable
class DurableStore(KeyStore, Protocol):
    """A store that keeps what is committed, so that a restart goes on from there.

    What is decided or applied waits for `committed`, in the same order; so does the
    removal of what expired or was evicted meanwhile.
    """

    @property
    def progress(self) -> LaneProgress | None:
        """How far what is kept goes, None if nothing is."""
        ...

    def committed(self, change: LaneChange) -> None:
        """Take note that a transaction is committed; from any thread.

        horizon: its watermark less the allowed lateness.  No record that is decided after
        it, in this run or the next, has an earlier event time.
        """
        ...

    def marked(self, end: int) -> None:
        """Take note of where the changelog ended after the last one; from any thread."""
        ...


def bucket_numbers(times: Floats, seconds: float) -> Floats:
    """Return `floor(t / seconds)`: IEEE division, so a tiny length can make it infinite."""
    with np.errstate(over="ignore"):
        numbers: Floats = np.floor(times / seconds)
    return numbers


def key_bytes(hashes: Hashes) -> list[bytes]:
    """16-byte keys of an array of shape (n, 2)."""
    column: list[bytes] = np.ascontiguousarray(hashes).view("V16").reshape(-1).tolist()
    return column


def unique_delta(hashes: Hashes, times: Floats, references: Ints, matches: Matches) -> Delta:
    """Every combination's key of every unique record."""
    unique = matches.combination < 0
    combinations = hashes.shape[1]
    if unique.all():
        added = hashes
    else:
        added, times, references = hashes[unique], times[unique], references[unique]
    return Delta(
        hashes=added.reshape(-1, 2),
        times=times if combinations == 1 else np.repeat(times, combinations),
        references=references if combinations == 1 else np.repeat(references, combinations),
    )


@dataclass(slots=True)
class Renewals:
    """Keys that duplicates renewed.

    places: where in the batch, as row · combinations + combination.  times: under
    which they are found again.  references: of the record that they came with.
    """

    places: Ints
    times: Floats
    references: Ints


def renewing_delta(
    hashes: Hashes,
    times: Floats,
    references: Ints,
    matches: Matches,
    renewed: Sequence[Renewals],
) -> Delta:
    """Every combination's key of every unique record, and renewed keys, in one order."""
    added = unique_delta(hashes, times, references, matches)
    if not renewed:
        return added
    combinations = hashes.shape[1]
    unique = np.flatnonzero(matches.combination < 0)[:, None]
    places = [(unique * combinations + np.arange(combinations)).reshape(-1)]
    joined = np.concatenate(places + [one.places for one in renewed])
    order = np.argsort(joined, kind="stable")
    return Delta(
        hashes.reshape(-1, 2)[joined][order],
        np.concatenate([added.times, *(one.times for one in renewed)])[order],
        np.concatenate([added.references, *(one.references for one in renewed)])[order],
    )
