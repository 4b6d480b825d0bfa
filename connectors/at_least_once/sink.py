"""Kafka as a sink, at least once: every record is delivered, or the job stops."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock, Thread, get_ident
from weakref import ReferenceType, WeakValueDictionary, ref

from bytewax.outputs import StatefulSinkPartition

from connectors.at_least_once.producer import AcknowledgedProducer
from connectors.kafka.access import KafkaAccess
from connectors.lane_sink import LanePartition, LaneSink
from connectors.shutdown import exit_on_user_error
from operators.encode.encoder import Output
from operators.errors import SinkError
from operators.monitoring.observer import Observer, WrittenBatch
from operators.verdicts import VERDICTS

log = logging.getLogger("dedup.sink")

# How often acknowledgements are counted: counters stay within two seconds of what readers see.
_COUNT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Where to write.

    topics: verdict → topic; empty for count and drop.  lanes: their number.
    """

    access: KafkaAccess
    topics: Mapping[str, str]
    lanes: int


class _WorkerOutput:
    """The one client that all lanes of a worker write to, so that their records share requests.

    With a client per lane the brokers had that many times the requests, of a few hundred records
    each.
    """

    def __init__(self, settings: SinkSettings, observer: Observer) -> None:
        self._topics = [settings.topics[verdict] for verdict in VERDICTS]
        self._observer = observer
        self._producer = AcknowledgedProducer(settings.access, "sink", log)
        # Each batch's counts, with the number of records produced up to its end.  Not the
        # records: those of an epoch may not fit into memory.
        self._unacknowledged: deque[tuple[int, list[WrittenBatch]]] = deque()
        self._lock = Lock()  # two threads acknowledge
        Thread(
            target=_acknowledge_regularly, args=(ref(self),), name="acknowledge", daemon=True
        ).start()

    def write(self, batch: Sequence[Output]) -> None:
        """Produce a whole verdict batch."""
        for part in batch:
            topic = self._topics[part.verdict]
            if topic:
                self._producer.produce(topic, part.records)
        self._unacknowledged.append((self._producer.produced, list(map(WrittenBatch.of, batch))))

    def acknowledge(self) -> None:
        """Count acknowledged records; raise SinkError if a record was refused.

        Only the number of acknowledged records is known, not which ones.  So batches count in
        the order in which they were produced, which makes no difference to the totals.
        """
        with self._lock:
            delivered = self._producer.check()
            now = time.time()
            while self._unacknowledged and self._unacknowledged[0][0] <= delivered:
                self._observer.written(self._unacknowledged.popleft()[1], now)

    def deliver(self) -> None:
        """Wait until every record is acknowledged."""
        began = time.monotonic()
        self._producer.flush()
        self.acknowledge()
        self._observer.committed(time.monotonic() - began)


def _acknowledge_regularly(output: ReferenceType[_WorkerOutput]) -> None:
    """Count acknowledged records also while no further record is written."""
    while (alive := output()) is not None:
        try:
            alive.acknowledge()
        except SinkError:
            return  # the worker gets it too, at the end of the epoch at the latest
        del alive  # only lanes keep the output alive
        time.sleep(_COUNT_SECONDS)


class _AtLeastOncePartition(LanePartition[None]):
    """The records of one lane."""

    def __init__(self, lane: int, output: _WorkerOutput) -> None:
        super().__init__(lane)
        self._output = output

    @exit_on_user_error
    def write_batch(self, values: list[Output]) -> None:
        """Produce whole batches; raise SinkError if an earlier record was refused."""
        # Check earlier records first; nothing produced below can be acknowledged yet.
        self._output.acknowledge()
        for batch in self._whole_batches(values):
            self._output.write(batch)

    @exit_on_user_error
    def snapshot(self) -> None:
        """Wait until every record is acknowledged, before the epoch ends."""
        self._output.deliver()
        self._check_whole()

    @exit_on_user_error
    def close(self) -> None:
        """Deliver the last records: the last epoch may close without a snapshot."""
        self.snapshot()


class KafkaSink(LaneSink[None]):
    """Writes the outputs of lanes to the topic of their verdict, at least once.

    Promises: a record that the broker refuses stops the job with an error; the records of a
    lane are produced in the order of their batches.  Does not promise that each record is written
    only once: after a crash records are written again.
    """

    def __init__(self, settings: SinkSettings, observer: Observer) -> None:
        """settings: where to write.  observer: counts written records."""
        super().__init__(settings.lanes)
        self._settings = settings
        self._observer = observer
        # By thread; only the lanes that write to an output keep it alive.
        self._outputs: WeakValueDictionary[int, _WorkerOutput] = WeakValueDictionary()

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: None
    ) -> StatefulSinkPartition[Output, None]:
        """Make a lane's partition; all lanes of a worker, whose thread this is, share an output."""
        del step_id, resume_state
        worker = get_ident()
        output = self._outputs.get(worker)
        if output is None:
            output = self._outputs[worker] = _WorkerOutput(self._settings, self._observer)
        return _AtLeastOncePartition(self.part_fn(for_part), output)
