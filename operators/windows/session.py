"""Session windows: activity of a key with gaps shorter than G belongs together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from operators.changes import Delta
from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.columns.growable_column import Column
from operators.columns.references import NO_REFERENCE
from operators.verdicts import Matches
from operators.windows.key_table.index import KeyIndex, spread
from operators.windows.key_table.table import Bound
from operators.windows.session_table import decide_loop as loops
from operators.windows.session_table.ring import (
    BEGUN,
    END,
    FIRST,
    HELD,
    LAST,
    NEXT_SHIFT,
    REFERENCE,
    RING,
    STAMP,
    Rules,
)
from operators.windows.store import Decision

# Rows of a batch to itself; smaller ones would only be moved more often.
_FIRST_SIZE = 1024
# What is out of reach is looked for in all sessions: a millisecond for a million.  Of few at
# any time; else once the horizon moved by a part of the gap and some of them are new.
_FEW = 4096
_SHARE_OF_GAP = 16
_SHARE_NEW = 64
# So many are dropped at once, while a lane decides: in two or three milliseconds.  It is twice
# what was decided where that is more: else memory would grow for as long as it goes on.
_DROPPED_AT_ONCE = 16_384
# Of more keys the oldest are told by a sample.
_SAMPLE = 65_536


class SessionStore:
    """The sessions of every key, in columns.

    A record touches a session if it is less than G from it, on either side.  A
    duplicate extends the session of the combination that it matched, and joins
    two sessions if it touches both; the joined one keeps the record that was
    decided first.  Sessions are dropped, in steps, when no record at the horizon could
    touch them.  When there are too many the keys first seen, or last extended, longest ago
    are evicted with all their sessions.  Memory is about 76 bytes a session; it is given
    back when the last one goes.
    """

    def __init__(self, seconds: float, bound: Bound | None = None) -> None:
        """seconds: the gap G, > 0 and finite."""
        self._gap = seconds
        self._bound = bound or Bound()
        self._rules = Rules(seconds, self._bound.max_keys, self._bound.renew)
        self.evicted = 0
        self._clear()

    def _clear(self) -> None:
        self._index = KeyIndex()
        self._keys = Column(np.uint64, _FIRST_SIZE, width=2)
        self._spans = Column(np.float64, _FIRST_SIZE, width=2)
        self._numbers = Column(np.int64, _FIRST_SIZE, width=4)
        self._free = Column(np.uint32, _FIRST_SIZE)
        self._counts = np.zeros(4, np.int64)
        self._newest = -math.inf
        self._leaving = np.zeros(0, np.int64)
        self._looked_at = -math.inf
        self._since_looked = 0
        self._since_dropped = 0

    def __len__(self) -> int:
        """Return the number of sessions held."""
        return int(self._counts[HELD])

    @property
    def false_positive_rate(self) -> float:
        """Return 0: keys are held exactly."""
        return 0.0

    def size_bytes(self) -> int:
        """Return how much memory the sessions take, free rows included."""
        columns = (self._keys, self._spans, self._numbers, self._free)
        return sum(column.rows.nbytes for column in columns) + self._index.size_bytes

    @property
    def _sessions(self) -> loops.Sessions:
        """The arrays as they are now."""
        return loops.Sessions(
            words=self._index.words,
            slots=self._index.slots,
            regions=self._index.regions,
            keys=self._keys.rows,
            spans=self._spans.rows,
            numbers=self._numbers.rows,
            free=self._free.rows,
            counts=self._counts,
        )

    def _make_room(self, count: int) -> None:
        """Make room for so many sessions more, at most as many as may be held."""
        count = min(count, self._bound.max_keys - len(self))
        end = int(self._counts[END]) + count
        for column in (self._keys, self._spans, self._numbers, self._free):
            column.grow(end)
        self._index.make_room(len(self) + count, self._keys.rows)

    def _evict(self) -> None:
        """Drop some of the oldest keys."""
        stamps = self._numbers.rows[: self._counts[END], STAMP]
        ages = stamps[stamps >= 0]
        sample = ages[:: max(1, len(ages) // _SAMPLE)]
        wanted = self._bound.evicted_at_once * len(sample) // len(ages)
        place = min(max(wanted, 1), len(sample)) - 1
        border = np.partition(sample, place)[place]
        before = len(self)
        loops.drop_keys(self._sessions, np.flatnonzero((stamps >= 0) & (stamps <= border)))
        self.evicted += before - len(self)

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Decision:
        """Match each record against the sessions of its keys; extend or begin them."""
        count, combinations = hashes.shape[:2]
        self._bound.check(combinations)
        if not count:
            return Decision(Matches(np.zeros(0, np.int8), np.zeros(0, np.int64)), Delta.empty())
        hashes, times = np.ascontiguousarray(hashes), np.ascontiguousarray(times)
        references = np.ascontiguousarray(references)
        combination = np.full(count, -1, np.int8)
        originals = np.full(count, NO_REFERENCE, np.int64)
        most = count * combinations
        changes = loops.Changes(
            np.empty((most, 2), np.uint64), np.empty((most, 2)), np.empty(most, np.int64)
        )
        row = changed = 0
        while row < count:
            self._make_room((count - row) * combinations)
            row, changed = loops.decide(
                *(self._sessions, hashes, times, references, self._rules),
                *(row, changed, combination, originals, changes),
            )
            if row < count:
                self._evict()
        self._since_looked += count
        self._since_dropped += most
        self._newest = max(self._newest, float(times.max()))
        spans = changes.spans[:changed]
        delta = Delta(
            hashes=changes.keys[:changed],
            times=np.ascontiguousarray(spans[:, LAST]),
            references=changes.references[:changed],
            firsts=np.ascontiguousarray(spans[:, FIRST]),
        )
        return Decision(Matches(combination, originals), delta)

    def known(self, keys: Hashes) -> Bools:
        """Tell of which keys there is a session."""
        found: Bools = self._index.find(spread(keys), keys, self._keys.rows) >= 0
        return found

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each for itself; extend nothing."""
        found = np.zeros(len(times), np.bool_)
        hashes, times = np.ascontiguousarray(hashes), np.ascontiguousarray(times)
        loops.touched(self._sessions, hashes, times, self._gap, found)
        return found

    def apply(self, delta: Delta) -> None:
        """Put sessions as they became into the place of those that went into them."""
        firsts = delta.times if delta.firsts is None else delta.firsts
        self._put(delta.hashes, firsts, delta.times, delta.references)

    def _put(self, keys: Hashes, firsts: Floats, lasts: Floats, references: Ints) -> None:
        keys, firsts = np.ascontiguousarray(keys), np.ascontiguousarray(firsts)
        lasts, references = np.ascontiguousarray(lasts), np.ascontiguousarray(references)
        row, count = 0, len(keys)
        while row < count:
            self._make_room(count - row)
            row = loops.put(self._sessions, keys, firsts, lasts, references, self._rules, row)
            if row < count:
                self._evict()
        if count:
            self._since_looked += count
            self._newest = max(self._newest, float(lasts.max()))

    def expire(self, horizon: float) -> None:
        """Drop sessions that no record at the horizon or after it can touch; many in steps."""
        if not len(self):
            return
        if horizon - self._newest >= self._gap:
            self._clear()
            return
        if not len(self._leaving) and self._due(horizon):
            lasts = self._spans.rows[: self._counts[END], LAST]
            with np.errstate(over="ignore", invalid="ignore"):
                self._leaving = np.flatnonzero(horizon - lasts >= self._gap)
            self._looked_at, self._since_looked = horizon, 0
        at_once = max(_DROPPED_AT_ONCE, 2 * self._since_dropped)
        self._since_dropped = 0
        if len(self._leaving):
            now, self._leaving = np.split(self._leaving, [at_once])
            loops.drop(self._sessions, now, self._gap, horizon)

    def _due(self, horizon: float) -> bool:
        """Whether it is time to look for sessions that are out of reach."""
        if len(self) <= _FEW:
            return True
        moved = horizon - self._looked_at >= self._gap / _SHARE_OF_GAP
        return moved and self._since_looked >= len(self) // _SHARE_NEW

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether sessions that end at `newest` or before it are out of reach."""
        return horizon - newest >= self._gap

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state: every session as a row, keys in their order.

        Those of a key are in the order in which they were begun.
        """
        numbers = self._numbers.rows
        stamps = numbers[: self._counts[END], STAMP]
        heads = np.flatnonzero(stamps >= 0)
        heads = heads[np.argsort(stamps[heads], kind="stable")]
        entries, places = heads, np.arange(len(heads))
        found = [(places, entries)]
        while len(entries):
            following = numbers[entries, RING] >> NEXT_SHIFT
            more = following != heads[places]
            places, entries = places[more], following[more]
            found.append((places, entries))
        rows = np.concatenate([one for _, one in found])
        in_order = np.lexsort((numbers[rows, BEGUN], np.concatenate([one for one, _ in found])))
        rows = rows[in_order]
        return {
            "keys": self._keys.rows[rows].tobytes(),
            "first": self._spans.rows[rows, FIRST],
            "last": self._spans.rows[rows, LAST],
            "references": numbers[rows, REFERENCE],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        self._clear()
        keys = np.frombuffer(state["keys"], np.uint64).reshape(-1, 2)
        self._put(keys, state["first"], state["last"], state["references"])
