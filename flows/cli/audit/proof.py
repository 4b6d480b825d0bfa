"""The proof that every input record is answered exactly once.

1. Duplicate, late and invalid outputs name the input record that they answer.  Without
   the headers that the job added, they must equal it.
2. Unique outputs name nothing.  As a multiset of digests they must equal the input
   records that no other output answers.
3. The verdicts must be possible: see flows/cli/audit/rules.py.

A verdict whose topic is set to the empty string is counted and dropped, so its records
have no answer.  Then input records without an answer are counted, and nothing is proved
about them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from flows.cli.audit.answer_fields import is_near
from flows.cli.audit.decoding import CODE_OF
from flows.cli.audit.earlier_topics import EarlierTopics, may_forget
from flows.cli.audit.extra_uniques import ExtraUniques
from flows.cli.audit.findings import Findings, Kind
from flows.cli.audit.matching import pair
from flows.cli.audit.rules import Inspection, ReportedNumbers, Rules
from flows.cli.audit.table import (
    DELETED,
    MAX_ANSWERS,
    UNKNOWN,
    AnswerChunk,
    InputTable,
    UniqueChunk,
    equal_rows,
    places_of,
)
from flows.cli.audit.trimmed_lines import TrimmedLines
from flows.settings.model import Settings
from operators.columns.arrays import Hashes, Ints
from operators.verdicts import DUPLICATE, INVALID, LATE, UNIQUE, VERDICTS

InputName = Callable[[int, int], str]
"""Names an input record by partition and offset."""
OutputName = Callable[[int, int, int], str]
"""Names an output record by the code of its output's verdict, partition and offset."""


@dataclass(frozen=True, slots=True)
class _AlteredAnswers:
    """Answers that differ from the input record that they name.

    places: shape (n, 3): verdict's code, partition and offset of the answer.
    """

    rows: Ints
    digests: Hashes
    places: Ints


