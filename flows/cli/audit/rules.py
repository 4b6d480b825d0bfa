"""Whether the verdicts are possible by the rules, once every answer is known.

A check that can be wrong about a right run is not here: what is not certain, because
it depends on the order in which partitions were read, on a clock or on what was
evicted, is bounded (see the modules that are imported) or becomes a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from flows.cli.audit.accepted_times import Taken
from flows.cli.audit.decoding import REASONS
from flows.cli.audit.findings import Findings, Kind
from flows.cli.audit.forgotten_keys import Repeats, maybe_evicted, maybe_expired
from flows.cli.audit.invalid_records import (
    future_that_came,
    never_in_future,
    wrong_reasons,
    wrong_validity,
)
from flows.cli.audit.lateness import (
    Lateness,
    WatermarkBounds,
    latest_time,
    wrong_lateness,
    wrong_seconds,
)
from flows.cli.audit.matching import repeated_keys
from flows.cli.audit.originals import (
    NearRules,
    apart_in_sessions,
    extended_sessions,
    first_of_none,
    wrong_near,
    wrong_originals,
)
from flows.cli.audit.similarity import ReadAgain, measure_again
from flows.cli.audit.table import InputTable
from flows.settings.model import Settings
from operators.columns.arrays import Floats, Ints
from operators.verdicts import UNIQUE, VERDICTS

# As many false positives as this times what is expected, and a few more, are no chance.
_FAR = 3
_FEW = 10


@dataclass(slots=True)
class Told:
    """Numbers that answers of one kind say: rows of the input records, and a number each."""

    _rows: list[Ints] = field(default_factory=list)
    _numbers: list[Floats] = field(default_factory=list)

    def add(self, rows: Ints, numbers: Floats) -> None:
        """Keep some; of records that are answered twice the last one counts."""
        self._rows.append(rows)
        self._numbers.append(numbers)

    def columns(self) -> tuple[Ints, Floats]:
        """Rows, each once, and their numbers, where there is one."""
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        numbers = np.concatenate([np.zeros(0), *self._numbers])
        rows, last = np.unique(rows[::-1], return_index=True)
        numbers = numbers[::-1][last]
        known = ~np.isnan(numbers)
        return rows[known], numbers[known]


@dataclass(slots=True)
class Checked:
    """What is checked, and where what is found goes.

    name: names the input record of a row.  dropped: whether records may have been
    answered and left no trace.
    """

    table: InputTable
    name: Callable[[int], str]
    findings: Findings
    notes: list[str]
    dropped: bool

    def wrong(self, kind: Kind, rows: Ints, what: Callable[[int], str]) -> None:
        """Add a finding for each row.  what: the rest of the line, after its name."""
        self.findings.add(
            kind, len(rows), (f"{self.name(row)} {what(row)}" for row in map(int, rows))
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as the settings have them.

    lateness: under which records were judged.  now: the audit's clock, epoch seconds.
    read_again: reads input records a second time, for their texts.
    """

    settings: Settings
    lateness: Lateness
    now: float
    read_again: ReadAgain

    def check(self, checked: Checked, late: Told, near: Told) -> None:
        """Check all verdicts.  late, near: the numbers that late and similar records say."""
        latest = latest_time(self.now, self.settings.max_future_seconds)
        # Without Kafka, all lanes go on from one snapshot.
        together = self.settings.embedded
        taken = Taken(checked.table, dropped=checked.dropped, together=together)
        bounds = WatermarkBounds(checked.table, taken, latest=latest)
        self._check_repeats(checked, bounds)
        self._check_originals(checked, near.columns())
        self._note_false_positives(checked)
        self._check_validity(checked, taken, latest)
        if came := len(future_that_came(checked.table, self.now)):
            checked.notes.append(
                f"{came:,} records were answered as future and are behind the clock of now: "
                "whether they were in the future then, only the job's clock knew"
            )
        self._check_lateness(checked, bounds, late.columns())

    def _check_repeats(self, checked: Checked, bounds: WatermarkBounds) -> None:
        table, settings = checked.table, self.settings
        unique = table.verdicts == UNIQUE
        window = settings.window, settings.window_seconds
        evicted = expired = 0
        for index, key in enumerate(settings.keys):
            later, earlier = repeated_keys(table.keys[:, index], table.times, *window, unique)
            if settings.window == "session":
                more, before = extended_sessions(table, index, settings.window_seconds)
                new = ~np.isin(more, later)
                later = np.concatenate((later, more[new]))
                earlier = np.concatenate((earlier, before[new]))
            repeats = Repeats(later, earlier)
            if not len(repeats):
                continue
            by_eviction = maybe_evicted(table, settings, repeats)
            by_expiry = maybe_expired(table, bounds, self.lateness, window, repeats)
            evicted += int(by_eviction.sum())
            expired += int((by_expiry & ~by_eviction).sum())
            left = np.flatnonzero(~by_eviction & ~by_expiry)
            self._say_repeats(checked, repeats, left, key.name)
        if evicted:
            checked.notes.append(
                f"{evicted:,} unique records repeat a key that may have been evicted: a lane had "
                "more than its part of DEDUP_MAX_KEYS"
            )
        if expired:
            checked.notes.append(
                f"{expired:,} unique records repeat a key that may have gone while a smaller "
                "lateness was allowed"
            )

    @staticmethod
    def _say_repeats(checked: Checked, repeats: Repeats, left: Ints, key: str) -> None:
        pairs: Iterable[tuple[int, int]] = zip(
            repeats.later[left].tolist(), repeats.earlier[left].tolist(), strict=True
        )
        checked.findings.add(
            Kind.REPEATED,
            len(left),
            (
                f"{checked.name(max(pair))} has the key of {checked.name(min(pair))}: {key}"
                for pair in pairs
            ),
        )

    def _check_originals(self, checked: Checked, near: tuple[Ints, Floats]) -> None:
        table, settings = checked.table, self.settings
        wrong = wrong_originals(table, settings.window, settings.window_seconds)
        # In a chain that retention has cut, links may be missing.
        if settings.window == "session" and not table.deleted and not checked.dropped:
            wrong = np.union1d(wrong, apart_in_sessions(table, settings.window_seconds))
        if settings.similarity is not None:
            rules = NearRules(settings.similarity, settings.similarity_seconds)
            wrong = np.union1d(wrong, wrong_near(table, rules, near))
        checked.wrong(
            Kind.ORIGINAL, wrong, lambda row: f"names {checked.name(int(table.originals[row]))}"
        )
        if len(near[0]):
            measured = measure_again(settings, table, near, self.read_again)
            checked.notes.append(
                f"{measured.pairs:,} of {measured.of:,} near duplicates were measured again"
            )
            said = {one.row: one for one in measured.mismatches}
            checked.wrong(
                Kind.ORIGINAL,
                np.array(list(said), np.int64),
                lambda row: (
                    f"names {checked.name(int(table.originals[row]))} with similarity "
                    f"{said[row].said!r}, which is {said[row].measured!r}"
                ),
            )

    def _note_false_positives(self, checked: Checked) -> None:
        """Say so if Bloom filters took far more records for duplicates than they may."""
        table, settings = checked.table, self.settings
        # Of deleted or dropped records nobody knows whether they had the key.
        if settings.state != "bloom" or table.deleted or checked.dropped:
            return
        window = settings.window, settings.window_seconds
        count = sum(first_of_none(table, index, *window) for index in range(len(settings.keys)))
        expected = settings.bloom_error * len(table) * len(settings.keys)
        if count > _FAR * expected + _FEW:
            checked.notes.append(
                f"{count:,} keys have duplicates and no unique record with their key in the "
                f"window, far more than DEDUP_BLOOM_ERROR={settings.bloom_error} lets expect "
                f"({expected:,.0f}): unique records may be among the duplicates"
            )

    @staticmethod
    def _check_validity(checked: Checked, taken: Taken, latest: float) -> None:
        table = checked.table
        checked.wrong(
            Kind.VERDICT,
            wrong_validity(table, latest),
            lambda row: f"is {VERDICTS[table.verdicts[row]]}",
        )
        checked.wrong(
            Kind.VERDICT,
            wrong_reasons(table),
            lambda row: (
                f"is invalid for {REASONS[table.matched[row] - 1]}, which is "
                f"{REASONS[table.reasons[row] - 1]}"
            ),
        )
        checked.wrong(
            Kind.VERDICT,
            never_in_future(table, taken),
            lambda _: "is invalid for future, where its event time cannot have been",
        )

    def _check_lateness(
        self, checked: Checked, bounds: WatermarkBounds, late: tuple[Ints, Floats]
    ) -> None:
        table = checked.table
        wrong = wrong_lateness(table, bounds, self.lateness)
        checked.wrong(Kind.VERDICT, wrong, lambda row: f"is {VERDICTS[table.verdicts[row]]}")
        seconds = dict(wrong_seconds(table, bounds, self.lateness, late))
        # What should not be late at all has been named.
        rows = np.setdiff1d(np.array(list(seconds), np.int64), wrong)
        checked.wrong(
            Kind.VERDICT,
            rows,
            lambda row: f"is late by {seconds[row]!r} s, which the watermark cannot have been",
        )
