"""Short drills; `make drill` runs long ones."""

from pathlib import Path

import pytest

from deploy.kafka import Broker
from tests.drills.drill_program import BROKER_KILLS, NAMES, NETWORK, run
from tests.drills.drill_scene import SHORT

SEED = 7


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (BROKER_KILLS, NETWORK)])
def test_drill(name: str, broker: Broker, tmp_path: Path) -> None:
    outcome = run(name, broker, tmp_path, SEED, SHORT)
    assert outcome.passed, outcome


def test_drill_that_kills_the_broker(own_broker: Broker, tmp_path: Path) -> None:
    outcome = run(BROKER_KILLS, own_broker, tmp_path, SEED, SHORT)
    assert outcome.passed, str(outcome)


def test_drill_of_the_network(broker: Broker, tmp_path: Path) -> None:
    if broker.kind != "java":
        pytest.skip("only a broker in Java has a second listener")
    outcome = run(NETWORK, broker, tmp_path, SEED, SHORT)
    assert outcome.passed, outcome
