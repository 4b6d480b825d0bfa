"""What is asked of an audit besides the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.cli.audit.lateness import Lateness
from flows.settings.model import Settings


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Options of an audit.

    labels: the file that `dedup generate --labels` wrote.  show: how many offenders of
    a kind are named.  lateness: allowed lateness, in seconds, under which records were
    judged besides that of the settings.  On Kafka, patience_seconds: a transaction that
    is open now and still open after this long hangs; ignore_timestamps: for output
    topics that stamp records themselves (message.timestamp.type=LogAppendTime).
    """

    labels: Path | None = None
    show: int = 5
    lateness: Sequence[float] = ()
    patience_seconds: float = 10.0
    ignore_timestamps: bool = False

    def lateness_of(self, settings: Settings) -> Lateness:
        """Allowed lateness under which records were judged."""
        every = (settings.allowed_lateness_seconds, *self.lateness)
        return Lateness(min(every), max(every))
