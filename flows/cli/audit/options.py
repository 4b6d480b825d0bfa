"""The options of an audit, besides the job's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.cli.audit.lateness import Lateness
from flows.settings.model import Settings


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Options of an audit.

    labels: the file that `dedup generate --labels` wrote.  show: number of examples for
    each kind of fault.  lateness: other values of the allowed lateness, in seconds, that
    the job had when it judged some of the records.  For Kafka only: patience_seconds, a
    transaction that is open now and after this time hangs; ignore_timestamps, for output
    topics whose broker sets the timestamps (message.timestamp.type=LogAppendTime).
    """

    labels: Path | None = None
    show: int = 5
    lateness: Sequence[float] = ()
    patience_seconds: float = 10.0
    ignore_timestamps: bool = False

    def lateness_of(self, settings: Settings) -> Lateness:
        """Smallest and largest allowed lateness that the job had."""
        values = (settings.allowed_lateness_seconds, *self.lateness)
        return Lateness(min(values), max(values))
