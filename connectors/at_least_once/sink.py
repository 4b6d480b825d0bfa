"""Kafka as a sink, at least once: every record is delivered, or the job stops."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock, Thread, get_ident
from weakref import ReferenceType, WeakValueDictionary, ref

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.at_least_once.producer import AcknowledgedProducer
from connectors.kafka.access import KafkaAccess
from connectors.shutdown import exit_on_user_error
from operators.encode.encoder import Output
from operators.encode.reassemble import BatchReassembler
from operators.errors import SinkError
from operators.lanes.placement import lane_names
from operators.monitoring.observer import Observer, WrittenBatch
from operators.verdicts import VERDICTS

log = logging.getLogger("dedup.sink")

# Counters are at most two seconds behind what readers can see.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Where to write.

    topics: verdict → topic; an empty topic counts and drops.  lanes: number of lanes.
    """

    access: KafkaAccess
    topics: Mapping[str, str]
    lanes: int


class _WorkerOutput:
    """Where all lanes of a worker write: one client, so that what they have goes together.

    With one for each the brokers had as many times the requests, of a few hundred records.
    """

    def __init__(self, settings: SinkSettings, observer: Observer) -> None:
        self._topics = [settings.topics[verdict] for verdict in VERDICTS]
        self._observer = observer
        self._producer = AcknowledgedProducer(settings.access, "sink", log)
        # Not the records: those of an epoch may be more than memory holds.  Each with how
        # many records the client had been given by its end.
        self._unacknowledged: deque[tuple[int, list[WrittenBatch]]] = deque()
        self._lock = Lock()  # two threads acknowledge
        Thread(target=_look, args=(ref(self),), name="acknowledge", daemon=True).start()

    def write(self, batch: Sequence[Output]) -> None:
        """Produce a whole verdict batch."""
        for part in batch:
            topic = self._topics[part.verdict]
            if topic:
                self._producer.produce(topic, part.records)
        self._unacknowledged.append((self._producer.produced, list(map(WrittenBatch.of, batch))))

    def acknowledge(self) -> None:
        """Count what is with the brokers; raise SinkError if a record was refused.

        As many as are: which of them came first makes no difference to a count.
        """
        with self._lock:
            delivered = self._producer.check()
            now = time.time()
            while self._unacknowledged and self._unacknowledged[0][0] <= delivered:
                self._observer.written(self._unacknowledged.popleft()[1], now)

    def deliver(self) -> None:
        """Wait until everything is with the brokers."""
        began = time.monotonic()
        self._producer.flush(self._observer.liveness.note_activity)
        self.acknowledge()
        self._observer.committed(time.monotonic() - began)


def _look(output: ReferenceType[_WorkerOutput]) -> None:
    """Count what is with the brokers also where nothing comes that would be written after it."""
    while (found := output()) is not None:
        try:
            found.acknowledge()
        except SinkError:
            return  # the worker meets it too, at the end of the epoch at the latest
        del found  # it goes with the last lane that writes there
        time.sleep(_LOOK_SECONDS)


class _AtLeastOncePartition(StatefulSinkPartition[Output, None]):
    """The records of one lane."""

    def __init__(self, output: _WorkerOutput) -> None:
        self._output = output
        self._assembler = BatchReassembler()

    @exit_on_user_error
    def write_batch(self, values: list[Output]) -> None:
        """Produce what is whole; raise SinkError if an earlier record was refused."""
        # First: of what comes now nothing will be there so soon.
        self._output.acknowledge()
        for value in values:
            for batch in self._assembler.add(value):
                self._output.write(batch)

    @exit_on_user_error
    def snapshot(self) -> None:
        """At the end of an epoch everything must be with the broker."""
        self._output.deliver()
        if len(self._assembler):
            msg = "an epoch ended with a batch that is not whole"
            raise SinkError(msg)

    @exit_on_user_error
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
        # Of each thread, as long as there is a lane that writes there.
        self._outputs: WeakValueDictionary[int, _WorkerOutput] = WeakValueDictionary()

    def list_parts(self) -> list[str]:
        """Name the lanes: a lane's outputs are written where its state is."""
        return list(lane_names(self._settings.lanes))

    def part_fn(self, item_key: str) -> int:
        """Index of a lane, from its name."""
        return lane_names(self._settings.lanes).index(item_key)

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: None
    ) -> StatefulSinkPartition[Output, None]:
        """Have a lane write where the others of the worker, whose thread this is, do."""
        del step_id, for_part, resume_state
        worker = get_ident()
        output = self._outputs.get(worker)
        if output is None:
            output = self._outputs[worker] = _WorkerOutput(self._settings, self._observer)
        return _AtLeastOncePartition(output)
