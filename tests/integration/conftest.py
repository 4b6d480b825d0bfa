"""Fixtures of the tests that run the job as a whole."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from deploy.kafka import Broker
from operators.errors import DedupError
from tests.integration.lane_harness import Rig, raising
from tests.integration.topics import Topics


class MakeTopics(Protocol):
    """Makes the input topic of a test; the outputs are the job's to make."""

    def __call__(self, partitions: int = 1) -> Topics: ...


MakeRig = Callable[..., Rig]
"""Makes an application of lanes; its keywords are `Rig`'s."""


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
def make_rig(make_topics: MakeTopics, failures: list[DedupError]) -> Iterator[MakeRig]:
    """Lanes on a real broker, with settings of the test's own."""
    topics = make_topics(1)
    made: list[Rig] = []

    def make(**settings: Any) -> Rig:  # noqa: ANN401 - whatever a rig has
        made.append(Rig(topics, failures=failures, **settings))
        return made[-1]

    yield make
    for rig in made:
        rig.end()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    """Lanes on a real broker."""
    return make_rig()
