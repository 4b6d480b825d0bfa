"""Sliding windows: unique if no unique record with the key is closer than W, before or after."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from operators.batches import Bools, Floats, Hashes, Ints
from operators.verdicts import NO_REFERENCE
from operators.windows.batch_repeats import first_occurrences, sharing
from operators.windows.compact import Answers, CompactStore, place
from operators.windows.store import stretches
from operators.windows.table import Bound

_NONE = np.int64(np.iinfo(np.int64).max)


class SlidingStore(CompactStore):
    """Buckets of event time as wide as the window; a record looks into three of them.

    Duplicates do not extend a window: only unique records are in the buckets.
    A record can match two, one on either side in time: its original is the one of
    the smaller partition and offset, in whatever order they came.
    A bucket is dropped when its newest key is W or more before the horizon.

    Two unique records with one key are at least W apart, so a bucket holds a key
    once.  Only rounding of `t / W` can put two into one bucket; the second is then
    placed at a further level, and all levels are searched.
    """

    def __init__(self, seconds: float, bound: Bound | None = None) -> None:
        """seconds: length W of the window, > 0 and finite."""
        super().__init__(seconds, bound)
        # Whether the last keys added may have met others in their bucket.
        self.crowded = False
        self._levels = 1
        self._newest: dict[float, float] = {}
        self._order: list[float] = []

    def around(self, times: Floats) -> list[Floats]:
        """Numbers of the buckets with times less than W away; that of the time itself first.

        Rounding is monotonic, so the buckets of `t − W` and `t + W` bound those of all
        times between; it can put the two further apart by one, or all three into one.
        """
        with np.errstate(over="ignore"):
            before, after = times - self._seconds, times + self._seconds
        here = stretches(times, self._seconds)
        first, last = stretches(before, self._seconds), stretches(after, self._seconds)
        if ((first == here - 1) & (last == here + 1)).all():
            return [here, first, last]
        return [here, first, last, first + 1, last - 1]

    def _near(self, hashes: Hashes, times: Floats) -> tuple[Hashes, Ints, Bools]:
        """Entries of each key in each bucket around, and whether they are less than W away.

        Both of shape (buckets · levels, n, combinations); the first is the record's own,
        and before them the keys as they are placed there.
        """
        shape = (-1, *hashes.shape[:2])
        around = self.around(times)
        keys = [
            place(hashes, numbers, level) for level in range(self._levels) for numbers in around
        ]
        entries = self._table.find(np.concatenate(keys).reshape(-1, 2)).reshape(shape)
        with np.errstate(over="ignore"):
            away = np.abs(times[:, None] - self._table.ats[entries])
        own = keys[0].reshape(-1, 2)
        return own, entries, (entries >= 0) & (away < self._seconds)

    def _answer(self, hashes: Hashes, times: Floats, references: Ints) -> Answers:
        count, combinations = hashes.shape[:2]
        keys, entries, near = self._near(hashes, times)
        # Rounding again, or W so short that there is no telling: the own bucket has the key.
        self.crowded = bool(((entries[0] >= 0) & ~near[0]).any()) or self._levels > 1
        found = np.where(near, self._table.references[entries], _NONE)
        nearest = found.argmin(axis=0)[None]
        originals = np.take_along_axis(found, nearest, 0)[0]
        matched = np.take_along_axis(entries, nearest, 0)[0]
        hit = (originals != _NONE).argmax(axis=1)
        rows = np.arange(count)
        original = originals[rows, hit]
        unique = original == _NONE
        answers = Answers(
            keys=keys,
            ats=times,
            chosen=np.where(unique, -1, hit).astype(np.int8),
            originals=np.where(unique, NO_REFERENCE, original),
            entries=np.where(unique, -1, matched[rows, hit]),
            added=rows[:0],
        )
        first = first_occurrences(hashes.reshape(-1, 2))
        again = self._in_turn(answers, first, times, references, originals)
        unique = answers.chosen < 0
        places = np.flatnonzero(unique)[:, None] * combinations + np.arange(combinations)
        answers.added = np.setdiff1d(places, again) if again else places.reshape(-1)
        return answers

    def _in_turn(
        self, answers: Answers, first: Ints, times: Floats, references: Ints, originals: Ints
    ) -> list[int]:
        """Decide records that share a key in turn, since they hang on each other.

        originals: in the table, of each combination.  Returns keys that a record has twice.
        """
        combinations = originals.shape[1]
        mine: dict[int, list[tuple[float, int]]] = {}
        again: list[int] = []
        for row in np.flatnonzero(sharing(first, combinations)).tolist():
            keys = first[row * combinations : (row + 1) * combinations].tolist()
            time = float(times[row])
            for index, key in enumerate(keys):
                known = int(originals[row, index])
                near = [one for at, one in mine.get(key, ()) if abs(at - time) < self._seconds]
                if near or known != _NONE:
                    original = min([*near, known])
                    answers.chosen[row], answers.originals[row] = index, original
                    if original != known:
                        answers.entries[row] = -1
                    break
            else:
                answers.chosen[row] = -1
                for index, key in enumerate(keys):
                    if key in keys[:index]:
                        again.append(row * combinations + index)
                        continue
                    self.crowded = self.crowded or key in mine
                    mine.setdefault(key, []).append((time, int(references[row])))
        return again

    def _add(self, keys: Hashes, ats: Floats, references: Ints, stamps: Ints) -> None:
        self._note(ats)
        if not self.crowded:
            self._table.add(keys, ats, references, stamps)
            return
        numbers = stretches(ats, self._seconds)
        hashes = place(keys[:, None], numbers)
        level, left = 0, np.arange(len(keys))
        while len(left):
            keys = place(hashes[left], numbers[left], level)[:, 0]
            fits = (self._table.find(keys) < 0) & (first_occurrences(keys) == np.arange(len(left)))
            rows = left[fits]
            self._table.add(keys[fits], ats[rows], references[rows], stamps[rows])
            left = left[~fits]
            level += 1
        self._levels = max(self._levels, level)

    def _note(self, times: Floats) -> None:
        """Remember the newest time of each bucket."""
        # Sorted by time they are sorted by bucket, too.
        times = np.sort(times)
        numbers, firsts = np.unique(stretches(times, self._seconds), return_index=True)
        newest = times[np.append(firsts[1:], len(times)) - 1]
        for number, time in zip(numbers.tolist(), newest.tolist(), strict=True):
            if number not in self._newest:
                heapq.heappush(self._order, number)
            self._newest[number] = max(self._newest.get(number, time), time)

    def _renewal_times(self, entries: Ints, times: Floats) -> Floats:
        del times
        return self._table.ats[entries]

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each for itself; add nothing."""
        near = self._near(hashes, times)[2]
        found: Bools = np.logical_or.reduce(near, axis=(0, 2))
        return found

    def _held(
        self, hashes: Hashes, times: Floats, references: Ints
    ) -> tuple[Hashes, Floats, Ints, int]:
        numbers = stretches(times, self._seconds)
        entries = np.full(len(times), -1, np.int64)
        self.crowded = self._levels > 1
        for level in reversed(range(self._levels)):
            keys = place(hashes[:, None], numbers, level)[:, 0]
            found = self._table.find(keys)
            same = (found >= 0) & (self._table.ats[found] == times)
            same &= self._table.references[found] == references
            entries[same] = found[same]
            self.crowded |= bool(((found >= 0) & ~same).any())
        again = np.flatnonzero(first_occurrences(keys) != np.arange(len(keys)))
        return keys, times, entries, int(again[0]) if len(again) else len(times)

    def expire(self, horizon: float) -> None:
        """Drop the buckets that no record at the horizon or after it can match."""
        border = None
        # Rounding is monotonic: what is far enough from the newest key of a bucket
        # now is so for its other keys and for every later record.
        while self._order and horizon - self._newest[self._order[0]] >= self._seconds:
            border = self._newest.pop(heapq.heappop(self._order))
        if border is not None:
            self._table.drop_before(border, included=True)
            if not len(self._table):
                self._levels = 1
        self._table.sweep()

    def expired(self, newest: float, horizon: float) -> bool:
        """Tell whether keys up to `newest` are W or more before the horizon."""
        return horizon - newest >= self._seconds

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state: columns of the keys held, the oldest first."""
        return {**super().dump(), "levels": self._levels}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        super().load(state)
        self._levels = state["levels"]
        self._newest, self._order = {}, []
        if len(state["ats"]):
            self._note(state["ats"])
