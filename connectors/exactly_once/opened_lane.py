"""An opened lane, and the record that claims it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.changelog_format import ChangelogRecord, pack
from connectors.exactly_once.changelog_segments import ChangelogSegments
from connectors.exactly_once.lane_producer import FencedError, LaneProducer
from operators.changes import Delta, LaneChange, LaneProgress
from operators.lanes.lane import Lane


@dataclass(slots=True)
class OpenedLane:
    """A lane's producer, and what its changelog held when it was opened.

    sequence: of the last committed verdict batch.  generation: random number that identifies this
    opening of the lane.  segments: of its changelog.  lane: its state, if this process has it.
    """

    producer: LaneProducer
    sequence: int = 0
    generation: int = field(default_factory=lambda: secrets.randbits(63))
    segments: ChangelogSegments = field(default_factory=ChangelogSegments)
    lane: Lane | None = None


def claim(
    opened: OpenedLane,
    changelog: Changelog,
    progress: LaneProgress,
    fingerprint: dict[str, str],
    found: ChangelogRecord | None,
) -> None:
    """Rule 10: write a record of this opening, which changes nothing in the lane.

    An older process that wakes up finds it, and does not open the lane again.
    progress: of the lane.  fingerprint: setting → text.  found: the last record that was read;
    raises FencedError if another process has opened the lane since then, and this one lost its
    producer meanwhile.
    """
    producer = opened.producer
    records = list(pack(LaneChange(progress, Delta.empty()), fingerprint, opened.generation))

    def renew() -> None:  # rule 9
        producer.renew()
        changelog.wait_until_settled(producer.index)
        last = changelog.last_record(producer.index)
        if _name_of(last) not in {_name_of(found), (opened.generation, progress.sequence)}:
            msg = (
                f"another process has opened lane {producer.index} meanwhile: this one ends and "
                "writes nothing"
            )
            raise FencedError(msg)

    producer.write_transaction(_nothing, changelog.topic, records, renew)
    if producer.doubtful:
        renew()
    # From now on a look at the changelog finds the record, even if another broker leads.
    changelog.wait_until_settled(producer.index)


def _name_of(record: ChangelogRecord | None) -> tuple[int, int] | None:
    """Run and sequence of a record."""
    return None if record is None else (record.run, record.change.progress.sequence)


def _nothing() -> None:
    """Add no records to a transaction."""
