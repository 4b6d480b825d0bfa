"""Unique records, as near duplicates are compared with them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from operators.batches import Floats, Hashes, Ints

_COUNT = struct.Struct("<I")
# 8 of event time, 8 of reference, 16 of shard, 4 of length.
BYTES_A_RECORD = 36


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
    def join(parts: Sequence[NearRecords]) -> NearRecords:
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
        at += count * BYTES_A_RECORD
        texts = []
        for length in lengths:
            texts.append(packed[at : at + length].decode())
            at += length
        if at != len(packed):
            msg = f"{at} bytes of texts expected, {len(packed)} found"
            raise ValueError(msg)
        return NearRecords(times, references, shards, texts)
