"""What changed in a lane.

A `LaneChange` says it all: how far the lane has come (`LaneProgress`), what was added to its
state (`Delta`, with texts as `NearRecords`), and how its verdicts count (`Summary`).  A lane
answers each slice with one; a transaction puts several together; the changelog stores it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from operators.batches import InputPartition
from operators.columns.arrays import Floats, Hashes, Ints

_COUNT = struct.Struct("<I")
# A packed record without its text: event time 8, reference 8, shard 16, length of the text 4.
BYTES_PER_RECORD = 36

NO_SEQUENCE = 0
"""Sequence of a verdict batch that changes nothing: it is not written."""

Counts: TypeAlias = dict[str, list[int]]
"""Event type → number of records with each verdict, in the order of `VERDICTS`."""


class LaneProgress(NamedTuple):
    """How far a lane has come.

    sequence: number of the lane's last verdict batch, from 1.
    positions: number of an input partition → next offset.
    max_event_times: number of an input partition → largest event time.
    watermark: epoch seconds, −inf until there is one.
    inputs: the input partition of each number; a table that only grows.
    end: only in a store on disk, 0 elsewhere: an earlier end of the lane's changelog.  The
    store holds everything before that offset.
    """

    sequence: int
    positions: dict[int, int]
    max_event_times: dict[int, float]
    watermark: float
    inputs: tuple[InputPartition, ...] = ()
    end: int = 0

    @staticmethod
    def concat(parts: Sequence[LaneProgress]) -> LaneProgress:
        """Put the progress of consecutive transactions into one: each says only what moved."""
        positions: dict[int, int] = {}
        max_event_times: dict[int, float] = {}
        for part in parts:
            positions.update(part.positions)
            max_event_times.update(part.max_event_times)
        inputs = max((part.inputs for part in parts), key=len)
        return parts[-1]._replace(
            positions=positions, max_event_times=max_event_times, inputs=inputs
        )


@dataclass(frozen=True, slots=True)
class LaneChange:
    """What a verdict batch, or a transaction of several, changed in a lane.

    progress: how far the lane has come then.  delta: what was added to the state.
    summary: counts of the verdicts, None without statistics or without records.  horizon:
    watermark less allowed lateness, which the lane computes: no record that it decides later
    has an earlier event time.  −inf in what is read from a changelog, until a lane applies it.
    """

    progress: LaneProgress
    delta: Delta
    summary: Summary | None = None
    horizon: float = -math.inf

    @staticmethod
    def concat(changes: Sequence[LaneChange]) -> LaneChange:
        """Put consecutive changes into one; there must be at least one."""
        return LaneChange(
            changes[-1].progress,
            Delta.concat([change.delta for change in changes]),
            Summary.add_up(change.summary for change in changes),
            changes[-1].horizon,
        )


@dataclass(slots=True)
class Delta:
    """Keys and texts added to the state, in the order in which they were added.

    hashes: of the keys, shape (n, 2).  times: event times; the largest one of a session.
    references: of the unique records.  firsts: smallest event times of sessions, None for
    other windows.  near: unique records with their texts, None without near duplicates.
    """

    hashes: Hashes
    times: Floats
    references: Ints
    firsts: Floats | None = None
    near: NearRecords | None = None

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.times)

    @property
    def newest(self) -> float:
        """Largest event time, −inf if there is none."""
        return float(self.times.max()) if len(self.times) else -np.inf

    @staticmethod
    def concat(deltas: Sequence[Delta]) -> Delta:
        """Put consecutive deltas into one."""
        near = [delta.near for delta in deltas if delta.near is not None]
        deltas = [delta for delta in deltas if len(delta)]
        if len(deltas) == 1 and not near:
            return deltas[0]
        if not deltas:
            return Delta.of_texts(NearRecords.concat(near)) if near else Delta.empty()
        firsts = [delta.firsts for delta in deltas if delta.firsts is not None]
        return Delta(
            np.concatenate([delta.hashes for delta in deltas]),
            np.concatenate([delta.times for delta in deltas]),
            np.concatenate([delta.references for delta in deltas]),
            np.concatenate(firsts) if firsts else None,
            NearRecords.concat(near) if near else None,
        )

    @staticmethod
    def of_texts(near: NearRecords) -> Delta:
        """Return a delta that has texts, but no keys."""
        delta = Delta.empty()
        delta.near = near
        return delta

    @staticmethod
    def empty() -> Delta:
        """Return a delta without keys or texts."""
        return Delta(np.zeros((0, 2), np.uint64), np.zeros(0), np.zeros(0, np.int64))


@dataclass(slots=True)
class NearRecords:
    """Unique records with their texts, in the order in which they were decided.

    times: event times.  references: of the records.  shards: 128-bit hashes, shape (n, 2).
    texts: compared with the texts of later records.
    """

    times: Floats
    references: Ints
    shards: Hashes
    texts: list[str]

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.texts)

    @staticmethod
    def empty() -> NearRecords:
        """Return no records."""
        return NearRecords(np.zeros(0), np.zeros(0, np.int64), np.zeros((0, 2), np.uint64), [])

    @staticmethod
    def concat(parts: Sequence[NearRecords]) -> NearRecords:
        """Put consecutive parts into one."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return NearRecords.empty()
        return NearRecords(
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.references for part in parts]),
            np.concatenate([part.shards for part in parts]),
            [text for part in parts for text in part.texts],
        )

    def pack(self) -> bytes:
        """Pack the records: the count, then each column, and texts as UTF-8 at the end."""
        texts = [text.encode() for text in self.texts]
        return b"".join(
            (
                _COUNT.pack(len(texts)),
                np.ascontiguousarray(self.times, "<f8").tobytes(),
                np.ascontiguousarray(self.references, "<i8").tobytes(),
                np.ascontiguousarray(self.shards, "<u8").tobytes(),
                np.array([len(text) for text in texts], "<u4").tobytes(),
                *texts,
            )
        )

    @staticmethod
    def unpack(packed: bytes) -> NearRecords:
        """Unpack what `pack` made.  Raises ValueError or struct.error for anything else."""
        (count,) = _COUNT.unpack_from(packed)
        at = _COUNT.size
        times = np.frombuffer(packed, "<f8", count, at)
        references = np.frombuffer(packed, "<i8", count, at + count * 8)
        shards = np.frombuffer(packed, "<u8", count * 2, at + count * 16).reshape(-1, 2)
        lengths = np.frombuffer(packed, "<u4", count, at + count * 32).tolist()
        at += count * BYTES_PER_RECORD
        texts = []
        for length in lengths:
            texts.append(packed[at : at + length].decode())
            at += length
        if at != len(packed):
            msg = f"{at} bytes of texts expected, {len(packed)} found"
            raise ValueError(msg)
        return NearRecords(times, references, shards, texts)


