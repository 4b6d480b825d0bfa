"""Files as a sink: one file of JSON lines for each verdict, exact through kill -9."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bytewax.outputs import StatefulSinkPartition

from connectors.files.recoverable_files import OutputFiles, WrittenFiles
from connectors.shutdown import exit_on_user_error
from connectors.single_partition_sink import SinglePartitionSink
from operators.encode.encoder import Output
from operators.monitoring.observer import Observer, WrittenBatch
from operators.verdicts import VERDICTS

_MARKER = ".begun-with"
_NAMES = [f"{verdict}.jsonl" for verdict in VERDICTS]


@dataclass(frozen=True, slots=True)
class LinesSinkSettings:
    """Where to write.

    folder: is made if missing.  lanes: number of lanes, each of which answers every input
    batch.  recovery: identity of the recovery directory, or None.
    """

    folder: Path
    lanes: int
    recovery: str | None


class _VerdictFiles(StatefulSinkPartition[Output, WrittenFiles]):
    """The four files.  Their lines keep the order of the input, with any number of lanes."""

    def __init__(
        self, settings: LinesSinkSettings, resume: WrittenFiles | None, observer: Observer
    ) -> None:
        self._settings = settings
        self._observer = observer
        # The outputs of an input batch, by its number, until all lanes have answered it.
        # Each lane gets a slice of every batch, so all lanes count the batches alike.
        self._waiting: dict[int, list[Output]] = {}
        self._files = OutputFiles(settings.folder, _NAMES, _MARKER, settings.recovery, resume)

    @exit_on_user_error
    def write_batch(self, values: list[Output]) -> None:
        """Write the batches that all lanes have answered, in the order of the input."""
        for output in values:
            parts = self._waiting.setdefault(output.sequence, [])
            parts.append(output)
            lanes = {part.lane: part.parts for part in parts}
            if len(lanes) == self._settings.lanes and len(parts) == sum(lanes.values()):
                del self._waiting[output.sequence]
                self._write(parts)

    def _write(self, parts: list[Output]) -> None:
        for verdict, name in enumerate(_NAMES):
            lines = sorted(
                (offset, value or b"")
                for part in parts
                if part.verdict == verdict
                for offset, value in zip(
                    part.records.offsets.tolist(), part.records.values, strict=True
                )
            )
            if lines:
                self._files.write(name, b"".join(value + b"\n" for _, value in lines))
        self._observer.written(list(map(WrittenBatch.of, parts)), time.time())

    @exit_on_user_error
    def snapshot(self) -> WrittenFiles:
        """Describe the files, after all their content is on the disk."""
        began = time.monotonic()
        written = self._files.snapshot()
        self._observer.committed(time.monotonic() - began)
        return written

    def close(self) -> None:
        """Close the files."""
        self._files.close()


class LinesSink(SinglePartitionSink[Output, WrittenFiles]):
    """Writes `unique.jsonl`, `duplicate.jsonl`, `late.jsonl` and `invalid.jsonl`.

    Promises: with recovery, each record is in the files once after kill -9 and restart,
    since a restart cuts them back to the snapshot's length.
    """

    def __init__(self, settings: LinesSinkSettings, observer: Observer) -> None:
        """settings: where to write.  observer: receives what was written."""
        self._settings = settings
        self._observer = observer

    def open(self, resume_state: WrittenFiles | None) -> _VerdictFiles:
        """Open the files, cut back to the snapshot's lengths."""
        return _VerdictFiles(self._settings, resume_state, self._observer)
