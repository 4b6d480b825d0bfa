"""The options of a generated stream, and the records and labels that it consists of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from operators.errors import SettingsError

LABELS = (
    "unique",
    "duplicate",
    "same-content",
    "same-other-key",
    "near",
    "late",
    "invalid",
)
"""Labels of records, in the order of reports."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Options of a stream.

    records: their number.  seed: equal options with an equal seed give equal bytes.
    duplicates, same_content, same_other_key, near, late, invalid: shares of all
    records, each 0 to 1, and at most 1 together; the rest is unique.  The very first
    records have nothing to repeat or to be late against: they may be unique instead.
    out_of_order_seconds: event times are up to this far behind the stream's time.
    users: their number.  skew: exponent of the Zipf distribution of records over users,
    0 for equal shares.  start: event time of the first record, epoch seconds.
    step_seconds: event time between records.  time_format: of `timestamp`.
    record_key: the field that is the record's key.  partitions: number of the topic's
    partitions.  tombstones: whether invalid records may have no value; a file cannot
    hold such records.  allowed_lateness_seconds, window_seconds: the job's settings
    for which the labels are right.
    """

    records: int = 1000
    seed: int = 0
    duplicates: float = 0.1
    same_content: float = 0.0
    same_other_key: float = 0.0
    near: float = 0.0
    late: float = 0.01
    invalid: float = 0.01
    out_of_order_seconds: float = 5.0
    users: int = 10_000
    skew: float = 1.1
    start: float = 1_700_000_000.0
    step_seconds: float = 0.01
    time_format: Literal["epoch", "rfc3339"] = "epoch"
    record_key: Literal["user", "event", "none"] = "user"
    partitions: int = 1
    tombstones: bool = False
    allowed_lateness_seconds: float = 300.0
    window_seconds: float = 3600.0

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of the labels, without the first: unique records are the rest."""
        return (
            self.duplicates,
            self.same_content,
            self.same_other_key,
            self.near,
            self.late,
            self.invalid,
        )

    @property
    def end(self) -> float:
        """Event time of the last record, epoch seconds."""
        return self.start + self.records * self.step_seconds

    def check(self) -> None:
        """Raise SettingsError, which names the option, for a stream that cannot be generated."""
        names = ("duplicates", "same-content", "same-other-key", "near", "late", "invalid")
        for name, share in zip(names, self.shares, strict=True):
            _require(0 <= share <= 1, name, share, "must be a share from 0 to 1")
        _require(
            sum(self.shares) <= 1 + 1e-9,
            "duplicates",
            self.duplicates,
            "and the other shares must be at most 1 together",
        )
        _require(self.records >= 0, "records", self.records, "must be 0 or more")
        _require(self.users >= 1, "users", self.users, "must be at least 1")
        _require(self.partitions >= 1, "partitions", self.partitions, "must be at least 1")
        _require(0 <= self.skew < math.inf, "skew", self.skew, "must be 0 or more")
        _require(0 <= self.step_seconds < math.inf, "step", self.step_seconds, "must be 0 or more")
        _require(self.window_seconds >= 1, "window", self.window_seconds, "must be at least 1")
        _require(
            self.start >= 0 and self.end < FUTURE_FROM,
            "start",
            self.start,
            "and all event times must be between 1970 and 2100",
        )
        _require(
            0 <= self.out_of_order_seconds < self.allowed_lateness_seconds,
            "out-of-order",
            self.out_of_order_seconds,
            "must be less than the allowed lateness, or records would be late by accident",
        )


FUTURE_FROM = 4_102_444_800
"""2100-01-01: later event times are invalid (`future`) whenever the job runs."""


def _require(holds: bool, option: str, value: object, rule: str) -> None:  # noqa: FBT001 - the condition itself
    if not holds:
        msg = f"--{option} {value} {rule}"
        raise SettingsError(msg)


@dataclass(slots=True)
class Labelled:
    """A record and its label.

    index: its place in the stream, from 0.  value: None for a tombstone.
    label: one of `LABELS`.  repeats: index of the record that it repeats, None for none.
    partition: it is written to this partition.  reason: why it is invalid, None if it
    is valid.
    """

    index: int
    value: bytes | None
    key: bytes | None
    label: str
    repeats: int | None
    event_id: str
    partition: int
    reason: str | None = None


LABEL = "label"
LABEL_OF = "label-of"
"""Headers on Kafka: the label, and the index of the record that is repeated."""
