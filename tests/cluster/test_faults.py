"""Brokers are killed, stopped, held up and cut off: the job goes on, and answers all once."""

from pathlib import Path

import pytest

from deploy.kafka import Cluster
from tests.drills.three_brokers.faults import FAULTS
from tests.drills.three_brokers.proxies import Proxies
from tests.drills.three_brokers.rounds import play

pytestmark = pytest.mark.cluster
SEED = 7
# Brokers, job and the tests beside them share a machine: drills have the bars of a quiet one.
SLACK_SECONDS = 30.0


@pytest.mark.parametrize("name", FAULTS)
def test_the_job_goes_on(name: str, cluster: Cluster, proxies: Proxies, tmp_path: Path) -> None:
    outcome = play([name], cluster, proxies, tmp_path / "job", SEED, slack_seconds=SLACK_SECONDS)
    print(outcome)
    assert outcome.passed, outcome
