"""Files as a sink: one file of JSON lines for each verdict, exact through kill -9."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.files.recoverable_files import Lengths, OutputFiles, WrittenFiles
from connectors.shutdown import exit_on_user_error
from operators.encode.encoder import Output
from operators.monitoring.observer import Observer, WrittenBatch
from operators.verdicts import VERDICTS

_PARTITION = "files"
_MARKER = ".begun-with"
_NAMES = [f"{verdict}.jsonl" for verdict in VERDICTS]


@dataclass(frozen=True, slots=True)
class LinesSinkSettings:
    """Where to write.

    folder: made if it is not there.  lanes: how many outputs a batch of input has.
    recovery: what tells the recovery directory from any other, None without.
    """

    folder: Path
    lanes: int
    recovery: str | None


class _LinesPartition(StatefulSinkPartition[Output, WrittenFiles | Lengths]):
    """The four files.  Lines keep the order of the input, however many lanes there are."""

    def __init__(
        self, settings: LinesSinkSettings, resume: WrittenFiles | Lengths | None, observer: Observer
    ) -> None:
        self._settings = settings
        self._observer = observer
        # The outputs of one input batch, by its number, until all lanes have answered:
        # every lane gets a slice of every batch, so that they number them alike.
        self._waiting: dict[int, list[Output]] = {}
        self._files = OutputFiles(settings.folder, _NAMES, _MARKER, settings.recovery, resume)

    @exit_on_user_error
    def write_batch(self, values: list[Output]) -> None:
        """Write what is whole, in the order of the input."""
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
        """Describe the files, once what they hold is on the disk."""
        began = time.monotonic()
        written = self._files.snapshot()
        self._observer.committed(time.monotonic() - began)
        return written

    def close(self) -> None:
        """Close the files."""
        self._files.close()


class LinesSink(FixedPartitionedSink[Output, WrittenFiles | Lengths]):
    """Writes `unique.jsonl`, `duplicate.jsonl`, `late.jsonl` and `invalid.jsonl`.

    Promises: with recovery, after kill -9 and restart each record is in the files
    once, since they are cut back to the snapshot's length.
    """

    def __init__(self, settings: LinesSinkSettings, observer: Observer) -> None:
        """settings: where to write.  observer: is told what was written."""
        self._settings = settings
        self._observer = observer

    def list_parts(self) -> list[str]:
        """One partition: one process writes all the files."""
        return [_PARTITION]

    def part_fn(self, item_key: str) -> int:
        """Every lane's outputs go to the same files."""
        del item_key
        return 0

    @exit_on_user_error
    def build_part(
        self, step_id: str, for_part: str, resume_state: WrittenFiles | Lengths | None
    ) -> _LinesPartition:
        """Open the files, cut back to the snapshot's lengths."""
        del step_id, for_part
        return _LinesPartition(self._settings, resume_state, self._observer)
