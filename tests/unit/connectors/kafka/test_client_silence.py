"""When a client that writes is told its brokers again; for one that reads see its reader."""

import pytest

from connectors.kafka.client_silence import Remedy, WriterSilence
from tests.input_cluster import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_after_each_quarter_of_a_minute_without_an_answer(clock: Clock) -> None:
    silence = WriterSilence(clock)
    found = []
    for _ in range(33):
        found.append(silence.look(responses=7, waiting=3))
        clock.now += 1.0
    assert [at for at, remedy in enumerate(found) if remedy is Remedy.NAME_BROKERS] == [15, 30]


def test_not_while_it_gets_answers_or_has_nothing_to_send(clock: Clock) -> None:
    silence = WriterSilence(clock)
    for responses in range(100):
        assert silence.look(responses, waiting=3) is Remedy.NONE
        clock.now += 14.0
    for _ in range(100):
        assert silence.look(100, waiting=0) is Remedy.NONE
        clock.now += 14.0
    # From here on it counts.
    assert silence.look(100, waiting=1) is Remedy.NONE
    clock.now += 1.0
    assert silence.look(100, waiting=1) is Remedy.NAME_BROKERS
