"""Statistics as JSON lines."""

from __future__ import annotations

from pathlib import Path

import msgspec
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.at_least_once.statistics_sink import _PARTITION
from connectors.files.recoverable_files import Lengths, OutputFiles, WrittenFiles
from connectors.shutdown import exit_on_user_error
from operators.statistics.summarize import Statistic

_FILE = "stats.jsonl"
_MARKER = ".stats-begun-with"


class _FilePartition(StatefulSinkPartition[Statistic, WrittenFiles | Lengths]):
    """All statistics, in one file."""

    def __init__(
        self, folder: Path, recovery: str | None, resume: WrittenFiles | Lengths | None
    ) -> None:
        self._files = OutputFiles(folder, (_FILE,), _MARKER, recovery, resume)

    @exit_on_user_error
    def write_batch(self, values: list[Statistic]) -> None:
        """Append a line for each."""
        self._files.write(_FILE, b"".join(msgspec.json.encode(value) + b"\n" for value in values))

    @exit_on_user_error
    def snapshot(self) -> WrittenFiles:
        """Describe the file, once what it holds is on the disk."""
        return self._files.snapshot()

    def close(self) -> None:
        """Close the file."""
        self._files.close()


class StatsLinesSink(FixedPartitionedSink[Statistic, WrittenFiles | Lengths]):
    """Writes `stats.jsonl`; with recovery it is cut back to the snapshot's length."""

    def __init__(self, folder: Path, recovery: str | None) -> None:
        """folder: made if it is not there.

        recovery: what tells the recovery directory from any other, None without.
        """
        self._folder = folder
        self._recovery = recovery

    def list_parts(self) -> list[str]:
        """One partition, one file."""
        return [_PARTITION]

    def part_fn(self, item_key: str) -> int:
        """Everything goes to it."""
        del item_key
        return 0

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: WrittenFiles | Lengths | None
    ) -> _FilePartition:
        """Open the file."""
        del step_id, for_part
        return _FilePartition(self._folder, self._recovery, resume_state)
