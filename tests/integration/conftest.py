"""Fixtures of the tests that run the job as a whole."""

from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

import pytest

from deploy.kafka import Broker
from operators.errors import DedupError
from tests.integration.lane_harness import LaneHarness, raising
from tests.integration.topics import Topics


class MakeTopics(Protocol):
    """Makes the input topic of a test; the outputs are the job's to make."""

    def __call__(self, partitions: int = 1) -> Topics: ...


# What a start says then (docs/adr/0002, "What is not promised").
_LOST_END = "a transaction is open from offset"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Tell a broker that was killed and lost the end of a transaction from a fault of ours."""
    try:
        return (yield)
    except AssertionError as error:
        if "own_broker" in getattr(item, "fixturenames", ()) and _LOST_END in str(error):
            pytest.xfail("the broker that was killed has lost the end of a transaction")
        raise


MakeHarness = Callable[..., LaneHarness]
"""Makes an application of lanes; its keywords are `LaneHarness`'s."""


@pytest.fixture
def make_topics(broker: Broker, topic_prefix: str) -> MakeTopics:
    """Names that no other test uses, behind an input topic."""

    def make(partitions: int = 1) -> Topics:
        topics = Topics(broker.bootstrap, topic_prefix, partitions)
        topics.create(topics.input)
        return topics

    return make


@pytest.fixture(params=["at_least_once", "exactly_once"])
def guarantee(request: pytest.FixtureRequest) -> str:
    """Each guarantee that the job can give."""
    return str(request.param)


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[DedupError]:
    """Errors that would have ended the process; those of the worker's thread are raised too."""
    found: list[DedupError] = []
    raising(monkeypatch, found)
    return found


@pytest.fixture
def make_harness(make_topics: MakeTopics, failures: list[DedupError]) -> Iterator[MakeHarness]:
    """Lanes on a real broker, with settings of the test's own."""
    topics = make_topics(1)
    made: list[LaneHarness] = []

    def make(**settings: Any) -> LaneHarness:  # noqa: ANN401 - whatever a harness has
        made.append(LaneHarness(topics, failures=failures, **settings))
        return made[-1]

    yield make
    for harness in made:
        harness.end()


@pytest.fixture
def harness(make_harness: MakeHarness) -> LaneHarness:
    """Lanes on a real broker."""
    return make_harness()
