"""Reads texts into the columns and signatures that an index works with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from operators.batches import Floats, Hashes, Ints
from operators.similarity.buckets import Columns
from operators.similarity.hashing import mix
from operators.similarity.signatures import Measure, Reading, Signatures

# Longer texts are compared with nothing: columns of their windows would fill the memory.
LONGEST_TEXT = 1 << 22
# Records that are looked up at once: the more, the less numpy's calls cost each.
_MOST_ROWS = 64
_MOST_CHARACTERS = 1 << 18


def pieces(texts: Sequence[str]) -> Iterator[slice]:
    """Stretches of records that are looked up at once."""
    begin = characters = 0
    for row, text in enumerate(texts):
        characters += len(text)
        if row > begin and (row - begin >= _MOST_ROWS or characters > _MOST_CHARACTERS):
            yield slice(begin, row)
            begin, characters = row, len(text)
    if begin < len(texts):
        yield slice(begin, len(texts))


def read(
    measure: Measure, texts: list[str], times: Floats, shards: Hashes, references: Ints
) -> tuple[Columns, Reading]:
    """Columns and signatures of some records; signatures of other shards are others.

    A text that is too long has size −1, and no signatures.
    """
    too_long = [row for row, text in enumerate(texts) if len(text) > LONGEST_TEXT]
    reading = measure.read([text if len(text) <= LONGEST_TEXT else "" for text in texts])
    if shards.any():
        salts = mix(shards[:, 0])
        reading.asked = _salted(reading.asked, salts)
        reading.offered = [_salted(one, salts) for one in reading.offered]
    if too_long:
        reading.sizes[too_long] = -1
        reading.asked = _without(reading.asked, too_long)
        reading.offered = [_without(one, too_long) for one in reading.offered]
    columns = Columns()
    columns.times, columns.references, columns.shards = times, references, shards
    columns.orders = np.zeros(len(texts), np.int64)
    columns.sizes, columns.sketches = reading.sizes, reading.sketches
    columns.texts = texts
    return columns, reading


def _salted(signatures: Signatures, salts: Hashes) -> Signatures:
    return Signatures(signatures.rows, signatures.hashes ^ salts[signatures.rows])


def _without(signatures: Signatures, rows: Sequence[int]) -> Signatures:
    kept = ~np.isin(signatures.rows, rows)
    return Signatures(signatures.rows[kept], signatures.hashes[kept])
