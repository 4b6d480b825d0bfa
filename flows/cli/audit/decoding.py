"""The audit's own decoding of the input: what each record says by itself, in columns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flows.assembly.specs import event_spec, near_spec
from flows.settings.model import Settings
from operators.batches import Batch, Records, Span
from operators.columns.arrays import Bools, Codes, Floats, Hashes, Ints
from operators.decode.decoder import Decoder

REASONS = ("tombstone", "json", "schema", "key", "time", "future")
"""Reasons of invalid records; a code is an index into them plus 1, and 0 stands for none."""
CODE_OF = {reason: index + 1 for index, reason in enumerate(REASONS)}
FUTURE = CODE_OF["future"]

# Clocks of two machines that both keep time are not this far apart.
CLOCK_SECONDS = 60.0


@dataclass(slots=True)
class Read:
    """Columns of some input records, one row a record.

    times: event times, NaN where the record is invalid (other than by being in the
    future, which depends on the clock).  keys: shape (n, combinations, 2), equal only
    for records that also share a shard.  lanes: which lane decided.  reasons: code of
    why a record is invalid, 0 for one that is not.  shards: shape (n, 2), for near
    duplicates; no rows where these are not looked for or all share one shard.
    """

    times: Floats
    keys: Hashes
    lanes: npt.NDArray[np.uint8]
    reasons: Codes
    shards: Hashes


ReadInput = Callable[[Records], Read]


def input_reader(settings: Settings) -> ReadInput:
    """Make the function that decodes input records as the job does."""
    decode = Decoder(event_spec(settings))
    near = near_spec(settings)
    if near is not None and near.one_shard:
        near = None

    def read(records: Records) -> Read:
        span = Span(partition=0, partitions=1, start=0, end=0, read_at=math.inf)
        decoded = decode(Batch.of(span, records))
        decided = decoded.decided
        keys = decided.hashes
        if decided.shards is not None:
            # An odd factor, so that a key that is its own shard does not cancel out.
            keys = keys ^ (decided.shards * np.uint64(0x9E3779B97F4A7C15))[:, None, :]
        reasons = np.zeros(len(records), np.int8)
        for row, (reason, _) in decided.invalid.items():
            reasons[row] = CODE_OF[reason]
        return Read(
            times=decided.times,
            keys=keys,
            lanes=decoded.lanes.astype(np.uint8),
            reasons=reasons,
            shards=np.zeros((0, 2), np.uint64) if near is None else near.shards(decided),
        )

    return read


def in_time(times: Floats, appended_ms: Ints) -> Bools:
    """Tell of which records the broker's clock says that they were never in the future.

    appended_ms: when the broker appended them, 0 or less where it does not say so.
    No job reads a record before that.  What was not ahead at all was not too far ahead
    either, whatever DEDUP_MAX_FUTURE_SECONDS was then.
    """
    said: Bools = (appended_ms > 0) & (times <= appended_ms / 1000.0 - CLOCK_SECONDS)
    return said
