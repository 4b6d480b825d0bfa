"""The interface of every store of keys, and what they share."""

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

    delta: keys added and renewed, sessions as they became.  `apply` repeats the change.
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
        """Expected share of unseen keys that count as repeats; 0 if keys are held exactly."""
        ...

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        """Match each record against earlier unique ones, and add those that are unique."""
        ...

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records `decide` would call repeats, each by itself; add nothing."""
        ...

    def apply(self, delta: Delta) -> None:
        """Repeat the change of an earlier `decide`, as the changelog has it."""
        ...

    def expire(self, horizon: float) -> None:
        """Drop keys that no record with an event time ≥ horizon (epoch seconds) can match."""
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
    """A store that keeps committed keys, so that a restart goes on from there.

    A change waits for `committed`, in the order in which it was decided or applied.  Keys
    that expired or were evicted meanwhile are removed with it.
    """

    @property
    def progress(self) -> LaneProgress | None:
        """How far the kept keys go, None if there are none."""
        ...

    def committed(self, change: LaneChange) -> None:
        """Note that a transaction is committed; from any thread."""
        ...

    def marked(self, end: int) -> None:
        """Note where the changelog ended after the last transaction; from any thread."""
        ...


def bucket_numbers(times: Floats, seconds: float) -> Floats:
    """Return `floor(t / seconds)`: IEEE division, so a tiny length can make it infinite."""
    with np.errstate(over="ignore"):
        numbers: Floats = np.floor(times / seconds)
    return numbers


def window_numbers(times: Floats, seconds: float) -> Floats:
    """Return the tumbling window of each time: 0 for all if the window never ends."""
    return np.zeros(len(times)) if np.isinf(seconds) else bucket_numbers(times, seconds)


def window_is_past(newest: float, horizon: float, seconds: float) -> bool:
    """Tell whether the tumbling window of `newest` ends at the horizon or before it."""
    if np.isinf(seconds) or not np.isfinite(horizon):
        return False
    return bool(np.floor(newest / seconds) < np.floor(horizon / seconds))


def unique_delta(hashes: Hashes, times: Floats, references: Ints, matches: Matches) -> Delta:
    """Return the keys of all combinations of the unique records."""
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

    places: in the batch, as row · combinations + combination.  times: event times under
    which `apply` finds the keys again.  references: of the records that added the keys.
    """

    places: Ints
    times: Floats
    references: Ints


def renewing_delta(
    hashes: Hashes,
    times: Floats,
    references: Ints,
    matches: Matches,
    renewals: Sequence[Renewals],
) -> Delta:
    """Return the keys of the unique records and renewed keys, in the order of the records."""
    added = unique_delta(hashes, times, references, matches)
    if not renewals:
        return added
    combinations = hashes.shape[1]
    unique = np.flatnonzero(matches.combination < 0)[:, None]
    places = [(unique * combinations + np.arange(combinations)).reshape(-1)]
    all_places = np.concatenate(places + [renewal.places for renewal in renewals])
    order = np.argsort(all_places, kind="stable")
    return Delta(
        hashes.reshape(-1, 2)[all_places][order],
        np.concatenate([added.times, *(renewal.times for renewal in renewals)])[order],
        np.concatenate([added.references, *(renewal.references for renewal in renewals)])[order],
    )
