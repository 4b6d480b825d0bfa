"""One cluster for all tests, which each test finds healthy."""

from collections.abc import Iterator

import pytest

from deploy.kafka import BrokerStartError, Cluster, NoBrokerError
from tests.conftest import WITHOUT_KAFKA
from tests.drills.three_brokers.proxies import Proxies


@pytest.fixture(scope="session")
def running_cluster(
    kafka_wanted: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Three brokers; pytest keeps their logs for a while."""
    try:
        cluster = Cluster(folder=tmp_path_factory.mktemp("brokers"))
        cluster.begin()
    except (NoBrokerError, BrokerStartError) as error:
        pytest.fail(f"{error} {WITHOUT_KAFKA}=1 skips these tests.", pytrace=False)
    try:
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Cluster:
    """Three brokers that are in sync, whatever the last test has done to them."""
    running_cluster.heal()
    return running_cluster


@pytest.fixture(scope="session")
def proxies(running_cluster: Cluster) -> Iterator[Proxies]:
    """A network that can be cut."""
    with Proxies(running_cluster) as network:
        yield network
