"""The record that claims a lane is not written over one of a process that came later."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from connectors.exactly_once.changelog import Changelog
from connectors.exactly_once.changelog_format import ChangelogRecord, pack, unpack
from connectors.exactly_once.lane_producer import FencedError, LaneProducer
from connectors.exactly_once.opened_lane import OpenedLane, claim
from operators.changes import Delta, LaneChange, LaneProgress

PROGRESS = LaneProgress(4, {0: 9}, {}, 1.0)
OTHERS = 77


def record(run: int, sequence: int = 4) -> ChangelogRecord:
    """The last record of a transaction."""
    [value] = pack(LaneChange(PROGRESS._replace(sequence=sequence), Delta.empty()), {}, run)
    return unpack(value)


class Log:
    """A changelog's partition and the lane's producer, which loses its first transaction."""

    index, topic, doubtful = 0, "changelog", False

    def __init__(self, last: ChangelogRecord | None) -> None:
        self.last = last
        self.written: list[bytes] = []

    def write_transaction(
        self,
        produce: Callable[[], None],
        _: str,
        records: Sequence[bytes],
        renew: Callable[[], None],
    ) -> None:
        produce()
        renew()
        self.written += records

    def renew(self) -> None:
        """Fence others; they may have written before."""

    def wait_until_settled(self, _: int) -> None:
        """Nothing is open."""

    def last_record(self, _: int) -> ChangelogRecord | None:
        return self.last


def claimed(log: Any, found: ChangelogRecord | None) -> OpenedLane:  # noqa: ANN401 - both stand-ins
    opened = OpenedLane(cast("LaneProducer", log))
    claim(opened, cast("Changelog", log), PROGRESS, {}, found)
    return opened


@pytest.mark.parametrize("found", [None, record(5), record(5, 0)])
def test_it_is_written_where_nobody_has_come_since(found: ChangelogRecord | None) -> None:
    log = Log(found)
    opened = claimed(log, found)

    [written] = map(unpack, log.written)
    assert (written.run, written.change.progress.positions) == (opened.generation, {0: 9})


@pytest.mark.parametrize("last", [record(OTHERS), record(OTHERS, 5), record(5, 5)])
def test_another_that_has_opened_the_lane_meanwhile_keeps_it(last: ChangelogRecord) -> None:
    log = Log(last)
    with pytest.raises(FencedError, match="another process has opened lane 0 meanwhile"):
        claimed(log, record(5))
    assert log.written == []
