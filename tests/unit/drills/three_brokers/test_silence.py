"""Silence counts only while something waits for its answer."""

from collections.abc import Sequence

import pytest

from tests.drills.three_brokers.silence import Silence

Look = tuple[int, int, float]


@pytest.mark.parametrize(
    "looks, seconds",
    [
        ([(1, 0, 100.0), (2, 0, 107.0)], 7.0),
        # An answer ends it, and the next begins there.
        ([(1, 0, 100.0), (9, 1, 107.0), (9, 1, 110.0)], 7.0),
        # Nothing to answer: the input is silent, not the job.
        ([(1, 1, 100.0), (1, 1, 160.0), (2, 1, 161.0), (2, 1, 162.0)], 1.0),
        # A record that is answered before its writer knows its offset.
        ([(1, 2, 100.0), (1, 2, 160.0)], 0.0),
    ],
)
def test_the_longest_silence(looks: Sequence[Look], seconds: float) -> None:
    silence = Silence()
    silence.look(0, 0, 100.0)
    for delivered, answered, now in looks:
        silence.look(delivered, answered, now)
    assert silence.longest_seconds == seconds