def add(counts: Counts, rows: Iterable[tuple[str, list[int]]]) -> None:
    """Add rows of other counts to `counts`; no list of counts is changed."""
    for name, added in rows:
        old = counts.get(name)
        counts[name] = added if old is None else [a + b for a, b in zip(old, added, strict=True)]


@dataclass(slots=True)
class Summary:
    """Counts of verdicts, by window and event type.

    seconds: length of the windows; window i is [i × seconds, (i + 1) × seconds).
    windows: i → counts.
    """

    seconds: float
    windows: dict[int, Counts] = field(default_factory=dict)

    def add(self, window: int, rows: Iterable[tuple[str, list[int]]]) -> None:
        """Add rows to a window."""
        add(self.windows.setdefault(window, {}), rows)

    def parts(self, rows: int) -> Iterator[Summary]:
        """Cut the summary into summaries of at most `rows` rows."""
        part, count = Summary(self.seconds), 0
        for window, counts in self.windows.items():
            for row in counts.items():
                if count == rows:
                    yield part
                    part, count = Summary(self.seconds), 0
                part.add(window, [row])
                count += 1
        if count:
            yield part

    @staticmethod
    def add_up(summaries: Iterable[Summary | None]) -> Summary | None:
        """Add up summaries of one run; return None if there are none."""
        total: Summary | None = None
        for summary in summaries:
            if summary is None:
                continue
            if total is None:
                total = Summary(summary.seconds)
            for window, counts in summary.windows.items():
                total.add(window, counts.items())
        return total
