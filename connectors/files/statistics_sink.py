"""Statistics as JSON lines."""

from __future__ import annotations

from pathlib import Path

import msgspec
from bytewax.outputs import StatefulSinkPartition

from connectors.files.recoverable_files import OutputFiles, WrittenFiles
from connectors.shutdown import exit_on_user_error
from connectors.single_partition_sink import SinglePartitionSink
from operators.statistics.summarize import Statistic

_FILE = "stats.jsonl"
_MARKER = ".stats-begun-with"


class _StatisticsFile(StatefulSinkPartition[Statistic, WrittenFiles]):
    """All statistics, in one file."""

    def __init__(self, files: OutputFiles) -> None:
        self._files = files

    @exit_on_user_error
    def write_batch(self, values: list[Statistic]) -> None:
        """Append one line for each statistic."""
        self._files.write(_FILE, b"".join(msgspec.json.encode(value) + b"\n" for value in values))

    @exit_on_user_error
    def snapshot(self) -> WrittenFiles:
        """Describe the file, after all its content is on the disk."""
        return self._files.snapshot()

    def close(self) -> None:
        """Close the file."""
        self._files.close()


class StatsLinesSink(SinglePartitionSink[Statistic, WrittenFiles]):
    """Writes `stats.jsonl`.

    With recovery, a restart cuts it back to the snapshot's length.
    """

    def __init__(self, folder: Path, recovery: str | None) -> None:
        """folder: is made if missing.  recovery: identity of the recovery directory, or None."""
        self._folder = folder
        self._recovery = recovery

    def open(self, resume_state: WrittenFiles | None) -> _StatisticsFile:
        """Open the file."""
        return _StatisticsFile(
            OutputFiles(self._folder, (_FILE,), _MARKER, self._recovery, resume_state)
        )
