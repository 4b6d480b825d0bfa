"""What changed in a lane: keys, progress, texts and statistics, joined and stored as one."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from operators.columns.arrays import Floats, Hashes, Ints

_COUNT = struct.Struct("<I")
# 8 of event time, 8 of reference, 16 of shard, 4 of length.
BYTES_PER_RECORD = 36
NO_SEQUENCE = 0
"""Sequence of a verdict batch that changes nothing: it is not written."""

Counts: TypeAlias = dict[str, list[int]]
"""Event type → how many of each verdict, in the order of `VERDICTS`."""


class LaneProgress(NamedTuple):
    """How far a lane has come.

    sequence: number of its last verdict batch, from 1.  positions: input partition → next
    offset.  max_event_times: input partition → largest event time.  watermark: epoch
    seconds, −inf until there is one.  end: an offset at which its changelog ended earlier,
    noted by stores on disk, which need nothing before it; 0 elsewhere.
    """

    sequence: int
    positions: dict[int, int]
    max_event_times: dict[int, float]
    watermark: float
    end: int = 0


@dataclass(frozen=True, slots=True)
class LaneChange:
    """What a verdict batch, or a transaction of several, changed in a lane.

    progress: how far the lane has come with it.  delta: what it added to the state.
    summary: of its verdicts, None without statistics or records.  horizon: the watermark less
    the allowed lateness, as the lane computed it: later records with an earlier event time are
    late; −inf in a change that was read from a changelog.
    """

    progress: LaneProgress
    delta: Delta
    summary: Summary | None = None
    horizon: float = -math.inf

    @staticmethod
    def concat(changes: Sequence[LaneChange]) -> LaneChange:
        """Put changes that followed each other, one at least, into one."""
        return LaneChange(
            changes[-1].progress,
            Delta.concat([change.delta for change in changes]),
            Summary.add_up(change.summary for change in changes),
            changes[-1].horizon,
        )


@dataclass(slots=True)
class Delta:
    """What a decision added to the state, in the order in which it was added.

    hashes: shape (n, 2).  times: event times; of a session, its largest.
    references: of the unique record.  firsts: smallest event times of sessions,
    None for other windows.  near: unique records with their texts, None where near
    duplicates are not looked for.
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
        """Put deltas that followed each other into one."""
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
        """Return a delta of unique records without their keys."""
        delta = Delta.empty()
        delta.near = near
        return delta

    @staticmethod
    def empty() -> Delta:
        """Return a delta of no keys."""
        return Delta(np.zeros((0, 2), np.uint64), np.zeros(0), np.zeros(0, np.int64))


@dataclass(slots=True)
class NearRecords:
    """Unique records in the order in which they were decided.

    times: event times.  references: of the records.  shards: shape (n, 2), 128-bit
    hashes.  texts: what is compared.
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
        """Put records that followed each other into one."""
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
        """Pack the records: their number, then the columns, texts as UTF-8 at the end."""
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
        """Read what `pack` made.  Raises ValueError or struct.error for anything else."""
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
    """Add rows of other counts to `counts`; the lists of neither are changed."""
    for name, more in rows:
        held = counts.get(name)
        counts[name] = more if held is None else [a + b for a, b in zip(held, more, strict=True)]


@dataclass(slots=True)
class Summary:
    """Counts of some records.

    seconds: length of the windows; number i is [i × seconds, (i + 1) × seconds).
    windows: number → counts.
    """

    seconds: float
    windows: dict[int, Counts] = field(default_factory=dict)

    def add(self, window: int, rows: Iterable[tuple[str, list[int]]]) -> None:
        """Add rows to a window."""
        add(self.windows.setdefault(window, {}), rows)

    def parts(self, rows: int) -> Iterator[Summary]:
        """Cut it into summaries of at most so many rows."""
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
        """Add up summaries of one run; None if there are none."""
        total: Summary | None = None
        for summary in summaries:
            if summary is None:
                continue
            if total is None:
                total = Summary(summary.seconds)
            for window, counts in summary.windows.items():
                total.add(window, counts.items())
        return total
