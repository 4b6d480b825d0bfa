"""Kafka as a sink, at least once: every record is delivered, or the job stops."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.assembling import Assembler
from connectors.delivering import DeliveringProducer
from connectors.ending import one_line_errors
from connectors.kafka_clients import KafkaAccess
from operators.encode import Output
from operators.errors import SinkError
from operators.lanes import lane_names
from operators.observing import Observer, Written
from operators.verdicts import VERDICTS

log = logging.getLogger("dedup.sink")


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Where to write.

    topics: verdict → topic; an empty topic counts and drops.  lanes: number of lanes.
    """

    access: KafkaAccess
    topics: Mapping[str, str]
    lanes: int


class _AtLeastOncePartition(StatefulSinkPartition[Output, None]):
    """The records of one lane, through the worker's producer."""

    def __init__(self, settings: SinkSettings, observer: Observer) -> None:
        self._topics = [settings.topics[verdict] for verdict in VERDICTS]
        self._observer = observer
        self._assembler = Assembler()
        # Not the records: those of an epoch may be more than memory holds.
        self._unacknowledged: deque[list[Written]] = deque()
        self._producer = DeliveringProducer(settings.access, "sink", log)

    @one_line_errors
    def write_batch(self, values: list[Output]) -> None:
        """Produce what is whole; raise SinkError if an earlier record was refused."""
        for output in values:
            for batch in self._assembler.add(output):
                for part in batch:
                    topic = self._topics[part.verdict]
                    if topic:
                        self._producer.produce(topic, part.records)
                self._unacknowledged.append(list(map(Written.of, batch)))
        if self._producer.check():
            self._acknowledge()

    @one_line_errors
    def snapshot(self) -> None:
        """At the end of an epoch everything must be with the broker."""
        began = time.monotonic()
        self._producer.flush(self._observer.pulse.beat)
        if len(self._assembler):
            msg = "an epoch ended with a batch that is not whole"
            raise SinkError(msg)
        self._acknowledge()
        self._observer.committed(time.monotonic() - began)

    def _acknowledge(self) -> None:
        now = time.time()
        while self._unacknowledged:
            self._observer.written(self._unacknowledged.popleft(), now)

    @one_line_errors
    def close(self) -> None:
        """Deliver what is left: the last epoch may close without a snapshot."""
        self.snapshot()


class KafkaSink(FixedPartitionedSink[Output, None]):
    """Writes the outputs of lanes to the topic of their verdict, at least once.

    Promises: a record that the broker refuses stops the job with an error; the
    records of a lane are produced in the order of their batches.  Does not
    promise that a record is there only once after a crash.
    """

    def __init__(self, settings: SinkSettings, observer: Observer) -> None:
        """settings: where to write.  observer: is told what was written."""
        self._settings = settings
        self._observer = observer

    def list_parts(self) -> list[str]:
        """Name the lanes: a lane's outputs are written where its state is."""
        return list(lane_names(self._settings.lanes))

    def part_fn(self, item_key: str) -> int:
        """Index of a lane, from its name."""
        return lane_names(self._settings.lanes).index(item_key)

    @one_line_errors
    def build_part(
        self, step_id: str, for_part: str, resume_state: None
    ) -> StatefulSinkPartition[Output, None]:
        """Open a producer for a lane."""
        del step_id, for_part, resume_state
        return _AtLeastOncePartition(self._settings, self._observer)
