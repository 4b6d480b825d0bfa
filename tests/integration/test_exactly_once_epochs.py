"""Rule 9 of the protocol (connectors/exactly_once), kept and broken: producer epochs."""

from collections.abc import Sequence

import pytest

from connectors.exactly_once.lane_producer import FencedError, LaneProducer
from connectors.exactly_once.lane_transactions import LaneTransactions
from connectors.exactly_once.transaction_errors import Action
from tests.integration.conftest import MakeHarness
from tests.integration.lane_harness import LaneHarness, make_records

SECONDS = 30.0


def renew_after_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every commit one whose end may have been requested twice."""
    commit = LaneProducer.commit

    def doubtful(self: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
        action = commit(self, topic, changes)
        self.doubtful = True
        return action

    monkeypatch.setattr(LaneProducer, "commit", doubtful)


def test_a_renewed_producer_goes_on(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    renew_after_each(monkeypatch)
    records = make_records(0, 40)
    run = harness.run()
    for begin in range(0, 40, 10):
        run.feed(records[begin : begin + 10])
        snapshot = run.snapshot()
    run.end()
    harness.run(snapshot).snapshot()

    harness.check(records)


def renew_over_another(harness: LaneHarness, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Let another process write a lane just before its older producer is renewed."""
    renew, commit = LaneProducer.renew, LaneProducer.commit
    records = make_records(0, 20)
    old = harness.run()
    old.open()

    def renew_later(self: LaneProducer) -> None:
        monkeypatch.setattr(LaneProducer, "renew", renew)
        monkeypatch.setattr(LaneProducer, "commit", commit)
        new = harness.run()
        new.feed(records, start=0)
        new.snapshot()
        new.end()
        renew(self)

    renew_after_each(monkeypatch)
    monkeypatch.setattr(LaneProducer, "renew", renew_later)
    old.feed(records[:10])
    old.snapshot()
    old.feed(records[10:])
    old.snapshot()
    return harness.doubled(records)


def test_a_renewed_producer_ends_if_another_process_has_written(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FencedError, match="another process has taken over lane 0"):
        renew_over_another(make_harness(lanes=1), monkeypatch)


def test_broken_renewal_without_a_check_of_the_owner(
    make_harness: MakeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LaneTransactions, "_check_owner", lambda *_, **__: None)

    assert renew_over_another(make_harness(lanes=1), monkeypatch) == (0, 10)
