"""What a source of Kafka is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from connectors.kafka.access import KafkaAccess
from connectors.kafka.timing import PollTiming
from operators.coalesce import BatchLimit, batch_limit


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Where to read from and when to stop.

    topics: of the input.  stop_at_end: stop at the
    offsets that were the end when the run began.  idle_seconds: a partition that was read to its
    end and had no data for this long (wall clock) is idle.  reading: when to read again at low
    load.  limit: the largest batch.  epoch_seconds: length of an epoch, 0 with one worker.
    """

    access: KafkaAccess
    topics: Sequence[str]
    stop_at_end: bool = False
    idle_seconds: float = 30.0
    reading: PollTiming = field(default_factory=PollTiming)
    limit: BatchLimit = field(default_factory=partial(batch_limit, 1))
    epoch_seconds: float = 0.0
