"""Split verdict batches into one stream for each verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import bytewax.operators as op
import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream

from operators.changes import NO_SEQUENCE
from operators.columns.arrays import Ints
from operators.verdicts import DUPLICATE, INVALID, LATE, UNIQUE, VerdictBatch


@dataclass(frozen=True, slots=True)
class Part:
    """The records of one verdict of a batch.

    rows: which of the batch's records.  parts: how many parts the batch has in
    all; a sink waits for them, so that it writes a batch whole.
    """

    batch: VerdictBatch
    verdict: int
    rows: Ints
    parts: int


_Parts: TypeAlias = KeyedStream[Part]


@dataclass(frozen=True, slots=True)
class SplitOut:
    """Streams returned by `split`, keyed by lane."""

    unique: _Parts
    duplicate: _Parts
    late: _Parts
    invalid: _Parts


def parts_of(batch: VerdictBatch) -> list[Part]:
    """Cut a verdict batch into its parts.

    There is always one for `unique`, even without records: it carries the progress.
    A batch that changes nothing has none.
    """
    if batch.change.progress.sequence == NO_SEQUENCE:
        return []
    rows = {
        verdict: np.flatnonzero(batch.verdicts == verdict)
        for verdict in (UNIQUE, DUPLICATE, LATE, INVALID)
    }
    wanted = [verdict for verdict, found in rows.items() if len(found) or verdict == UNIQUE]
    return [Part(batch, verdict, rows[verdict], len(wanted)) for verdict in wanted]


@operator
def split(step_id: str, up: KeyedStream[VerdictBatch]) -> SplitOut:  # noqa: ARG001 - Bytewax's
    """Split a keyed stream of verdict batches by verdict."""
    parts = op.flat_map_value("parts", up, parts_of)
    unique = op.branch("unique", parts, lambda item: item[1].verdict == UNIQUE)
    duplicate = op.branch("duplicate", unique.falses, lambda item: item[1].verdict == DUPLICATE)
    late = op.branch("late", duplicate.falses, lambda item: item[1].verdict == LATE)
    return SplitOut(
        unique=unique.trues, duplicate=duplicate.trues, late=late.trues, invalid=late.falses
    )
