"""Near duplicates measured again: a sample of the pairs, by the job's own measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from flows.assembly.specs import event_spec, near_spec
from flows.cli.audit.table import InputTable
from flows.settings.model import Settings
from operators.batches import Batch, Records, Span
from operators.columns.arrays import Floats, Ints
from operators.decode.decoder import Decoder
from operators.verdicts import DUPLICATE

ReadAgain = Callable[[Ints], Iterator[tuple[Ints, Records]]]
"""Reads input records a second time: of the rows asked for, ascending, some at a time."""

# What is measured at most: seconds of work and a part of the memory that the audit has anyway.
_PAIRS = 5_000
_CHARACTERS = 64_000_000
_STEPS = 2_500_000_000  # of 8 ns
# What was written and what is measured are the same formula, but for rounding.
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A near duplicate that says another similarity than is measured: row and both numbers."""

    row: int
    said: float
    measured: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it: how many of the pairs were measured, and which differ."""

    pairs: int
    of: int
    mismatches: list[Mismatch]


def measure_again(
    settings: Settings, table: InputTable, told: tuple[Ints, Floats], read_again: ReadAgain
) -> Measured:
    """Measure the similarity of near duplicates to their originals.

    told: rows of near duplicates, and what their answers say.  Where there are many, or
    long texts, some are measured that are spread evenly.
    """
    rows, said = told
    known = np.flatnonzero((table.verdicts[rows] == DUPLICATE) & (table.originals[rows] >= 0))
    every = len(known)
    known = known[np.unique(np.linspace(0, every - 1, min(every, _PAIRS)).astype(np.int64))]
    spec = near_spec(settings)
    if spec is None or not len(known):
        return Measured(0, every, [])
    measure = spec.index().measure
    texts = _texts(settings, table, rows[known], read_again)
    mismatches, measured, steps = [], 0, 0.0
    for row, similarity in zip(rows[known].tolist(), said[known].tolist(), strict=True):
        one, other = texts.get(row), texts.get(int(table.originals[row]))
        if one is None or other is None:
            continue
        steps += float(measure.effort(len(one), np.array([len(other)]))[0])
        if measured and steps > _STEPS:
            break
        measured += 1
        [found] = measure.similarities(one, [other])
        if abs(found - similarity) > _SLACK or found < spec.threshold - _SLACK:
            mismatches.append(Mismatch(row, similarity, found))
    return Measured(measured, every, mismatches)


def _texts(
    settings: Settings, table: InputTable, rows: Ints, read_again: ReadAgain
) -> dict[int, str]:
    """Texts of rows and of their originals, up to a limit of their total length."""
    decode = Decoder(event_spec(settings))
    both = np.unique(np.concatenate((rows, table.originals[rows])))
    texts: dict[int, str] = {}
    characters = 0
    for chunk, records in read_again(both[table.reasons[both] == 0]):
        decided = decode(Batch.of(Span(0, 1, 0, 0, read_at=math.inf), records)).decided
        assert decided.texts is not None, "the settings ask for near duplicates"
        for row, text in zip(chunk.tolist(), decided.texts, strict=True):
            texts[row] = text
            characters += len(text)
        if characters > _CHARACTERS:
            break
    return texts
