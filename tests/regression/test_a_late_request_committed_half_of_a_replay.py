"""What ended one transaction of `dedup replay` came a second time, and ended the next one too soon.

As with lanes (test_a_late_request_committed_the_next_transaction.py): half of the next one was
committed, without the log's record, and replayed again by the next run.
"""

import time
from collections.abc import Iterator, Sequence

import pytest

from connectors.exactly_once.lane_producer import LaneProducer
from connectors.exactly_once.transaction_errors import Action
from flows.cli import app
from flows.cli.replay import pacing
from tests.integration.job import SECONDS
from tests.integration.late_requests import (
    END_TXN,
    WRITE_TXN_MARKERS,
    Late,
    LateRequests,
    late_requests,
)
from tests.integration.replays import answer, lost_and_doubled, write
from tests.integration.topics import Topics

BATCH = 10
# Until what was given to the producer is with the broker.
SENT_SECONDS = 1.0


class Killed(Exception):  # noqa: N818 - it stands for a signal
    """The process is dead."""


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Late]:
    with late_requests(tmp_path_factory.mktemp("broker")) as late:
        yield late


@pytest.fixture
def topics(late: Late, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Topics:
    topics = Topics(late.address, topic_prefix, 1)
    topics.create(topics.input)
    for name, value in topics.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pacing, "_MAX_BATCH_RECORDS", BATCH)
    write(topics, "invalid", [answer(topics, offset) for offset in range(4 * BATCH)])
    return topics


def replay_again_after(
    monkeypatch: pytest.MonkeyPatch, proxy: LateRequests, key: int, *, cut: bool
) -> None:
    """Hold a request of one transaction back until the next but one is open, then kill the run.

    A marker that is late within the very next one is not promised to do no harm (ADR 2).
    """
    commit = LaneProducer.commit
    commits = iter(range(4))

    def holding(producer: LaneProducer, topic: str, changes: Sequence[bytes]) -> Action | None:
        number = next(commits)
        if number == 1:
            proxy.holds.clear()
            proxy.hold(key, cut=cut)
        elif number == 2:
            assert proxy.holds.wait(SECONDS)
        elif number == 3:
            producer._producer.flush(SECONDS)
            proxy.release()
            time.sleep(SENT_SECONDS)
            raise Killed
        return commit(producer, topic, changes)

    with monkeypatch.context() as patched:
        patched.setattr(LaneProducer, "commit", holding)
        with pytest.raises(Killed):
            app.main(["replay", "invalid"])
    assert app.main(["replay", "invalid"]) == 0


def test_a_late_commit(topics: Topics, late: Late, monkeypatch: pytest.MonkeyPatch) -> None:
    replay_again_after(monkeypatch, late.clients, END_TXN, cut=True)

    assert lost_and_doubled(topics, 4 * BATCH) == (0, 0)


def test_a_late_marker(topics: Topics, late: Late, monkeypatch: pytest.MonkeyPatch) -> None:
    replay_again_after(monkeypatch, late.brokers, WRITE_TXN_MARKERS, cut=False)

    assert lost_and_doubled(topics, 4 * BATCH) == (0, 0)
