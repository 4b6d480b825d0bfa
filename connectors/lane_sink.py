"""The base of the Kafka sinks: one partition per lane, which writes whole verdict batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from operators.encode.encoder import Output
from operators.encode.reassemble import BatchReassembler
from operators.errors import SinkError
from operators.lanes.placement import lane_names

_Snapshot = TypeVar("_Snapshot")


class LanePartition(StatefulSinkPartition[Output, _Snapshot]):
    """The outputs of one lane, put together to whole verdict batches."""

    def __init__(self, lane: int) -> None:
        """lane: its index."""
        self._lane = lane
        self._reassembler = BatchReassembler()

    def _whole_batches(self, outputs: Iterable[Output]) -> Iterator[list[Output]]:
        """Take outputs; yield each verdict batch once all its outputs are here, in order."""
        for output in outputs:
            yield from self._reassembler.add(output)

    def _check_whole(self) -> None:
        """Raise SinkError if an epoch ends with an incomplete verdict batch."""
        if len(self._reassembler):
            msg = f"lane {self._lane}: an epoch ended with a batch that is not whole"
            raise SinkError(msg)


class LaneSink(FixedPartitionedSink[Output, _Snapshot]):
    """A sink with one partition per lane: a lane's outputs are written where its state is."""

    def __init__(self, lanes: int) -> None:
        """lanes: their number."""
        self._lanes = lanes

    def list_parts(self) -> list[str]:
        """Return the names of the lanes."""
        return list(lane_names(self._lanes))

    def part_fn(self, item_key: str) -> int:
        """Return the index of a lane, given its name."""
        return lane_names(self._lanes).index(item_key)
