"""An event time of -0.0 kept its sign where records are decoded in columns, and nowhere else."""

import numpy as np
import pytest

from operators.batches import Records
from operators.decode.decoder import Decoder
from tests.decoding import batch_of, careful, event, spec_of


@pytest.mark.parametrize("others", [["1.5"], ["1.5", '"2026-01-01T00:00:00Z"']])
def test_minus_zero_is_zero_either_way(others: list[str]) -> None:
    """With a text among the times they are read one by one."""
    spec = spec_of(["event_id"])
    values: list[bytes | None] = [event(timestamp=time) for time in ("-0.0", *others)]
    batch = batch_of(Records(np.arange(len(values)), values))
    for decoder in (Decoder(spec), careful(spec)):
        times = decoder(batch).decided.times
        assert times[0] == 0.0
        assert not np.signbit(times[0])
