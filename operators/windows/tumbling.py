"""Tumbling windows, and the window that lasts for ever."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from operators.batches import Bools, Floats, Hashes, Ints
from operators.verdicts import NO_REFERENCE, Codes
from operators.windows.batch_repeats import first_occurrences, sharing
from operators.windows.compact import Answers, CompactStore, place
from operators.windows.store import stretches
from operators.windows.table import Bound


class TumblingStore(CompactStore):
    """Keys with their window `floor(t / W)`; a key is unique once in each.

    A window is dropped whole when the horizon has left it: from then on every
    record that belongs to it is late.  With an infinite length there is one
    window, and nothing is ever dropped but by eviction.
    """

    def __init__(self, seconds: float, bound: Bound | None = None) -> None:
        """seconds: length of the window, > 0; infinite for ever."""
        super().__init__(seconds, bound)
        self._oldest = math.inf

    def _window(self, times: Floats) -> Floats:
        return np.zeros(len(times)) if np.isinf(self._seconds) else stretches(times, self._seconds)

    def _answer(self, hashes: Hashes, times: Floats, references: Ints) -> Answers:
        windows = self._window(times)
        keys = place(hashes, windows).reshape(-1, 2)
        entries = self._table.find(keys)
        first = first_occurrences(keys)
        if hashes.shape[1] == 1:
            held = entries >= 0
            repeats = held | (first != np.arange(len(first)))
            # Where nothing is held the last entry is read, and not used.
            originals = np.where(held, self._table.references[entries], references[first])
            return Answers(
                keys=keys,
                ats=windows,
                chosen=repeats.astype(np.int8) - np.int8(1),
                originals=np.where(repeats, originals, NO_REFERENCE),
                entries=entries,
                added=np.flatnonzero(~repeats),
            )
        answers = self._answer_several(entries, first, references, hashes.shape[1])
        return Answers(keys, windows, *answers)

    def _answer_several(
        self, entries: Ints, first: Ints, references: Ints, combinations: int
    ) -> tuple[Codes, Ints, Ints, Ints]:
        """Several keys a record: only a unique one adds keys, and it adds all of them."""
        held = entries.reshape(-1, combinations)
        count = len(held)
        hit = (held >= 0).argmax(axis=1)
        found = held[np.arange(count), hit]
        chosen = np.where(found >= 0, hit, -1).astype(np.int8)
        originals = np.where(found >= 0, self._table.references[found], NO_REFERENCE)
        unique = found < 0
        # Records that share a key hang on each other: in turn.
        mine: dict[int, int] = {}
        again: list[int] = []
        for row in np.flatnonzero(sharing(first, combinations)).tolist():
            keys = first[row * combinations : (row + 1) * combinations].tolist()
            for index, key in enumerate(keys):
                if held[row, index] >= 0:
                    chosen[row], originals[row] = index, self._table.references[held[row, index]]
                    found[row] = held[row, index]
                    break
                if key in mine:
                    chosen[row], originals[row], found[row] = index, references[mine[key]], -1
                    unique[row] = False
                    break
            else:
                mine.update(dict.fromkeys(keys, row))
                again += [
                    row * combinations + index
                    for index, key in enumerate(keys)
                    if key in keys[:index]
                ]
        added = (np.flatnonzero(unique)[:, None] * combinations + np.arange(combinations)).reshape(
            -1
        )
        if again:
            added = np.setdiff1d(added, again)
        return chosen, originals, found, added

    def _add(self, keys: Hashes, ats: Floats, references: Ints, stamps: Ints) -> None:
        self._oldest = min(self._oldest, float(ats.min()))
        self._table.add(keys, ats, references, stamps)

    def _renewal_times(self, entries: Ints, times: Floats) -> Floats:
        del entries
        return times

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each for itself; add nothing."""
        entries = self._table.find(place(hashes, self._window(times)).reshape(-1, 2))
        found: Bools = np.logical_or.reduce(entries.reshape(hashes.shape[:2]) >= 0, axis=1)
        return found

    def _held(
        self, hashes: Hashes, times: Floats, references: Ints
    ) -> tuple[Hashes, Floats, Ints, int]:
        del references
        windows = self._window(times)
        keys = place(hashes[:, None], windows)[:, 0]
        again = np.flatnonzero(first_occurrences(keys) != np.arange(len(keys)))
        return keys, windows, self._table.find(keys), int(again[0]) if len(again) else len(keys)

    def expire(self, horizon: float) -> None:
        """Drop the windows that lie before the one of the horizon."""
        if np.isfinite(horizon) and not np.isinf(self._seconds):
            # floor is monotonic: t ≥ horizon never falls into an earlier window.
            first = float(stretches(np.array([horizon]), self._seconds)[0])
            if self._oldest < first:
                self._table.drop_before(first)
                self._oldest = self._table.oldest_at()
        self._table.sweep()

    def expired(self, newest: float, horizon: float) -> bool:
        """Tell whether the windows up to that of `newest` have been left by the horizon."""
        if np.isinf(self._seconds) or not np.isfinite(horizon):
            return False
        return bool(np.floor(newest / self._seconds) < np.floor(horizon / self._seconds))

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        super().load(state)
        self._oldest = self._table.oldest_at()
