"""A few seeds of the drills that vary; `make drill-varied` runs others."""

from pathlib import Path

import pytest

from deploy.kafka import Broker
from tests.drills.varied.seeds import run_seed


@pytest.mark.parametrize("seed", [1, 4, 6])
def test_seed(seed: int, broker: Broker, tmp_path: Path) -> None:
    outcome = run_seed(broker.bootstrap, tmp_path, seed)
    assert outcome.passed, outcome
