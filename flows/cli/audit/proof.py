"""The proof that every input record is answered exactly once.

1. Outputs with a reference (duplicate, late, invalid) name the input record that
   they answer, and must equal it once what was added is taken away.
2. Unique outputs carry nothing: as a multiset of digests they must equal the
   input records that nothing else answered.
3. What the verdicts say must be possible: see flows/cli/audit/rules.py.

What is counted and dropped (a topic set to nothing) leaves no trace: then input
records without an answer are counted, and nothing is proved of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from flows.cli.audit.answer_fields import is_near
from flows.cli.audit.decoding import CODE_OF
from flows.cli.audit.extra_uniques import ExtraUniques
from flows.cli.audit.findings import Findings, Kind
from flows.cli.audit.matching import pair
from flows.cli.audit.rules import Checked, Rules, Told
from flows.cli.audit.table import (
    DELETED,
    UNKNOWN,
    AnswerChunk,
    InputTable,
    UniqueChunk,
    places_of,
    same,
)
from flows.cli.audit.trimmed_lines import LineEnds
from flows.settings.model import Settings
from operators.columns.arrays import Hashes, Ints
from operators.verdicts import DUPLICATE, INVALID, LATE, UNIQUE, VERDICTS

InputName = Callable[[int, int], str]
"""Names an input record, given partition and offset."""
OutputName = Callable[[int, int, int], str]
"""Names an output record, given the verdict of its output, partition and offset."""

# Answers can be counted up to here in a byte.
_MOST_ANSWERS = 255


@dataclass(frozen=True, slots=True)
class _Altered:
    """Answers that differ from the record that they name.

    places: shape (n, 3): verdict, partition and offset of the answer.
    """

    rows: Ints
    digests: Hashes
    places: Ints


@dataclass
class Proof:
    """Takes outputs chunk by chunk, then draws the conclusion with `finish`.

    rules: checks what the verdicts say.  dropped: codes of verdicts whose records are
    counted and dropped.  line_ends: gives lines of a file a second try.
    answered: how many records each output held, by verdict code.
    notes: what the reader of the report has to know; nothing wrong in itself.
    """

    settings: Settings
    table: InputTable
    input_name: InputName
    output_name: OutputName
    rules: Rules
    dropped: frozenset[int] = frozenset()
    line_ends: LineEnds | None = None
    findings: Findings = field(default_factory=Findings)
    answered: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unanswered: int = 0
    _uniques: list[UniqueChunk] = field(default_factory=list)
    _altered: list[_Altered] = field(default_factory=list)
    _late: Told = field(default_factory=Told)
    _near: Told = field(default_factory=Told)

    def add_answers(self, answers: AnswerChunk) -> None:
        """Take outputs that say which record they answer."""
        count = len(answers.places)
        self.answered[answers.verdict] = self.answered.get(answers.verdict, 0) + count
        if not count:
            return
        self._check_verdict(answers)
        rows = self.table.rows(answers.partitions, answers.offsets)
        self._check_reference(answers, rows)
        positions = np.flatnonzero(rows >= 0)
        rows = rows[positions]
        self._count(answers, rows, positions)
        differ = ~same(answers.digests[positions], self.table.digests[rows])
        places = [(answers.verdict, *answers.places[at]) for at in positions[differ].tolist()]
        self._altered.append(
            _Altered(
                rows[differ],
                answers.digests[positions[differ]],
                np.array(places, np.int64).reshape(-1, 3),
            )
        )
        self._remember(answers, rows, positions)

    def add_uniques(self, uniques: UniqueChunk) -> None:
        """Take outputs of the unique output."""
        self.answered[UNIQUE] = self.answered.get(UNIQUE, 0) + len(uniques.offsets)
        self._uniques.append(uniques)

    def _check_verdict(self, answers: AnswerChunk) -> None:
        wanted = VERDICTS[answers.verdict]
        wrong = [at for at, said in enumerate(answers.said) if said and said != wanted]
        self._note(
            Kind.MISPLACED,
            np.array(wrong, np.int64),
            lambda at: f"{self._found(answers, at)} says {answers.said[at]}",
        )

    def _check_reference(self, answers: AnswerChunk, rows: Ints) -> None:
        unreadable = (answers.partitions < 0) | (answers.offsets < 0)
        unreadable |= np.array([not said for said in answers.said])
        lacking = np.flatnonzero(np.array([bool(name) for name in answers.lacking]))
        self._note(
            Kind.MALFORMED,
            lacking,
            lambda at: f"{self._found(answers, at)}: no {answers.lacking[at]}, or no valid one",
        )
        self._note(
            Kind.FOREIGN,
            np.flatnonzero((rows == UNKNOWN) & ~unreadable),
            lambda at: f"{self._found(answers, at)} names {self._meant(answers, at)}",
        )
        if count := int((rows == DELETED).sum()):
            output = VERDICTS[answers.verdict]
            self.notes.append(f"{count:,} {output} records answer input deleted by retention")

    def _count(self, answers: AnswerChunk, rows: Ints, positions: Ints) -> None:
        """Count the answers; second ones are named by where they were found."""
        first = np.zeros(len(rows), np.bool_)
        first[np.unique(rows, return_index=True)[1]] = True
        again = ~first | (self.table.answers[rows] > 0)
        self._note(
            Kind.DOUBLED,
            positions[again],
            lambda at: f"{self._found(answers, at)} answers {self._meant(answers, at)} again",
        )
        counts = self.table.answers
        counts[rows] = np.minimum(counts[rows], _MOST_ANSWERS - 1) + 1

    def _remember(self, answers: AnswerChunk, rows: Ints, positions: Ints) -> None:
        """Keep what the later checks need."""
        table = self.table
        table.verdicts[rows] = answers.verdict
        if answers.verdict == DUPLICATE:
            self._remember_originals(answers, rows, positions)
        elif answers.verdict == INVALID:
            codes = np.array([CODE_OF.get(reason, 0) for reason in answers.matched], np.int8)
            table.matched[rows] = codes[positions]
        elif answers.verdict == LATE:
            self._late.add(rows, answers.numbers[positions])

    def _remember_originals(self, answers: AnswerChunk, rows: Ints, positions: Ints) -> None:
        """Keep which record each duplicate repeats, and by what."""
        names = {key.name: index for index, key in enumerate(self.settings.keys)}
        near = np.array(
            [
                is_near(self.settings, name, number)
                for name, number in zip(answers.matched, answers.numbers.tolist(), strict=True)
            ],
            np.bool_,
        )
        matched = np.array([names.get(name, -1) for name in answers.matched], np.int8)
        matched[near] = -1
        self.table.matched[rows] = matched[positions]
        places = places_of(answers.originals)
        originals = self.table.rows(*places)
        self.table.originals[rows] = originals[positions]
        nowhere = (originals == UNKNOWN) & (places[0] >= 0)
        self._note(
            Kind.ORIGINAL,
            np.flatnonzero(nowhere),
            lambda at: (
                f"{self._found(answers, at)} names {answers.originals[at]}, which is not in the "
                "input"
            ),
        )
        if count := int((originals[positions] == DELETED).sum()):
            self.notes.append(f"{count:,} duplicates name an original deleted by retention")
        near = near[positions]
        self._near.add(rows[near], answers.numbers[positions][near])

    def finish(self) -> Findings:
        """Match the unique outputs, check what the verdicts say, and return what is wrong."""
        table = self.table
        digests = self._gather()
        matched, expected = pair(table.digests, digests, table.answers == 0)
        self._name_altered()
        if self.line_ends is not None:
            rows = np.flatnonzero((table.answers == 0) & ~matched)
            extras = np.flatnonzero(~expected)
            rows, at = self.line_ends.pair(rows, digests[extras])
            matched[rows] = True
            expected[extras[at]] = True
            self.notes.extend(self.line_ends.note())
        table.verdicts[matched] = UNIQUE
        extra = ExtraUniques(table, self._uniques, self._input, self._unique)
        extra.explain(digests, expected, self.findings, self.notes)
        missing = np.flatnonzero((table.answers == 0) & (table.verdicts < 0))
        self.unanswered = len(missing)
        if self.dropped:
            names = " or ".join(VERDICTS[code] for code in sorted(self.dropped))
            self.notes.append(
                f"{len(missing):,} input records have no output: {names} records are dropped, so "
                "nothing can be said of these"
            )
        else:
            self._note(Kind.MISSING, missing, self._input)
        self.rules.check(
            Checked(table, self._input, self.findings, self.notes, dropped=bool(self.dropped)),
            self._late,
            self._near,
        )
        return self.findings

    def _name_altered(self) -> None:
        if not self._altered:
            return
        rows = np.concatenate([one.rows for one in self._altered])
        places = np.concatenate([one.places for one in self._altered])
        if self.line_ends is not None:
            digests = np.concatenate([one.digests for one in self._altered])
            wrong = ~self.line_ends.answered(rows, digests)
            rows, places = rows[wrong], places[wrong]
        self._note(
            Kind.ALTERED,
            np.arange(len(rows)),
            lambda at: (
                f"{self.output_name(*places[at].tolist())} answers {self._input(int(rows[at]))}"
            ),
        )

    def _gather(self) -> Hashes:
        """Join the digests of the unique outputs; the chunks keep views of them."""
        empty: Hashes = np.zeros((0, 2), np.uint64)
        digests = np.concatenate([empty, *(chunk.digests for chunk in self._uniques)])
        end = 0
        for chunk in self._uniques:
            begin, end = end, end + len(chunk.digests)
            chunk.digests = digests[begin:end]
        return digests

    def _note(self, kind: Kind, at: Ints, describe: Callable[[int], str]) -> None:
        self.findings.add(kind, len(at), map(describe, _each(at)))

    def _input(self, row: int) -> str:
        return self.input_name(*self.table.place(row))

    def _unique(self, chunk: UniqueChunk, at: int) -> str:
        return self.output_name(UNIQUE, int(chunk.partitions[at]), int(chunk.offsets[at]))

    def _found(self, answers: AnswerChunk, at: int) -> str:
        return self.output_name(answers.verdict, *answers.places[at])

    def _meant(self, answers: AnswerChunk, at: int) -> str:
        return self.input_name(int(answers.partitions[at]), int(answers.offsets[at]))


def _each(at: Ints) -> Iterator[int]:
    """Go through positions one by one; most are never asked for."""
    return (int(position) for position in at)