@dataclass
class Proof:
    """Collects outputs chunk by chunk; `finish` draws the conclusion.

    rules: checks the verdicts.  dropped: codes of the verdicts that are counted and
    dropped.  trimmed_lines: matches lines of a file without the white space at their end.
    earlier: what is known of earlier topics of the input's name.  answered: number of records
    in each output, by the code of its verdict.  notes: facts that the reader of the report
    needs, but no faults.  unanswered: number of input records without an answer.
    """

    settings: Settings
    table: InputTable
    input_name: InputName
    output_name: OutputName
    rules: Rules
    dropped: frozenset[int] = frozenset()
    trimmed_lines: TrimmedLines | None = None
    findings: Findings = field(default_factory=Findings)
    earlier: EarlierTopics = field(default_factory=EarlierTopics)
    answered: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unanswered: int = 0
    _uniques: list[UniqueChunk] = field(default_factory=list)
    _altered: list[_AlteredAnswers] = field(default_factory=list)
    _late: ReportedNumbers = field(default_factory=ReportedNumbers)
    _near: ReportedNumbers = field(default_factory=ReportedNumbers)

    def add_answers(self, answers: AnswerChunk) -> None:
        """Add a chunk of a duplicate, late or invalid output."""
        count = len(answers.places)
        read = count + answers.earlier
        self.answered[answers.verdict] = self.answered.get(answers.verdict, 0) + read
        self.earlier.add(answers, self.settings.input_topic)
        if not count:
            return
        self._check_verdict(answers)
        rows = self.table.rows(answers.partitions, answers.offsets)
        self._check_reference(answers, rows)
        positions = np.flatnonzero(rows >= 0)
        rows = rows[positions]
        self._count(answers, rows, positions)
        differ = ~equal_rows(answers.digests[positions], self.table.digests[rows])
        places = [(answers.verdict, *answers.places[at]) for at in positions[differ].tolist()]
        self._altered.append(
            _AlteredAnswers(
                rows[differ],
                answers.digests[positions[differ]],
                np.array(places, np.int64).reshape(-1, 3),
            )
        )
        self._remember(answers, rows, positions)

    def add_uniques(self, uniques: UniqueChunk) -> None:
        """Add a chunk of the unique output."""
        self.answered[UNIQUE] = self.answered.get(UNIQUE, 0) + len(uniques.offsets)
        self._uniques.append(uniques)

    def _check_verdict(self, answers: AnswerChunk) -> None:
        expected = VERDICTS[answers.verdict]
        wrong = [
            at
            for at, verdict in enumerate(answers.stated_verdicts)
            if verdict and verdict != expected
        ]
        self._add(
            Kind.MISPLACED,
            np.array(wrong, np.int64),
            lambda at: f"{self._answer_name(answers, at)} says {answers.stated_verdicts[at]}",
        )

    def _check_reference(self, answers: AnswerChunk, rows: Ints) -> None:
        unreadable = (answers.partitions < 0) | (answers.offsets < 0)
        unreadable |= np.array([not verdict for verdict in answers.stated_verdicts])
        incomplete = np.flatnonzero(np.array([bool(name) for name in answers.missing]))
        self._add(
            Kind.MALFORMED,
            incomplete,
            lambda at: (
                f"{self._answer_name(answers, at)}: no {answers.missing[at]}, or no valid one"
            ),
        )
        self._add(
            Kind.FOREIGN,
            np.flatnonzero((rows == UNKNOWN) & ~unreadable),
            lambda at: (
                f"{self._answer_name(answers, at)} names {self._reference_name(answers, at)}"
            ),
        )
        if count := int((rows == DELETED).sum()):
            output = VERDICTS[answers.verdict]
            self.notes.append(f"{count:,} {output} records answer input deleted by retention")

    def _count(self, answers: AnswerChunk, rows: Ints, positions: Ints) -> None:
        """Count the answers, and add a finding for each second answer to a record."""
        first = np.zeros(len(rows), np.bool_)
        first[np.unique(rows, return_index=True)[1]] = True
        doubled = ~first | (self.table.answers[rows] > 0)
        self._add(
            Kind.DOUBLED,
            positions[doubled],
            lambda at: (
                f"{self._answer_name(answers, at)} answers "
                f"{self._reference_name(answers, at)} again"
            ),
        )
        counts = self.table.answers
        counts[rows] = np.minimum(counts[rows], MAX_ANSWERS - 1) + 1

    def _remember(self, answers: AnswerChunk, rows: Ints, positions: Ints) -> None:
        """Keep what the checks of the rules need."""
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
        """Keep the original of each duplicate, and the combination that matched."""
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
        not_in_input = (originals == UNKNOWN) & (places[0] >= 0)
        self._add(
            Kind.ORIGINAL,
            np.flatnonzero(not_in_input),
            lambda at: (
                f"{self._answer_name(answers, at)} names {answers.originals[at]}, which is not in "
                "the input"
            ),
        )
        if count := int((originals[positions] == DELETED).sum()):
            self.notes.append(f"{count:,} duplicates name an original deleted by retention")
        near = near[positions]
        self._near.add(rows[near], answers.numbers[positions][near])

    def finish(self) -> Findings:
        """Match the unique outputs, check the verdicts, and return the findings."""
        table = self.table
        table.earlier, table.earlier_records = bool(self.earlier), self.earlier.answers
        self.notes.extend(self.earlier.notes(self.settings.input_topic))
        digests = self._gather_digests()
        matched, expected = pair(table.digests, digests, table.answers == 0)
        self._add_altered()
        if self.trimmed_lines is not None:
            rows = np.flatnonzero((table.answers == 0) & ~matched)
            extras = np.flatnonzero(~expected)
            rows, at = self.trimmed_lines.pair(rows, digests[extras])
            matched[rows] = True
            expected[extras[at]] = True
            self.notes.extend(self.trimmed_lines.note())
        table.verdicts[matched] = UNIQUE
        forgets = may_forget(self.settings, self.rules.lateness, len(digests))
        extra = ExtraUniques(table, self._uniques, self._input_name, self._unique_name, forgets)
        extra.explain(digests, expected, self.findings, self.notes)
        missing = np.flatnonzero((table.answers == 0) & (table.verdicts < 0))
        self.unanswered = len(missing)
        if self.dropped:
            names = " or ".join(VERDICTS[code] for code in sorted(self.dropped))
            self.notes.append(
                f"{len(missing):,} input records have no output: {names} records are dropped, so "
                "nothing can be said about these"
            )
        else:
            self._add(Kind.MISSING, missing, self._input_name)
        self.rules.check(
            Inspection(
                table, self._input_name, self.findings, self.notes, dropped=bool(self.dropped)
            ),
            self._late,
            self._near,
        )
        return self.findings

    def _add_altered(self) -> None:
        if not self._altered:
            return
        rows = np.concatenate([answers.rows for answers in self._altered])
        places = np.concatenate([answers.places for answers in self._altered])
        if self.trimmed_lines is not None:
            digests = np.concatenate([answers.digests for answers in self._altered])
            wrong = ~self.trimmed_lines.answered(rows, digests)
            rows, places = rows[wrong], places[wrong]
        self._add(
            Kind.ALTERED,
            np.arange(len(rows)),
            lambda at: (
                f"{self.output_name(*places[at].tolist())} answers "
                f"{self._input_name(int(rows[at]))}"
            ),
        )

    def _gather_digests(self) -> Hashes:
        """Concatenate the digests of the unique outputs; the chunks keep views of them."""
        empty: Hashes = np.zeros((0, 2), np.uint64)
        digests = np.concatenate([empty, *(chunk.digests for chunk in self._uniques)])
        end = 0
        for chunk in self._uniques:
            begin, end = end, end + len(chunk.digests)
            chunk.digests = digests[begin:end]
        return digests

    def _add(self, kind: Kind, at: Ints, describe: Callable[[int], str]) -> None:
        self.findings.add(kind, len(at), map(describe, _each(at)))

    def _input_name(self, row: int) -> str:
        return self.input_name(*self.table.place(row))

    def _unique_name(self, chunk: UniqueChunk, at: int) -> str:
        return self.output_name(UNIQUE, int(chunk.partitions[at]), int(chunk.offsets[at]))

    def _answer_name(self, answers: AnswerChunk, at: int) -> str:
        return self.output_name(answers.verdict, *answers.places[at])

    def _reference_name(self, answers: AnswerChunk, at: int) -> str:
        return self.input_name(int(answers.partitions[at]), int(answers.offsets[at]))


def _each(at: Ints) -> Iterator[int]:
    """Yield positions one by one: only the first few are used."""
    return (int(position) for position in at)
