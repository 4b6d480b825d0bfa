"""What ended one transaction came twice, the second time late, and ended the next one too soon.

librdkafka asks for a commit again where there is no answer, and a broker writes a marker again;
neither tells the transactions of one producer epoch apart (KIP-890).  So half of the next one was
committed, without its changelog record, and answered again after a restart.
"""

import time
from collections.abc import Iterator

import pytest

from operators.errors import DedupError
from tests.integration.lane_harness import LaneHarness, make_records
from tests.integration.late_requests import (
    END_TXN,
    WRITE_TXN_MARKERS,
    Late,
    LateRequests,
    late_requests,
)
from tests.integration.topics import Topics

SECONDS = 30.0
# Until what was given to a lane is with the broker: longer than the lanes' linger.ms.
SENT_SECONDS = 1.0


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Late]:
    with late_requests(tmp_path_factory.mktemp("broker")) as late:
        yield late


@pytest.fixture
def harness(late: Late, topic_prefix: str, failures: list[DedupError]) -> Iterator[LaneHarness]:
    topics = Topics(late.address, topic_prefix, 1)
    topics.create(topics.input)
    harness = LaneHarness(topics, lanes=1, failures=failures)
    yield harness
    harness.end()


def restart_after(harness: LaneHarness, proxy: LateRequests, key: int, *, cut: bool) -> None:
    """Hold a request of one transaction back until the next one is open, then kill the job."""
    records = make_records(0, 40)
    run = harness.run()
    run.feed(records[:10])
    run.snapshot()
    proxy.holds.clear()
    proxy.hold(key, cut=cut)
    run.feed(records[10:20])
    run.snapshot()
    assert proxy.holds.wait(SECONDS)
    run.feed(records[20:30])
    snapshot = run.snapshot()
    run.feed(records[30:])
    time.sleep(SENT_SECONDS)

    proxy.release()

    time.sleep(SENT_SECONDS)
    run.end()
    after = harness.run(snapshot)
    after.feed(records[30:])
    after.snapshot()
    assert not harness.failures
    harness.check(records)


def test_a_late_commit(harness: LaneHarness, late: Late) -> None:
    restart_after(harness, late.clients, END_TXN, cut=True)


def test_a_late_marker(harness: LaneHarness, late: Late) -> None:
    restart_after(harness, late.brokers, WRITE_TXN_MARKERS, cut=False)
