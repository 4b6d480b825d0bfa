"""Live keys were deleted from the changelog where a lane's state and sink were in two processes.

The process that wrote a lane did not know how new the keys are that the changelog holds at its
start.  It took them for as old as what it wrote first; with nothing but repeats that is older
than everything, so that the next trim deleted them.  Now the process that decides a lane writes it.
"""

from tests.integration.conftest import MakeHarness
from tests.integration.lane_harness import make_records, repeats


def test_an_epoch_of_repeats_trims_no_live_key(make_harness: MakeHarness) -> None:
    harness = make_harness(trim_seconds=0.0)
    events = make_records(0, 100)
    first = harness.run()
    first.feed(events)
    first.settle()
    first.end()

    quiet = harness.run()
    for epoch in range(1, 3):
        quiet.feed(repeats(events, 100 * epoch), start=100 * epoch)
        quiet.snapshot()
    quiet.settle()
    quiet.end()

    after = harness.run()
    after.feed(repeats(events, 300), start=300)
    after.snapshot()

    found = {verdict: len(records) for verdict, records in harness.topics.read().items()}
    assert found == {"unique": 100, "duplicate": 300, "late": 0, "invalid": 0}


def test_keys_that_came_before_older_ones_are_not_trimmed(make_harness: MakeHarness) -> None:
    """Event time goes back: what is written first is older than what the changelog holds."""
    harness = make_harness(trim_seconds=0.0, window_seconds=100.0)
    newer = make_records(0, 100, first_time=1_700_000_300.0)
    first = harness.run()
    first.feed(newer)
    first.settle()
    first.end()

    older = make_records(100, 110, first_time=1_700_000_000.0)
    later = make_records(110, 111, first_time=1_700_000_490.0)
    second = harness.run()
    second.feed(older, start=100)
    second.snapshot()
    second.feed(later)
    second.snapshot()
    second.settle()
    second.end()

    after = harness.run()
    after.feed(repeats(newer, 111), start=111)
    after.snapshot()

    found = {verdict: len(records) for verdict, records in harness.topics.read().items()}
    assert found == {"unique": 111, "duplicate": 100, "late": 0, "invalid": 0}
