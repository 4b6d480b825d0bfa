"""One cluster for all tests, which each test finds healthy."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deploy.kafka import BrokerStartError, Cluster, NoBrokerError
from tests.conftest import WITHOUT_KAFKA
from tests.drills.three_brokers.proxies import Proxies
from tests.drills.three_brokers.rounds import proxied_cluster


@pytest.fixture(scope="session")
def running(
    kafka_wanted: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cluster, Proxies]]:
    """Three brokers and the network; pytest keeps their logs for a while."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(proxied_cluster(tmp_path_factory.mktemp("brokers")))
        except (NoBrokerError, BrokerStartError) as error:
            pytest.fail(f"{error} {WITHOUT_KAFKA}=1 skips these tests.", pytrace=False)
        yield found


@pytest.fixture
def cluster(running: tuple[Cluster, Proxies]) -> Cluster:
    """Three brokers that are in sync, whatever the last test has done to them."""
    found, proxies = running
    proxies.restore()
    found.heal()
    return found


@pytest.fixture
def proxies(running: tuple[Cluster, Proxies]) -> Proxies:
    """A network that can be cut."""
    return running[1]
