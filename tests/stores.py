"""Ask a store of keys in one line: events in, words out."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import mmh3
import numpy as np

from operators.changes import Delta
from operators.columns.arrays import Hashes
from operators.columns.references import NO_REFERENCE
from operators.windows.store import KeyStore

Asked: TypeAlias = "tuple[float, str]"


def hashes_of(names: Sequence[str]) -> Any:  # noqa: ANN401
    """Array of shape (n, combinations, 2); a name has one character a combination."""
    digests = [mmh3.hash_bytes(key, seed) for name in names for seed, key in enumerate(name)]
    return np.frombuffer(b"".join(digests), "<u8").reshape(len(names), -1, 2)


class Asking:
    """Gives a store events, each with the next reference, 0, 1, 2 …; keeps the deltas."""

    def __init__(self, store: KeyStore) -> None:
        """Begin with reference 0."""
        self.store = store
        self.deltas: list[Delta] = []
        self._next = 0

    def __call__(self, *events: Asked) -> str:
        """Return a word for each event: `u` unique, `d0` duplicate of event 0, `d0.1` by key 1."""
        times = np.array([float(time) for time, _ in events])
        hashes = hashes_of([name for _, name in events])
        references = np.arange(self._next, self._next + len(events))
        self._next += len(events)
        matches, delta = self.store.decide(hashes, times, references)
        self.deltas.append(delta)
        words = []
        for index, original in zip(
            matches.combination.tolist(), matches.originals.tolist(), strict=True
        ):
            assert (index < 0) == (original == NO_REFERENCE)
            words.append("u" if index < 0 else f"d{original}" + (f".{index}" if index else ""))
        return " ".join(words)


def times(*values: float, key: str = "a") -> list[Asked]:
    """Events with one key."""
    return [(value, key) for value in values]


def contents(store: KeyStore) -> Any:  # noqa: ANN401
    """Return what a store holds, without the order of its keys."""
    state = store.dump()
    if "bucket_or_time" in state:
        columns = [state[name].tolist() for name in ("bucket_or_time", "references")]
        return sorted(zip(_key_bytes(state["keys"]), *columns, strict=True))
    columns = [state[name].tolist() for name in ("first", "last", "references")]
    sessions: dict[bytes, list[Any]] = {}
    keys = np.frombuffer(state["keys"], "<u8").reshape(-1, 2)
    for key, *session in zip(_key_bytes(keys), *columns, strict=True):
        sessions.setdefault(key, []).append(session)  # their order decides the original
    return sessions


def _key_bytes(keys: Hashes) -> list[bytes]:
    column: list[bytes] = np.ascontiguousarray(keys).view("V16").reshape(-1).tolist()
    return column
