"""How keys lie in a sorted database: where each is, and what its value says.

A key is 24 bytes: the number of its stretch of time, so that what expires together
lies together, and its hash.  A value is an ordinal, by which the oldest are known, and
one entry or (sessions, or where rounding puts two into one stretch) more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from operators.changes import Delta
from operators.columns.arrays import Floats, Hashes, Ints
from operators.windows.key_table.table import Bound
from operators.windows.session import SessionStore
from operators.windows.sliding import SlidingStore
from operators.windows.store import KeyStore, bucket_numbers
from operators.windows.tumbling import TumblingStore

Entry: TypeAlias = tuple[float, float, int]
"""First and last event time, and reference."""

KEY_BYTES = 24
NUMBER_BYTES = 8
ENTRY = np.dtype([("first", "<f8"), ("last", "<f8"), ("reference", "<i8")])
VALUE = np.dtype([("ordinal", "<u8"), ("entry", ENTRY)])
_ORDINAL_BYTES = 8
_SIGN = np.uint64(1 << 63)
# What is looked up or not committed yet is held in memory; it has no bound of its own.
_UNBOUNDED = Bound(1 << 40)


def sortable(numbers: Floats) -> bytes:
    """Eight bytes a number, in whose order the numbers are."""
    bits = np.asarray(numbers + 0.0, np.float64).view(np.uint64)  # −0.0 is 0.0
    negative = (bits & _SIGN) != 0
    return np.where(negative, ~bits, bits | _SIGN).astype(">u8").tobytes()


def number_of(key: bytes) -> float:
    """The number that a key begins with."""
    bits = int.from_bytes(key[:8], "big")
    bits = bits ^ (1 << 63) if bits >> 63 else bits ^ ((1 << 64) - 1)
    return float(np.array([bits], np.uint64).view(np.float64)[0])


def keys_at(numbers: Floats, hashes: Hashes) -> list[bytes]:
    """Keys of hashes, shape (n, 2), in stretches of time."""
    table = np.empty((len(hashes), 3), np.uint64)
    table[:, 0] = np.frombuffer(sortable(numbers), np.uint64)
    table[:, 1:] = hashes
    column: list[bytes] = table.view(f"V{KEY_BYTES}").reshape(-1).tolist()
    return column


def values_of(ordinals: Ints, delta: Delta) -> list[bytes]:
    """Values of one entry each."""
    table = np.empty(len(delta), VALUE)
    table["ordinal"] = ordinals
    table["entry"]["first"] = delta.times if delta.firsts is None else delta.firsts
    table["entry"]["last"] = delta.times
    table["entry"]["reference"] = delta.references
    column: list[bytes] = table.view(f"V{VALUE.itemsize}").tolist()
    return column


def ordinal_of(value: bytes) -> int:
    """The ordinal in a value."""
    return int.from_bytes(value[:_ORDINAL_BYTES], "little")


def after(number: float) -> bytes:
    """Where all keys of a stretch of time, and of those before it, end."""
    return sortable(np.array([number])) + b"\xff" * (KEY_BYTES - NUMBER_BYTES + 1)


def order_of(ordinal: int) -> bytes:
    """The place in the order that an ordinal stands for."""
    return ordinal.to_bytes(NUMBER_BYTES, "big")


def ordinal_at(order: bytes) -> int:
    """The ordinal that a place in the order stands for."""
    return int.from_bytes(order, "big")


def entries_of(value: bytes) -> list[Entry]:
    """First and last event time and reference of each entry."""
    rows: list[Entry] = np.frombuffer(value, ENTRY, offset=_ORDINAL_BYTES).tolist()
    return rows


def value_of(ordinal: int, entries: Sequence[Entry]) -> bytes:
    """Return a value of some entries."""
    return ordinal.to_bytes(_ORDINAL_BYTES, "little") + np.array(list(entries), ENTRY).tobytes()


def found_delta(keys: Sequence[bytes], values: Sequence[bytes]) -> tuple[Delta, Ints]:
    """What was found, as a delta, and the ordinal of each of its rows."""
    if all(len(value) == VALUE.itemsize for value in values):
        table = np.frombuffer(b"".join(values), VALUE)
        entries, ordinals = table["entry"], table["ordinal"].astype(np.int64)
        counts = None
    else:
        counts = [(len(value) - _ORDINAL_BYTES) // ENTRY.itemsize for value in values]
        entries = np.frombuffer(b"".join(value[_ORDINAL_BYTES:] for value in values), ENTRY)
        ordinals = np.repeat(np.array([ordinal_of(value) for value in values]), counts)
    hashes = np.frombuffer(b"".join(keys), np.uint64).reshape(-1, 3)[:, 1:]
    delta = Delta(
        np.ascontiguousarray(hashes if counts is None else np.repeat(hashes, counts, axis=0)),
        entries["last"].copy(),
        entries["reference"].copy(),
        entries["first"].copy(),
    )
    return delta, ordinals


class KeyLayout:
    """Where the keys of tumbling windows lie, or of the one that lasts for ever.

    merging: whether a key's value may have to be read before it is written.
    skippable: whether a record that repeats a key in memory need not be looked up.
    """

    must_read_before_write = False
    skip_lookup_if_in_memory = True

    def __init__(self, seconds: float) -> None:
        """seconds: of the window; infinite for ever."""
        self.seconds = seconds

    def memory_store(self) -> KeyStore:
        """Make an empty store of the same window in memory."""
        return TumblingStore(self.seconds, _UNBOUNDED)

    def bucket_of(self, times: Floats) -> Floats:
        """Stretch of time that keys of these times lie in."""
        return (
            np.zeros(len(times)) if np.isinf(self.seconds) else bucket_numbers(times, self.seconds)
        )

    def buckets_to_search(self, times: Floats) -> list[Floats]:
        """Stretches where keys lie that records of these times can match; `bucket_of` first."""
        return [self.bucket_of(times)]

    def merged(self, entries: list[Entry], entry: Entry) -> list[Entry]:
        """Entries of a key after one more was written."""
        return [entry] if not entries or self.added_again(entries, entry) else entries

    def added_again(self, entries: list[Entry], entry: Entry) -> bool:
        """Tell whether a key was evicted, and added again with this entry.

        It is then of another record than those that it takes the place of.
        """
        return any(one[2] != entry[2] for one in entries)

    def is_expired(self, number: float, newest: float, horizon: float) -> bool:
        """Tell whether a stretch, with keys up to `newest`, is of no more use."""
        del newest
        if np.isinf(self.seconds) or not math.isfinite(horizon):
            return False
        return number < float(bucket_numbers(np.array([horizon]), self.seconds)[0])


class SlidingLayout(KeyLayout):
    """Where the keys of sliding windows lie."""

    must_read_before_write = True
    skip_lookup_if_in_memory = False

    def __init__(self, seconds: float) -> None:
        """seconds: of the window."""
        super().__init__(seconds)
        self._buckets_to_search = SlidingStore(seconds).buckets_to_search

    def memory_store(self) -> KeyStore:
        """Make an empty store of the same window in memory."""
        return SlidingStore(self.seconds, _UNBOUNDED)

    def buckets_to_search(self, times: Floats) -> list[Floats]:
        """Stretches where keys lie that records of these times can match; `bucket_of` first."""
        return self._buckets_to_search(times)

    def merged(self, entries: list[Entry], entry: Entry) -> list[Entry]:
        """Entries of a key after one more was written."""
        if entry in entries:
            return entries
        return [*(one for one in entries if not self._near(one, entry)), entry]

    def added_again(self, entries: list[Entry], entry: Entry) -> bool:
        """Tell whether a key was evicted, and added again with this entry."""
        return any(one[2] != entry[2] and self._near(one, entry) for one in entries)

    def _near(self, one: Entry, other: Entry) -> bool:
        return abs(one[1] - other[1]) < self.seconds

    def is_expired(self, number: float, newest: float, horizon: float) -> bool:
        """Tell whether a stretch, with keys up to `newest`, is of no more use."""
        del number
        return horizon - newest >= self.seconds


class SessionLayout(KeyLayout):
    """Where sessions lie: a key's all together, for one may be longer than any stretch.

    They expire by a list of keys by the stretch in which a session ended (`ends`).
    """

    must_read_before_write = True
    skip_lookup_if_in_memory = False

    def memory_store(self) -> KeyStore:
        """Make an empty store of the same window in memory."""
        return SessionStore(self.seconds, _UNBOUNDED)

    def bucket_of(self, times: Floats) -> Floats:
        """One stretch for all."""
        return np.zeros(len(times))

    def merged(self, entries: list[Entry], entry: Entry) -> list[Entry]:
        """Sessions of a key after one took the place of those that went into it."""
        inside = self._inside(entries, entry)
        kept = [one for one in entries if one not in inside]
        kept.insert(entries.index(inside[0]) if inside else len(entries), entry)
        return kept

    def added_again(self, entries: list[Entry], entry: Entry) -> bool:
        """Tell whether a key was evicted, and added again with this entry."""
        inside = self._inside(entries, entry)
        return bool(inside) and all(one[2] != entry[2] for one in inside)

    def _inside(self, entries: list[Entry], entry: Entry) -> list[Entry]:
        """Sessions that went into one, as it became."""
        first, last, _ = entry
        return [
            one for one in entries if one[0] - last < self.seconds and first - one[1] < self.seconds
        ]

    def is_expired(self, number: float, newest: float, horizon: float) -> bool:
        """Nothing lies in stretches."""
        del number, newest, horizon
        return False

    def ends(self, times: Floats) -> Floats:
        """Stretch in which sessions end."""
        return bucket_numbers(times, self.seconds)

    def ended_before(self, horizon: float) -> float:
        """Stretches before this one hold only ends that no record at the horizon can touch.

        One less than there are: rounding must not leave one behind that can be touched.
        """
        return float(bucket_numbers(np.array([horizon - self.seconds]), self.seconds)[0]) - 1.0
