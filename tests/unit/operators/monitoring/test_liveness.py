"""Signs of life."""

from operators.monitoring.liveness import Pulse


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_sign_of_life_ends_the_silence() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    for sign in (
        pulse.beat,
        pulse.source_opened,
        pulse.lane_opened,
        pulse.epoch_ended,
        pulse.source_ended,
    ):
        clock.now += 7
        assert pulse.silent_seconds == 7
        sign()
        assert pulse.silent_seconds == 0


def test_an_epoch_is_measured_from_the_end_of_the_last_one() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    clock.now += 3
    pulse.beat()
    assert (pulse.epochs, pulse.epoch_seconds) == (0, 3)
    pulse.epoch_ended()
    clock.now += 1
    assert (pulse.epochs, pulse.epoch_seconds) == (1, 1)


def test_a_process_reads_until_its_last_partition_has_ended() -> None:
    pulse = Pulse()
    seen = [pulse.reads]
    for sign in (pulse.source_opened, pulse.source_opened, pulse.source_ended, pulse.source_ended):
        sign()
        seen.append(pulse.reads)
    assert seen == [False, True, True, True, False]


def test_a_process_decides_once_it_has_opened_a_lane() -> None:
    pulse = Pulse()
    seen = [pulse.decides]
    pulse.lane_opened()
    seen.append(pulse.decides)
    assert seen == [False, True]
