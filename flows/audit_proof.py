"""The proof that every input record is answered exactly once.

1. Outputs with a reference (duplicate, late, invalid) name the input record that
   they answer, and must equal it once what was added is taken away.
2. Unique outputs carry nothing: as a multiset of digests they must equal the
   input records that nothing else answered.
3. What the verdicts say must be possible: see flows/audit_checks.py.

What is counted and dropped (a topic set to nothing) leaves no trace: then input
records without an answer are counted, and nothing is proved of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from flows.audit_checks import (
    pair,
    repeated_keys,
    wrong_lateness,
    wrong_originals,
    wrong_validity,
)
from flows.audit_findings import Findings, Kind
from flows.audit_records import (
    DELETED,
    UNKNOWN,
    Answers,
    InputTable,
    Uniques,
    places_of,
    same,
)
from flows.settings import Settings
from operators.batches import Bools, Hashes, Ints
from operators.verdicts import DUPLICATE, INVALID, UNIQUE, VERDICTS

InputName = Callable[[int, int], str]
"""Names an input record, given partition and offset."""
OutputName = Callable[[int, int, int], str]
"""Names an output record, given the verdict of its output, partition and offset."""

_SIMILAR = "similar"
# Answers can be counted up to here in a byte.
_MOST_ANSWERS = 255


@dataclass
class Proof:
    """Takes outputs chunk by chunk, then draws the conclusion with `finish`.

    dropped: codes of verdicts whose records are counted and dropped.
    answered: how many records each output held, by verdict code.
    notes: what the reader of the report has to know; nothing wrong in itself.
    """

    settings: Settings
    table: InputTable
    input_name: InputName
    output_name: OutputName
    dropped: frozenset[int] = frozenset()
    findings: Findings = field(default_factory=Findings)
    answered: dict[int, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unanswered: int = 0
    _uniques: list[Uniques] = field(default_factory=list)

    def add_answers(self, answers: Answers) -> None:
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
        altered = positions[~same(answers.digests[positions], self.table.digests[rows])]
        self._note(
            Kind.ALTERED,
            altered,
            lambda at: f"{self._found(answers, at)} answers {self._meant(answers, at)}",
        )
        self._remember(answers, rows, positions)

    def add_uniques(self, uniques: Uniques) -> None:
        """Take outputs of the unique output."""
        self.answered[UNIQUE] = self.answered.get(UNIQUE, 0) + len(uniques.offsets)
        self._uniques.append(uniques)

    def _check_verdict(self, answers: Answers) -> None:
        wanted = VERDICTS[answers.verdict]
        wrong = [at for at, said in enumerate(answers.said) if said and said != wanted]
        self._note(
            Kind.MISPLACED,
            np.array(wrong, np.int64),
            lambda at: f"{self._found(answers, at)} says {answers.said[at]}",
        )

    def _check_reference(self, answers: Answers, rows: Ints) -> None:
        unreadable = (answers.partitions < 0) | (answers.offsets < 0)
        unreadable |= np.array([not said for said in answers.said])
        if answers.verdict == DUPLICATE and self.settings.state != "bloom":
            no_original = np.array([not original for original in answers.originals])
            unreadable |= no_original & np.array([said == "duplicate" for said in answers.said])
        self._note(Kind.MALFORMED, np.flatnonzero(unreadable), lambda at: self._found(answers, at))
        self._note(
            Kind.FOREIGN,
            np.flatnonzero((rows == UNKNOWN) & ~unreadable),
            lambda at: f"{self._found(answers, at)} names {self._meant(answers, at)}",
        )
        if count := int((rows == DELETED).sum()):
            output = VERDICTS[answers.verdict]
            self.notes.append(f"{count:,} {output} records answer input deleted by retention")

    def _count(self, answers: Answers, rows: Ints, positions: Ints) -> None:
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

    def _remember(self, answers: Answers, rows: Ints, positions: Ints) -> None:
        """Keep what the later checks need."""
        table = self.table
        table.verdicts[rows] = answers.verdict
        if answers.verdict == DUPLICATE:
            names = {key.name: index for index, key in enumerate(self.settings.keys)}
            matched = np.array([names.get(name, -1) for name in answers.matched], np.int8)
            table.matched[rows] = matched[positions]
            unknown = [
                at
                for at, name in enumerate(answers.matched)
                if name not in names and name != _SIMILAR and answers.said[at] == "duplicate"
            ]
            self._note(
                Kind.MALFORMED,
                np.array(unknown, np.int64),
                lambda at: f"{self._found(answers, at)} matched {answers.matched[at]!r}",
            )
            originals = table.rows(*places_of(answers.originals))
            table.originals[rows] = originals[positions]
        elif answers.verdict == INVALID:
            future = np.array([reason == "future" for reason in answers.matched], np.int8)
            table.matched[rows] = future[positions]

    def finish(self) -> Findings:
        """Match the unique outputs, check what the verdicts say, and return what is wrong."""
        table = self.table
        digests = self._gather()
        matched, expected = pair(table.digests, digests, table.answers == 0)
        table.verdicts[matched] = UNIQUE
        self._explain_uniques(digests, expected)
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
        self._check_rules()
        return self.findings

    def _gather(self) -> Hashes:
        """Join the digests of the unique outputs; the chunks keep views of them."""
        empty: Hashes = np.zeros((0, 2), np.uint64)
        digests = np.concatenate([empty, *(chunk.digests for chunk in self._uniques)])
        end = 0
        for chunk in self._uniques:
            begin, end = end, end + len(chunk.digests)
            chunk.digests = digests[begin:end]
        return digests

    def _explain_uniques(self, digests: Hashes, expected: Bools) -> None:
        """Say what is wrong with each unique output that no open input record matches."""
        extra = np.flatnonzero(~expected)
        if not len(extra):
            return
        table = self.table
        begins = np.cumsum([0, *(len(chunk.offsets) for chunk in self._uniques)])
        chunk_of = np.searchsorted(begins, extra, side="right") - 1
        known = np.isin(digests[extra, 0], table.digests[:, 0])
        foreign: list[tuple[Uniques, int]] = []
        columns = (chunk_of, extra - begins[chunk_of], known)
        for number, at, is_known in zip(*(c.tolist() for c in columns), strict=True):
            chunk = self._uniques[number]
            if self._is_marked(chunk, at):
                continue
            if is_known:
                self.findings.add(Kind.DOUBLED, 1, self._second(chunk, at))
            else:
                foreign.append((chunk, at))
        excused = min(len(foreign), table.deleted)
        if excused:
            self.notes.append(
                f"{excused:,} unique records match no input record that is still there; "
                f"{table.deleted:,} were deleted by retention"
            )
        self.findings.add(
            Kind.FOREIGN,
            len(foreign) - excused,
            (self._unique(chunk, at) for chunk, at in foreign[excused:]),
        )

    def _second(self, chunk: Uniques, at: int) -> Iterator[str]:
        """Name a unique output whose input record is answered elsewhere; made when asked for."""
        row = int(np.flatnonzero(same(self.table.digests, chunk.digests[at]))[0])
        yield f"{self._unique(chunk, at)} answers {self._input(row)} again"

    def _is_marked(self, chunk: Uniques, at: int) -> bool:
        """Whether a unique output is another verdict's answer, put into the wrong output."""
        if at not in chunk.marked:
            return False
        partition, offset, digest = chunk.marked[at]
        row = int(self.table.rows(np.array([partition]), np.array([offset]))[0])
        if row < 0 or self.table.digests[row].tobytes() != digest:
            return False
        name = self._unique(chunk, at)
        self.findings.add(Kind.MISPLACED, 1, [f"{name} answers {self._input(row)}"])
        if self.table.answers[row] or self.table.verdicts[row] >= 0:
            self.findings.add(Kind.DOUBLED, 1, [f"{name} answers {self._input(row)} again"])
        self.table.answers[row] = min(int(self.table.answers[row]) + 1, _MOST_ANSWERS)
        return True

    def _check_rules(self) -> None:
        """Check that the verdicts are possible."""
        table, settings = self.table, self.settings
        unique = table.verdicts == UNIQUE
        for index, key in enumerate(settings.keys):
            rows, before = repeated_keys(
                table.keys[:, index],
                table.times,
                settings.window,
                settings.window_seconds,
                unique,
            )
            pairs = zip(rows.tolist(), before.tolist(), strict=True)
            self.findings.add(
                Kind.REPEATED,
                len(rows),
                (
                    f"{self._input(max(one, two))} has the key of {self._input(min(one, two))}: "
                    f"{key.name}"
                    for one, two in pairs
                ),
            )
        if int(unique.sum()) * len(settings.keys) > settings.max_keys:
            self.notes.append(
                "there are more unique records than DEDUP_MAX_KEYS: keys may have been evicted, "
                "and their repeats are unique again"
            )
        wrong = wrong_originals(table, settings.window, settings.window_seconds)
        self._note(
            Kind.ORIGINAL,
            wrong,
            lambda row: f"{self._input(row)} names {self._input(int(table.originals[row]))}",
        )
        lateness = wrong_lateness(table, settings.allowed_lateness_seconds)
        self._note(
            Kind.VERDICT,
            np.union1d(wrong_validity(table), lateness),
            lambda row: f"{self._input(row)} is {VERDICTS[table.verdicts[row]]}",
        )

    def _note(self, kind: Kind, at: Ints, describe: Callable[[int], str]) -> None:
        self.findings.add(kind, len(at), map(describe, _each(at)))

    def _input(self, row: int) -> str:
        return self.input_name(*self.table.place(row))

    def _unique(self, chunk: Uniques, at: int) -> str:
        return self.output_name(UNIQUE, int(chunk.partitions[at]), int(chunk.offsets[at]))

    def _found(self, answers: Answers, at: int) -> str:
        return self.output_name(answers.verdict, *answers.places[at])

    def _meant(self, answers: Answers, at: int) -> str:
        return self.input_name(int(answers.partitions[at]), int(answers.offsets[at]))


def _each(at: Ints) -> Iterator[int]:
    """Go through positions one by one; most are never asked for."""
    return (int(position) for position in at)
