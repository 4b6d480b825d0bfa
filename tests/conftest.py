"""Fixtures that every test may use: a real broker, and names that nobody else has."""

import os
import re
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from deploy.kafka import QUICK_RESTART, Broker, BrokerStartError, NoBrokerError, start_broker

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

WITHOUT_KAFKA = "DEDUP_TEST_WITHOUT_KAFKA"
_NOT_WANTED = f"{WITHOUT_KAFKA}=1 is set: no Kafka"
# Long enough to recognise the test by; Kafka allows 249 for the whole name.
_NAME_LENGTH = 60


@pytest.fixture(scope="session")
def kafka_wanted() -> None:
    """Skip whatever needs Kafka when DEDUP_TEST_WITHOUT_KAFKA=1 says so, and never otherwise."""
    if os.environ.get(WITHOUT_KAFKA) == "1":
        pytest.skip(_NOT_WANTED)


@pytest.fixture(scope="session")
def broker(kafka_wanted: None) -> Iterator[Broker]:
    """One real broker for the whole session. Not for tests that kill it: see `own_broker`."""
    with _start(own=False) as found:
        yield found


@pytest.fixture
def own_broker(kafka_wanted: None) -> Iterator[Broker]:
    """A broker for one test alone, which may kill and restart it."""
    with _start(own=True) as found:
        yield found


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A name for topics, groups and application ids that no other test or run uses."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name).strip("-")[:_NAME_LENGTH]
    return f"{name}-{uuid.uuid4().hex[:8]}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was left out for want of Kafka: a green run without it proves little."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(_NOT_WANTED in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.write_line(f"{count} tests on Kafka were SKIPPED: {WITHOUT_KAFKA}=1")


def _start(*, own: bool) -> Broker:
    try:
        return start_broker(own=own, settings=QUICK_RESTART if own else None)
    except (NoBrokerError, BrokerStartError) as error:
        reason = f"{error} {WITHOUT_KAFKA}=1 skips these tests."
    pytest.fail(reason, pytrace=False)
