"""Measures a sample of the near duplicates again, with the job's own metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from flows.assembly.specs import event_spec, near_spec
from flows.cli.audit.table import InputTable
from flows.settings.model import Settings
from operators.batches import FILE, Batch, Records, Span
from operators.columns.arrays import Floats, Ints
from operators.decode.decoder import Decoder
from operators.verdicts import DUPLICATE

ReadAgain = Callable[[Ints], Iterator[tuple[Ints, Records]]]
"""Reads input records a second time.  Takes ascending rows; yields chunks of them."""

# Limits of a sample: some seconds of work, and less memory than the audit takes anyway.
_MAX_PAIRS = 5_000
_MAX_CHARACTERS = 64_000_000
_MAX_STEPS = 2_500_000_000  # of 8 ns
# The job computes similarities with the same formula; they differ by rounding only.
_SLACK = 1e-6


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A near duplicate whose answer has another similarity than the measured one."""

    row: int
    reported: float
    measured: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """Number of measured pairs, number of all pairs, and the mismatches."""

    measured: int
    total: int
    mismatches: list[Mismatch]


def measure_again(
    settings: Settings, table: InputTable, reported: tuple[Ints, Floats], read_again: ReadAgain
) -> Measurement:
    """Measure the similarity of near duplicates to their originals.

    reported: rows of near duplicates, and the similarities in their answers.  If there are
    many pairs, or long texts, only a part is measured, spread evenly over the input.
    """
    rows, similarities = reported
    known = np.flatnonzero((table.verdicts[rows] == DUPLICATE) & (table.originals[rows] >= 0))
    total = len(known)
    known = known[np.unique(np.linspace(0, total - 1, min(total, _MAX_PAIRS)).astype(np.int64))]
    spec = near_spec(settings)
    if spec is None or not len(known):
        return Measurement(0, total, [])
    measure = spec.index().measure
    texts = _texts(settings, table, rows[known], read_again)
    mismatches, measured, steps = [], 0, 0.0
    for row, similarity in zip(rows[known].tolist(), similarities[known].tolist(), strict=True):
        text, original = texts.get(row), texts.get(int(table.originals[row]))
        if text is None or original is None:
            continue
        steps += float(measure.effort(len(text), np.array([len(original)]))[0])
        if measured and steps > _MAX_STEPS:
            break
        measured += 1
        [result] = measure.similarities(text, [original])
        if abs(result - similarity) > _SLACK or result < spec.threshold - _SLACK:
            mismatches.append(Mismatch(row, similarity, result))
    return Measurement(measured, total, mismatches)


def _texts(
    settings: Settings, table: InputTable, rows: Ints, read_again: ReadAgain
) -> dict[int, str]:
    """Texts of rows and of their originals, up to a limit of their total length."""
    decode = Decoder(event_spec(settings))
    both = np.unique(np.concatenate((rows, table.originals[rows])))
    texts: dict[int, str] = {}
    characters = 0
    for chunk, records in read_again(both[table.reasons[both] == 0]):
        decided = decode(Batch.of(Span(FILE, 0, 0, read_at=math.inf), records)).decided
        assert decided.texts is not None, "the settings ask for near duplicates"
        for row, text in zip(chunk.tolist(), decided.texts, strict=True):
            texts[row] = text
            characters += len(text)
        if characters > _MAX_CHARACTERS:
            break
    return texts
