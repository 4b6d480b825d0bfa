"""Session windows: activity of a key with gaps shorter than G belongs together."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from operators.batches import Bools, Floats, Hashes, Ints
from operators.verdicts import NO_REFERENCE, Delta, Matches
from operators.windows.store import key_bytes, key_rows
from operators.windows.table import Bound

# Measured with 100,000 to 340,000 keys: what Python's objects for one take.
_BYTES_A_KEY = 430


class Session(msgspec.Struct, frozen=True, gc=False):
    """From a key's smallest to its largest event time, and the unique record it began with.

    Millions of them live long: neither they nor tuples of them are anything to Python's
    garbage collector, which would stand still for seconds to look at all of them.
    """

    first: float
    last: float
    reference: int


class _Changes:
    """Sessions that were begun or extended, as they became, in columns."""

    __slots__ = ("firsts", "keys", "lasts", "references")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.firsts: list[float] = []
        self.lasts: list[float] = []
        self.references: list[int] = []

    def add(self, key: bytes, first: float, last: float, reference: int) -> None:
        """Note one."""
        self.keys.append(key)
        self.firsts.append(first)
        self.lasts.append(last)
        self.references.append(reference)


@dataclass(slots=True)
class _Bucket:
    """Keys with a session whose last event time is in one stretch of time.

    newest: the largest of them; it stays when that session moves on.
    """

    keys: dict[bytes, None]
    newest: float = -math.inf


class SessionStore:
    """The sessions of every key.

    A record touches a session if it is less than G from it, on either side.  A
    duplicate extends the session of the combination that it matched, and joins
    two sessions if it touches both; the joined one keeps the record that was
    decided first.  Sessions are dropped when no record at the horizon could touch
    them: each is looked at when the bucket of its last extension expires, so that
    dropping costs O(1) a session over its life.  When there are too many the keys
    first seen, or last extended, longest ago are evicted with all their sessions.
    """

    def __init__(self, seconds: float, bound: Bound | None = None) -> None:
        """seconds: the gap G, > 0 and finite."""
        self._gap = seconds
        self._bound = bound or Bound()
        self.evicted = 0
        self._sessions: dict[bytes, tuple[Session, ...]] = {}
        self._buckets: dict[float, _Bucket] = {}
        self._order: list[float] = []
        self._keys = 0
        self._changed = _Changes()

    def __len__(self) -> int:
        """Return the number of sessions held."""
        return self._keys

    @property
    def false_positive_rate(self) -> float:
        """Return 0: keys are held exactly."""
        return 0.0

    def size_bytes(self) -> int:
        """Return about how much memory the sessions take."""
        return len(self) * _BYTES_A_KEY

    def _stretch(self, time: float) -> float:
        ratio = time / self._gap
        try:
            return math.floor(ratio)
        except OverflowError:  # infinite
            return ratio

    def _remember(self, key: bytes, last: float) -> None:
        """Have the key looked at when the stretch of time of `last` has expired."""
        number = self._stretch(last)
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = _Bucket({})
            heapq.heappush(self._order, number)
        bucket.keys[key] = None
        bucket.newest = max(bucket.newest, last)

    def _forget(self, key: bytes, gone: Sequence[Session]) -> None:
        """Have the key no longer looked at for sessions that moved on, or are no more."""
        still = {self._stretch(one.last) for one in self._sessions.get(key, ())}
        for one in gone:
            number = self._stretch(one.last)
            if number not in still and number in self._buckets:
                self._buckets[number].keys.pop(key, None)

    def _evict(self) -> None:
        """Drop some of the oldest keys."""
        before = self._keys
        for key in list(islice(self._sessions, self._bound.evicted_at_once)):
            sessions = self._sessions.pop(key)
            self._keys -= len(sessions)
            self._forget(key, sessions)
        self.evicted += before - self._keys

    def _touched(self, key: bytes, time: float) -> list[Session]:
        gap = self._gap
        return [
            session
            for session in self._sessions.get(key, ())
            if session.first - time < gap and time - session.last < gap
        ]

    def _begin(self, key: bytes, time: float, reference: int) -> None:
        if self._keys >= self._bound.max_keys:
            self._evict()
        began = Session(time, time, reference)
        others = self._sessions.get(key)
        self._put(key, (began,) if others is None else (*others, began))
        self._keys += 1
        self._remember(key, time)
        self._changed.add(key, time, time, reference)

    def _put(self, key: bytes, sessions: tuple[Session, ...]) -> None:
        if self._bound.renew:
            self._sessions.pop(key, None)  # to come last
        self._sessions[key] = sessions

    def _extend(self, key: bytes, time: float, touched: list[Session]) -> int:
        """Put one session into the place of those that a record touches."""
        first = touched[0]
        session = Session(
            min(time, *(one.first for one in touched)),
            max(time, *(one.last for one in touched)),
            first.reference,
        )
        sessions = self._sessions[key]
        if len(sessions) == 1:
            kept: tuple[Session, ...] = (session,)
        else:
            gone = {id(one) for one in touched[1:]}
            left = (one for one in sessions if id(one) not in gone)
            kept = tuple([session if one is first else one for one in left])
        self._put(key, kept)
        self._keys -= len(touched) - 1
        self._move(key, touched, session.last)
        self._changed.add(key, session.first, session.last, session.reference)
        return session.reference

    def _move(self, key: bytes, gone: Sequence[Session], last: float) -> None:
        """Note that one session, up to `last`, is now in the place of others."""
        if len(gone) != 1 or last != gone[0].last:
            self._forget(key, gone)
            self._remember(key, last)

    def decide(self, hashes: Hashes, times: Floats, references: Ints) -> Matches:
        """Match each record against the sessions of its keys; extend or begin them."""
        self._bound.check(hashes.shape[1])
        combination = np.full(len(times), -1, np.int8)
        originals = np.full(len(times), NO_REFERENCE, np.int64)
        held = self._sessions
        rows = zip(times.tolist(), key_rows(hashes), references.tolist(), strict=True)
        for row, (time, keys, reference) in enumerate(rows):
            for index, key in enumerate(keys):
                # Most keys are new.
                if key in held and (touched := self._touched(key, time)):
                    combination[row] = index
                    originals[row] = self._extend(key, time, touched)
                    break
            else:
                for key in keys:
                    self._begin(key, time, reference)
        return Matches(combination, originals)

    def knows(self, key: bytes) -> bool:
        """Tell whether there is a session of a key."""
        return key in self._sessions

    def repeats(self, hashes: Hashes, times: Floats) -> Bools:
        """Tell which records repeat a unique one, each for itself; extend nothing."""
        rows = zip(times.tolist(), key_rows(hashes), strict=True)
        found = (any(self._touched(key, time) for key in keys) for time, keys in rows)
        return np.fromiter(found, np.bool_, len(times))

    def delta(self, hashes: Hashes, times: Floats, references: Ints, matches: Matches) -> Delta:
        """What `decide` did: each session that was begun or extended, as it became."""
        del hashes, times, references, matches
        changed, self._changed = self._changed, _Changes()
        if not changed.keys:
            return Delta.empty()
        return Delta(
            hashes=np.frombuffer(b"".join(changed.keys), "<u8").reshape(-1, 2),
            times=np.array(changed.lasts),
            references=np.array(changed.references, np.int64),
            firsts=np.array(changed.firsts),
        )

    def apply(self, delta: Delta) -> None:
        """Put sessions as they became into the place of those that went into them."""
        if not len(delta):
            return
        firsts = delta.times if delta.firsts is None else delta.firsts
        rows = zip(
            key_bytes(delta.hashes),
            firsts.tolist(),
            delta.times.tolist(),
            delta.references.tolist(),
            strict=True,
        )
        for key, first, last, reference in rows:
            sessions = self._sessions.get(key, ())
            inside = [one for one in sessions if first <= one.first and one.last <= last]
            if not inside and self._keys >= self._bound.max_keys:
                self._evict()
                sessions = self._sessions.get(key, ())
            place = sessions.index(inside[0]) if inside else len(sessions)
            kept = [one for one in sessions if one not in inside]
            kept.insert(place, Session(first, last, reference))
            self._put(key, tuple(kept))
            self._keys += len(kept) - len(sessions)
            self._move(key, inside, last)

    def expire(self, horizon: float) -> None:
        """Drop the sessions that no record at the horizon or after it can touch."""
        while self._order and horizon - self._buckets[self._order[0]].newest >= self._gap:
            for key in self._buckets.pop(heapq.heappop(self._order)).keys:
                sessions = self._sessions.get(key)
                if sessions is None:
                    continue
                live = [one for one in sessions if not horizon - one.last >= self._gap]
                self._keys -= len(sessions) - len(live)
                if live:
                    self._sessions[key] = tuple(live)
                else:
                    del self._sessions[key]

    def expired(self, newest: float, horizon: float) -> bool:
        """Tell whether sessions that end at `newest` or before it are out of reach."""
        return horizon - newest >= self._gap

    def dump(self) -> dict[str, Any]:
        """Compact copy of the state: every session as a row, keys in their order."""
        rows = [
            (key, one.first, one.last, one.reference)
            for key, sessions in self._sessions.items()
            for one in sessions
        ]
        keys, first, last, reference = zip(*rows, strict=True) if rows else ((), (), (), ())
        return {
            "keys": b"".join(keys),
            "first": np.array(first, np.float64),
            "last": np.array(last, np.float64),
            "references": np.array(reference, np.int64),
            "newest": {number: bucket.newest for number, bucket in self._buckets.items()},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state that `dump` made."""
        self._sessions, self._buckets, self._order, self._keys = {}, {}, [], 0
        rows = zip(
            np.frombuffer(state["keys"], "V16").tolist(),
            state["first"].tolist(),
            state["last"].tolist(),
            state["references"].tolist(),
            strict=True,
        )
        for key, first, last, reference in rows:
            of_key = self._sessions.get(key, ())
            self._sessions[key] = (*of_key, Session(first, last, reference))
            self._keys += 1
            self._remember(key, last)
        # So that sessions are dropped when those of the dumped state would be.
        for number, bucket in self._buckets.items():
            bucket.newest = state["newest"][number]
        while self._keys > self._bound.max_keys:
            self._evict()
