"""Audits a run in embedded mode: an input file and four output files."""

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

from flows.cli.audit.answer_fields import missing_field_finder
from flows.cli.audit.decoding import input_decoder
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
    read_number,
)
from flows.cli.audit.trimmed_lines import TrimmedLines
from flows.cli.progress import Progress
from flows.settings.model import Settings
from operators.batches import Records
from operators.columns.arrays import Ints
from operators.errors import SourceError
from operators.keys.canonical_json import is_json_object
from operators.verdicts import INVALID, UNIQUE, VERDICTS

_CHUNK_BYTES = 1 << 22
_PARTITION = 0


class _AnswerLine(msgspec.Struct):
    """A line of a duplicate, late or invalid output."""

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
        """The matched combination, or the reason."""
        return self.matched if self.verdict == "duplicate" else str(self.reason)

    @property
    def number(self) -> float:
        """The similarity of a near duplicate, the seconds of a late record, else NaN."""
        if self.verdict == "duplicate":
            return self.similarity
        return self.reason if isinstance(self.reason, float) else math.nan

    def input_line(self) -> bytes:
        """Return the input line.  Raises ValueError if there is none."""
        if self.value is not None:
            return self.value.encode()
        if self.value_base64 is None:
            msg = "neither value nor value_base64"
            raise ValueError(msg)
        return base64.b64decode(self.value_base64, validate=True)


_decode_line = msgspec.json.Decoder(_AnswerLine).decode


def audit_files(settings: Settings, options: AuditOptions) -> Proof:
    """Audit a finished run in embedded mode; return the finished proof.

    Raises SourceError for a file that is missing or cannot be read.
    """
    source = Path(settings.input_file)
    if settings.input_file == "-":
        msg = "the input was stdin and is gone: set DEDUP_INPUT_FILE to a file with the same lines"
        raise SourceError(msg)
    files = [settings.output_dir / f"{verdict}.jsonl" for verdict in VERDICTS]
    table, notes = _read_input(settings, source, files[INVALID])
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
        trimmed_lines=TrimmedLines(read_again),
        findings=Findings(options.show),
    )
    proof.notes += notes
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
    """Yield lines of a file, without newlines, in chunks with the number of the first line."""
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
    """Read the input.  Returns a note if a run has left the last line to a later run."""
    builder = InputBuilder(input_decoder(settings))
    notes = []
    with Progress(f"reading {path}") as progress:
        builder.begin(_PARTITION, 0)
        chunks = _chunks(path)
        chunk = next(chunks, None)
        while chunk is not None:
            first, lines = chunk
            chunk = next(chunks, None)
            last = first + len(lines) - 1
            may_be_left = chunk is None and _may_be_left(path, lines[-1])
            if may_be_left and _last_offset(invalid) != last:
                lines.pop()
                notes.append(
                    f"{path} line {last + 1}, the last one, has no newline and is no JSON object: "
                    "a run with -r leaves it until its newline is written"
                )
            rows = [row for row, line in enumerate(lines) if line.strip(b" \t\r")]
            builder.add(Records(np.array(rows, np.int64) + first, [lines[row] for row in rows]))
            progress.add(len(lines))
    return builder.build(), notes


def _may_be_left(path: Path, last_line: bytes) -> bool:
    """Whether a run with recovery leaves the last line of an input without an answer."""
    if not last_line.strip(b" \t\r") or is_json_object(last_line):
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _last_offset(path: Path) -> int:
    """Offset of the input line that the last line of an output answers; −1 for none."""
    last = [line for _, lines in _chunks(path) for line in lines[-1:]][-1:]
    answer = _read_answer(last[0]) if last else None
    return -1 if answer is None else answer[0].offset


def _read_again(path: Path, table: InputTable, rows: Ints) -> Iterator[tuple[Ints, Records]]:
    """Read input lines a second time."""
    sought = table.offsets[rows]
    for first, lines in _chunks(path):
        begin, end = np.searchsorted(sought, (first, first + len(lines))).tolist()
        offsets = sought[begin:end]
        yield rows[begin:end], Records(offsets, [lines[at - first] for at in offsets.tolist()])
        if end == len(sought):
            return


def _uniques(first: int, lines: list[bytes]) -> UniqueChunk:
    count = len(lines)
    uniques = UniqueChunk(digests(lines), np.zeros(count, np.int64), np.arange(count) + first)
    for at, line in enumerate(lines):
        # A line in the form of other verdicts may be such an answer in the wrong file.
        if line.startswith(b'{"verdict":'):
            answer = _read_answer(line)
            if answer is not None:
                record, value = answer
                uniques.marked[at] = _PARTITION, record.offset, digests([value]).tobytes()
    return uniques


def _answers(settings: Settings, verdict: int, first: int, lines: list[bytes]) -> AnswerChunk:
    no_answer = (_AnswerLine("", -1), b"")
    answers = [_read_answer(line) or no_answer for line in lines]
    records = [record for record, _ in answers]
    count = len(lines)
    missing_field = missing_field_finder(settings)
    return AnswerChunk(
        verdict=verdict,
        stated_verdicts=[record.verdict for record in records],
        partitions=np.zeros(count, np.int64),
        offsets=np.array([record.offset for record in records], np.int64),
        digests=digests([value for _, value in answers]),
        matched=[record.why for record in records],
        originals=[record.original for record in records],
        numbers=np.array([record.number for record in records], np.float64),
        missing=[
            missing_field(
                record.verdict, record.why, record.original, record.number, record.probable
            )
            if record.verdict and record.offset >= 0
            else "line of the job's form"
            for record in records
        ],
        places=[(_PARTITION, first + at) for at in range(count)],
    )


def _read_answer(line: bytes) -> tuple[_AnswerLine, bytes] | None:
    """Read a line, and the input line in it; None if the line has not the job's form."""
    try:
        record = _decode_line(line)
        value = record.input_line()
    except (msgspec.MsgspecError, UnicodeError, binascii.Error, ValueError):
        return None
    # A number that cannot be an offset counts as a missing one.
    record.offset = read_number(str(record.offset))
    return record, value
