"""Session windows: activity of a key with gaps shorter than G belongs together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from operators.changes import Delta
from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.columns.growable_column import GrowableColumn
from operators.columns.references import NO_REFERENCE
from operators.verdicts import Matches
from operators.windows.bound import Bound
from operators.windows.key_table.index import KeyIndex
from operators.windows.key_table.probing import mix_keys
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

# Rows of a batch of its own; the kernel would only move a smaller column more often.
_FIRST_SIZE = 1024
# Finding expired sessions scans all of them (1 ms a million).  Small stores are scanned
# every time, large ones when the horizon has moved by 1/16 of the gap and 1/64 of the
# sessions are new.
_SMALL_STORE = 4096
_GAP_SHARE = 16
_NEW_SHARE = 64
# Sessions dropped at once, while a lane decides: two or three milliseconds.  It is twice the
# number of keys decided if that is more, or memory would grow meanwhile.
_MIN_DROPPED = 16_384
# In larger stores a sample of this size says which keys are the oldest.
_SAMPLE = 65_536


class SessionStore:
    """The sessions of every key, in columns.

    A record touches a session if it is less than G away from it, on either side.  A
    duplicate extends the session of the combination that it matched.  If it touches two,
    it merges them, and the merged session keeps the record that was decided first.
    Sessions that no record at the horizon can touch are dropped in steps.  When there are
    too many, the keys that were first seen (or last extended) longest ago are evicted with
    all their sessions.  Memory is about 76 bytes a session, and is given back when the
    last session goes.
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
        self._keys = GrowableColumn(np.uint64, _FIRST_SIZE, width=2)
        self._spans = GrowableColumn(np.float64, _FIRST_SIZE, width=2)
        self._numbers = GrowableColumn(np.int64, _FIRST_SIZE, width=4)
        self._free = GrowableColumn(np.uint32, _FIRST_SIZE)
        self._counts = np.zeros(4, np.int64)
        self._newest = -math.inf
        self._leaving = np.zeros(0, np.int64)
        self._scanned_at = -math.inf
        self._new_since_scan = 0
        self._new_since_drop = 0

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
        """The arrays, until the store grows."""
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
        """Make room for `count` more sessions, but for no more than may be held."""
        count = min(count, self._bound.max_keys - len(self))
        end = int(self._counts[END]) + count
        for column in (self._keys, self._spans, self._numbers, self._free):
            column.grow(end)
        self._index.make_room(len(self) + count, self._keys.rows)

    def _evict(self) -> None:
        """Drop the oldest keys."""
        stamps = self._numbers.rows[: self._counts[END], STAMP]
        ages = stamps[stamps >= 0]
        sample = ages[:: max(1, len(ages) // _SAMPLE)]
        count = self._bound.keys_per_eviction * len(sample) // len(ages)
        place = min(max(count, 1), len(sample)) - 1
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
        max_changed = count * combinations
        changes = loops.Changes(
            np.empty((max_changed, 2), np.uint64),
            np.empty((max_changed, 2)),
            np.empty(max_changed, np.int64),
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
        self._new_since_scan += count
        self._new_since_drop += max_changed
        self._newest = max(self._newest, float(times.max()))
        spans = changes.spans[:changed]
        delta = Delta(
            hashes=changes.keys[:changed],
            times=np.ascontiguousarray(spans[:, LAST]),
            references=changes.references[:changed],
            firsts=np.ascontiguousarray(spans[:, FIRST]),
        )
        return Decision(Matches(combination, originals), delta)

    @property
    def crowded(self) -> bool:
        """Return True: a key may have several sessions."""
        return True

    def holds(self, delta: Delta) -> Bools:
        """Return False for each row: it may replace a session, however it is held."""
        return np.zeros(len(delta), np.bool_)

    def known(self, keys: Hashes) -> Bools:
        """Tell which keys have a session."""
        known: Bools = self._index.find(mix_keys(keys), keys, self._keys.rows) >= 0
        return known

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each by itself; extend nothing."""
        touched = np.zeros(len(times), np.bool_)
        hashes, times = np.ascontiguousarray(hashes), np.ascontiguousarray(times)
        loops.find_touched(self._sessions, hashes, times, self._gap, touched)
        return touched

    def apply(self, delta: Delta) -> None:
        """Replace sessions by those that absorbed them, as an earlier `decide` did."""
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
            self._new_since_scan += count
            self._newest = max(self._newest, float(lasts.max()))

    def expire(self, horizon: float) -> None:
        """Drop sessions that no record at the horizon or after it can touch, in steps."""
        if not len(self):
            return
        if horizon - self._newest >= self._gap:
            self._clear()
            return
        if not len(self._leaving) and self._scan_is_due(horizon):
            lasts = self._spans.rows[: self._counts[END], LAST]
            with np.errstate(over="ignore", invalid="ignore"):
                self._leaving = np.flatnonzero(horizon - lasts >= self._gap)
            self._scanned_at, self._new_since_scan = horizon, 0
        limit = max(_MIN_DROPPED, 2 * self._new_since_drop)
        self._new_since_drop = 0
        if len(self._leaving):
            now, self._leaving = np.split(self._leaving, [limit])
            loops.drop(self._sessions, now, self._gap, horizon)

    def _scan_is_due(self, horizon: float) -> bool:
        """Tell whether to look for expired sessions now."""
        if len(self) <= _SMALL_STORE:
            return True
        moved = horizon - self._scanned_at >= self._gap / _GAP_SHARE
        return moved and self._new_since_scan >= len(self) // _NEW_SHARE

    def is_expired(self, newest: float, horizon: float) -> bool:
        """Tell whether no record at the horizon can touch sessions that end at `newest`."""
        return horizon - newest >= self._gap

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state: a row for each session, the oldest keys first.

        The sessions of a key are in the order in which they began.
        """
        numbers = self._numbers.rows
        stamps = numbers[: self._counts[END], STAMP]
        heads = np.flatnonzero(stamps >= 0)
        heads = heads[np.argsort(stamps[heads], kind="stable")]
        entries, places = heads, np.arange(len(heads))
        parts = [(places, entries)]
        while len(entries):
            following = numbers[entries, RING] >> NEXT_SHIFT
            more = following != heads[places]
            places, entries = places[more], following[more]
            parts.append((places, entries))
        rows = np.concatenate([entries for _, entries in parts])
        key_places = np.concatenate([places for places, _ in parts])
        rows = rows[np.lexsort((numbers[rows, BEGUN], key_places))]
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
