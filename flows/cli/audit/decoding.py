"""The audit's own decoding of the input: columns of what the records themselves say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flows.assembly.specs import event_spec, near_spec
from flows.settings.model import Settings
from operators.batches import FILE, Batch, Records, Span
from operators.columns.arrays import Bools, Codes, Floats, Hashes, Ints
from operators.decode.decoder import Decoder

REASONS = ("tombstone", "json", "schema", "key", "time", "future")
"""Reasons of invalid records."""
CODE_OF = {reason: index + 1 for index, reason in enumerate(REASONS)}
"""Codes of the reasons.  The code of a valid record is 0."""
FUTURE = CODE_OF["future"]

# Clocks that are synchronized differ by less than this.
CLOCK_SECONDS = 60.0


@dataclass(slots=True)
class DecodedRecords:
    """Columns of input records, a row for each.

    times: event times; NaN for invalid records.  A record with a time in the future
    counts as valid here: the job's clock decides that.  keys: shape (n, combinations, 2),
    equal only for records that also share a shard.  lanes: the lane of each record.
    reasons: codes, see CODE_OF.  shards: shape (n, 2), for near duplicates; no rows if
    the job does not look for them, or if all records share one shard.
    """

    times: Floats
    keys: Hashes
    lanes: npt.NDArray[np.uint8]
    reasons: Codes
    shards: Hashes


DecodeInput = Callable[[Records], DecodedRecords]


def input_decoder(settings: Settings) -> DecodeInput:
    """Make the function that decodes input records as the job does."""
    decoder = Decoder(event_spec(settings))
    near = near_spec(settings)
    if near is not None and near.one_shard:
        near = None

    def decode(records: Records) -> DecodedRecords:
        span = Span(FILE, 0, 0, read_at=math.inf)
        decoded = decoder(Batch.of(span, records))
        decided = decoded.decided
        keys = decided.hashes
        if decided.shards is not None:
            # With the odd factor, a key that equals its shard is not cancelled out.
            keys = keys ^ (decided.shards * np.uint64(0x9E3779B97F4A7C15))[:, None, :]
        reasons = np.zeros(len(records), np.int8)
        for row, (reason, _) in decided.invalid.items():
            reasons[row] = CODE_OF[reason]
        return DecodedRecords(
            times=decided.times,
            keys=keys,
            lanes=decoded.lanes.astype(np.uint8),
            reasons=reasons,
            shards=np.zeros((0, 2), np.uint64) if near is None else near.shards(decided),
        )

    return decode


def never_ahead(times: Floats, appended_ms: Ints) -> Bools:
    """Whether the event times were, by the broker's clock, never in the future.

    appended_ms: when the broker appended the records, 0 or less where it is not known.
    No job reads a record before that.  An event time that was not ahead of the clock was
    not too far ahead either, whatever DEDUP_MAX_FUTURE_SECONDS was.
    """
    never: Bools = (appended_ms > 0) & (times <= appended_ms / 1000.0 - CLOCK_SECONDS)
    return never
