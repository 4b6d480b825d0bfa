"""What unique outputs are that no open input record matches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flows.cli.audit.findings import Findings, Kind
from flows.cli.audit.matching import pair
from flows.cli.audit.table import InputTable, UniqueChunk, same
from operators.columns.arrays import Bools, Hashes, Ints
from operators.verdicts import UNIQUE

# Answers can be counted up to here in a byte.
_MOST_ANSWERS = 255


@dataclass(frozen=True, slots=True)
class ExtraUniques:
    """Explains the unique outputs that are too many.

    name_input: names an input record, given its row.  name_output: names a unique
    output, given its chunk and position.
    """

    table: InputTable
    chunks: Sequence[UniqueChunk]
    name_input: Callable[[int], str]
    name_output: Callable[[UniqueChunk, int], str]

    def explain(
        self, digests: Hashes, expected: Bools, findings: Findings, notes: list[str]
    ) -> None:
        """Say what is wrong with each unique output that is not expected.

        digests: of all unique outputs, chunk after chunk.
        """
        extra = np.flatnonzero(~expected)
        if not len(extra):
            return
        table = self.table
        begins = np.cumsum([0, *(len(chunk.offsets) for chunk in self.chunks)])
        chunk_of = np.searchsorted(begins, extra, side="right") - 1
        places = list(zip(chunk_of.tolist(), (extra - begins[chunk_of]).tolist(), strict=True))
        replayed = self._replayed(places, notes)
        known = np.isin(digests[extra, 0], table.digests[:, 0])
        foreign: list[tuple[UniqueChunk, int]] = []
        for (number, at), is_known, is_replay in zip(places, known, replayed, strict=True):
            chunk = self.chunks[number]
            if is_replay or self._is_marked(chunk, at, findings):
                continue
            again = self._again(chunk, at, is_known=bool(is_known))
            if again is None:
                foreign.append((chunk, at))
            else:
                findings.add(Kind.DOUBLED, 1, self._second(chunk, at, again))
        excused = min(len(foreign), table.deleted)
        if excused:
            notes.append(
                f"{excused:,} unique records match no input record that is still there; "
                f"{table.deleted:,} were deleted by retention"
            )
        findings.add(
            Kind.FOREIGN,
            len(foreign) - excused,
            (self.name_output(chunk, at) for chunk, at in foreign[excused:]),
        )

    def _replayed(self, places: Sequence[tuple[int, int]], notes: list[str]) -> Bools:
        """Tell which are records with another verdict that `dedup replay --to` sent here.

        It sends each input record to a topic once: a second one is not its doing.
        """
        found = np.zeros(len(places), np.bool_)
        maybe = [
            (index, self.chunks[number].replayed[at])
            for index, (number, at) in enumerate(places)
            if at in self.chunks[number].replayed
        ]
        if not maybe:
            return found
        sent = np.frombuffer(b"".join(digest for _, digest in maybe), np.uint64).reshape(-1, 2)
        _, there = pair(self.table.digests, sent, self.table.verdicts > UNIQUE)
        found[np.array([index for index, _ in maybe], np.int64)[there]] = True
        if count := int(there.sum()):
            notes.append(
                f"{count:,} records that are not unique were sent to the unique output by "
                "`dedup replay`"
            )
        return found

    def _again(self, chunk: UniqueChunk, at: int, *, is_known: bool) -> Hashes | None:
        """Digest of the input record that a unique output answers once more; None for none."""
        if is_known:
            own: Hashes = chunk.digests[at]
            return own
        if at in chunk.replayed:
            digest: Hashes = np.frombuffer(chunk.replayed[at], np.uint64)
            if len(self._rows(digest)):
                return digest
        return None

    def _rows(self, digest: Hashes) -> Ints:
        return np.flatnonzero(same(self.table.digests, digest))

    def _second(self, chunk: UniqueChunk, at: int, digest: Hashes) -> Iterator[str]:
        """Name a unique output whose input record is answered elsewhere; made when asked for."""
        row = int(self._rows(digest)[0])
        yield f"{self.name_output(chunk, at)} answers {self.name_input(row)} again"

    def _is_marked(self, chunk: UniqueChunk, at: int, findings: Findings) -> bool:
        """Whether a unique output is another verdict's answer, put into the wrong output."""
        if at not in chunk.marked:
            return False
        partition, offset, digest = chunk.marked[at]
        row = int(self.table.rows(np.array([partition]), np.array([offset]))[0])
        if row < 0 or self.table.digests[row].tobytes() != digest:
            return False
        name = self.name_output(chunk, at)
        findings.add(Kind.MISPLACED, 1, [f"{name} answers {self.name_input(row)}"])
        if self.table.answers[row] or self.table.verdicts[row] >= 0:
            findings.add(Kind.DOUBLED, 1, [f"{name} answers {self.name_input(row)} again"])
        self.table.answers[row] = min(int(self.table.answers[row]) + 1, _MOST_ANSWERS)
        return True
