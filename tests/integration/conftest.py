"""Fixtures of the tests that run the job as a whole."""

from typing import Protocol

import pytest

from deploy.kafka import Broker
from tests.integration.topics import Topics


class MakeTopics(Protocol):
    """Makes the input topic of a test; the outputs are the job's to make."""

    def __call__(self, partitions: int = 1) -> Topics: ...


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
