"""The audit's reading of the embedded mode: an input file and four output files."""

from __future__ import annotations

import base64
import binascii
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from flows.cli.audit.answer_fields import what_is_lacking
from flows.cli.audit.decoding import input_reader
from flows.cli.audit.findings import Findings
from flows.cli.audit.labels import read_labels
from flows.cli.audit.options import AuditOptions
from flows.cli.audit.proof import Proof
from flows.cli.audit.rules import Rules
from flows.cli.audit.table import (
    AnswerChunk,
    InputBuilder,
    InputTable,
    UniqueChunk,
    digests,
    number,
)
from flows.cli.audit.trimmed_lines import LineEnds
from flows.cli.progress import Progress
from flows.settings.model import Settings
from operators.batches import Records
from operators.columns.arrays import Ints
from operators.errors import SourceError
from operators.keys.canonical_json import is_json_object
from operators.verdicts import INVALID, UNIQUE, VERDICTS

_CHUNK_BYTES = 1 << 22
_PARTITION = 0


class _Line(msgspec.Struct):
    """A line of an output that is not `unique`."""

    verdict: str
    offset: int
    value: str | None = None
    value_base64: str | None = None
    matched: str = ""
    original: str = ""
    reason: str | float = ""
    similarity: float = math.nan
    probable: bool = False

    @property
    def why(self) -> str:
        """What it matched, or its reason."""
        return self.matched if self.verdict == "duplicate" else str(self.reason)

    @property
    def number(self) -> float:
        """Similarity of a near duplicate, seconds of a late record, else NaN."""
        if self.verdict == "duplicate":
            return self.similarity
        return self.reason if isinstance(self.reason, float) else math.nan

    def read(self) -> bytes:
        """Return the input line.  Raises ValueError if there is none."""
        if self.value is not None:
            return self.value.encode()
        if self.value_base64 is None:
            msg = "neither value nor value_base64"
            raise ValueError(msg)
        return base64.b64decode(self.value_base64, validate=True)


_decode_line = msgspec.json.Decoder(_Line).decode


def audit_files(settings: Settings, options: AuditOptions) -> Proof:
    """Audit a finished run in embedded mode; return the finished proof.

    Raises SourceError for files that are not there or cannot be read.
    """
    source = Path(settings.input_file)
    if settings.input_file == "-":
        msg = "the input was stdin and is gone: set DEDUP_INPUT_FILE to a file with the same lines"
        raise SourceError(msg)
    files = [settings.output_dir / f"{verdict}.jsonl" for verdict in VERDICTS]
    table, left = _read_input(settings, source, files[INVALID])
    if options.labels is not None:
        read_labels(options.labels, table)

    def read_again(rows: Ints) -> Iterator[tuple[Ints, Records]]:
        return _read_again(source, table, rows)

    proof = Proof(
        settings,
        table,
        input_name=lambda _, offset: f"{source} line {offset + 1} (offset {offset})",
        output_name=lambda verdict, _, line: f"{files[verdict]} line {line + 1}",
        rules=Rules(
            settings,
            options.lateness_of(settings),
            time.time(),
            read_again,
        ),
        line_ends=LineEnds(read_again),
        findings=Findings(options.show),
    )
    proof.notes += left
    for verdict, path in enumerate(files):
        with Progress(f"reading {path}") as progress:
            for first, lines in _chunks(path):
                progress.add(len(lines))
                if verdict == UNIQUE:
                    proof.add_uniques(_uniques(first, lines))
                else:
                    proof.add_answers(_answers(settings, verdict, first, lines))
    proof.finish()
    return proof


