"""On a cluster of brokers the changelog was created with one replica, without a word."""

from collections.abc import Iterator

import pytest

from connectors.exactly_once.changelog import Changelog
from connectors.kafka import topics
from connectors.kafka.access import KafkaAccess
from tests.integration.mock_brokers import mock_brokers


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mock brokers do not know requests for a topic's settings."""
    monkeypatch.setattr(topics, "REQUEST_SECONDS", 0.5)


def warned(caplog: pytest.LogCaptureFixture, brokers: int, replicas: int) -> Iterator[str]:
    with mock_brokers(brokers) as cluster:
        cluster.create("app-changelog", replicas)
        access = KafkaAccess(cluster.bootstrap, "app", common={"log_level": 0})
        Changelog(access, lanes=1).ensure("in")
    for record in caplog.records:
        if "replication" in (text := record.getMessage()):
            assert record.levelname == "WARNING"
            yield text


def test_a_start_says_so(caplog: pytest.LogCaptureFixture) -> None:
    [line] = warned(caplog, brokers=3, replicas=1)
    assert line.startswith("topic app-changelog has replication 1 on a cluster of 3 brokers: ")
    assert "default.replication.factor" in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("brokers,replicas", [(1, 1), (3, 3), (2, 2)])
def test_nothing_is_said_where_nothing_can_be_done(
    caplog: pytest.LogCaptureFixture, brokers: int, replicas: int
) -> None:
    assert list(warned(caplog, brokers, replicas)) == []
