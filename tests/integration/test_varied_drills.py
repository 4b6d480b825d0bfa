"""Two seeds of the drills that vary; `make drill-varied` plays others.

Each draws what a fault needed that was found by hand: windows that expire on disk while a batch is
not committed, and other code in the middle with what was compiled kept.
"""

from pathlib import Path

import pytest

from deploy.kafka import Broker
from tests.drills.varied.seeds import run_seed


@pytest.mark.parametrize("seed", [2, 5])
def test_seed(seed: int, broker: Broker, tmp_path: Path) -> None:
    outcome = run_seed(broker.bootstrap, tmp_path, seed)
    assert outcome.passed, outcome
