"""Skew: one lane with most of the records is reported, and warned about once an hour."""

import logging

import pytest

from operators.monitoring.skew import SkewMonitor


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "records, busiest, warned",
    [
        ({0: 9000, 1: 500, 2: 400, 3: 100}, (0, 0.9), True),
        ({0: 4000, 1: 2000, 2: 3000, 3: 1000}, (0, 0.4), False),
        ({0: 6000, 1: 4000}, (0, 0.6), False),  # half is a fair share
        ({0: 0, 1: 20_000, 2: 0, 3: 0}, (1, 1.0), False),  # one shard, as the setting says
        ({0: 90, 1: 5, 2: 4, 3: 1}, None, False),  # too few to tell
    ],
)
def test_skew(
    records: dict[int, int],
    busiest: tuple[int, float] | None,
    warned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    skew = SkewMonitor(clock)
    logging.getLogger("dedup").propagate = True
    with caplog.at_level(logging.WARNING, "dedup.skew"):
        for minute in range(1, 5):
            clock.now = 60.0 * minute
            skew.check({lane: count * minute for lane, count in records.items()})
            assert skew.busiest == busiest
            skew.check({})  # not yet
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == warned
    if warned:
        assert messages[0].startswith("lane 0 had 90% of the last 10000 records of 4 lanes")
        assert "DEDUP_SHARD_BY" in messages[0]
