"""A sink that writes all items in one place, so one worker writes them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.shutdown import exit_on_user_error

_Item = TypeVar("_Item")
_State = TypeVar("_State")

_PARTITION = "all"


class SinglePartitionSink(FixedPartitionedSink[_Item, _State]):
    """A sink with one partition; a subclass says how it is opened."""

    def list_parts(self) -> list[str]:
        """Name the only partition."""
        return [_PARTITION]

    def part_fn(self, item_key: str) -> int:
        """Send every item to it."""
        del item_key
        return 0

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: _State | None
    ) -> StatefulSinkPartition[_Item, _State]:
        """Open the partition.  A DedupError ends the process with one line."""
        del step_id, for_part
        return self.open(resume_state)

    @abstractmethod
    def open(self, resume_state: _State | None) -> StatefulSinkPartition[_Item, _State]:
        """Open the partition.  resume_state: its snapshot, None if there is none."""
