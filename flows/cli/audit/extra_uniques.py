"""Explains unique outputs that match no unanswered input record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flows.cli.audit.findings import Findings, Kind
from flows.cli.audit.matching import pair
from flows.cli.audit.table import MAX_ANSWERS, InputTable, UniqueChunk, equal_rows
from operators.columns.arrays import Bools, Hashes, Ints
from operators.verdicts import UNIQUE


@dataclass(frozen=True, slots=True)
class ExtraUniques:
    """Finds out what the unexpected unique outputs are.

    name_input: names an input record by its row.  name_output: names a unique output by
    its chunk and its position there.  may_forget: whether a record of an earlier topic may be
    unique although the same record is unique in the input.
    """

    table: InputTable
    chunks: Sequence[UniqueChunk]
    name_input: Callable[[int], str]
    name_output: Callable[[UniqueChunk, int], str]
    may_forget: bool = False

    def explain(
        self, digests: Hashes, expected: Bools, findings: Findings, notes: list[str]
    ) -> None:
        """Add a finding or a note for each unique output that is not expected.

        digests: of all unique outputs, chunk after chunk.  expected: whether each matches
        an unanswered input record.  Where there was an earlier topic, those that may answer it
        are counted in the table.
        """
        extra = np.flatnonzero(~expected)
        if not len(extra):
            return
        table = self.table
        begins = np.cumsum([0, *(len(chunk.offsets) for chunk in self.chunks)])
        chunk_of = np.searchsorted(begins, extra, side="right") - 1
        places = list(zip(chunk_of.tolist(), (extra - begins[chunk_of]).tolist(), strict=True))
        replayed = self._are_replayed(places, notes)
        known = np.isin(digests[extra, 0], table.digests[:, 0])
        earlier = self._maybe_earlier(digests[extra])
        foreign: list[tuple[UniqueChunk, int]] = []
        of_earlier = 0
        for (index, at), is_known, is_replay, is_earlier in zip(
            places, known, replayed, earlier, strict=True
        ):
            chunk = self.chunks[index]
            if is_replay or self._is_misplaced(chunk, at, findings):
                continue
            if is_earlier:
                of_earlier += 1
                continue
            digest = self._answered_digest(chunk, at, is_known=bool(is_known))
            if digest is None:
                foreign.append((chunk, at))
            else:
                findings.add(Kind.DOUBLED, 1, self._second_answer(chunk, at, digest))
        table.earlier_records += of_earlier
        if of_earlier:
            notes.append(
                f"{of_earlier:,} unique records match no input record without an answer: they "
                "may answer an earlier topic of that name, which is gone"
            )
        excused = min(len(foreign), table.deleted)
        if excused:
            notes.append(
                f"{excused:,} unique records match no input record that is still there; "
                f"{table.deleted:,} input records were deleted by retention"
            )
        findings.add(
            Kind.FOREIGN,
            len(foreign) - excused,
            (self.name_output(chunk, at) for chunk, at in foreign[excused:]),
        )

    def _maybe_earlier(self, digests: Hashes) -> Bools:
        """Whether each unique output may answer a record of an earlier topic.

        The same record in both topics has the same key and time.  If it is unique in the input,
        it was not unique before, unless its key was forgotten in between.
        """
        if not self.table.earlier:
            return np.zeros(len(digests), np.bool_)
        unique = self.table.digests[self.table.verdicts == UNIQUE, 0]
        maybe: Bools = ~np.isin(digests[:, 0], unique) | self.may_forget
        return maybe

    def _are_replayed(self, places: Sequence[tuple[int, int]], notes: list[str]) -> Bools:
        """Whether each is a record with another verdict that `dedup replay --to` sent here.

        It sends each input record to a topic once, so a second one is not a replay.
        """
        replayed = np.zeros(len(places), np.bool_)
        candidates = [
            (position, self.chunks[index].replayed[at])
            for position, (index, at) in enumerate(places)
            if at in self.chunks[index].replayed
        ]
        if not candidates:
            return replayed
        sent = np.frombuffer(b"".join(digest for _, digest in candidates), np.uint64)
        _, paired = pair(self.table.digests, sent.reshape(-1, 2), self.table.verdicts > UNIQUE)
        replayed[np.array([position for position, _ in candidates], np.int64)[paired]] = True
        if count := int(paired.sum()):
            notes.append(
                f"{count:,} records that are not unique were sent to the unique output by "
                "`dedup replay`"
            )
        return replayed

    def _answered_digest(self, chunk: UniqueChunk, at: int, *, is_known: bool) -> Hashes | None:
        """Digest of the answered input record that a unique output answers again; None for none."""
        if is_known:
            own: Hashes = chunk.digests[at]
            return own
        if at in chunk.replayed:
            digest: Hashes = np.frombuffer(chunk.replayed[at], np.uint64)
            if len(self._rows(digest)):
                return digest
        return None

    def _rows(self, digest: Hashes) -> Ints:
        return np.flatnonzero(equal_rows(self.table.digests, digest))

    def _second_answer(self, chunk: UniqueChunk, at: int, digest: Hashes) -> Iterator[str]:
        """Yield the line about a second answer; it is made only if it is shown."""
        row = int(self._rows(digest)[0])
        yield f"{self.name_output(chunk, at)} answers {self.name_input(row)} again"

    def _is_misplaced(self, chunk: UniqueChunk, at: int, findings: Findings) -> bool:
        """Whether a unique output is an answer with another verdict, in the wrong output."""
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
        self.table.answers[row] = min(int(self.table.answers[row]) + 1, MAX_ANSWERS)
        return True
