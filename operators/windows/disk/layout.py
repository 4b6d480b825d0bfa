"""How keys are stored in a sorted database: the bytes of keys and values.

A key is 24 bytes: the number of its bucket of event time, so that keys which expire
together are neighbours, and its hash.  A value is an ordinal, which says how old the key
is, and one entry or more: several sessions, or two that rounding puts into one bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, TypeAlias

import numpy as np

from operators.changes import Delta
from operators.columns.arrays import Bools, Floats, Hashes, Ints
from operators.windows.bound import Bound
from operators.windows.store import KeyStore, bucket_numbers

Entry: TypeAlias = tuple[float, float, int]
"""First and last event time, and reference."""

KEY_BYTES = 24
NUMBER_BYTES = 8
ENTRY = np.dtype([("first", "<f8"), ("last", "<f8"), ("reference", "<i8")])
VALUE = np.dtype([("ordinal", "<u8"), ("entry", ENTRY)])
_ORDINAL_BYTES = 8
_SIGN = np.uint64(1 << 63)
# The store in memory holds keys that were looked up or are not committed yet.  The
# disk bounds them, not the store.
UNBOUNDED = Bound(1 << 40)


def sortable(numbers: Floats) -> bytes:
    """Return eight bytes a number; their order is the order of the numbers."""
    bits = np.asarray(numbers + 0.0, np.float64).view(np.uint64)  # −0.0 is 0.0
    negative = (bits & _SIGN) != 0
    return np.where(negative, ~bits, bits | _SIGN).astype(">u8").tobytes()


def number_of(key: bytes) -> float:
    """Return the number of the bucket that a key begins with."""
    bits = int.from_bytes(key[:8], "big")
    bits = bits ^ (1 << 63) if bits >> 63 else bits ^ ((1 << 64) - 1)
    return float(np.array([bits], np.uint64).view(np.float64)[0])


def keys_at(numbers: Floats, hashes: Hashes) -> list[bytes]:
    """Return the keys of hashes, shape (n, 2), in buckets."""
    table = np.empty((len(hashes), 3), np.uint64)
    table[:, 0] = np.frombuffer(sortable(numbers), np.uint64)
    table[:, 1:] = hashes
    column: list[bytes] = table.view(f"V{KEY_BYTES}").reshape(-1).tolist()
    return column


def values_of(ordinals: Ints, delta: Delta) -> list[bytes]:
    """Return values of one entry each."""
    table = np.empty(len(delta), VALUE)
    table["ordinal"] = ordinals
    table["entry"]["first"] = delta.times if delta.firsts is None else delta.firsts
    table["entry"]["last"] = delta.times
    table["entry"]["reference"] = delta.references
    column: list[bytes] = table.view(f"V{VALUE.itemsize}").tolist()
    return column


def ordinal_of(value: bytes) -> int:
    """Return the ordinal in a value."""
    return int.from_bytes(value[:_ORDINAL_BYTES], "little")


def after(number: float) -> bytes:
    """Return a bound above all keys of a bucket and of the buckets before it."""
    return sortable(np.array([number])) + b"\xff" * (KEY_BYTES - NUMBER_BYTES + 1)


def order_of(ordinal: int) -> bytes:
    """Return the row key of an ordinal in the order of age."""
    return ordinal.to_bytes(NUMBER_BYTES, "big")


def ordinal_at(order: bytes) -> int:
    """Return the ordinal of a row key in the order of age."""
    return int.from_bytes(order, "big")


def entries_of(value: bytes) -> list[Entry]:
    """Return the entries in a value."""
    rows: list[Entry] = np.frombuffer(value, ENTRY, offset=_ORDINAL_BYTES).tolist()
    return rows


def value_of(ordinal: int, entries: Sequence[Entry]) -> bytes:
    """Return a value with these entries."""
    return ordinal.to_bytes(_ORDINAL_BYTES, "little") + np.array(list(entries), ENTRY).tobytes()


def delta_of(keys: Sequence[bytes], values: Sequence[bytes]) -> tuple[Delta, Ints]:
    """Return keys and their values as a delta, and the ordinal of each of its rows."""
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


class MemoryStore(KeyStore, Protocol):
    """The store in memory that decides for a store on disk."""

    @property
    def crowded(self) -> bool:
        """Whether a key may have several entries in one bucket."""
        ...

    def holds(self, delta: Delta) -> Bools:
        """Tell which rows of a delta add no entry: their key is held, or comes earlier in it."""
        ...

    def known(self, keys: Hashes) -> Bools:
        """Tell which keys have all of their entries in memory, where entries grow."""
        ...


class KeyLayout:
    """How the entries of one window kind are stored on disk.

    must_read_before_write: whether a key may have an entry on disk already that a write
    must not lose.  skip_lookup_if_in_memory: whether a record that repeats a key in
    memory needs no lookup.  entries_grow: whether later records change an entry.  All
    entries of a key are then read, written and expired together, in one bucket.
    """

    must_read_before_write: ClassVar[bool] = False
    skip_lookup_if_in_memory: ClassVar[bool] = True
    entries_grow: ClassVar[bool] = False

    def __init__(self, seconds: float) -> None:
        """seconds: length of the window; infinite if it never ends."""
        self.seconds = seconds

    def memory_store(self) -> MemoryStore:
        """Make an empty store of the same window in memory."""
        raise NotImplementedError

    def bucket_of(self, times: Floats) -> Floats:
        """Return the bucket that holds keys of these times."""
        return bucket_numbers(times, self.seconds)

    def buckets_to_search(self, times: Floats) -> list[Floats]:
        """Return the buckets with keys that records of these times can match; own bucket first."""
        return [self.bucket_of(times)]

    def merged(self, entries: list[Entry], entry: Entry) -> list[Entry]:
        """Return the entries of a key after one more was written."""
        raise NotImplementedError

    def added_again(self, entries: list[Entry], entry: Entry) -> bool:
        """Tell whether a key was evicted and then added again with this entry.

        The new entry is of another record than those whose place it takes.
        """
        raise NotImplementedError

    def is_expired(self, number: float, newest: float, horizon: float) -> bool:
        """Tell whether a bucket with keys up to `newest` is of no more use at a horizon."""
        raise NotImplementedError

    def ended_before(self, horizon: float) -> float:
        """Return a bucket: entries that ended in an earlier one match no record at the horizon.

        One bucket of margin: rounding may put an end that is still reachable into the
        bucket before.
        """
        return float(bucket_numbers(np.array([horizon - self.seconds]), self.seconds)[0]) - 1.0