def _chunks(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Lines of a file without their newlines, in chunks, each with the number of its first."""
    first = 0
    try:
        with path.open("rb") as file:
            while lines := file.readlines(_CHUNK_BYTES):
                yield first, [line.removesuffix(b"\n") for line in lines]
                first += len(lines)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise SourceError(msg) from error


def _read_input(settings: Settings, path: Path, invalid: Path) -> tuple[InputTable, list[str]]:
    """Read the input; return it, and a note if a run has left its last line to a later one."""
    builder = InputBuilder(input_reader(settings))
    notes = []
    with Progress(f"reading {path}") as progress:
        builder.begin(_PARTITION, 0)
        chunks = _chunks(path)
        chunk = next(chunks, None)
        while chunk is not None:
            first, lines = chunk
            chunk = next(chunks, None)
            last = first + len(lines) - 1
            if chunk is None and _is_left(path, lines[-1]) and _last_offset(invalid) != last:
                lines.pop()
                notes.append(
                    f"{path} line {last + 1}, the last one, has no newline and is no JSON object: "
                    "a run with -r leaves it until it has ended"
                )
            rows = [row for row, line in enumerate(lines) if line.strip(b" \t\r")]
            builder.add(Records(np.array(rows, np.int64) + first, [lines[row] for row in rows]))
            progress.add(len(lines))
    return builder.build(), notes


def _is_left(path: Path, last_line: bytes) -> bool:
    """Whether the last line of an input is one that a run with recovery does not answer."""
    if not last_line.strip(b" \t\r") or is_json_object(last_line):
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _last_offset(path: Path) -> int:
    """Which input line the last line of an output answers, -1 for none."""
    last = [line for _, lines in _chunks(path) for line in lines[-1:]][-1:]
    read = _try_line(last[0]) if last else None
    return -1 if read is None else read[0].offset


def _read_again(path: Path, table: InputTable, rows: Ints) -> Iterator[tuple[Ints, Records]]:
    """Read some input lines a second time."""
    wanted = table.offsets[rows]
    for first, lines in _chunks(path):
        begin, end = np.searchsorted(wanted, (first, first + len(lines))).tolist()
        offsets = wanted[begin:end]
        yield rows[begin:end], Records(offsets, [lines[at - first] for at in offsets.tolist()])
        if end == len(wanted):
            return


def _uniques(first: int, lines: list[bytes]) -> UniqueChunk:
    count = len(lines)
    uniques = UniqueChunk(digests(lines), np.zeros(count, np.int64), np.arange(count) + first)
    for at, line in enumerate(lines):
        # What has another verdict's form may be its answer in the wrong file.
        if line.startswith(b'{"verdict":'):
            read = _try_line(line)
            if read is not None:
                record, value = read
                uniques.marked[at] = _PARTITION, record.offset, digests([value]).tobytes()
    return uniques


def _answers(settings: Settings, verdict: int, first: int, lines: list[bytes]) -> AnswerChunk:
    nothing = (_Line("", -1), b"")
    read = [_try_line(line) or nothing for line in lines]
    records = [record for record, _ in read]
    count = len(lines)
    lacking = what_is_lacking(settings)
    return AnswerChunk(
        verdict=verdict,
        said=[record.verdict for record in records],
        partitions=np.zeros(count, np.int64),
        offsets=np.array([record.offset for record in records], np.int64),
        digests=digests([value for _, value in read]),
        matched=[record.why for record in records],
        originals=[record.original for record in records],
        numbers=np.array([record.number for record in records], np.float64),
        lacking=[
            lacking(one.verdict, one.why, one.original, one.number, one.probable)
            if one.verdict and one.offset >= 0
            else "line of the job's form"
            for one in records
        ],
        places=[(_PARTITION, first + at) for at in range(count)],
    )


def _try_line(line: bytes) -> tuple[_Line, bytes] | None:
    """Read a line and the input line in it; None if it is not one of ours."""
    try:
        record = _decode_line(line)
        value = record.read()
    except (msgspec.MsgspecError, UnicodeError, binascii.Error, ValueError):
        return None
    # A number that is no offset is as good as none.
    record.offset = number(str(record.offset))
    return record, value
