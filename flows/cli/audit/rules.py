"""Checks that the verdicts are possible by the rules, once every answer is known.

No check calls a right run wrong.  Some verdicts depend on the order of reading the
partitions, on a clock, or on evicted keys.  The audit checks the bounds of these (see the
imported modules), or adds a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from flows.cli.audit.accepted_times import AcceptedTimes
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
    keys_without_unique,
    wrong_near,
    wrong_originals,
)
from flows.cli.audit.similarity import ReadAgain, measure_again
from flows.cli.audit.table import InputTable
from flows.settings.model import Settings
from operators.columns.arrays import Floats, Ints
from operators.verdicts import UNIQUE, VERDICTS
from operators.windows.kinds import KINDS

# More false positives than this many times the expected number, plus a few, are no chance.
_FACTOR = 3
_FEW = 10


@dataclass(slots=True)
class ReportedNumbers:
    """The numbers in answers of one kind, with the rows of their input records."""

    _rows: list[Ints] = field(default_factory=list)
    _numbers: list[Floats] = field(default_factory=list)

    def add(self, rows: Ints, numbers: Floats) -> None:
        """Add numbers.  For a record with two answers, the last number counts."""
        self._rows.append(rows)
        self._numbers.append(numbers)

    def columns(self) -> tuple[Ints, Floats]:
        """Rows, each once, and their numbers; rows without a number are left out."""
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        numbers = np.concatenate([np.zeros(0), *self._numbers])
        rows, last = np.unique(rows[::-1], return_index=True)
        numbers = numbers[::-1][last]
        known = ~np.isnan(numbers)
        return rows[known], numbers[known]


@dataclass(slots=True)
class Inspection:
    """An input with its answers, and the findings and notes about it.

    name: names the input record of a row.  dropped: whether some verdict's records are
    counted and dropped, so that records without an answer may be right.
    """

    table: InputTable
    name: Callable[[int], str]
    findings: Findings
    notes: list[str]
    dropped: bool

    def add(self, kind: Kind, rows: Ints, describe: Callable[[int], str]) -> None:
        """Add a finding for each row.  describe: makes the rest of the line, after the name."""
        self.findings.add(
            kind, len(rows), (f"{self.name(row)} {describe(row)}" for row in map(int, rows))
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of these settings.

    lateness: the allowed lateness that the job had.  now: the audit's clock, epoch seconds.
    read_again: reads input records a second time, for their texts.
    """

    settings: Settings
    lateness: Lateness
    now: float
    read_again: ReadAgain

    def check(self, inspection: Inspection, late: ReportedNumbers, near: ReportedNumbers) -> None:
        """Check all verdicts.

        late: the seconds in answers to late records.  near: the similarities in answers to
        near duplicates.
        """
        latest = latest_time(self.now, self.settings.max_future_seconds)
        # Without Kafka, all lanes restart from one snapshot.
        together = self.settings.embedded
        accepted = AcceptedTimes(inspection.table, dropped=inspection.dropped, together=together)
        bounds = WatermarkBounds(inspection.table, accepted, latest=latest)
        self._check_repeats(inspection, bounds)
        self._check_originals(inspection, near.columns())
        self._note_false_positives(inspection)
        self._check_validity(inspection, accepted, latest)
        if came := len(future_that_came(inspection.table, self.now)):
            inspection.notes.append(
                f"{came:,} records were answered as future and are not in the future now: whether "
                "they were in the future then, only the job's clock knew"
            )
        self._check_lateness(inspection, bounds, late.columns())

    def _check_repeats(self, inspection: Inspection, bounds: WatermarkBounds) -> None:
        table, settings = inspection.table, self.settings
        unique = table.verdicts == UNIQUE
        window = settings.window, settings.window_seconds
        evicted = expired = 0
        for index, key in enumerate(settings.keys):
            later, earlier = repeated_keys(table.keys[:, index], table.times, *window, unique)
            if KINDS[settings.window].grows:
                in_extended, extended_by = extended_sessions(table, index, settings.window_seconds)
                new = ~np.isin(in_extended, later)
                later = np.concatenate((later, in_extended[new]))
                earlier = np.concatenate((earlier, extended_by[new]))
            repeats = Repeats(later, earlier)
            if not len(repeats):
                continue
            by_eviction = maybe_evicted(table, settings, repeats)
            by_expiry = maybe_expired(table, bounds, self.lateness, window, repeats)
            evicted += int(by_eviction.sum())
            expired += int((by_expiry & ~by_eviction).sum())
            certain = np.flatnonzero(~by_eviction & ~by_expiry)
            self._add_repeats(inspection, repeats, certain, key.name)
        if evicted:
            inspection.notes.append(
                f"{evicted:,} unique records repeat a key that may have been evicted: a lane had "
                "more keys than its part of DEDUP_MAX_KEYS"
            )
        if expired:
            inspection.notes.append(
                f"{expired:,} unique records repeat a key that may have expired while a smaller "
                "lateness was allowed"
            )

    @staticmethod
    def _add_repeats(inspection: Inspection, repeats: Repeats, certain: Ints, key: str) -> None:
        pairs: Iterable[tuple[int, int]] = zip(
            repeats.later[certain].tolist(), repeats.earlier[certain].tolist(), strict=True
        )
        inspection.findings.add(
            Kind.REPEATED,
            len(certain),
            (
                f"{inspection.name(max(pair))} has the key of {inspection.name(min(pair))}: {key}"
                for pair in pairs
            ),
        )

    def _check_originals(self, inspection: Inspection, near: tuple[Ints, Floats]) -> None:
        table, settings = inspection.table, self.settings
        wrong = wrong_originals(table, settings.window, settings.window_seconds)
        # Where records are gone or dropped, a chain may have gaps.
        if KINDS[settings.window].grows and not table.incomplete and not inspection.dropped:
            wrong = np.union1d(wrong, apart_in_sessions(table, settings.window_seconds))
        if settings.similarity is not None:
            rules = NearRules(settings.similarity, settings.similarity_seconds)
            wrong = np.union1d(wrong, wrong_near(table, rules, near))
        inspection.add(
            Kind.ORIGINAL, wrong, lambda row: f"names {inspection.name(int(table.originals[row]))}"
        )
        if len(near[0]):
            measurement = measure_again(settings, table, near, self.read_again)
            inspection.notes.append(
                f"{measurement.measured:,} of {measurement.total:,} near duplicates were measured "
                "again"
            )
            mismatches = {mismatch.row: mismatch for mismatch in measurement.mismatches}
            inspection.add(
                Kind.ORIGINAL,
                np.array(list(mismatches), np.int64),
                lambda row: (
                    f"names {inspection.name(int(table.originals[row]))} with similarity "
                    f"{mismatches[row].reported!r}, which is {mismatches[row].measured!r}"
                ),
            )

    def _note_false_positives(self, inspection: Inspection) -> None:
        """Note if Bloom filters have far more false positives than expected."""
        table, settings = inspection.table, self.settings
        # A record that is gone or dropped may have had the key.
        if settings.state != "bloom" or table.incomplete or inspection.dropped:
            return
        window = settings.window, settings.window_seconds
        count = sum(
            keys_without_unique(table, index, *window) for index in range(len(settings.keys))
        )
        expected = settings.bloom_error * len(table) * len(settings.keys)
        if count > _FACTOR * expected + _FEW:
            inspection.notes.append(
                f"{count:,} keys have duplicates and no unique record with their key in the "
                f"window; with DEDUP_BLOOM_ERROR={settings.bloom_error} about {expected:,.0f} are "
                "expected: unique records may be among the duplicates"
            )

    @staticmethod
    def _check_validity(inspection: Inspection, accepted: AcceptedTimes, latest: float) -> None:
        table = inspection.table
        inspection.add(
            Kind.VERDICT,
            wrong_validity(table, latest),
            lambda row: f"is {VERDICTS[table.verdicts[row]]}",
        )
        inspection.add(
            Kind.VERDICT,
            wrong_reasons(table),
            lambda row: (
                f"is invalid for {REASONS[table.matched[row] - 1]}, which is "
                f"{REASONS[table.reasons[row] - 1]}"
            ),
        )
        inspection.add(
            Kind.VERDICT,
            never_in_future(table, accepted),
            lambda _: "is invalid for future, but its event time was not in the future",
        )

    def _check_lateness(
        self, inspection: Inspection, bounds: WatermarkBounds, late: tuple[Ints, Floats]
    ) -> None:
        table = inspection.table
        wrong = wrong_lateness(table, bounds, self.lateness)
        inspection.add(Kind.VERDICT, wrong, lambda row: f"is {VERDICTS[table.verdicts[row]]}")
        seconds = dict(wrong_seconds(table, bounds, self.lateness, late))
        # Records that should not be late at all are in the findings already.
        rows = np.setdiff1d(np.array(list(seconds), np.int64), wrong)
        inspection.add(
            Kind.VERDICT,
            rows,
            lambda row: f"is late by {seconds[row]!r} s, but the watermark cannot have been there",
        )
